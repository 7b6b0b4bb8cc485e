"""What a soak keeps of a long run, and how it judges."""

import numpy as np
import pytest

from nn_perception.bench.mixed_sources import ECHO, OUTPUTS
from nn_perception.bench.soak import PERIODS, Part, Watch, rows

S = 1_000_000_000
TOPIC = next(iter(OUTPUTS))


def parts(resident, p99_ms, echo_ms=1.0):
    return [
        Part({TOPIC: float(latency), ECHO: echo_ms}, {"node": 1e8 * float(size)})
        for size, latency in zip(resident, p99_ms, strict=True)
    ]


def verdicts(resident, p99_ms):
    return [row.passed for row in rows(parts(resident, p99_ms), 10.0)]


def test_the_last_part_is_compared_with_the_second():
    flat = np.ones(PERIODS)
    assert verdicts(flat, flat) == [True, True]
    warm_up = np.array([0.5, *flat[1:]])
    assert verdicts(warm_up, 5.0 / warm_up) == [True, True]
    growing, slower = flat.copy(), flat.copy()
    growing[-1], slower[-1] = 1.0101, 1.11
    assert verdicts(growing, flat) == [False, True]
    assert verdicts(flat, slower) == [True, False]
    growing[-1], slower[-1] = 1.0099, 1.09
    assert verdicts(growing, slower) == [True, True]


def test_a_short_rest_behind_the_last_part_does_not_count():
    flat = np.ones(PERIODS + 1)
    flat[-1] = 9.0
    assert verdicts(flat, flat) == [True, True]


def test_the_echo_process_is_no_node():
    found = parts(np.ones(PERIODS), np.ones(PERIODS))
    found[-1] = Part({TOPIC: 1.0, ECHO: 99.0}, found[-1].resident)
    assert [row.passed for row in rows(found, 10.0)] == [True, True]


@pytest.mark.parametrize(("echo_ms", "passed"), [(1.0, False), (1.3, False), (1.4, True)])
def test_a_machine_that_became_slower_is_no_fault_of_the_nodes(echo_ms, passed):
    found = parts(np.ones(PERIODS), np.ones(PERIODS))
    found[-1] = Part({TOPIC: 1.5, ECHO: echo_ms}, found[-1].resident)
    assert rows(found, 10.0)[1].passed is passed


def test_parts_hold_percentiles_and_nothing_else():
    watch = Watch(part_s=2.0)
    keep = watch.keeper(TOPIC)
    for second in range(7):
        for number in range(100):
            keep(0, 0, round((number + 1) * 1e6) * (1 + second // 2), b"answer")
        watch.look(second * S, {"node": 100 + second})
    assert len(watch.parts) == 3
    assert [part.resident["node"] for part in watch.parts] == [101.0, 103.5, 105.5]
    # The first part ends with the look at 2 s, behind the answers of the third second.
    assert watch.parts[1].p99_ms[TOPIC] == pytest.approx(np.percentile(answers(3, 4), 99))
    watch.end_part()
    assert len(watch.parts) == 3


def answers(*seconds):
    return [(number + 1.0) * (1 + second // 2) for second in seconds for number in range(100)]
