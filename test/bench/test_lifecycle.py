"""What the benchmark of transitions calls a leak, and when its goals are met."""

import pytest

from nn_perception.bench.lifecycle import ROUNDS, Traces, _growth, _standard

MIB = 1 << 20


def traces(grows_by=0.0, threads=(20, 20)):
    """Memory of 200 MiB that wanders by 8, and grows by a share over the rounds."""
    memory = [round(MIB * (200 + n % 5 * 2) * (1 + grows_by * n / ROUNDS)) for n in range(ROUNDS)]
    half = ROUNDS // 2
    numbers = [threads[0]] * half + [threads[1]] * half
    counts = [{"threads": number, "publishers": 7} for number in numbers]
    return Traces(memory, counts)


def test_what_comes_and_goes_is_no_growth_and_what_stays_is():
    assert traces().growth_percent == pytest.approx(0.0, abs=1e-3)
    # From round 20 to round 80 of 100.
    assert traces(grows_by=0.05).growth_percent == pytest.approx(100 * (1.04 / 1.01 - 1), abs=0.01)


@pytest.mark.parametrize(
    ("trace", "passed"),
    [
        (traces(), True),
        (traces(grows_by=0.05), False),
        (traces(threads=(20, 21)), False),
        (traces(threads=(21, 20)), True),
    ],
)
def test_one_node_that_leaks_misses_the_goal(trace, passed):
    row = _growth({"good": traces(), "other": trace}, ROUNDS)
    assert row.passed is passed
    assert ("'threads': 1" in row.detail) == (trace.leaked == {"threads": 1})


def test_a_short_run_proves_nothing_about_growth():
    assert _growth({"one": traces()}, 3).passed is None


def test_one_deviation_misses_the_goal_and_is_told():
    assert _standard(1000, 3, 24, []).passed
    row = _standard(1000, 3, 24, ["/n: 'configure' in active gave success True"])
    assert (row.value, row.passed) == (1, False)
    assert "in active gave" in row.detail
