from types import SimpleNamespace

import pytest

from nn_perception.errors import BagError
from nn_perception.evaluation.topics import choose_topics
from nn_perception.tasks.pipeline import InputSpec

BOXES = "vision_msgs/msg/Detection2DArray"
INPUTS = (InputSpec("image_raw", ("image",), "newest"), InputSpec("boxes", (BOXES,), "every"))
TRUTH = (InputSpec("truth", (BOXES,), "every"),)


def topic(kind, count=1):
    return SimpleNamespace(type=kind, count=count)


def test_boxes_and_truth_of_one_type_are_told_apart_by_name():
    bag = {"/a": topic("image"), "/x/boxes": topic(BOXES), "/truth": topic(BOXES)}
    chosen = choose_topics(bag, INPUTS, TRUTH, {})
    assert chosen == {"image_raw": "/a", "boxes": "/x/boxes", "truth": "/truth"}


def test_the_truth_is_never_taken_for_an_input_by_itself():
    bag = {"/a": topic("image"), "/truth": topic(BOXES)}
    with pytest.raises(BagError, match="/truth would be both 'boxes' and 'truth'"):
        choose_topics(bag, INPUTS, TRUTH, {})


def test_a_truth_without_messages_is_left_out():
    bag = {"/a": topic("image"), "/truth": topic(BOXES, 0)}
    assert choose_topics(bag, INPUTS[:1], TRUTH, {}) == {"image_raw": "/a"}


def test_an_input_without_messages_is_left_for_the_reader_to_tell():
    bag = {"/image_raw": topic("image", 0)}
    assert choose_topics(bag, INPUTS[:1], (), {}) == {"image_raw": "/image_raw"}
