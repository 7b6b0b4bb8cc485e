"""Child processes that end well, badly, not at all, or after their parent."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from nn_perception.jobs import process as process_module
from nn_perception.jobs.process import JobProcess


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function: the source of a child -> the running child."""
    started = []

    def make(source, **arguments):
        script = tmp_path / f"child{len(started)}.py"
        prelude = "import json, os, signal, sys, time\npipe = os.fdopen(int(sys.argv[3]), 'w')\n"
        script.write_text(prelude + textwrap.dedent(source))
        monkeypatch.setattr(process_module, "COMMAND", (sys.executable, str(script)))
        child = JobProcess("stage", tmp_path / "spec", log=tmp_path / "log.txt", **arguments)
        started.append(child)
        return child

    return make


def ends(handle):
    """Whether a process, by its pidfd, ends within 20 seconds."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(20_000))
    os.close(handle)
    return ended


def watch(child, on_progress=lambda line: None, cancelled=lambda: False):
    return child.watch(on_progress, cancelled)


def test_progress_comes_in_order_and_rubbish_is_passed_over(start):
    lines = []
    child = start(
        """
        for text in ('{"n": 1}', 'no json', '[2]', '{"n": 3}'):
            pipe.write(text + "\\n")
        pipe.write('{"n": 4}')  # not ended
        """
    )
    ended = watch(child, lines.append)
    assert lines == [{"n": 1}, {"n": 3}]
    assert (ended.code, ended.reason) == (0, "")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL (out of memory?)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("print('first', flush=True); raise RuntimeError('the last word')", "the last word"),
        ('pipe.write(\'{"error": "disk full"}\\n\'); pipe.flush(); sys.exit(2)', "disk full"),
    ],
)
def test_a_bad_end_is_told_with_its_reason(start, source, said):
    ended = watch(start(source))
    assert said in ended.reason
    assert not ended.cancelled


def test_only_this_childs_log_is_quoted(start):
    watch(start("print('of an earlier child'); sys.exit(1)"))
    ended = watch(start("print('of this one'); sys.exit(1)"))
    assert "of this one" in ended.reason
    assert "earlier" not in ended.reason


def test_cancelling_ends_one_that_does_not_want_to_end(start):
    seen = []
    child = start(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pipe.write('{"ready": 1}\\n')
        pipe.flush()
        while True:
            time.sleep(10)
        """
    )
    ended = watch(child, seen.append, lambda: bool(seen))
    assert (ended.code, ended.cancelled) == (-signal.SIGKILL, True)


def test_what_a_child_started_ends_with_it(start):
    """Also where grandchildren hold the pipe open."""
    child = start(
        """
        import subprocess
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                 pass_fds=[pipe.fileno()])
        pipe.write('{"pid": %d}\\n' % other.pid)
        pipe.flush()
        os._exit(0)
        """
    )
    handles = []
    ended = watch(child, lambda line: handles.append(os.pidfd_open(line["pid"])))
    assert ended.code == 0
    assert ends(handles[0])


PARENT = """
import sys
from pathlib import Path
from nn_perception.jobs import process
process.COMMAND = (sys.executable, "-c", sys.argv[1])
child = process.JobProcess("stage", Path("spec"), log=Path(sys.argv[2]))
print(child.pid, flush=True)
child.watch(lambda line: print("ready", flush=True), lambda: False)
"""

CHILD = """
import os, sys, threading, time
from nn_perception.jobs.child import _end_with_parent
threading.Thread(target=_end_with_parent, daemon=True).start()
os.write(int(sys.argv[3]), b'{"ready": 1}\\n')
time.sleep(600)
"""


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "log")], stdout=subprocess.PIPE
    )
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == b"ready\n"
    handle = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ends(handle), "the child outlives its parent"
