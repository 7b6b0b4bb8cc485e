"""Every row of the gate's table: what is refused, flagged, bridged, and when it ends."""

import math

import numpy as np
import pytest

from nn_perception.errors import ConfigError, MessageError
from nn_perception.inertial.gate import (
    FROZEN,
    GAP,
    RATE,
    RESET,
    SATURATED,
    START,
    Limits,
    StreamGate,
)
from nn_perception.inertial.readings import ImuReading

MS = 1_000_000
SECOND = 1000 * MS


class Stream:
    """Samples with noise, at 200 Hz unless told otherwise."""

    def __init__(self, limits=None, start_ns=1_700_000_000 * SECOND):
        self.gate = StreamGate(limits)
        self.stamp_ns = start_ns
        self.draw = np.random.RandomState(0)

    def reading(self, stamp_ns, gyro=None):
        rate = self.draw.standard_normal(3) * 0.1 if gyro is None else np.array(gyro, float)
        force = self.draw.standard_normal(3) + np.array([0.0, 0.0, 9.8])
        return ImuReading(stamp_ns, "imu", rate, force)

    def at(self, stamp_ns, gyro=None):
        """Give a sample of this stamp, which need not be a later one."""
        return self.gate.check(self.reading(stamp_ns, gyro))

    def after(self, step_ns, gyro=None):
        self.stamp_ns += step_ns
        return self.at(self.stamp_ns, gyro)

    def run(self, count=50, step_ns=5 * MS):
        return [self.after(step_ns) for _ in range(count)]

    def refused(self, stamp_ns):
        with pytest.raises(MessageError) as caught:
            self.at(stamp_ns)
        return caught.value.kind


@pytest.fixture
def stream():
    stream = Stream()
    stream.run()
    return stream


def test_a_stream_starts_and_goes_on():
    passed = Stream().run()
    assert passed[0] == (0.0, True, 0.0, (START,))
    for each in passed[1:]:
        assert each.dt_s == pytest.approx(0.005, abs=1e-12)
        assert (each.starts, each.unknown_s, each.flags) == (False, 0.0, ())


def test_the_rate_is_known():
    stream = Stream()
    assert stream.gate.rate_hz == 0.0
    stream.run()
    assert stream.gate.rate_hz == pytest.approx(200.0)


def test_times_of_large_stamps_are_exact():
    """A float64 of nanoseconds since 1970 would resolve 256 ns: differences are of integers."""
    stream = Stream(start_ns=1_790_000_000 * SECOND + 1)
    stream.run(3, 5 * MS)
    assert stream.after(5 * MS + 1).dt_s == pytest.approx(0.005000001, abs=1e-15)


def test_a_duplicate_is_refused_and_changes_nothing(stream):
    assert stream.refused(stream.stamp_ns) == "duplicate_stamp"
    assert stream.after(5 * MS).flags == ()


def test_any_number_of_duplicates_is_refused(stream):
    assert {stream.refused(stream.stamp_ns) for _ in range(50)} == {"duplicate_stamp"}


def test_an_earlier_stamp_is_refused_and_changes_nothing(stream):
    assert stream.refused(stream.stamp_ns - 2 * MS) == "backward_stamp"
    after = stream.after(5 * MS)
    assert after.dt_s == pytest.approx(0.005)
    assert after.flags == ()


def test_the_message_says_how_far_back(stream):
    with pytest.raises(MessageError, match=r"2\.000 ms before"):
        stream.at(stream.stamp_ns - 2 * MS)


@pytest.mark.parametrize("back_ms", [1001, 60_000])
def test_a_jump_back_by_more_than_a_second_begins_anew(stream, back_ms):
    """A bag that is played again from its start."""
    passed = stream.after(-back_ms * MS)
    assert passed == (0.0, True, 0.0, (RESET,))
    assert stream.after(5 * MS).flags == ()


def test_a_jump_back_by_a_second_is_no_jump(stream):
    assert stream.refused(stream.stamp_ns - 1000 * MS) == "backward_stamp"


def test_a_clock_that_stays_back_is_a_jump(stream):
    """Ten samples in order, each behind the last good one, are refused; then it begins anew."""
    back = stream.stamp_ns - 500 * MS
    for k in range(10):
        assert stream.refused(back + k * 5 * MS) == "backward_stamp"
    assert stream.at(back + 50 * MS) == (0.0, True, 0.0, (RESET,))
    assert stream.at(back + 55 * MS).flags == ()


def test_late_samples_in_between_are_no_jump(stream):
    """Two drivers that mix, or one that re-orders: never ten in order without a good one."""
    for _ in range(40):
        assert stream.refused(stream.stamp_ns - 3 * MS) == "backward_stamp"
        assert not stream.after(5 * MS).starts


def test_a_shuffled_past_is_no_jump(stream):
    """Behind and going backward: no clock does that."""
    assert {stream.refused(stream.stamp_ns - k * MS) for k in range(1, 40)} == {"backward_stamp"}


@pytest.mark.parametrize("step_ms", [31, 100, 1000])
def test_a_gap_is_flagged_and_mostly_unknown(stream, step_ms):
    passed = stream.after(step_ms * MS)
    assert passed.flags == (GAP,)
    assert not passed.starts
    assert passed.dt_s == pytest.approx(step_ms / 1000)
    assert passed.unknown_s == pytest.approx(step_ms / 1000 - 0.005, abs=1e-4)
    assert stream.after(5 * MS).flags == ()
    assert stream.gate.rate_hz == pytest.approx(200.0)


def test_a_few_lost_samples_are_no_gap(stream):
    assert stream.after(29 * MS).flags == ()


def test_at_50_hz_two_lost_samples_are_a_gap():
    stream = Stream()
    stream.run(50, 20 * MS)
    assert stream.after(40 * MS).flags == ()
    assert stream.after(60 * MS).flags == (GAP,)


@pytest.mark.parametrize(("longest", "step_ms"), [(1.0, 1001), (0.2, 201), (5.0, 5001)])
def test_a_long_gap_begins_anew(longest, step_ms):
    stream = Stream(Limits(max_gap_s=longest))
    stream.run()
    assert stream.after((step_ms - 2) * MS).flags == (GAP,)
    assert stream.after(step_ms * MS) == (0.0, True, 0.0, (RESET,))


def test_a_stamp_far_ahead_costs_two_resets_and_no_more(stream):
    """One garbled stamp: everything after it would be 'backward' for ever."""
    good = stream.stamp_ns
    assert stream.at(good + 3600 * SECOND).flags == (RESET,)
    assert stream.at(good + 5 * MS).flags == (RESET,)
    assert stream.at(good + 10 * MS).flags == ()


LARGE = (0.1, -34.9, 0.2)


def test_the_same_large_rate_three_times_is_saturation(stream):
    flags = [stream.after(5 * MS, (0.01 * k, -34.9, 0.2)) for k in range(6)]
    assert [each.flags for each in flags] == [(), (), *[(SATURATED,)] * 4]
    assert flags[-1].unknown_s == flags[-1].dt_s
    assert stream.after(5 * MS).flags == ()


def test_each_axis_saturates_alone(stream):
    """The large rate wanders from axis to axis: none shows it three times."""
    for k in range(12):
        rate = np.full(3, 0.01 * k)
        rate[k // 2 % 3] = 35.0
        assert stream.after(5 * MS, rate).flags == ()


def test_the_same_small_rate_is_no_saturation(stream):
    for _ in range(5):
        assert stream.after(5 * MS, (2.99, 0.0, 0.0)).flags == ()
    assert [stream.after(5 * MS, (3.0, 0.0, 0.0)).flags for _ in range(3)][-1] == (SATURATED,)


def frozen(stream, count, step_ns=5 * MS):
    first = stream.reading(stream.stamp_ns)
    passed = []
    for _ in range(count):
        stream.stamp_ns += step_ns
        passed.append(stream.gate.check(first._replace(stamp_ns=stream.stamp_ns)))
    return passed


def test_the_very_same_sample_for_a_quarter_of_a_second_is_frozen(stream):
    passed = frozen(stream, 80)
    first = next(k for k, each in enumerate(passed) if each.flags)
    assert abs(0.005 * first - 0.25) < 0.0051
    assert {each.flags for each in passed[first:]} == {(FROZEN,)}
    assert all(each.unknown_s == each.dt_s for each in passed[first:])
    assert stream.after(5 * MS).flags == ()
    assert not any(each.flags for each in frozen(stream, 40))  # the time counts anew


def test_one_value_that_differs_is_not_frozen(stream):
    """A gyroscope at rest of coarse resolution repeats its rates; its accelerometer does not."""
    assert not any(stream.after(5 * MS, (0.0, 0.0, 0.001)).flags for _ in range(200))


def test_a_simulator_without_noise_is_never_frozen():
    stream = Stream(Limits(frozen_after_s=0.0))
    stream.run()
    assert not any(each.flags for each in frozen(stream, 1000))


def test_how_long_is_frozen_can_be_told():
    stream = Stream(Limits(frozen_after_s=1.0))
    stream.run()
    passed = frozen(stream, 220)
    assert not any(each.flags for each in passed[:199])
    assert passed[-1].flags == (FROZEN,)


def test_frozen_and_saturated_together(stream):
    for _ in range(60):
        stream.stamp_ns += 5 * MS
        reading = ImuReading(stream.stamp_ns, "imu", np.array(LARGE), np.zeros(3))
        passed = stream.gate.check(reading)
    assert passed.flags == (FROZEN, SATURATED)
    assert passed.unknown_s == passed.dt_s


@pytest.mark.parametrize(("step_ms", "flagged"), [(1, True), (2, False), (20, False), (25, True)])
def test_a_rate_out_of_range_is_flagged(step_ms, flagged):
    stream = Stream(Limits(min_rate_hz=45.0, max_rate_hz=600.0))
    passed = stream.run(60, step_ms * MS)
    assert not any(RATE in each.flags for each in passed[:20])  # not known yet
    assert all((RATE in each.flags) == flagged for each in passed[25:])
    assert all(each.unknown_s == 0.0 for each in passed)


def test_the_flag_rate_ends_with_a_better_rate():
    stream = Stream(Limits(min_rate_hz=95.0))
    assert stream.run(60, 20 * MS)[-1].flags == (RATE,)
    assert stream.run(300, 5 * MS)[-1].flags == ()


def test_reset_forgets_everything(stream):
    frozen(stream, 100)
    stream.gate.reset()
    assert stream.gate.rate_hz == 0.0
    assert stream.at(stream.stamp_ns - 100 * MS).flags == (START,)
    assert stream.at(stream.stamp_ns).flags == ()


def test_a_jump_forgets_a_frozen_sample(stream):
    assert frozen(stream, 100)[-1].flags == (FROZEN,)
    stream.stamp_ns += 2 * SECOND
    assert frozen(stream, 45)[0].flags == (RESET,)
    assert frozen(stream, 1)[0].flags == ()


@pytest.mark.parametrize(
    "values",
    [
        {"max_gap_s": 0.0},
        {"max_gap_s": -1.0},
        {"max_gap_s": 10.1},
        {"max_gap_s": math.nan},
        {"frozen_after_s": -0.1},
        {"frozen_after_s": 61.0},
        {"frozen_after_s": math.nan},
    ],
)
def test_limits_out_of_range(values):
    (name,) = values
    with pytest.raises(ConfigError, match=f"{name} is .*expected"):
        Limits(**values)


def test_a_stream_that_becomes_slow_is_no_row_of_gaps_for_ever() -> None:
    gate = StreamGate(Limits(min_rate_hz=45.0))
    flags, stamp = [], 0
    for k in range(200):
        stamp += 5_000_000 if k < 100 else 50_000_000
        sample = ImuReading(stamp, "", np.full(3, 0.01 * k), np.array([0.0, 0.0, 9.81 + 0.001 * k]))
        flags.append(gate.check(sample).flags)
    assert "gap" in flags[101]
    assert flags[-1] == ("rate",)
    assert abs(gate.rate_hz - 20.0) < 0.1
