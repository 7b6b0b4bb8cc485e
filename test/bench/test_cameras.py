"""What the camera benchmarks make of answers and counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.bench.cameras import STAGES, Run, Sent, _matched


def run_of(cameras, dropped):
    stages = {**dict.fromkeys(STAGES, 1.5), "total": 9.0}
    return Run(cameras, {"dropped": dropped}, stages, 0.5)


def test_answers_are_matched_by_stamp():
    published = {10: 1.0, 20: 2.0, 30: 3.0}
    answers = [
        SimpleNamespace(stamp_ns=stamp, received_s=received)
        for stamp, received in ((30, 3.5), (10, 1.25), (99, 9.0))
    ]
    assert _matched(published, answers) == [Sent(1.0, 1.25), Sent(2.0, None), Sent(3.0, 3.5)]


def test_a_run_is_complete_when_each_frame_was_answered_or_replaced():
    cameras = {"a": [Sent(0.0, 0.5), Sent(1.0, None)], "b": [Sent(0.0, 0.1)] * 2}
    assert run_of(cameras, 1).complete
    assert not run_of(cameras, 0).complete
    assert run_of(cameras, 1).answered == [1, 2]
    assert run_of(cameras, 1).pipeline_ms == 6.0


def test_latencies_are_those_of_a_part_of_the_run():
    sent = [Sent(float(n), n + 0.01 * n) for n in range(10)]
    run = run_of({"a": sent, "b": [one._replace(answered_s=None) for one in sent]}, 10)
    np.testing.assert_allclose(run.latencies_s(0.1, 0.2), [0.01])
    np.testing.assert_allclose(run.latencies_s(0.9), [0.09])
    assert run.latencies_s() == pytest.approx([0.01 * n for n in range(10)])
