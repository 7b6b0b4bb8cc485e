"""What attitude and gyro share: the same answers however samples arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.errors import MessageError
from nn_perception.inertial.gate import GAP, RESET, START
from nn_perception.inertial.readings import ImuReading
from nn_perception.tasks.imu_pipeline import ImuPipeline

FIELDS = {
    "attitude": ("orientation_xyzw", "gyro_bias_rad_s"),
    "gyro": ("gyro_rad_s", "bias_rad_s"),
}
# The gyroscope's convolutions are float32, whose sums depend on how many samples are in a call.
TOLERANCE = {"attitude": 1e-9, "gyro": 1e-7}
NAMES = ("front", "", "rücken/imu", "4")
BOTH = pytest.mark.parametrize("task", ["attitude", "gyro"])


def same(task, answers, expected, ends_only=False):
    """Orientation and rates; within a group the bias is that of the group's end."""
    for found, other in zip(answers, expected, strict=True):
        assert type(found) is type(other)
        if isinstance(found, MessageError):
            assert found.kind == other.kind
            continue
        for name in FIELDS[task][: 1 if ends_only else 2]:
            np.testing.assert_allclose(
                getattr(found, name), getattr(other, name), rtol=0, atol=TOLERANCE[task]
            )
        assert (found.stamp_ns, found.frame_id) == (other.stamp_ns, other.frame_id)
        assert found.flags == other.flags


def one_by_one(pipeline, arrivals):
    return [pipeline.process_many([arrival])[0] for arrival in arrivals]


def with_troubles(samples):
    """Gaps, a long gap, late, repeated and frozen samples, a stuck axis."""
    out = list(samples)
    del out[300:340]
    frozen = [out[400]._replace(stamp_ns=r.stamp_ns) for r in out[401:480]]
    stuck = [r._replace(gyro_rad_s=np.array([34.9, *r.gyro_rad_s[1:]])) for r in out[500:520]]
    later = [r._replace(stamp_ns=r.stamp_ns + 3_000_000_000) for r in out[600:]]
    late = [out[100]._replace(stamp_ns=out[100].stamp_ns - 7_000_000), out[100]]
    return [*out[:101], *late, *out[101:401], *frozen, *out[480:500], *stuck, *out[520:600], *later]


@BOTH
@settings(derandomize=True, deadline=None, max_examples=8, database=None)
@given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_in_any_groups_as_one_by_one(task, open_shipped, readings, sizes):
    arrivals = [("imu", r) for r in with_troubles(readings(task, 1))]
    pipeline = open_shipped(task)
    expected = one_by_one(open_shipped(task), arrivals)
    answers, at = [], 0
    while at < len(arrivals):
        size = sizes[at % len(sizes)]
        answers += pipeline.process_many(arrivals[at : at + size])
        at += size
    same(task, answers, expected, ends_only=True)


@BOTH
def test_a_burst_as_one_by_one(task, open_shipped, readings):
    """A whole backlog at once: what a stalled network gives back."""
    arrivals = [("imu", r) for r in with_troubles(readings(task, 2))]
    answers = open_shipped(task).process_many(arrivals)
    flags = {flag for answer in answers for flag in getattr(answer, "flags", ())}
    assert flags == {"start", "gap", "reset", "saturated", "frozen"}
    same(task, answers, one_by_one(open_shipped(task), arrivals), ends_only=True)


@BOTH
@pytest.mark.parametrize("hz", [90.0, 400.0])
def test_another_rate_in_groups_as_one_by_one(task, open_shipped, readings, hz):
    arrivals = [("imu", r) for r in readings(task, 3, hz=hz)]
    expected = one_by_one(open_shipped(task), arrivals)
    same(task, open_shipped(task).process_many(arrivals), expected, ends_only=True)
    if task == "gyro":
        assert "rate" in expected[-1].flags
        assert abs(expected[-1].bias_rad_s - expected[0].bias_rad_s).max() > 1e-4  # rest was seen


@BOTH
def test_several_sensors_interleaved_as_each_alone(task, open_shipped, readings):
    """Of different rates and starts, grouped at random."""
    streams = {
        name: [
            r._replace(stamp_ns=r.stamp_ns + 1_700_000 * k)
            for r in readings(task, k, hz=(200.0, 198.0, 100.0, 203.0)[k])
        ]
        for k, name in enumerate(NAMES)
    }
    arrivals = sorted(
        ((name, r) for name, stream in streams.items() for r in stream),
        key=lambda arrival: arrival[1].stamp_ns,
    )
    draw, pipeline, answers, at = np.random.RandomState(0), open_shipped(task), [], 0
    while at < len(arrivals):
        size = draw.randint(1, 12)
        answers += pipeline.process_many(arrivals[at : at + size])
        at += size
    for name, stream in streams.items():
        alone = one_by_one(open_shipped(task), [(name, r) for r in stream])
        mine = [a for a, (other, _) in zip(answers, arrivals, strict=True) if other == name]
        same(task, mine, alone)


@BOTH
def test_a_whole_recording_as_a_stream(task, open_shipped, readings):
    from nn_perception.datasets.imu_simulator import Motion, simulate_imu

    sequence = simulate_imu(200.0, 4, Motion(5.0))
    pipeline = open_shipped(task)
    stamps = np.round(sequence.time_s * 1e9).astype(np.int64).tolist()
    rows = zip(stamps, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
    stream = [pipeline.process("imu", ImuReading(t, "", w, a)) for t, w, a in rows]
    whole = pipeline.estimate(sequence) if task == "attitude" else pipeline.correct(sequence)
    for name in FIELDS[task][:1]:
        expected = np.stack([getattr(answer, name) for answer in stream])
        np.testing.assert_allclose(getattr(whole, name), expected, rtol=0, atol=TOLERANCE[task])


@BOTH
def test_what_cannot_be_used_is_refused_and_the_next_is_answered(
    task, open_shipped, readings, kind_of
):
    samples = readings(task, 5)
    clean, pipeline = open_shipped(task), open_shipped(task)
    expected = one_by_one(clean, [("imu", r) for r in samples[:60]])
    answers = []
    for k, reading in enumerate(samples[:60]):
        answers.append(pipeline.process("imu", reading))
        if k == 30:
            assert kind_of(pipeline, reading) == "duplicate_stamp"
            early = reading._replace(stamp_ns=reading.stamp_ns - 1)
            assert kind_of(pipeline, early) == "backward_stamp"
            assert kind_of(pipeline, 3) == "type"
            assert kind_of(pipeline, None) == "type"
    same(task, answers, expected)


def message(reading, **changes):
    """A message with the fields of sensor_msgs/Imu."""
    from types import SimpleNamespace as Fields

    seconds, nanoseconds = divmod(reading.stamp_ns, 1_000_000_000)
    fields = {
        "header": Fields(stamp=Fields(sec=seconds, nanosec=nanoseconds), frame_id="imu"),
        "angular_velocity": Fields(**dict(zip("xyz", reading.gyro_rad_s.tolist(), strict=True))),
        "linear_acceleration": Fields(**dict(zip("xyz", reading.accel_m_s2.tolist(), strict=True))),
        "angular_velocity_covariance": np.zeros(9),
        "linear_acceleration_covariance": np.zeros(9),
    }
    return Fields(**{**fields, **changes})


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["gyro_rad_s", "accel_m_s2"])
def test_numbers_that_are_not_finite(task, open_shipped, readings, kind_of, field, value):
    samples, pipeline = readings(task, 6), open_shipped(task)
    for reading in samples[:50]:
        before = pipeline.process("imu", message(reading))
    bad = samples[50]._replace(**{field: np.array([0.1, value, 0.2])})
    assert kind_of(pipeline, message(bad)) == "not_finite"
    after = pipeline.process("imu", message(samples[51]))
    assert after.flags == before.flags == ()
    for name in FIELDS[task]:
        assert np.isfinite(getattr(after, name)).all()


@BOTH
@pytest.mark.parametrize("field", ["angular_velocity", "linear_acceleration"])
def test_what_is_not_measured(task, open_shipped, readings, kind_of, field):
    absent = np.zeros(9)
    absent[0] = -1.0
    bad = message(readings(task, 6)[0], **{f"{field}_covariance": absent})
    assert kind_of(open_shipped(task), bad) == "no_data"


@BOTH
def test_a_looped_bag_begins_anew(task, open_shipped, readings):
    """The same bag again: the second time the same numbers, but for the first flag."""
    arrivals = [("imu", r) for r in readings(task, 7)]
    pipeline = open_shipped(task)
    first, second = (one_by_one(pipeline, arrivals) for _ in range(2))
    assert (first[0].flags, second[0].flags) == ((START,), (RESET,))
    same(task, second[1:], first[1:])


@BOTH
@pytest.mark.parametrize(("gap", "flag"), [(190, GAP), (230, RESET)])
def test_gaps(task, open_shipped, readings, gap, flag):
    samples, pipeline = readings(task, 8), open_shipped(task)
    arrivals = [("imu", r) for r in samples[:200] + samples[200 + gap :]]
    answers = one_by_one(pipeline, arrivals)
    assert [k for k, answer in enumerate(answers) if answer.flags] == [0, 200]
    assert answers[200].flags == (flag,)
    if flag == RESET:
        fresh = one_by_one(open_shipped(task), arrivals[200:])
        same(task, answers[201:], fresh[1:])


@BOTH
def test_reset_forgets_all_sensors(task, open_shipped, readings):
    arrivals = [("imu", r) for r in readings(task, 9)[:100]]
    pipeline = open_shipped(task)
    first = one_by_one(pipeline, arrivals)
    pipeline.process("other", arrivals[0][1])
    pipeline.reset()
    same(task, one_by_one(pipeline, arrivals), first)


@BOTH
def test_a_swap_to_the_same_model_changes_nothing(task, open_shipped, readings):
    """Two sensors, swapped between two samples and within a block."""
    arrivals = [(f"imu{k % 2}", r) for r in readings(task, 10)[:300] for k in range(2)]
    expected = one_by_one(open_shipped(task), arrivals)
    old, new = open_shipped(task), open_shipped(task)
    answers = one_by_one(old, arrivals[:333])
    assert new.adopt(old) is True
    same(task, answers + one_by_one(new, arrivals[333:]), expected)


def test_a_swap_to_another_task_begins_anew(open_shipped, readings):
    samples = readings("gyro", 11)
    attitude, gyro = open_shipped("attitude"), open_shipped("gyro")
    for reading in samples[:50]:
        attitude.process("imu", reading)
        gyro.process("imu", reading)
    for pipeline, other in ((attitude, gyro), (gyro, attitude)):
        assert pipeline.adopt(other) is False
        assert pipeline.process("imu", samples[50]).flags == (START,)
    assert attitude.adopt(object()) is False


def test_no_arrivals(open_shipped):
    pipeline = open_shipped("attitude")
    assert isinstance(pipeline, ImuPipeline)
    assert pipeline.process_many([]) == []
    assert pipeline.process_many([("imu", 3)])[0].kind == "type"
