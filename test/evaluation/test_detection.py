from __future__ import annotations

import itertools

import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.evaluation.detection import (
    DetectionAccumulator,
    intersection_over_union,
    match_boxes,
)

UNIT = [0.0, 0.0, 10.0, 10.0]
NONE = np.zeros((0, 4))


def row(count, *, y=0.0, pitch=20.0):
    """Boxes beside each other."""
    return np.array([[k * pitch, y, 10.0, 10.0] for k in range(count)]).reshape(-1, 4)


@pytest.mark.parametrize(
    ("box", "iou"),
    [
        ([0, 0, 10, 10], 1.0),
        ([5, 0, 10, 10], 50 / 150),
        ([0, 0, 5, 10], 0.5),
        ([2, 2, 5, 5], 0.25),
        ([10, 0, 10, 10], 0.0),
        ([11, 11, 3, 3], 0.0),
        ([3, 3, 0, 0], 0.0),
    ],
)
def test_iou_by_hand(box, iou):
    assert intersection_over_union(np.array([UNIT]), np.array([box])) == pytest.approx(iou)
    assert intersection_over_union(np.array([box]), np.array([UNIT])) == pytest.approx(iou)


def test_iou_of_areas_counted_in_pixels():
    draw = np.random.default_rng(0)
    boxes = np.concatenate(
        [draw.integers(0, 15, (12, 2)), draw.integers(1, 12, (12, 2))], axis=1
    ).astype(float)
    masks = np.zeros((12, 30, 30), bool)
    for mask, (x, y, w, h) in zip(masks, boxes.astype(int), strict=True):
        mask[y : y + h, x : x + w] = True
    wanted = [[(a & b).sum() / (a | b).sum() for b in masks[5:]] for a in masks[:5]]
    np.testing.assert_allclose(intersection_over_union(boxes[:5], boxes[5:]), wanted)


def largest_matching(iou, least):
    """The most pairs that any one-to-one choice gives: all of them are tried."""
    n, m = iou.shape
    if n > m:
        return largest_matching(iou.T, least)
    choices = itertools.permutations(range(m), n)
    return max(sum(iou[i, j] >= least for i, j in enumerate(choice)) for choice in choices)


def test_as_many_pairs_as_possible_where_true_boxes_lie_apart():
    draw = np.random.default_rng(1)
    for _ in range(200):
        true = row(int(draw.integers(1, 6)), pitch=12.0)
        kept = true[draw.random(len(true)) < 0.8]
        found = kept + draw.normal(0.0, 1.5, kept.shape)
        found = np.concatenate([found, draw.uniform(1.0, 40.0, (int(draw.integers(0, 2)), 4))])
        found = found[draw.permutation(len(found))]
        partner = match_boxes(found, true)
        pairs = partner[partner >= 0]
        iou = intersection_over_union(found, true)
        assert len(pairs) == len(set(pairs.tolist())) == largest_matching(iou, 0.5)
        assert (iou[partner >= 0, pairs] >= 0.5).all()


def test_the_better_pair_is_made_first():
    true = np.array([UNIT])
    found = np.array([[0, 0, 10, 8], [0, 0, 10, 9], [0, 0, 10, 9.0]])
    assert match_boxes(found, true).tolist() == [-1, 0, -1]
    assert match_boxes(found, true, 0.95).tolist() == [-1, -1, -1]
    assert match_boxes(NONE, true).tolist() == []
    assert match_boxes(found, NONE).tolist() == [-1, -1, -1]


def figures(found, labels, lines, true, truths, true_lines):
    sums = DetectionAccumulator()
    counts = sums.add(found, labels, np.array(lines), true, truths, np.array(true_lines))
    return counts, sums.metrics()


def test_figures_by_hand():
    # Two lines, "123" and "45". Found: 1 and 2 right, 3 read as 8, 4 missed, 5 right, one false.
    true = np.concatenate([row(3), row(2, y=30.0)])
    found = np.concatenate([row(3), [[20.0, 30.0, 10.0, 10.0], [90.0, 90.0, 10.0, 10.0]]])
    counts, metrics = figures(found, "12857", [0, 0, 0, 1, 2], true, "12345", [0, 0, 0, 1, 1])
    assert counts.counts() == {
        "true": 5, "found": 5, "matched": 4, "right": 3, "lines": 2, "lines_exact": 0,
    }  # fmt: skip
    assert counts.partner.tolist() == [0, 1, 2, 4, -1]
    assert counts.is_right.tolist() == [True, True, False, True, False]
    assert counts.errors == 3
    assert (metrics.precision, metrics.recall, metrics.f1) == pytest.approx((0.8, 0.8, 0.8))
    assert metrics.reading_accuracy == pytest.approx(3 / 5)
    assert metrics.label_accuracy == pytest.approx(3 / 4)
    assert (metrics.lines, metrics.lines_exact, metrics.frames_exact) == (2, 0.0, 0.0)


@pytest.mark.parametrize(
    ("labels", "lines", "extra", "exact"),
    [
        ("123", [0, 0, 0], [], True),
        ("123", [7, 7, 7], [], True),  # whatever its number
        ("124", [0, 0, 0], [], False),  # a wrong label
        ("123", [0, 0, 1], [], False),  # broken into two lines
        ("1231", [0, 0, 0, 0], [[90.0, 0.0, 10.0, 10.0]], False),  # "1231"
        ("1231", [0, 0, 0, 1], [[90.0, 0.0, 10.0, 10.0]], True),  # another line found elsewhere
        ("12", [0, 0], [], False),  # missed
    ],
)
def test_when_a_line_is_exact(labels, lines, extra, exact):
    found = np.concatenate([row(min(len(labels), 3)), np.array(extra).reshape(-1, 4)])
    counts, metrics = figures(found, labels, lines, row(3), "123", [0, 0, 0])
    assert metrics.lines_exact == float(exact)
    assert counts.exact == (exact and not extra)


def test_a_line_read_in_another_order_is_not_exact():
    _, metrics = figures(row(3)[::-1], "321", [0, 0, 0], row(3), "123", [0, 0, 0])
    assert metrics.reading_accuracy == 1.0
    assert metrics.lines_exact == 0.0


def test_boxes_that_are_no_text_have_no_lines():
    counts, metrics = figures(row(2), ["car", "car"], [0, 0], row(2), ["car", "truck"], [-1, -1])
    assert (counts.lines, metrics.lines) == (0, 0)
    assert np.isnan(metrics.lines_exact)
    assert metrics.label_accuracy == 0.5
    assert metrics.to_dict()["lines_exact"] is None


def test_sums_over_frames_and_frames_without_anything():
    sums = DetectionAccumulator()
    assert sums.metrics().to_dict()["f1"] is None
    nothing = (NONE, "", np.zeros(0, int))
    sums.add(*nothing, *nothing)
    metrics = sums.metrics()
    assert (metrics.frames, metrics.frames_exact, metrics.true) == (1, 1.0, 0)
    assert np.isnan([metrics.precision, metrics.recall, metrics.f1]).all()
    sums.add(row(2), "12", np.array([0, 0]), *nothing)  # two false
    sums.add(*nothing, row(3), "123", np.array([0, 0, 0]))  # three missed
    sums.add(row(3), "123", np.array([0, 0, 0]), row(3), "123", np.array([0, 0, 0]))
    metrics = sums.metrics()
    assert (metrics.precision, metrics.recall) == pytest.approx((3 / 5, 3 / 6))
    assert metrics.f1 == pytest.approx(2 * 0.6 * 0.5 / 1.1)
    assert metrics.reading_accuracy == 0.5
    assert (metrics.label_accuracy, metrics.lines_exact, metrics.frames_exact) == (1.0, 0.5, 0.5)


def test_figures_of_many_boxes_as_a_plain_loop_counts_them():
    draw = np.random.default_rng(2)
    sums, right, matched, found_n = DetectionAccumulator(), 0, 0, 0
    for _ in range(20):
        true = row(6)
        keep = draw.random(6) < 0.8
        found = true[keep] + draw.uniform(-1.0, 1.0, (keep.sum(), 4))
        truths = draw.integers(0, 10, 6)
        answers = np.where(draw.random(6) < 0.7, truths, (truths + 1) % 10)[keep]
        sums.add(found, answers.astype(str).tolist(), np.zeros(len(found), int),
                 true, truths.astype(str).tolist(), np.zeros(6, int))  # fmt: skip
        found_n += len(found)
        for box, answer in zip(found, answers, strict=True):
            near = int(np.argmin(np.abs(true[:, 0] - box[0])))
            if intersection_over_union(box[None], true[near][None])[0, 0] >= 0.5:
                matched += 1
                right += int(answer == truths[near])
    metrics = sums.metrics()
    assert (metrics.found, metrics.matched, metrics.right) == (found_n, matched, right)
    assert metrics.reading_accuracy == right / 120


def test_parts_that_do_not_belong_together_are_refused():
    sums = DetectionAccumulator()
    with pytest.raises(DatasetError, match="2, 1, 2 found boxes"):
        sums.add(row(2), "1", np.zeros(2, int), NONE, "", np.zeros(0, int))
    with pytest.raises(DatasetError, match="1, 1, 0 true boxes"):
        sums.add(NONE, "", np.zeros(0, int), row(1), "1", np.zeros(0, int))
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(DatasetError, match="least IoU"):
            DetectionAccumulator(wrong)
