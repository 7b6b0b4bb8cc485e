"""The pose that holds at a stamp."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn_perception.errors import ConfigError, MessageError
from nn_perception.rotations import quat_distance, quat_exp, quat_multiply
from nn_perception.tasks.uwb.poses import Pose, PoseBuffer
from nn_perception.tasks.uwb.readings import OdomReading

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
STILL = (0.0, 0.0, 0.0, 1.0)


def reading(ms, place=(0.0, 0.0, 0.0), quat=STILL, variance=(0.0, 0.0, 0.0)):
    return OdomReading(START_NS + ms * MS, place, quat, variance)


def buffer(*readings, **settings):
    poses = PoseBuffer(**settings)
    for one in readings:
        poses.add(one)
    return poses


def kind_of(call, *arguments):
    with pytest.raises(MessageError) as caught:
        call(*arguments)
    return caught.value.kind


def test_the_last_pose_before_the_stamp_holds():
    poses = buffer(reading(0), reading(100, (1.0, 2.0, 3.0), variance=(1.0, 2.0, 3.0)))
    expected = Pose((1.0, 2.0, 3.0), STILL, (1.0, 2.0, 3.0))
    for ms in (100, 101, 300):
        assert poses.at(START_NS + ms * MS) == expected


def test_between_two_poses_it_is_on_the_way():
    half = math.sqrt(0.5)
    poses = buffer(
        reading(0, (0.0, 4.0, 8.0), variance=(1.0, 0.0, 2.0)),
        reading(100, (1.0, 2.0, 8.0), (0.0, 0.0, half, half), (0.5, 3.0, 0.0)),
    )
    found = poses.at(START_NS + 25 * MS)
    np.testing.assert_allclose(found.position_m, [0.25, 3.5, 8.0])
    eighth = math.pi / 16.0
    np.testing.assert_allclose(
        found.orientation_xyzw, [0.0, 0.0, math.sin(eighth), math.cos(eighth)], atol=1e-12
    )
    assert found.variance_m2 == (1.0, 3.0, 2.0)


VECTORS = st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3)


@given(VECTORS, VECTORS, st.floats(0.001, 0.999), st.booleans())
def test_orientations_are_on_the_shorter_arc(first, turn, part, flipped):
    turn = np.array(turn) * 0.8  # below half a turn
    one = quat_exp(np.array(first))
    other = quat_multiply(quat_exp(turn), one) * (-1.0 if flipped else 1.0)
    poses = buffer(reading(0, quat=tuple(one)), reading(1000, quat=tuple(other)), max_age_s=2.0)
    found = poses.at(START_NS + round(part * 1000 * MS)).orientation_xyzw
    expected = quat_multiply(quat_exp(part * turn), one)
    assert quat_distance(np.array(found), expected) < 1e-5
    assert math.hypot(*found) == pytest.approx(1.0, abs=1e-12)


def test_stamps_for_which_there_is_no_pose():
    assert kind_of(PoseBuffer().at, START_NS) == "no_pose"
    poses = buffer(reading(0), reading(1000), max_age_s=0.2)
    assert kind_of(poses.at, START_NS - 1) == "future_pose"
    assert kind_of(poses.at, START_NS + 201 * MS) == "stale_pose"  # though one comes later
    assert kind_of(poses.at, START_NS + 1201 * MS) == "stale_pose"
    poses.at(START_NS + 1200 * MS)


def test_poses_that_are_not_later_are_refused():
    poses = buffer(reading(0), reading(1000))
    assert kind_of(poses.add, reading(1000, (9.0, 9.0, 9.0))) == "duplicate_stamp"
    assert kind_of(poses.add, reading(500)) == "backward_stamp"
    assert kind_of(poses.add, reading(0)) == "backward_stamp"
    assert len(poses) == 2
    assert poses.at(START_NS + 1000 * MS).position_m == (0.0, 0.0, 0.0)


def test_a_jump_back_begins_anew():
    poses = buffer(reading(0), reading(5000))
    assert poses.add(reading(3999)) is True
    assert len(poses) == 1
    assert poses.add(reading(4050)) is False
    assert kind_of(poses.at, START_NS) == "future_pose"


def test_it_keeps_the_latest_ones_and_no_more():
    poses = buffer(*(reading(10 * k, (float(k), 0.0, 0.0)) for k in range(1000)), horizon=50)
    assert 50 <= len(poses) <= 100
    for k in range(950, 1000):
        assert poses.at(START_NS + 10 * k * MS).position_m[0] == k
    assert kind_of(poses.at, START_NS) == "future_pose"


@pytest.mark.parametrize("settings", [{"max_age_s": 0.0}, {"max_age_s": math.nan}, {"horizon": 1}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match="max_pose_age_s"):
        PoseBuffer(**settings)
