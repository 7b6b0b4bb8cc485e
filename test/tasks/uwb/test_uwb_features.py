"""What a range's error is told from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.datasets.uwb_text import Anchor
from nn_perception.rotations import quat_exp, quat_multiply, quat_rotate, quat_to_matrix
from nn_perception.tasks.uwb.features import (
    DIRECTIONS,
    FEATURES,
    MIN_DISTANCE_M,
    AnchorFrame,
    anchor_rotations,
    body_rows,
    feature_rows,
    range_features,
    turned,
)

FAST = settings(derandomize=True, deadline=None, max_examples=50, database=None)
NUMBERS = st.floats(-20.0, 20.0)
VECTORS = st.tuples(NUMBERS, NUMBERS, NUMBERS)
UP_IN_BODY = slice(9, 12)
HEIGHT = 13


def features(tag_m, body_quat, anchor_m, anchor_quat):
    anchor = AnchorFrame(Anchor(tuple(anchor_m), tuple(anchor_quat)))
    return np.array(range_features(tag_m, body_rows(body_quat), anchor))


@st.composite
def worlds(draw):
    """A tag apart from an anchor, and the orientations of body and anchor."""
    tag, way = np.array(draw(VECTORS)), np.array(draw(VECTORS))
    length = np.linalg.norm(way)
    way = way if length > 0.1 else np.array([1.0, 0.0, 0.0])
    quats = [quat_exp(0.2 * np.array(draw(VECTORS))) for _ in range(2)]
    return tag, quats[0], tag + way, quats[1]


@FAST
@given(st.lists(worlds(), min_size=1, max_size=5))
def test_one_range_gets_the_features_of_many(found):
    tags, bodies, anchors, frames = (np.array(column) for column in zip(*found, strict=True))
    known = [Anchor(tuple(at), tuple(q)) for at, q in zip(anchors, frames, strict=True)]
    rows = feature_rows(tags, quat_to_matrix(bodies), anchors, anchor_rotations(known))
    assert rows.shape == (len(found), FEATURES)
    for row, world in zip(rows, found, strict=True):
        np.testing.assert_allclose(features(*world), row, atol=1e-9)


@FAST
@given(worlds())
def test_features_are_what_the_table_says(world):
    """By quaternions, where the code multiplies numbers of matrices."""
    tag, body, anchor, frame = world
    back = [-1.0, -1.0, -1.0, 1.0]
    way = (anchor - tag) / np.linalg.norm(anchor - tag)
    expected = [
        *quat_rotate(body * back, way),
        *quat_rotate(frame * back, -way),
        *quat_rotate(frame * back, quat_rotate(body, np.array([1.0, 0.0, 0.0]))),
        *quat_rotate(body * back, np.array([0.0, 0.0, 1.0])),
        np.linalg.norm(anchor - tag),
        tag[2] - anchor[2],
    ]
    np.testing.assert_allclose(features(*world), expected, atol=1e-9)


@FAST
@given(worlds())
def test_directions_have_length_one(world):
    directions = features(*world)[DIRECTIONS].reshape(4, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-9)


def moved(world, shift, turn):
    tag, body, anchor, frame = world
    return (
        quat_rotate(turn, tag) + shift,
        quat_multiply(turn, body),
        quat_rotate(turn, anchor) + shift,
        quat_multiply(turn, frame),
    )


@FAST
@given(worlds(), VECTORS, st.floats(-3.0, 3.0))
def test_a_world_moved_and_turned_about_the_vertical_looks_the_same(world, shift, yaw):
    other = moved(world, np.array(shift), quat_exp(np.array([0.0, 0.0, yaw])))
    np.testing.assert_allclose(features(*other), features(*world), atol=1e-8)


@FAST
@given(worlds(), VECTORS, VECTORS)
def test_a_tilted_world_changes_only_what_is_said_of_up(world, shift, turn):
    other = moved(world, np.array(shift), quat_exp(0.2 * np.array(turn)))
    told = np.ones(FEATURES, bool)
    told[UP_IN_BODY] = told[HEIGHT] = False
    np.testing.assert_allclose(features(*other)[told], features(*world)[told], atol=1e-8)


def test_a_tilted_world_does_change_up():
    world = (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]), np.array([3.0, 1.0, 2.0]))
    world = (*world, np.array([0.0, 0.0, 0.6, 0.8]))
    changed = features(*moved(world, np.zeros(3), quat_exp(np.array([0.5, 0.0, 0.0]))))
    difference = abs(changed - features(*world))
    assert difference[UP_IN_BODY].max() > 0.1
    assert difference[HEIGHT] > 0.1


@pytest.mark.parametrize("off_m", [0.0, 1e-300, 0.3 * MIN_DISTANCE_M])
def test_a_tag_on_top_of_an_anchor_gives_finite_numbers(off_m):
    tag, anchor = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0 - off_m])
    still = np.array([0.0, 0.0, 0.0, 1.0])
    one = features(tag, still, anchor, still)
    many = feature_rows(tag[None], np.eye(3)[None], anchor[None], np.eye(3)[None])[0]
    np.testing.assert_allclose(one, many, atol=1e-12)
    assert np.isfinite(one).all()
    assert np.linalg.norm(one[:3]) < 0.5  # no direction is made up
    assert one[12] == MIN_DISTANCE_M
    assert one[HEIGHT] == pytest.approx(off_m, abs=1e-12)


def test_an_anchor_of_unknown_orientation_stands_as_the_world():
    places = [Anchor((1.0, 2.0, 3.0)), Anchor((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))]
    np.testing.assert_array_equal(anchor_rotations(places), [np.eye(3)] * 2)
    found = [range_features((4.0, 5.0, 1.0), body_rows((0.0, 0.0, 0.6, 0.8)), AnchorFrame(p))
             for p in places]  # fmt: skip
    assert found[0] == found[1]


@FAST
@given(VECTORS, VECTORS)
def test_turned_turns_as_the_quaternion_does(vector, turn):
    quat = quat_exp(0.2 * np.array(turn))
    expected = quat_rotate(quat, np.array(vector))
    np.testing.assert_allclose(turned(body_rows(quat), vector), expected, atol=1e-9)
    np.testing.assert_allclose(np.reshape(body_rows(quat), (3, 3)), quat_to_matrix(quat), atol=1e-9)
