"""How the benchmark of swaps under load judges gaps, and whose answers are whose."""

import numpy as np
import pytest

from nn_perception.bench import BENCHMARKS, LONG
from nn_perception.bench.attribution import Kept, by_template, count, imu_owners
from nn_perception.bench.mixed_load import Swap
from nn_perception.bench.mixed_sources import NAMES, SHIPPED, Source, write_pair
from nn_perception.bench.swap_load import MARGIN_NS, Gaps, _gap_row, added_gaps
from nn_perception.bundle import load_bundle
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.tasks.loading import open_pipeline

MS = 1_000_000


def answers(latency_ms, period_ms=5.0, late_ms=None):
    """Answers of a stream, each by its latency behind its message; senders may be late."""
    late_ms = np.zeros(len(latency_ms)) if late_ms is None else late_ms
    sent = (np.arange(len(latency_ms)) * period_ms + late_ms) * MS
    return [
        Kept(int(t), int(t), int(t + delay * MS), b"")
        for t, delay in zip(sent, latency_ms, strict=True)
    ]


def swap(at_ms, took_ms=10.0):
    return Swap("x", "b", int(at_ms * MS), int((at_ms + took_ms) * MS), "")


def test_a_stall_within_a_swap_is_a_gap_that_it_added():
    latency = np.ones(400)
    latency[101:104] = [9.0, 4.0, 1.0]  # answers of 505 ms come 8 ms later, then it catches up
    found = added_gaps(answers(latency), [swap(500), swap(1200)])
    np.testing.assert_allclose(found.swaps, [8.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found.controls, [0.0, 0.0], atol=1e-6)
    assert found.largest_ms == pytest.approx(8.0)


def test_a_stall_before_a_swap_is_the_machines():
    latency = np.ones(400)
    latency[97] = 6.0
    found = added_gaps(answers(latency), [swap(500)])
    np.testing.assert_allclose([*found.swaps, *found.controls], [0.0, 5.0], atol=1e-6)
    assert found.largest_ms == pytest.approx(-5.0)


def test_a_late_sender_adds_no_gap():
    late = np.zeros(400)
    late[101:] = 40.0
    found = added_gaps(answers(np.ones(400), late_ms=late), [swap(500)])
    assert found.largest_ms == pytest.approx(0.0, abs=1e-6)


def test_windows_are_of_equal_length_and_reach_behind_the_answer():
    latency = np.ones(400)
    latency[105] = 3.0  # 526 ms: 16 ms behind the answer, within the margin
    assert MARGIN_NS == 20 * MS
    assert added_gaps(answers(latency), [swap(500)]).largest_ms == pytest.approx(2.0)
    latency = np.ones(400)
    latency[108] = 3.0  # 541 ms: outside; 30 ms before 500 lies the control's begin
    latency[95] = 4.0
    assert added_gaps(answers(latency), [swap(500)]).largest_ms == pytest.approx(-3.0)


@pytest.mark.parametrize(
    ("largest", "usual", "machine", "passed"),
    [(1.9, 1.0, 0.5, True), (2.2, 1.0, 0.5, False), (2.2, 1.0, 2.5, True), (9.0, 2.5, 9.0, False)],
)
def test_a_noisy_machine_is_judged_by_the_95th_percentile(largest, usual, machine, passed):
    swaps = np.full(100, usual)
    swaps[0] = largest
    row = _gap_row(
        Source("uwb/range", 480.0, [], ("x",)), {"x": Gaps(swaps, np.zeros(100))}, machine, "here"
    )
    assert row.value == pytest.approx(largest)
    assert row.passed is passed
    assert ("judged by p95" in row.detail) == (machine > 2.1)


def test_an_answer_of_both_or_of_none_is_a_mixture():
    source = Source("x", 10.0, [b"0", b"1"], ("y",))
    expected = {"a": [b"a0", b"a1"], "b": [b"b0", b"b1"]}
    raws = [b"a0", b"a1", b"b0", b"a1", b"a0", b"b1", b"a1"]
    kept = [Kept(n * 100 * MS, 0, 0, raw) for n, raw in enumerate(raws)]
    owners = by_template(kept, source, expected, lambda raw, one: raw == one)
    assert owners == ["a", "a", "b", "a", "a", "b", ""]  # the last answers another message
    assert count(owners) == (7, 1, 3)
    same = {"a": [b"s", b"s"], "b": [b"s", b"s"]}
    assert by_template(kept[:1], source, same, lambda _raw, _one: True) == [""]


@pytest.mark.parametrize("node", SHIPPED)
def test_the_two_bundles_of_a_node_differ_and_load(node, tmp_path):
    place = write_pair(tmp_path, node)
    bundles = [load_bundle(place / name) for name in NAMES]
    assert bundles[0].id != bundles[1].id
    assert bundles[0].onnx == bundles[1].onnx
    for name in NAMES:
        open_pipeline(place / name, device="cpu")


def imu_messages(count):
    """Samples of a moving sensor, 200 Hz."""
    from nn_perception.bench.fuzz_targets import TARGETS
    from nn_perception.bench.streaming import with_stamp

    templates = TARGETS["sensor_msgs/Imu"]().templates
    return [
        with_stamp(templates[n % len(templates)], 1000_000_000_000 + n * 5 * MS)
        for n in range(count)
    ]


@pytest.mark.parametrize("node", ["gyro_corrector", "attitude_estimator"])
def test_owners_of_samples_are_found_by_running_the_stream_again(node, tmp_path):
    """Swaps as a node makes them; then one number of one answer is the other model's."""
    place = write_pair(tmp_path, node)
    pipelines = {name: open_pipeline(place / name, device="cpu") for name in NAMES}
    messages, given = imu_messages(240), []
    current, truth = pipelines["a"], []
    for number, message in enumerate(messages):
        if number in (50, 53, 170):  # two within a filter's block of 8 samples
            name = "a" if current is pipelines["b"] else "b"
            new = open_pipeline(place / name, device="cpu")
            new.adopt(current)
            pipelines[name] = current = new
        result = current.process("imu", ImuCdr(message).reading())
        current.settle()
        given.append(numbers(result))
        truth.append("a" if current is pipelines["a"] else "b")

    def same(index, result):
        return np.allclose(numbers(result), given[index], rtol=1e-6, atol=0.0)

    owners = imu_owners(place, messages, same)
    assert "" not in owners
    if node == "gyro_corrector":
        assert owners == truth
    assert owners[-1] == truth[-1] == "b"
    changed = given[200].copy()
    changed[1] *= 1.01
    given[200] = changed
    mixed = imu_owners(place, messages, same)
    assert [index for index, owner in enumerate(mixed) if not owner] == [200]


def numbers(result):
    if hasattr(result, "gyro_rad_s"):
        return np.concatenate((result.gyro_rad_s, result.bias_rad_s))
    return np.concatenate((result.orientation_xyzw, np.diagonal(result.covariance_rad2)))


def test_benchmarks_are_there():
    assert {"swap-load", "soak", "fuzz"} <= set(BENCHMARKS)
    assert {"soak", "fuzz"} <= set(LONG)
