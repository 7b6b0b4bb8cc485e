import pytest

from nn_perception.nodes.statistics import LogThrottle, Statistics


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_rates_count_from_the_last_snapshot(clock):
    statistics = Statistics(clock)
    statistics.activated(["a"])
    for _ in range(30):
        statistics.received("a", dropped_one=False)
    for _ in range(20):
        statistics.published({"engine": 0.001})
    clock.now += 2.0
    first = statistics.snapshot()
    assert (first.rate_in_hz, first.rate_out_hz) == (15.0, 10.0)
    clock.now += 2.0
    second = statistics.snapshot()
    assert (second.rate_in_hz, second.received, second.published) == (0.0, 30, 20)


def test_drops_and_errors_in_the_period(clock):
    statistics = Statistics(clock)
    statistics.received("a", dropped_one=True)
    statistics.bad("size", "empty")
    statistics.bad("size", "empty")
    statistics.internal_error("a bug")
    clock.now += 1.0
    first = statistics.snapshot()
    assert (first.dropped, first.dropped_in_period) == (1, 1)
    assert (first.bad, first.internal_errors, first.errors_in_period) == ({"size": 2}, 1, 3)
    assert first.last_error == "a bug"
    clock.now += 1.0
    second = statistics.snapshot()
    assert (second.dropped, second.dropped_in_period, second.errors_in_period) == (1, 0, 0)


def test_age_of_the_input(clock):
    statistics = Statistics(clock)
    assert statistics.snapshot().input_age_s is None
    statistics.activated(["a"])
    clock.now += 3.0
    assert statistics.snapshot().input_age_s == 3.0
    statistics.received("a", dropped_one=False)
    clock.now += 0.5
    assert statistics.snapshot().input_age_s == 0.5
    statistics.deactivated()
    assert statistics.snapshot().input_age_s is None


def test_latencies_are_in_milliseconds_by_stage(clock):
    statistics = Statistics(clock)
    for _ in range(100):
        statistics.published({"engine": 0.002, "total": 0.005})
    latencies = statistics.latency_ms()
    assert latencies["engine"]["p50"] == pytest.approx(2.0, rel=0.05)
    assert latencies["total"]["p99"] == pytest.approx(5.0, rel=0.05)
    assert latencies["total"].keys() == {"p50", "p95", "p99"}


def test_age_of_each_input(clock):
    statistics = Statistics(clock)
    statistics.activated(["left", "right"])
    clock.now += 3.0
    statistics.received("left", dropped_one=False)
    clock.now += 0.5
    snapshot = statistics.snapshot()
    assert snapshot.input_ages_s == {"left": 0.5, "right": 3.5}
    assert snapshot.input_age_s == 0.5
    statistics.deactivated()
    assert statistics.snapshot().input_ages_s == {}


def test_flags_are_counted_and_recent_for_a_while(clock):
    statistics = Statistics(clock)
    assert statistics.snapshot().recent_flags == ()
    statistics.flagged(("gap", "rate"))
    clock.now += 2.0
    statistics.flagged(("rate",))
    clock.now += 2.0
    snapshot = statistics.snapshot()
    assert (snapshot.flags, snapshot.recent_flags) == ({"gap": 1, "rate": 2}, ("rate",))
    clock.now += 2.0
    assert statistics.snapshot().recent_flags == ()


def test_a_start_is_counted_and_no_reason_to_warn(clock):
    statistics = Statistics(clock)
    statistics.flagged(("start",))
    snapshot = statistics.snapshot()
    assert (snapshot.flags, snapshot.recent_flags) == ({"start": 1}, ())


def test_one_error_of_ours_may_cost_several_answers(clock):
    statistics = Statistics(clock)
    statistics.internal_error("a bug", 7)
    assert statistics.snapshot().internal_errors == 7


def test_throttle_lets_one_through_and_counts_the_others(clock):
    throttle = LogThrottle(lambda: 10.0, clock)
    assert [throttle.allow("size") for _ in range(3)] == [0, None, None]
    assert throttle.allow("encoding") == 0
    clock.now += 10.0
    assert throttle.allow("size") == 2
    clock.now += 10.0
    assert throttle.allow("size") == 0


def test_throttle_asks_for_its_period_when_it_lets_a_line_through(clock):
    asked = []
    throttle = LogThrottle(lambda: asked.append(1) or 10.0, clock)
    for _ in range(100):
        throttle.allow("size")
    assert asked == [1]
    nothing_held_back = LogThrottle(lambda: 0.0, clock)
    assert [nothing_held_back.allow("size") for _ in range(3)] == [0, 0, 0]
