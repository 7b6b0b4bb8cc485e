from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.datasets.detection_messages import (
    DETECTION_ARRAY,
    NO_LINE,
    detections_message,
    read_detections,
    truth_message,
)
from nn_perception.detections_cdr import line_ids
from nn_perception.errors import BagError, MessageError

pytest.importorskip("rosbags")

BOXES = np.array([[10.0, 20.0, 4.0, 8.0], [30.5, 20.0, 5.0, 9.0], [0.0, 50.0, 1.0, 1.0]])
LINES = np.array([0, 0, 1])


def test_truth_goes_into_a_bag_and_comes_back(tmp_path):
    message = truth_message(BOXES, ["3", "7", "3"], 5 * 10**9 + 7, "front", LINES)
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/truth", DETECTION_ARRAY)
        bag.write("/truth", 1, message)
    with BagReader(tmp_path / "bag") as bag:
        ((_, _, found),) = bag.messages()
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (5, 7)
    assert [each.header.frame_id for each in found.detections] == ["front"] * 3
    # vision_msgs holds centre and size.
    first = found.detections[0].bbox
    assert (first.center.position.x, first.center.position.y) == (12.0, 24.0)
    assert (first.size_x, first.size_y, first.center.theta) == (4.0, 8.0, 0.0)
    assert [each.id for each in found.detections] == ["0/0", "0/1", "1/0"]
    assert [[h.hypothesis.class_id for h in d.results] for d in found.detections] == [
        ["3"], ["7"], ["3"],
    ]  # fmt: skip
    boxes = read_detections(found)
    np.testing.assert_array_equal(boxes.boxes_xywh, BOXES.astype(np.float32))
    assert boxes.labels == ("3", "7", "3")
    assert boxes.scores.tolist() == [1.0, 1.0, 1.0]
    assert boxes.lines.tolist() == LINES.tolist()


def test_classes_are_written_by_falling_score():
    scores = np.array([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4]])
    message = detections_message(BOXES[:2], ("a", "b", "c"), scores, 0)
    rows = [[(h.hypothesis.class_id, h.hypothesis.score) for h in d.results]
            for d in message.detections]  # fmt: skip
    assert rows == [[("b", 0.7), ("a", 0.2), ("c", 0.1)], [("a", 0.4), ("c", 0.4), ("b", 0.2)]]
    boxes = read_detections(message)
    assert boxes.labels == ("b", "a")
    assert boxes.lines.tolist() == [NO_LINE, NO_LINE]
    kept = detections_message(BOXES[:2], ("a", "b", "c"), scores, 0, keep=2)
    assert [len(each.results) for each in kept.detections] == [2, 2]


def test_a_frame_without_boxes():
    for message in (
        truth_message(np.zeros((0, 4)), [], 0, lines=np.zeros(0, int)),
        detections_message(np.zeros((0, 4)), ("a", "b"), np.zeros((0, 2)), 0),
    ):
        boxes = read_detections(message)
        assert boxes.boxes_xywh.shape == (0, 4)
        assert boxes.labels == ()


def test_positions_count_anew_in_each_line():
    assert line_ids(np.array([0, 0, 2, 2, 2])) == ["0/0", "0/1", "2/0", "2/1", "2/2"]


@pytest.mark.parametrize("identity", ["", "7", "a/b", "-1/0", "1/2/3", "9999999999/0", "1/2\n"])
def test_ids_of_other_kinds_are_no_lines(identity):
    message = truth_message(BOXES[:1], ["3"], 0)
    object.__setattr__(message.detections[0], "id", identity)
    assert read_detections(message).lines.tolist() == [NO_LINE]


def test_a_box_without_a_class():
    message = truth_message(BOXES[:1], ["3"], 0)
    object.__setattr__(message.detections[0], "results", [])
    boxes = read_detections(message)
    assert boxes.labels == ("",)
    assert np.isnan(boxes.scores).all()


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("not_finite", "size_x", float("nan")), ("not_finite", "size_y", float("inf")),
     ("size", "size_x", 0.0), ("size", "size_y", -3.0)],
)  # fmt: skip
def test_a_box_that_is_none_is_refused(kind, field, value):
    message = truth_message(BOXES, ["3", "7", "3"], 0)
    bad = copy.copy(message.detections[1].bbox)
    object.__setattr__(bad, field, value)
    object.__setattr__(message.detections[1], "bbox", bad)
    with pytest.raises(MessageError, match="box 1 is") as caught:
        read_detections(message)
    assert caught.value.kind == kind


def test_messages_of_another_type_are_refused():
    boxes = truth_message(BOXES[:1], ["3"], 0).detections[0].bbox
    for message in (
        SimpleNamespace(detections=[SimpleNamespace(bbox=boxes, id="")]),
        SimpleNamespace(detections=[SimpleNamespace(bbox=boxes, id="", results=[1])]),
        SimpleNamespace(data=b""),
    ):
        with pytest.raises(MessageError) as caught:
            read_detections(message)
        assert caught.value.kind == "type"


def test_what_does_not_fit_together_is_not_written():
    for boxes, scores, lines in (
        (BOXES, np.ones((2, 1)), None),
        (BOXES, np.ones((3, 2)), None),
        (BOXES, np.ones((3, 1)), np.zeros(2, int)),
        (BOXES[:, :3], np.ones((3, 1)), None),
    ):
        with pytest.raises(BagError, match="expected"):
            detections_message(boxes, ("a",), scores, 0, lines=lines)
