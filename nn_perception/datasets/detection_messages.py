"""Labelled boxes as vision_msgs/Detection2DArray, for bags: truth and answers alike.

`results` of a detection holds its classes, the most probable first. `id` says where in a text it
stands: ``"LINE/POSITION"``, both from 0, in reading order; empty where it is no part of a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import header
from nn_perception.detections_cdr import line_ids
from nn_perception.errors import BagError, MessageError
from nn_perception.messages import decode_boxes

DETECTION_ARRAY = "vision_msgs/msg/Detection2DArray"
NO_LINE = -1
"""Line of a box that is no part of a text."""
MAX_BOXES = 100_000
"""Boxes of one message that are read."""

_ID = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


class LabelledBoxes(NamedTuple):
    """What a Detection2DArray says, in its order.

    Attributes:
        boxes_xywh: (N, 4) left, top, width, height, pixels from pixel edges.
        labels: the most probable class of each; empty where there is none.
        scores: (N,) its score, NaN where there is none.
        lines: (N,) text line, `NO_LINE` where the id names none.
    """

    boxes_xywh: NDArray[np.float32]
    labels: tuple[str, ...]
    scores: NDArray[np.float64]
    lines: NDArray[np.int32]


def truth_message(
    boxes_xywh: NDArray[np.floating[Any]],
    labels: Sequence[str],
    stamp_ns: int,
    frame_id: str = "camera",
    lines: NDArray[np.integer[Any]] | None = None,
) -> Any:
    """Make the message of true boxes: one class each, with score 1.

    Args:
        boxes_xywh: (N, 4), pixels from pixel edges.
        labels: class of each.
        stamp_ns: header stamp of all, ns since the epoch.
        frame_id: header frame of all.
        lines: (N,) text line of each, in reading order; None: no text.

    Raises:
        BagError: there are not as many boxes, labels and lines.
    """
    names = tuple(dict.fromkeys(labels))
    scores = np.array([[float(name == label) for name in names] for label in labels])
    return detections_message(boxes_xywh, names, scores, stamp_ns, frame_id, lines, keep=1)


def detections_message(
    boxes_xywh: NDArray[np.floating[Any]],
    names: Sequence[str],
    scores: NDArray[np.floating[Any]],
    stamp_ns: int,
    frame_id: str = "camera",
    lines: NDArray[np.integer[Any]] | None = None,
    *,
    keep: int | None = None,
) -> Any:
    """Make the message of boxes with the probabilities of their classes.

    Args:
        boxes_xywh: (N, 4), pixels from pixel edges.
        names: K class names.
        scores: (N, K); classes are written by falling score.
        stamp_ns: header stamp of all, ns since the epoch.
        frame_id: header frame of all.
        lines: (N,) text line of each, in reading order; None: no text.
        keep: classes written of each box at most; None: all.

    Raises:
        BagError: there are not as many boxes, rows of scores and lines, or names and columns.
    """
    count = len(boxes_xywh)
    fits = np.shape(scores) == (count, len(names)) or (count == 0 and not np.size(scores))
    if (
        np.shape(boxes_xywh) != (count, 4)
        or not fits
        or (lines is not None and len(lines) != count)
    ):
        given = "none" if lines is None else len(lines)
        raise BagError(
            f"boxes of shape {np.shape(boxes_xywh)}, scores {np.shape(scores)} of {len(names)} "
            f"classes, lines of {given}: expected (N, 4), (N, K) and (N,), the same N"
        )
    stamped = header(stamp_ns, frame_id)
    ids = [""] * count if lines is None else line_ids(lines)
    detection = message_class("vision_msgs/msg/Detection2D")
    detections = []
    for box, row, identity in zip(boxes_xywh.tolist(), np.asarray(scores), ids, strict=True):
        order = np.argsort(-row, kind="stable")[:keep].tolist()
        results = [_hypothesis(str(names[index]), float(row[index])) for index in order]
        detections.append(detection(header=stamped, results=results, bbox=_box(*box), id=identity))
    return message_class(DETECTION_ARRAY)(header=stamped, detections=detections)


def read_detections(message: Any) -> LabelledBoxes:
    """Read a Detection2DArray by its fields, whichever library it comes from.

    Raises:
        MessageError: ``"type"`` when fields are missing or of a wrong type, ``"not_finite"`` or
            ``"size"`` when a box is none, ``"too_many"`` when there are more than `MAX_BOXES`.
    """
    boxes, beyond = decode_boxes(message, MAX_BOXES)
    if beyond:
        raise MessageError(
            "too_many", f"{beyond + MAX_BOXES} boxes in a message, expected at most {MAX_BOXES}"
        )
    for kind, good in (("not_finite", np.isfinite(boxes)), ("size", boxes[:, 2:] > 0.0)):
        if not good.all():
            first = int(np.flatnonzero(~good.all(axis=1))[0])
            raise MessageError(
                kind,
                f"box {first} is {boxes[first].tolist()} (left, top, width, height), expected "
                "finite numbers and a size above 0",
            )
    labels, scores, lines = [], [], []
    try:
        for detection in message.detections:
            best = max(
                (each.hypothesis for each in detection.results),
                key=lambda hypothesis: float(hypothesis.score),
                default=None,
            )
            labels.append("" if best is None else str(best.class_id))
            scores.append(float("nan") if best is None else float(best.score))
            found = _ID.fullmatch(str(detection.id))
            lines.append(int(found[1]) if found else NO_LINE)
    except (AttributeError, TypeError, ValueError) as error:
        raise MessageError(
            "type", f"{type(message).__name__} is no vision_msgs/Detection2DArray: {error}"
        ) from None
    return LabelledBoxes(
        boxes.astype(np.float32),
        tuple(labels),
        np.array(scores, np.float64),
        np.array(lines, np.int32),
    )


def _box(left: float, top: float, width: float, height: float) -> Any:
    point = message_class("vision_msgs/msg/Point2D")(x=left + width / 2, y=top + height / 2)
    centre = message_class("vision_msgs/msg/Pose2D")(position=point, theta=0.0)
    return message_class("vision_msgs/msg/BoundingBox2D")(
        center=centre, size_x=width, size_y=height
    )


def _hypothesis(name: str, score: float) -> Any:
    hypothesis = message_class("vision_msgs/msg/ObjectHypothesis")(class_id=name, score=score)
    return message_class("vision_msgs/msg/ObjectHypothesisWithPose")(
        hypothesis=hypothesis, pose=_no_pose()
    )


@lru_cache(maxsize=1)
def _no_pose() -> Any:
    """Return the pose of what has none: all zeros, but a valid rotation."""
    point = message_class("geometry_msgs/msg/Point")(x=0.0, y=0.0, z=0.0)
    rotation = message_class("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=0.0, w=1.0)
    pose = message_class("geometry_msgs/msg/Pose")(position=point, orientation=rotation)
    return message_class("geometry_msgs/msg/PoseWithCovariance")(pose=pose, covariance=np.zeros(36))
