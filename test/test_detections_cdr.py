"""Serialised detections against rosbags' serialisation."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.detections_cdr import (
    MAXIMUM_BOXES,
    Found,
    best_first,
    boxes_from_cdr,
    centres,
    detections_to_cdr,
)
from nn_perception.errors import MessageError
from nn_perception.image_cdr import RawHeader, Stamp

STORE = default_typestore()
KIND = "vision_msgs/msg/Detection2DArray"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
NUMBERS = st.floats(-1e6, 1e6)
HYPOTHESES = st.lists(st.tuples(TEXTS, NUMBERS), max_size=3)
DETECTIONS = st.lists(
    st.builds(Found, st.lists(NUMBERS, min_size=4, max_size=4), HYPOTHESES, TEXTS), max_size=4
)


def make(kind, *values):
    return STORE.types[kind](*values)


def no_pose():
    zero = make("geometry_msgs/msg/Point", 0.0, 0.0, 0.0)
    identity = make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0)
    pose = make("geometry_msgs/msg/Pose", zero, identity)
    return make("geometry_msgs/msg/PoseWithCovariance", pose, np.zeros(36))


def message(found, frame="camera", stamp=(3, 4)):
    """The message that `detections_to_cdr` is to write."""
    header = make("std_msgs/msg/Header", make("builtin_interfaces/msg/Time", *stamp), frame)
    detections = []
    for one in found:
        results = [
            make(
                "vision_msgs/msg/ObjectHypothesisWithPose",
                make("vision_msgs/msg/ObjectHypothesis", name, score),
                no_pose(),
            )
            for name, score in one.hypotheses
        ]
        x, y, width, height = one.box_cxcywh
        centre = make("vision_msgs/msg/Pose2D", make("vision_msgs/msg/Point2D", x, y), 0.0)
        box = make("vision_msgs/msg/BoundingBox2D", centre, width, height)
        detections.append(make("vision_msgs/msg/Detection2D", header, results, box, one.id))
    return make(KIND, header, detections)


def serialise(found, little_endian=True, **changes):
    return bytes(STORE.serialize_cdr(message(found, **changes), KIND, little_endian=little_endian))


@given(found=DETECTIONS, frame=TEXTS, stamp=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_what_is_written_is_what_rosbags_writes(found, frame, stamp):
    header = RawHeader(Stamp(*stamp), frame)
    assert detections_to_cdr(header, found) == serialise(found, frame=frame, stamp=stamp)


@given(found=DETECTIONS, frame=TEXTS, little=st.booleans())
def test_boxes_are_those_that_were_serialised(found, frame, little):
    read = boxes_from_cdr(serialise(found, little, frame=frame))
    assert (read.header.frame_id, read.header.stamp) == (frame, (3, 4))
    boxes = [one.bbox for one in read.detections]
    assert [(*b.center.position, b.size_x, b.size_y) for b in boxes] == [
        tuple(one.box_cxcywh) for one in found
    ]


TWO = [Found((1.0, 2.0, 3.0, 4.0), [("a", 0.5)], "0/0"), Found((5.0, 6.0, 7.0, 8.0), [], "")]


def test_every_truncation_is_undecodable():
    raw = serialise(TWO)
    for end in range(len(raw)):
        with pytest.raises(MessageError) as error:
            boxes_from_cdr(raw[:end])
        assert error.value.kind == "undecodable"


def test_ten_thousand_boxes_are_read_and_more_are_refused():
    many = [Found((1.0, 2.0, 3.0, 4.0), [], "")] * MAXIMUM_BOXES
    raw = detections_to_cdr(RawHeader(Stamp(0, 0), ""), many)
    assert len(boxes_from_cdr(raw).detections) == MAXIMUM_BOXES
    more = raw.replace(struct.pack("<I", MAXIMUM_BOXES), struct.pack("<I", MAXIMUM_BOXES + 1), 1)
    with pytest.raises(MessageError, match="10001 boxes") as error:
        boxes_from_cdr(more)
    assert error.value.kind == "too_many_boxes"


@settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_mutated_bytes_give_boxes_or_a_message_error(data):
    damaged = bytearray(serialise(TWO))
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = boxes_from_cdr(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except MessageError:
        return
    assert all(isinstance(one.bbox.size_x, float) for one in found.detections)


def test_centres_and_the_best_classes():
    boxes = np.array([[10.0, 20.0, 4.0, 6.0]], np.float32)
    assert centres(boxes) == [[12.0, 23.0, 4.0, 6.0]]
    scores = np.array([[0.1, 0.6, 0.3], [0.4, 0.2, 0.4]])
    assert best_first(("a", "b", "c"), scores, 2) == [
        [("b", 0.6), ("c", 0.3)],
        [("a", 0.4), ("c", 0.4)],
    ]
    assert best_first(("a", "b"), scores[:0, :2], 3) == []
    assert best_first(("a", "b", "c"), scores[:1], 9) == [[("b", 0.6), ("c", 0.3), ("a", 0.1)]]
