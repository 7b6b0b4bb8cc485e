"""RegionsEvaluation, with pipelines that read what they are told."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nn_perception.datasets.bags import BagReader, BagWriter, image_message
from nn_perception.datasets.detection_messages import (
    DETECTION_ARRAY,
    read_detections,
    truth_message,
)
from nn_perception.datasets.digit_frames import DigitFrame
from nn_perception.errors import DatasetError, MessageError
from nn_perception.evaluation.image_classification import (
    ClassificationEvaluation,
    choose_evaluation,
)
from nn_perception.evaluation.regions import RegionsEvaluation
from nn_perception.evaluation.regions_report import FALSE, MISSED, RIGHT, WRONG
from nn_perception.evaluation.replay import replay
from nn_perception.messages import decode_image, frame_id, stamp_ns
from nn_perception.tasks.image_results import RegionsResult
from nn_perception.tasks.pipeline import InputSpec

pytest.importorskip("rosbags")

LABELS = tuple("0123456789")
IMAGE = "sensor_msgs/msg/Image"


def text_boxes(texts):
    """Boxes of 20 x 30 pixels, 40 apart, and their lines."""
    rows = [(20 + 40 * k, 20 + 60 * y, 20, 30) for y, text in enumerate(texts)
            for k, _ in enumerate(text)]  # fmt: skip
    lines = [y for y, text in enumerate(texts) for _ in text]
    return np.array(rows, np.float32).reshape(-1, 4), np.array(lines, np.int32)


def frame_of(*texts):
    """A white frame with a black block for each digit."""
    boxes, lines = text_boxes(texts)
    image = np.full((200, 320, 3), 255, np.uint8)
    for x, y, w, h in boxes.astype(int):
        image[y : y + h, x : x + w] = 0
    labels = np.array([int(digit) for text in texts for digit in text], np.int64)
    return DigitFrame(image, boxes, labels, lines, tuple(texts))


class Reader:
    """Answers frame after frame with given texts; a space is a digit that it does not see."""

    inputs = (InputSpec("image_raw", (IMAGE,), "newest"),)
    regions = "digits"

    def __init__(self, *answers, rejected=0, refused=None):
        self.bundle = SimpleNamespace(labels=LABELS, name="reader", id="0", task="digits")
        self.engine = SimpleNamespace(backend="none", device="cpu")
        self.answers, self.rejected, self.refused = list(answers), rejected, refused or {}
        self.reset()

    def reset(self):
        self.waiting = iter(self.answers)

    def process(self, name, message):
        assert name == "image_raw"
        if decode_image(message, 1).shape != (200, 320):
            raise MessageError("size", "not for this reader")
        texts = next(self.waiting)
        boxes, lines = text_boxes(texts)
        symbols = np.array([digit for text in texts for digit in text])
        seen = np.flatnonzero(symbols != " ") if len(symbols) else np.zeros(0, int)
        scores = np.full((len(seen), 10), 0.01)
        scores[np.arange(len(seen)), symbols[seen].astype(int)] = 0.91
        return RegionsResult(
            stamp_ns(message), frame_id(message), LABELS, boxes[seen], lines[seen], scores,
            self.rejected, self.refused, {"decode": 1e-3, "engine": 2e-3},
        )  # fmt: skip


def write_bag(path, frames, *, truth_first=False, drop=()):
    with BagWriter(path) as bag:
        bag.add_topic("/image_raw", IMAGE)
        if any((number, "/truth") not in drop for number in range(len(frames))):
            bag.add_topic("/truth", DETECTION_ARRAY)
        for number, frame in enumerate(frames):
            stamp = number * 10**8 + 7
            truth = truth_message(
                frame.boxes_xywh, [str(label) for label in frame.labels], stamp, lines=frame.lines
            )
            image = image_message(frame.image, "rgb8", stamp)
            messages = [("/image_raw", image), ("/truth", truth)]
            for topic, message in reversed(messages) if truth_first else messages:
                if (number, topic) not in drop:
                    bag.write(topic, stamp, message)
    return path


FRAMES = (frame_of("123", "45"), frame_of("7"), frame_of(), frame_of("99"))
ANSWERS = (("123", "4 "), ("1",), ("88",), ("99",))  # one missed, one wrong, two false, all right


@pytest.mark.parametrize("truth_first", [False, True])
def test_figures_of_a_replay(tmp_path, truth_first):
    bag = write_bag(tmp_path / "bag", FRAMES, truth_first=truth_first)
    evaluation = choose_evaluation(Reader(*ANSWERS), keep_results=True)
    assert isinstance(evaluation, RegionsEvaluation)
    done = replay(bag, evaluation.pipeline, evaluation)
    assert done.topics == {"image_raw": "/image_raw", "truth": "/truth"}
    metrics = evaluation.metrics()
    assert (metrics.frames, metrics.true, metrics.found, metrics.matched) == (4, 8, 9, 7)
    assert metrics.reading_accuracy == 6 / 8
    assert (metrics.lines, metrics.lines_exact) == (4, 2 / 4)
    assert metrics.frames_exact == 1 / 4
    rows = dict(evaluation.summary())
    assert rows["detection F1"] == "82.35% of 4 frames"
    assert rows["reading accuracy"] == "75.00% of 8 true"
    assert rows["lines exact"] == "50.00% of 4"
    figures = json.loads(json.dumps(evaluation.to_dict()))
    assert figures["f1"] == pytest.approx(14 / 17)
    assert [frame["matched"] for frame in figures["per_frame"]] == [4, 1, 0, 2]
    assert [frame["stamp_ns"] for frame in figures["per_frame"]][:2] == [7, 10**8 + 7]

    evaluation.record_results(tmp_path / "answers")
    with BagReader(tmp_path / "answers") as answers:
        found = [read_detections(message) for _, _, message in answers.messages(["/detections"])]
    assert ["".join(each.labels) for each in found] == ["1234", "1", "88", "99"]
    assert found[0].lines.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(found[3].scores, 0.91)


def test_pictures_show_what_went_wrong(tmp_path):
    bag = write_bag(tmp_path / "bag", FRAMES)
    evaluation = choose_evaluation(Reader(*ANSWERS))
    replay(bag, evaluation.pipeline, evaluation)
    captions = [entry.caption for entry in evaluation.pictures]
    assert captions == [
        "0 missed, 0 wrong, 2 false of 0",
        "1 missed, 0 wrong, 0 false of 5",
        "0 missed, 1 wrong, 0 false of 1",
    ]
    drawn = [
        {tuple(pixel) for pixel in entry.image.reshape(-1, 3).tolist()}
        for entry in evaluation.pictures
    ]
    for colours, expected in zip(drawn, ({FALSE}, {RIGHT, MISSED}, {WRONG}), strict=True):
        assert colours & {RIGHT, WRONG, MISSED, FALSE} == expected
    assert FRAMES[0].image.min() == 0  # untouched


def test_the_worst_frames_are_kept(tmp_path):
    frames = [frame_of("1" * (1 + k % 7)) for k in range(30)]
    bag = write_bag(tmp_path / "bag", frames)
    evaluation = choose_evaluation(Reader(*[()] * 30))
    replay(bag, evaluation.pipeline, evaluation)
    assert [entry.errors for entry in evaluation.pictures] == [7] * 4 + [6] * 4 + [5] * 4


def test_the_page_stands_alone(tmp_path):
    pytest.importorskip("matplotlib")
    bag = write_bag(tmp_path / "bag", FRAMES)
    evaluation = choose_evaluation(Reader(*ANSWERS))
    done = replay(bag, evaluation.pipeline, evaluation)
    page = evaluation.write_report(
        tmp_path / "report", title="<b>digits", facts={"bag": "x"}, latency=done.latency
    )
    text = page.read_text(encoding="utf-8")
    assert "82.35 %" in text
    assert "75.00 %" in text
    assert "&lt;b&gt;digits" in text
    assert "lines exact, of 4" in text
    picture = cv2.imread(str(tmp_path / "report" / "frames_with_errors.png"))
    assert picture.shape[1] == 1600
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["reading_accuracy"] == 0.75
    assert figures["latency_ms"]["engine"]["p50"] == pytest.approx(2.0)


def test_a_page_without_an_error(tmp_path):
    pytest.importorskip("matplotlib")
    bag = write_bag(tmp_path / "bag", [frame_of("12")])
    evaluation = choose_evaluation(Reader(("12",)))
    replay(bag, evaluation.pipeline, evaluation)
    page = evaluation.write_report(tmp_path / "report", title="digits", facts={})
    assert "None." in page.read_text(encoding="utf-8")
    assert not (tmp_path / "report" / "frames_with_errors.png").exists()


def test_frames_without_truth_and_truth_without_an_answer(tmp_path):
    bag = write_bag(tmp_path / "bag", FRAMES, drop={(0, "/truth"), (3, "/image_raw")})
    evaluation = choose_evaluation(Reader(*ANSWERS))
    replay(bag, evaluation.pipeline, evaluation)
    figures = evaluation.to_dict()
    assert (figures["frames"], figures["frames_without_truth"]) == (2, 1)
    assert figures["frames_without_answer"] == 1
    assert evaluation.metrics().reading_accuracy == 0.0  # of the seven, read as a one


def test_without_any_truth_nothing_is_claimed(tmp_path):
    drop = {(number, "/truth") for number in range(4)}
    bag = write_bag(tmp_path / "bag", FRAMES, drop=drop)
    evaluation = choose_evaluation(Reader(*ANSWERS))
    replay(bag, evaluation.pipeline, evaluation)
    assert evaluation.metrics() is None
    assert "unknown" in str(dict(evaluation.summary())["detection F1"])
    assert evaluation.to_dict()["f1"] is None
    with pytest.raises(DatasetError, match="--topic truth=TOPIC"):
        evaluation.write_report(tmp_path / "report", title="x", facts={})


def test_what_was_left_out_is_said():
    evaluation = RegionsEvaluation(Reader(("1",), rejected=3, refused={"too_many": 5, "none": 0}))
    boxes = np.array([[0.0, 0.0, 5.0, 5.0]])
    evaluation.add_truth("truth", truth_message(boxes, ["cat"], 1), 1)
    bad = truth_message(np.array([[0.0, 0.0, -5.0, 5.0]]), ["1"], 2)
    evaluation.add_truth("truth", bad, 2)
    image = image_message(FRAMES[1].image, "rgb8", 1)
    evaluation.add_result(image, evaluation.pipeline.process("image_raw", image), 1)
    rows = dict(evaluation.summary())
    assert rows["regions of no known class"] == 3
    assert rows["boxes refused"] == "5 x too_many"
    assert rows["truth refused"] == "1 x size"
    assert rows["labels unknown to the model"] == "cat"
    figures = evaluation.to_dict()
    assert (figures["rejected"], figures["refused"]) == (3, {"too_many": 5})
    assert figures["bad_truth"] == {"size": 1}


def test_answers_that_come_with_boxes_have_no_picture():
    evaluation = RegionsEvaluation(Reader(("1",)))
    truth = truth_message(*text_boxes_of("7"), 5)
    evaluation.add_truth("truth", truth, 5)
    result = evaluation.pipeline.process("image_raw", image_message(FRAMES[1].image, "rgb8", 5))
    evaluation.add_result(truth, result, 5)
    assert evaluation.metrics().reading_accuracy == 0.0
    assert evaluation.pictures == []


def text_boxes_of(text):
    return text_boxes([text])[0], list(text)


def test_generated_frames_need_no_bag():
    evaluation = RegionsEvaluation(Reader(*ANSWERS))
    counted = []
    metrics = evaluation.evaluate_frames(FRAMES, 4, counted.append)
    assert sum(counted) == 4
    assert metrics.reading_accuracy == 6 / 8
    assert metrics == evaluation.metrics()
    assert evaluation.latency.to_dict()["engine"]["p50"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("regions", "kind"),
    [("full", ClassificationEvaluation), ("center", ClassificationEvaluation),
     ("auto", ClassificationEvaluation), (None, ClassificationEvaluation),
     ("digits", RegionsEvaluation), ("detections", RegionsEvaluation)],
)  # fmt: skip
def test_the_evaluation_follows_what_is_answered(regions, kind):
    pipeline = SimpleNamespace(bundle=SimpleNamespace(labels=LABELS))
    if regions is not None:
        pipeline.regions = regions
    assert type(choose_evaluation(pipeline)) is kind


class LateReader(Reader):
    """Answers when the boxes of a frame come, which is all that it waits for."""

    inputs = (
        InputSpec("image_raw", (IMAGE,), "newest"),
        InputSpec("boxes", (DETECTION_ARRAY,), "every"),
    )
    regions = "detections"

    def process(self, name, message):
        if name == "image_raw":
            self.image = message
            return None
        return super().process("image_raw", self.image)


def test_pictures_of_frames_whose_answer_comes_with_their_boxes(tmp_path):
    bag = write_bag(tmp_path / "bag", FRAMES)
    evaluation = choose_evaluation(LateReader(*ANSWERS))
    # Boxes and truth are the same here, so that no topic is missing.
    with BagReader(bag) as source, BagWriter(tmp_path / "with_boxes") as copy:
        topics = {name: info.type for name, info in source.topics.items()}
        for topic, kind in {**topics, "/boxes": DETECTION_ARRAY}.items():
            copy.add_topic(topic, kind)
        for topic, time_ns, message in source.messages(list(topics)):
            copy.write(topic, time_ns, message)
            if topic == "/truth":
                copy.write("/boxes", time_ns, message)
    done = replay(tmp_path / "with_boxes", evaluation.pipeline, evaluation)
    assert (done.messages, done.answered) == (8, 4)
    assert [entry.errors for entry in evaluation.pictures] == [2, 1, 1]
