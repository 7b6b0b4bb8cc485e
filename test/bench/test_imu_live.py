"""How a stream of samples is judged."""

import numpy as np

from nn_perception.bench.imu_live import Run, _capacity, _together


def stream(sent=100, received=100, lag_s=0.001, cpu=0.1):
    latency = np.full(received, lag_s)
    return Run(sent, received, latency, latency, cpu)


def test_a_node_keeps_up_when_nothing_is_lost_and_nothing_piles_up():
    assert stream().keeps_up
    assert not stream(received=99).keeps_up
    assert not stream(lag_s=0.5).keeps_up
    assert not stream(received=0).keeps_up


def test_capacity_ends_where_the_node_falls_behind():
    runs = {1: stream(cpu=0.1), 8: stream(cpu=0.4), 32: stream(cpu=0.8), 64: stream(lag_s=1.0)}
    row = _capacity(runs)
    assert (row.value, row.passed) == (32, True)
    assert _capacity({**runs, 32: stream(received=99)}).passed is False
    assert _capacity({**runs, 8: stream(cpu=0.9)}).passed is False  # the cost per unit rises


def test_turns_are_taken_together():
    both = _together([stream(cpu=0.1), stream(received=50, cpu=0.3)])
    assert (both.sent, both.received, round(both.cpu, 6)) == (200, 150, 0.2)
    assert both.percentile_ms(50) == 1.0
