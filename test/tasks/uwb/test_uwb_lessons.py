"""What the network is taught, and how wrong the teacher says that it may be."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.tasks.uwb.kernel import SEVERAL_ROOMS, Kernel
from nn_perception.tasks.uwb.lessons import (
    FAR,
    NEAR,
    left_out_errors,
    make_lessons,
    smoothed_squares,
)
from nn_perception.tasks.uwb.teacher import Teacher

MADE_UP = 400


def expected(rows):
    """Constants that are known before."""
    return 0.1 + 0.05 * rows.anchor


def zero(rows):
    return np.zeros(len(rows))


@pytest.fixture(scope="module", params=[1, 3], ids=["one room", "three rooms"])
def taught(request, make_rows, data_of):
    data = data_of(make_rows(150, rooms=request.param), rooms=request.param)
    return data, make_lessons(
        data, expected, made_up=MADE_UP, most=100, new_room=data.rooms > 1, seed=3
    )


def parts(lessons, left):
    """The rows that were recorded, those that were made up, and what each was made of."""
    known = len(left)
    recorded = lessons.rows.take(np.arange(known))
    moved = lessons.rows.take(np.arange(known, len(lessons.rows)))
    return recorded, moved, (moved.error_m[:, None] == recorded.error_m).argmax(1)


def test_made_up_poses_keep_their_anchor_and_tag(taught):
    _, (lessons, left, _) = taught
    recorded, moved, origin = parts(lessons, left)
    assert (len(recorded), len(moved)) == (100, MADE_UP)
    assert len(np.unique(recorded.error_m)) == len(recorded)
    origins = recorded.take(origin)
    for name in ("error_m", "tag", "anchor", "room", "anchor_m", "anchor_body"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(origins, name))
    turns = moved.body @ np.swapaxes(moved.body, 1, 2)
    np.testing.assert_allclose(turns, np.tile(np.eye(3), (MADE_UP, 1, 1)), atol=1e-9)


def test_half_of_the_poses_are_near_and_half_far(taught):
    _, (lessons, left, _) = taught
    recorded, moved, origin = parts(lessons, left)
    shift = np.linalg.norm(moved.tag_m - recorded.tag_m[origin], axis=1)
    up = (moved.body[:, 2] * recorded.body[origin, 2]).sum(1).clip(-1.0, 1.0)
    turn = np.einsum("nij,nij->n", moved.body, recorded.body[origin])
    angle = np.arccos(((turn - 1.0) / 2.0).clip(-1.0, 1.0))
    for which, (metres, tilt, heading) in ((slice(0, 200), NEAR), (slice(200, 400), FAR)):
        assert np.sqrt((shift[which] ** 2).mean()) == pytest.approx(3**0.5 * metres, rel=0.15)
        assert shift[which].max() < 5.0 * metres
        assert np.arccos(up[which]).max() < 6.0 * tilt  # a vehicle turns, but does not fall over
        turned = np.sqrt((angle[which] ** 2).mean())
        assert turned == pytest.approx(np.hypot(2**0.5 * tilt, heading), rel=0.2)


def test_the_answers_are_what_is_expected_and_what_the_process_adds(taught):
    data, (lessons, left, kernel) = taught
    recorded, _, _ = parts(lessons, left)
    several = data.rooms > 1
    assert (kernel == SEVERAL_ROOMS) == several
    teacher = Teacher(recorded, kernel, expected(recorded), rooms=several)
    added = teacher.predict(lessons.rows, new_room=several)
    assert np.ptp(added) > 0.01
    np.testing.assert_allclose(lessons.target_m, expected(lessons.rows) + added, atol=1e-9)


def test_far_from_the_data_the_answers_are_less_sure(taught):
    _, (lessons, left, kernel) = taught
    assert lessons.sigma_m[-MADE_UP // 2 :].min() > kernel.place_m
    squares = np.minimum(left**2, 36.0 * np.median(left**2))
    sure = lessons.sigma_m[: -MADE_UP // 2] ** 2
    assert squares.min() <= sure.min()
    assert sure.max() <= squares.max()


def test_the_seed_decides_the_poses(make_rows, data_of):
    data = data_of(make_rows(60))
    how = {"made_up": 20, "most": 100, "new_room": False}
    first, again, other = (make_lessons(data, zero, seed=n, **how)[0] for n in (1, 1, 2))
    np.testing.assert_array_equal(first.rows.tag_m, again.rows.tag_m)
    np.testing.assert_array_equal(first.target_m, again.target_m)
    assert (first.rows.tag_m[60:] != other.rows.tag_m[60:]).all()


def test_there_may_be_no_pose_made_up(make_rows, data_of):
    data = data_of(make_rows(60))
    lessons, left, _ = make_lessons(data, zero, made_up=0, most=100, new_room=False, seed=0)
    assert len(lessons.target_m) == len(left) == 60


def test_smoothed_squares_lie_between_the_smallest_and_the_largest(make_rows):
    rows, asked = make_rows(200), make_rows(300, seed=1)
    left = np.random.default_rng(2).uniform(0.02, 0.1, 200)
    found = smoothed_squares(left, rows, asked)
    assert (left**2).min() < found.min() < found.max() < (left**2).max()


def test_far_from_all_rows_the_mean_square_counts(make_rows):
    rows, asked = make_rows(200), make_rows(30, seed=1)
    left = np.random.default_rng(2).uniform(0.02, 0.1, 200)
    asked = dataclasses.replace(asked, tag_m=asked.tag_m + 300.0)
    found = smoothed_squares(left, rows, asked)
    np.testing.assert_allclose(found, (left**2).mean(), rtol=1e-9)


def test_errors_tell_of_their_neighbourhood(make_rows):
    """At two places, the one noisy."""
    rows = make_rows(2, anchors=1).take(np.repeat([0, 1], 300))
    left = np.where(np.arange(600) < 300, 0.02, 0.1)
    found = smoothed_squares(left, rows, rows)
    assert found[:300].max() < 0.03**2
    assert found[300:].min() > 0.09**2


def test_one_absurd_error_does_not_count_in_full(make_rows):
    rows = make_rows(200)
    left = np.full(200, 0.05)
    left[11] = 100.0
    assert smoothed_squares(left, rows, rows).max() < (6.0 * 0.05) ** 2


@pytest.mark.parametrize("new_room", [False, True])
@pytest.mark.parametrize("number", [0, 2])
def test_cross_validation_never_uses_what_it_predicts(make_rows, number, new_room):
    rows = make_rows(250, rooms=3 if new_room else 1)
    out = (rows.room if new_room else rows.block) == number
    absurd = dataclasses.replace(rows, error_m=np.where(out, 1000.0 + rows.error_m, rows.error_m))
    told = [
        each.error_m - left_out_errors(each, expected, Kernel(), 150, new_room=new_room)
        for each in (rows, absurd)
    ]
    np.testing.assert_allclose(told[0][out], told[1][out], atol=1e-9)
    assert np.ptp(told[0][out] - expected(rows.take(out))) > 1e-3
    assert abs(told[0] - told[1])[~out].max() > 1e-3  # the others do learn from it


@pytest.mark.parametrize("new_room", [False, True])
def test_one_piece_alone_leaves_all_beyond_the_prior(make_rows, new_room):
    rows = dataclasses.replace(make_rows(30), block=np.full(30, 2))
    left = left_out_errors(rows, expected, Kernel(), 20, new_room=new_room)
    np.testing.assert_array_equal(left, rows.error_m - expected(rows))
