import numpy as np
import pytest

from nn_perception.nodes.playback import Frame, ParameterChange, Playback


def playback(received, changes=()):
    frames = [
        Frame(i, i, float(i), r, ("a",), (1.0,), 0 if r is None else 1)
        for i, r in enumerate(received)
    ]
    return Playback(tuple(frames), tuple(changes), 0, 10.0, {})


def test_counts_by_frame():
    done = playback([0.5, None, 2.25])
    assert (done.sent, done.answered, done.lost, done.answered_twice) == (3, 2, 1, 0)
    np.testing.assert_allclose(done.latency_s, [0.5, 0.25])


def test_a_second_answer_is_seen():
    frame = Frame(0, 0, 0.0, 0.1, ("a",), (1.0,), answers=2)
    assert Playback((frame,), (), 0, 0.1, {}).answered_twice == 1


def test_gaps():
    done = playback([0.0, 1.0, 4.0, 5.0, 7.0])
    assert done.largest_gap_s() == 3.0
    assert done.largest_gap_s(4.5, 4.6) == 1.0
    assert done.largest_gap_s(5.5, 9.0) == 2.0
    assert playback([1.0]).largest_gap_s() == 0.0


def test_swap_gap_looks_around_the_changes_only():
    change = ParameterChange(3, "model", "b", True, "", requested_s=4.2, answered_s=4.4)
    assert playback([0.0, 1.0, 4.0, 5.0, 7.0], [change]).swap_gap_s() == 1.0
    assert playback([0.0, 1.0]).swap_gap_s() == 0.0
    assert playback([0.0, 9.0, 9.5], [change]).swap_gap_s() == pytest.approx(9.0)
