"""How the benchmark of several nodes in one process judges its runs."""

import os

import numpy as np
import pytest

from nn_perception.bench.one_process import (
    ALONE,
    APART,
    TOGETHER,
    Run,
    _delay,
    _losses,
    _memory,
    _proportional_mib,
)


def run_of(latency_ms=1.0, tail_ms=1.0, lost=0, twice=0, memory_mib=100.0):
    latency = np.full(10_000, latency_ms)
    latency[:40] = tail_ms
    return Run(1000, lost, twice, latency, 6.0, memory_mib, (memory_mib,))


def verdict(**together):
    runs = {ALONE: [run_of()], TOGETHER: [run_of(**together)], APART: [run_of()]}
    return _delay(runs)


def test_delay_is_that_of_the_slowest_answers_against_processes_of_their_own():
    assert verdict().value == pytest.approx(0.0)
    assert verdict(tail_ms=5.9).passed
    late = verdict(tail_ms=6.1)
    assert late.value == pytest.approx(5.1)
    assert not late.passed
    assert verdict(latency_ms=0.5, tail_ms=0.5).value == pytest.approx(-0.5)


def test_all_turns_count():
    runs = {how: [run_of(), run_of()] for how in (ALONE, APART)}
    runs[TOGETHER] = [run_of(), run_of(tail_ms=50.0)]
    assert not _delay(runs).passed


@pytest.mark.parametrize("bad", [{"lost": 1}, {"twice": 1}])
def test_a_lost_message_or_one_answered_twice_misses_the_goal(bad):
    assert _losses([run_of(), run_of()]).passed
    assert not _losses([run_of(), run_of(**bad)]).passed


def test_one_process_must_need_less_than_several():
    assert _memory(run_of(memory_mib=90.0), run_of()).value == pytest.approx(0.9)
    assert _memory(run_of(memory_mib=90.0), run_of()).passed
    assert not _memory(run_of(memory_mib=101.0), run_of()).passed


def test_memory_of_a_process_is_read():
    if not os.path.exists("/proc/self/smaps_rollup"):
        pytest.skip("not Linux")
    assert 5.0 < _proportional_mib(os.getpid()) < 10_000.0
