"""Programs side by side, as real processes: output, deaths, signals."""

import json
import os
import signal
import subprocess
import sys

import pytest

RUN = """
import json, os, sys
from nn_perception.nodes import supervisor
given = json.loads(sys.argv[1])
supervisor.STOP_TIMEOUT_S = given.get("timeout_s", 30.0)
supervisor.RESPAWN_DELAY_S = 0.01
supervisor.LAST_LINES_S = 30.0
commands = {name: [sys.executable, "-c", code] for name, code in given["programs"].items()}
sys.exit(supervisor.Supervisor(commands, os.environ, respawn=given.get("respawn", False)).run())
"""
WAITS = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(CODE))
print("ready", flush=True)
while True:
    signal.pause()
"""
IGNORES_HANGUP = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
STUBBORN = WAITS.replace("sys.exit(CODE)", "print('no', flush=True)")


def waits(code=0):
    return WAITS.replace("CODE", str(code))


@pytest.fixture
def supervise():
    started = []

    def start(**given):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines_until(process, *wanted):
    """Read lines until each of some texts has been seen."""
    seen = []
    missing = set(wanted)
    while missing:
        line = process.stdout.readline()
        assert line, f"ended without {missing}: {seen} {process.stderr.read()}"
        seen.append(line.rstrip("\n"))
        missing -= {text for text in missing if text in line}
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_cleanly(supervise, number):
    process = supervise(programs={"a": waits(), "longer": waits()})
    lines = lines_until(process, "[a]      ready", "[longer] ready")
    assert len(lines) == 2
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert f"{number.name}: stopping" in out


def test_the_end_of_a_session_does_not_end_what_nohup_started(supervise, monkeypatch):
    monkeypatch.setitem(globals(), "RUN", IGNORES_HANGUP + RUN)
    process = supervise(programs={"a": waits()})
    lines_until(process, "ready")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "SIGTERM: stopping" in out
    assert "SIGHUP" not in out


def test_one_that_a_real_time_signal_ends_is_named(supervise):
    """Python has no names for these."""
    number = signal.SIGRTMIN + 3
    code = f"import os; os.kill(os.getpid(), {number})"
    out, err = supervise(programs={"a": waits(), "b": code}).communicate()
    assert err == ""
    assert f"b was ended by signal {number}" in out


def test_one_that_dies_stops_the_others_and_is_named(supervise):
    code = "import sys; print(*range(20000), sep='\\n', flush=True); sys.exit(7)"
    process = supervise(programs={"a": waits(), "b": code})
    out, _ = process.communicate()
    assert process.returncode == 1
    lines = out.splitlines()
    end = lines.index("[up] b ended with exit code 7: stopping a")
    assert sum(line.startswith("[b]  ") for line in lines[:end]) == 20000  # to the last word


def test_an_end_without_an_error_is_a_death_too(supervise):
    process = supervise(programs={"a": "", "b": waits()})
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "a ended with exit code 0: stopping b" in out


def test_a_death_by_a_signal_is_named(supervise):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    process = supervise(programs={"a": code})
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "a was ended by SIGSEGV" in out


def test_an_unclean_end_on_request_counts(supervise):
    process = supervise(programs={"a": waits(3), "b": waits()})
    lines_until(process, "[a]  ready", "[b]  ready")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "a ended with exit code 3" in out


def test_a_second_signal_kills_what_does_not_end(supervise):
    process = supervise(programs={"a": STUBBORN})
    lines_until(process, "ready")
    process.send_signal(signal.SIGINT)
    lines_until(process, "stopping", "no")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "SIGINT: killing a" in out
    assert "a was ended by SIGKILL" in out


def test_what_does_not_end_in_time_is_killed(supervise):
    process = supervise(programs={"a": STUBBORN}, timeout_s=0.1)
    lines_until(process, "ready")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "killing a" in out


def test_respawn_starts_again_what_died(supervise, tmp_path):
    died = tmp_path / "died"
    once = f"import os, pathlib; p = pathlib.Path({str(died)!r}); e = p.exists(); p.touch()\n"
    once += "if not e: os._exit(5)\n" + waits()
    process = supervise(programs={"a": once, "b": waits()}, respawn=True)
    lines = lines_until(process, "[a]  ready", "[b]  ready")
    assert any("a ended with exit code 5; it starts again" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0


def test_respawn_leaves_wrong_arguments_alone(supervise):
    process = supervise(programs={"a": "import sys; sys.exit(2)", "b": waits()}, respawn=True)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "a ended with exit code 2: stopping b" in out


def test_output_that_is_no_text_or_has_no_end_of_line(supervise):
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\n\\nend'); sys.exit(1)"
    process = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps({"programs": {"a": code}})],
        capture_output=True,
        check=False,
    )
    assert process.stdout.startswith(b"[a]  \xff\n[a]  \n[a]  end\n")


def test_a_reader_that_goes_away_stops_all(supervise):
    talks = waits().replace("signal.pause()", "print('on and on', flush=True)")
    process = supervise(programs={"a": talks, "b": waits()})
    lines_until(process, "[a]  ready", "[b]  ready")
    process.stdout.close()
    assert process.wait() == 0  # no program was killed
    assert process.stderr.read() == ""


GUARDED = """
import os, subprocess, sys
from nn_perception.nodes.guarded import guarded_command
child = subprocess.Popen(guarded_command("child"), stdout=sys.stdout)
print("started", child.pid, flush=True)
child.wait()
"""
CHILD = """
import os, signal
def end(*_):
    print("told", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("child", os.getpid(), flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def child_module(tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_a_guarded_program_ends_with_its_parent(child_module):
    parent = subprocess.Popen(
        [sys.executable, "-c", GUARDED], stdout=subprocess.PIPE, text=True, env=child_module
    )
    lines = lines_until(parent, "started", "child")
    pids = {line.split()[1] for line in lines}
    assert len(pids) == 1  # it became the module, and is no further process
    parent.kill()
    # The pipe ends with its last writer: the child has been told, and is gone.
    assert parent.stdout.read() == "told\n"
    parent.wait()


def test_a_guarded_program_whose_parent_is_gone_does_not_start(child_module):
    command = [sys.executable, "-m", "nn_perception.nodes.guarded", "1", "child"]
    done = subprocess.run(command, capture_output=True, check=False, env=child_module, timeout=30)
    assert (done.returncode, done.stdout) == (1, b"")
