"""The rate of each camera, and boxes of frames that were left out."""

import struct

import numpy as np
import pytest

from nn_perception.nodes.frame_gate import FrameGate, RateLimit


def passed(rate_hz, times_s):
    limit = RateLimit()
    return [limit.allows(now, rate_hz) for now in times_s]


@pytest.mark.parametrize(
    ("camera_hz", "rate_hz"), [(30, 30), (30, 20), (30, 10), (30, 7), (120, 50), (10, 25)]
)
def test_the_rate_holds_in_spite_of_jitter(camera_hz, rate_hz):
    draws = np.random.default_rng(0)
    count = 1000
    times = (np.arange(count) + draws.uniform(-0.2, 0.2, count)) / camera_hz + 1e4
    found = passed(rate_hz, times)
    expected = count * min(1.0, rate_hz / camera_hz)
    assert 0.95 * expected <= sum(found) <= expected + 1
    gaps = np.diff(times[found])
    assert gaps.min() >= 0.49 / rate_hz


def test_no_limit_and_a_limit_that_changes():
    assert all(passed(0.0, [1.0] * 5))
    limit = RateLimit()
    assert [limit.allows(1.0, 0.001), limit.allows(2.0, 0.001)] == [True, False]
    # Raised again, it need not wait for what was due at the low rate.
    assert limit.allows(2.5, 10.0) is False
    assert limit.allows(2.6, 10.0) is False
    assert passed(10.0, [5.0, 5.01, 5.1]) == [True, False, True]


def message(stamp_s):
    return b"\0\1\0\0" + struct.pack("<iII", stamp_s, 0, 1) + b"\0"


def test_cameras_do_not_take_each_others_turn():
    gate = FrameGate(lambda: 10.0)
    for now, left, right in ((1.0, True, True), (1.02, False, False), (1.1, True, True)):
        assert gate.admits("left/image_raw", message(1), now) is left
        assert gate.admits("right/image_raw", message(1), now) is right


def test_boxes_of_a_frame_that_was_left_out_are_left_out():
    gate = FrameGate(lambda: 1.0)
    assert gate.admits("left/image_raw", message(1), 10.0)
    assert not gate.admits("left/image_raw", message(2), 10.1)
    assert gate.admits("left/boxes", message(1), 10.2)
    assert not gate.admits("left/boxes", message(2), 10.2)
    assert gate.admits("right/boxes", message(2), 10.2)
    gate.replaced("right/image_raw", message(3))
    gate.replaced("right/boxes", message(4))
    assert not gate.admits("right/boxes", message(3), 10.2)
    assert gate.admits("right/boxes", message(4), 10.2)


def test_damaged_messages_pass_to_where_they_are_counted():
    gate = FrameGate(lambda: 1.0)
    gate.replaced("image_raw", b"")
    assert gate.admits("boxes", message(1), 1.0)
    assert gate.admits("boxes", b"\0", 1.0)
    assert gate.admits("image_raw", b"\0", 1.0)


def test_a_frame_that_comes_again_and_passes_gets_its_boxes():
    gate = FrameGate(lambda: 1.0)
    assert gate.admits("left/image_raw", message(1), 10.0)
    assert not gate.admits("left/image_raw", message(2), 10.1)
    assert not gate.admits("left/boxes", message(2), 10.2)
    assert gate.admits("left/image_raw", message(2), 20.0)  # the bag began anew
    assert gate.admits("left/boxes", message(2), 20.1)


def test_boxes_that_wait_are_not_wanted_when_their_frame_is_replaced():
    gate = FrameGate(lambda: 0.0)
    assert gate.admits("image_raw", message(1), 1.0)
    assert gate.admits("boxes", message(1), 1.0)
    assert gate.wants("boxes", message(1))
    gate.replaced("image_raw", message(1))
    assert not gate.wants("boxes", message(1))
    assert gate.wants("image_raw", message(1))
    assert gate.wants("boxes", message(2))
