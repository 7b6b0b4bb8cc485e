"""Damaged messages through reading and pipelines, in short; and what watches over the long form."""

import contextlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nn_perception.bench import fuzz_worker, mutations
from nn_perception.bench.fuzz_bundles import BundleFuzzer
from nn_perception.bench.fuzz_messages import FIRST_STAMP_NS, Fuzzer
from nn_perception.bench.fuzz_targets import PERIOD_NS, TARGETS, FuzzError, Target
from nn_perception.bench.fuzz_worker import BUNDLES, Outcome, watch
from nn_perception.bench.mutations import MUTATIONS, mutate
from nn_perception.errors import MessageError

KINDS = sorted(TARGETS)
FUZZERS = {}


def fuzzer(kind):
    """One for all examples: what they leave behind in a pipeline is part of the test."""
    if kind not in FUZZERS:
        FUZZERS[kind] = Fuzzer(kind, 1)
    return FUZZERS[kind]


@pytest.mark.parametrize("kind", KINDS)
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(index=st.integers(0, 2**40))
def test_damaged_messages(kind, index):
    """Refused by a MessageError, or answered with finite numbers; `Fuzzer.run` checks."""
    fuzzer(kind).run(index)


@pytest.mark.parametrize("kind", KINDS)
@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(raw=st.binary(max_size=600), order=st.sampled_from([b"\0\0\0\0", b"\0\1\0\0", b""]))
@example(raw=b"", order=b"")
def test_any_bytes(kind, raw, order):
    with contextlib.suppress(MessageError):
        fuzzer(kind)._target.feed(order + raw, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_valid_ones_are_answered_before_and_after(kind):
    one = Fuzzer(kind, 2)
    one.check_health()
    refused = sum(one.run(index) for index in range(150))
    assert 15 < refused < 149  # neither all nor none: some damage is not seen
    one.check_health()


@pytest.mark.parametrize("kind", KINDS)
def test_both_byte_orders_give_the_same(kind):
    target = TARGETS[kind]()
    assert len(target.templates) == len(target.big) > 0
    for small, big in zip(target.templates, target.big, strict=True):
        assert (small[:2], big[:2]) == (b"\0\1", b"\0\0")
        assert len(small) == len(big)
        assert small[4:] != big[4:]
    one = Fuzzer(kind, 0)
    one._target = target._replace(templates=target.big)
    one.check_health()


def test_an_answer_that_is_not_finite_is_found():
    """The frames of the target are those of a node; here its network answers NaN."""
    one = Fuzzer("sensor_msgs/Imu", 0)

    def feed(raw, stamp_ns):
        raise FuzzError("rate is nan")

    one._target = one._target._replace(feed=feed)
    with pytest.raises(FuzzError, match="nan"):
        one.run(0)


def test_a_target_that_never_recovers_is_found():
    one = Fuzzer("sensor_msgs/Range", 0)

    def feed(raw, stamp_ns):
        raise MessageError("stuck", "no more")

    one._target = Target(one._target.templates, one._target.big, feed, period_ns=10**9)
    assert [one.run(index) for index in range(99)] == [True] * 99
    with pytest.raises(FuzzError, match="6 valid messages got no answer; the last: no more"):
        one.run(99)


def test_a_case_is_made_from_seed_kind_and_index_alone():
    a, b, other = (Fuzzer("sensor_msgs/Range", seed) for seed in (5, 5, 6))
    stamps = [FIRST_STAMP_NS + n * PERIOD_NS for n in range(50)]
    made = [a.message(n, stamp) for n, stamp in enumerate(stamps)]
    assert made[::-1] == [b.message(n, stamps[n]) for n in range(49, -1, -1)]
    assert made != [other.message(n, stamp) for n, stamp in enumerate(stamps)]


@pytest.mark.parametrize("mutation", dict.fromkeys(MUTATIONS), ids=lambda m: m.__name__)
def test_each_kind_of_damage_damages(mutation):
    """On a message, and without an error on nothing at all."""
    data = bytes(range(4, 204))
    changed = [
        bytes(mutation(Random(seed), bytearray(data), [data[::-1]])) != data for seed in range(40)
    ]
    assert sum(changed) > 30
    for size in range(20):
        for seed in range(10):
            mutation(Random(seed), bytearray(size), [b""])


def test_damage_is_repeatable_and_leaves_the_template_alone():
    data = bytes(100)
    first = [mutate(Random(seed), data, [data]) for seed in range(30)]
    assert first == [mutate(Random(seed), data, [data]) for seed in range(30)]
    assert data == bytes(100)
    assert mutations.MOST_DAMAGES > 1


def test_damaged_bundles(tmp_path):
    """All kinds of files; refused by errors of this package, or good enough to run."""
    pytest.importorskip("onnx")
    one = BundleFuzzer(3, tmp_path)
    refused = [one.run(index) for index in range(25)]
    assert sum(refused) > 15


def test_the_worker_tells_crashes_hangs_and_foreign_errors(tmp_path, monkeypatch):
    """A worker of the test's own: case 3 raises, 5 crashes, 8 hangs."""
    text = Path(fuzz_worker.__file__).read_text(encoding="utf-8")
    stub = (
        "def _opener(spec):\n"
        "    def run(index):\n"
        "        if index == 3: raise ValueError('three')\n"
        "        if index == 5: os.abort()\n"
        "        while index == 8: pass\n"
        "        return index % 2 == 0\n"
        "    return run\n"
    )
    main = "\nif __name__ =="
    script = tmp_path / "worker.py"
    script.write_text(text.replace(main, f"\n{stub}\n{main}"), encoding="utf-8")
    popen = fuzz_worker.subprocess.Popen

    def start(command, **arguments):
        return popen([command[0], str(script), command[-1]], **arguments)

    monkeypatch.setattr(fuzz_worker.subprocess, "Popen", start)
    outcome = watch(BUNDLES, 0, 12, tmp_path, hang_s=2.0)
    assert outcome.cases == 12
    assert outcome.failures == 3
    assert outcome.findings == [
        (3, "ValueError: three"),
        (5, "crash: SIGABRT"),
        (8, "no end within 2 s"),
    ]
    assert outcome.refused == 1  # 10: the sums of a worker that dies are lost with it


def test_only_the_first_findings_are_kept_and_all_are_counted():
    outcome = Outcome()
    for index in range(100):
        outcome.found(index, "x")
    assert (outcome.failures, len(outcome.findings)) == (100, fuzz_worker.KEPT_FINDINGS)


def test_the_real_worker_comes_to_its_end(tmp_path):
    outcome = watch("sensor_msgs/Range", 4, 400, tmp_path)
    assert (outcome.cases, outcome.failures) == (400, 0)
    assert 100 < outcome.refused < 400
    assert 0.0 < outcome.slowest[0] < 60.0
    assert outcome.added_bytes < 100 << 20
