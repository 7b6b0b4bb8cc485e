import numpy as np
import pytest

from nn_perception.regions.crops import MIN_SIDE_PX, check_boxes, cut_box

SIZE = (48, 64)


@pytest.fixture
def frame():
    """Every pixel tells its place: (row, column, 0)."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.uint8)
    return np.stack((rows, columns, np.zeros_like(rows)), axis=2)


def test_boxes_within_stay_and_others_are_clipped():
    boxes = [[10, 5, 20, 8], [-10, -5, 20, 20], [60, 40, 30, 30]]
    checked = check_boxes(np.array(boxes), SIZE)
    expected = [[10, 5, 20, 8], [0, 0, 10, 15], [60, 40, 4, 8]]
    np.testing.assert_array_equal(checked.boxes_xywh, np.array(expected, np.float32))
    assert checked.refused == {}


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([70, 5, 10, 10], "outside"),
        ([-30, 5, 20, 10], "outside"),
        ([5, 48, 10, 10], "outside"),
        ([5, 5, 1, 1], "too_small"),
        ([5, 5, MIN_SIDE_PX - 0.5, 30], "too_small"),
        ([61, 5, 30, 30], "too_small"),
        ([5, 5, 0, 10], "too_small"),
        ([5, 5, -20, 10], "too_small"),
        ([np.nan, 5, 10, 10], "not_finite"),
        ([5, 5, np.inf, 10], "not_finite"),
        ([5, 1e300, 10, 10], "not_finite"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_and_the_others_are_not(box, reason):
    good = [2.0, 3.0, 10.0, 12.0]
    checked = check_boxes(np.array([good, box, good]), SIZE)
    assert checked.refused == {reason: 1}
    np.testing.assert_array_equal(checked.boxes_xywh, np.array([good, good], np.float32))


def test_no_boxes():
    checked = check_boxes(np.empty((0, 4)), SIZE)
    assert checked.boxes_xywh.shape == (0, 4)
    assert checked.refused == {}


def test_a_square_box_is_cut_exactly(frame):
    view = cut_box(frame, np.array([10, 5, 12, 12], np.float32), 1.0)
    np.testing.assert_array_equal(view, frame[5:17, 10:22])
    assert view.base is not None  # no copy


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([20, 10, 10, 20], (10, 30), (15, 35)),  # widened about its centre
        ([20, 10, 20, 10], (5, 25), (20, 40)),
        ([0, 10, 10, 20], (10, 30), (0, 20)),  # moved in at the left
        ([54, 10, 10, 20], (10, 30), (44, 64)),  # and at the right
        ([10, 0, 40, 40], (0, 40), (10, 50)),
        ([2, 20, 60, 8], (0, 48), (2, 62)),  # more than the frame is high
    ],
)
def test_a_box_is_widened_to_the_aspect_that_training_had(frame, box, rows, columns):
    view = cut_box(frame, np.array(box, np.float32), 1.0)
    assert (int(view[0, 0, 0]), int(view[-1, 0, 0]) + 1) == rows
    assert (int(view[0, 0, 1]), int(view[0, -1, 1]) + 1) == columns


def test_any_box_that_was_checked_can_be_cut(frame):
    draws = np.random.default_rng(0)
    boxes = draws.uniform(-80, 80, (500, 4))
    checked = check_boxes(boxes, SIZE)
    assert sum(checked.refused.values()) + len(checked.boxes_xywh) == 500
    for aspect in (0.3, 1.0, 4.0):
        for box in checked.boxes_xywh:
            assert cut_box(frame, box, aspect).size
