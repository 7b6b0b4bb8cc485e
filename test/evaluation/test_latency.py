from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from nn_perception.evaluation.latency import LatencyRecorder, summarise


def test_percentiles_of_known_numbers() -> None:
    summary = summarise(np.arange(101) / 1e3)
    assert summary.n == 101
    got = [summary.p50_s, summary.p90_s, summary.p95_s, summary.p99_s, summary.max_s]
    assert got == pytest.approx([0.05, 0.09, 0.095, 0.099, 0.1])
    assert summary.mean_s == pytest.approx(0.05)
    assert summary.to_ms()["p99"] == pytest.approx(99.0)


def test_nothing_is_nan() -> None:
    assert summarise([]).n == 0
    assert math.isnan(summarise([]).p50_s)


def test_the_newest_samples_are_kept() -> None:
    recorder = LatencyRecorder(capacity=100)
    for i in range(250):
        recorder.add("engine", i / 1e3)
    assert recorder.samples()["engine"].tolist() == [i / 1e3 for i in range(150, 250)]
    assert recorder.summary()["engine"].n == 100


def test_stages_keep_their_order_and_their_own_figures() -> None:
    recorder = LatencyRecorder()
    for stage, seconds in (("decode", 0.001), ("engine", 0.004), ("decode", 0.003)):
        recorder.add(stage, seconds)
    figures = recorder.to_dict()
    assert list(figures) == ["decode", "engine"]
    assert figures["decode"]["mean"] == pytest.approx(2.0)
    assert figures["engine"]["max"] == pytest.approx(4.0)
    recorder.clear()
    assert recorder.to_dict() == {}


def test_reading_while_another_thread_writes() -> None:
    recorder = LatencyRecorder(capacity=500)
    failures: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for i in range(60_000):
                recorder.add(f"stage {i % 40}", 1.0)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert all(summary.mean_s == 1.0 for summary in recorder.summary().values())
    writer.join()
    assert not failures
    assert [s.n for s in recorder.summary().values()] == [500] * 40
