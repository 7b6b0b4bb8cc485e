"""Figures of merit of found and labelled boxes against true ones. NumPy only.

A found box and a true one are the same when their intersection is at least half of their union
(IoU >= 0.5), whatever their labels. Pairs are made greedily, the largest IoU first, each box in one
pair at most. Where neither true boxes nor found ones overlap among themselves that is also the
largest set of pairs, since no box then reaches 0.5 with two others.

* precision: share of found boxes that are true; recall: share of true boxes that were found; F1:
  their harmonic mean. Labels do not count.
* reading accuracy: share of true boxes that were found and got the right label. A missed box is an
  error; a found one without truth is none here, it lowers the precision.
* label accuracy: share of found true boxes with the right label.
* lines exact: share of true text lines that one found line renders: all boxes found, labels right,
  nothing else between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.errors import DatasetError
from nn_perception.regions.boxes import Boxes, intersection_over_union

MIN_IOU = 0.5
COUNTS = ("true", "found", "matched", "right", "lines", "lines_exact")
"""Fields of `FrameFigures` that are summed up over frames."""
Lines = npt.NDArray[np.integer[Any]]


def match_boxes(found: Boxes, true: Boxes, min_iou: float = MIN_IOU) -> npt.NDArray[np.int64]:
    """Pair found boxes with true ones; see the module's text.

    Args:
        found: (N, 4) left, top, width, height.
        true: (M, 4).
        min_iou: least IoU of a pair, above 0.

    Returns:
        (N,) index of the true box of each found one, -1 where there is none. Of equal IoU the
        first found box, then the first true one, is served first.
    """
    iou = intersection_over_union(found, true)
    partner = np.full(len(iou), -1, np.int64)
    rows, columns = np.nonzero(iou >= min_iou)
    free = np.ones(iou.shape[1], bool)
    for pair in np.argsort(-iou[rows, columns], kind="stable"):
        row, column = rows[pair], columns[pair]
        if partner[row] < 0 and free[column]:
            partner[row], free[column] = column, False
    return partner


@dataclass(frozen=True)
class FrameFigures:
    """Counts of one frame.

    Attributes:
        true: true boxes.
        found: found boxes.
        matched: pairs of both.
        right: pairs with the right label.
        lines: true text lines.
        lines_exact: those that were read exactly.
        partner: (found,) index of each found box's true one, -1: none.
        is_right: (found,) whether its label is right too.
    """

    true: int
    found: int
    matched: int
    right: int
    lines: int
    lines_exact: int
    partner: npt.NDArray[np.int64]
    is_right: npt.NDArray[np.bool_]

    @property
    def errors(self) -> int:
        """Missed, false and wrongly labelled boxes."""
        return self.true + self.found - self.matched - self.right

    @property
    def exact(self) -> bool:
        """Whether there is no error at all."""
        return not self.errors and self.lines == self.lines_exact

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: int(getattr(self, name)) for name in COUNTS}


@dataclass(frozen=True)
class DetectionMetrics:
    """Figures of any number of frames; see the module's text. NaN where nothing was there to count.

    Attributes:
        frames: number of frames.
        frames_exact: share of them without any error.
        true: true boxes.
        found: found boxes.
        matched: pairs of both.
        right: pairs with the right label.
        precision: 0 to 1, as all that follow.
        recall: of the true boxes.
        f1: of precision and recall.
        reading_accuracy: found and rightly labelled, of the true boxes.
        label_accuracy: rightly labelled, of the pairs.
        lines: true text lines.
        lines_exact: share of them that were read exactly.
    """

    frames: int
    frames_exact: float
    true: int
    found: int
    matched: int
    right: int
    precision: float
    recall: float
    f1: float
    reading_accuracy: float
    label_accuracy: float
    lines: int
    lines_exact: float

    def to_dict(self) -> dict[str, int | float | None]:
        """Return the figures for JSON, NaN as None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if value != value else value for name, value in values.items()}


class DetectionAccumulator:
    """Collects frames; `metrics` may be asked for at any time."""

    def __init__(self, min_iou: float = MIN_IOU) -> None:
        """Start empty.

        Raises:
            DatasetError: ``min_iou`` is not above 0 and at most 1.
        """
        if not 0.0 < min_iou <= 1.0:
            raise DatasetError(f"the least IoU is {min_iou}, expected above 0, at most 1, as 0.5")
        self.min_iou = min_iou
        self._sums = dict.fromkeys(COUNTS, 0)
        self._frames = 0
        self._exact = 0

    def add(
        self,
        found_boxes: Boxes,
        found_labels: Sequence[str],
        found_lines: Lines,
        true_boxes: Boxes,
        true_labels: Sequence[str],
        true_lines: Lines,
    ) -> FrameFigures:
        """Take one frame and return its counts.

        Args:
            found_boxes: (N, 4) left, top, width, height, in reading order.
            found_labels: answer of each.
            found_lines: (N,) text line of each.
            true_boxes: (M, 4) in reading order.
            true_labels: truth of each.
            true_lines: (M,) text line of each; below 0: no part of a text.

        Raises:
            DatasetError: there are not as many boxes, labels and lines.
        """
        for kind, parts in (
            ("found", (found_boxes, found_labels, found_lines)),
            ("true", (true_boxes, true_labels, true_lines)),
        ):
            if len({len(part) for part in parts}) > 1:
                counts = ", ".join(str(len(part)) for part in parts)
                raise DatasetError(
                    f"{counts} {kind} boxes, labels and lines, expected as many of each"
                )
        figures = compare_frame(
            (found_boxes, found_labels, found_lines),
            (true_boxes, true_labels, true_lines),
            self.min_iou,
        )
        for name, count in figures.counts().items():
            self._sums[name] += count
        self._frames += 1
        self._exact += figures.exact
        return figures

    def metrics(self) -> DetectionMetrics:
        """Return the figures of all frames so far."""
        n = self._sums
        return DetectionMetrics(
            frames=self._frames,
            frames_exact=_share(self._exact, self._frames),
            true=n["true"],
            found=n["found"],
            matched=n["matched"],
            right=n["right"],
            precision=_share(n["matched"], n["found"]),
            recall=_share(n["matched"], n["true"]),
            f1=_share(2 * n["matched"], n["found"] + n["true"]),
            reading_accuracy=_share(n["right"], n["true"]),
            label_accuracy=_share(n["right"], n["matched"]),
            lines=n["lines"],
            lines_exact=_share(n["lines_exact"], n["lines"]),
        )


Side = tuple[Boxes, Sequence[str], Lines]


def compare_frame(found: Side, true: Side, min_iou: float) -> FrameFigures:
    """Return the counts of one frame from boxes, labels and lines of both sides."""
    partner = match_boxes(found[0], true[0], min_iou)
    pairs = partner >= 0
    answers, truths = (np.asarray(list(side[1]), dtype=object) for side in (found, true))
    is_right = pairs.copy()
    is_right[pairs] = answers[pairs] == truths[partner[pairs]]
    finder = np.full(len(true[0]), -1, np.int64)
    finder[partner[pairs]] = np.flatnonzero(pairs)
    true_lines, found_lines = np.asarray(true[2]), np.asarray(found[2])
    names = np.unique(true_lines[true_lines >= 0])
    exact = sum(_is_exact(finder[true_lines == name], is_right, found_lines) for name in names)
    return FrameFigures(
        true=len(true[0]),
        found=len(found[0]),
        matched=int(pairs.sum()),
        right=int(is_right.sum()),
        lines=len(names),
        lines_exact=int(exact),
        partner=partner,
        is_right=is_right,
    )


def _is_exact(
    finders: npt.NDArray[np.int64], is_right: npt.NDArray[np.bool_], found_lines: Lines
) -> bool:
    """Tell whether a true line is one found line.

    ``finders`` are the found boxes of the line's true ones, in reading order, -1: missed.
    """
    if (finders < 0).any() or not is_right[finders].all():
        return False
    same_line = np.flatnonzero(found_lines == found_lines[finders[0]])
    return bool(np.array_equal(same_line, finders))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
