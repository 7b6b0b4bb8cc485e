"""Data sets of pictures: which label belongs to a frame, and the same pictures as the node sees."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import (
    BagWriter,
    classification_message,
    header,
    image_message,
    record_labelled_images,
)
from nn_perception.datasets.build import build_dataset
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.detection_messages import DETECTION_ARRAY, truth_message
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.recorded import provenance
from nn_perception.errors import BagError, DatasetError
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.evaluation.replay import replay
from nn_perception.regions.crops import cut_box
from nn_perception.tasks.classification import converter, prepare_image
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.tasks.digits.pipeline import PREPROCESSING
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.objects.pipeline import preprocessing

pytest.importorskip("rosbags")
pytest.importorskip("pyarrow")
TEST_ONLY = BuildSettings(split=(0, 0, 100), plots=False, jobs=1)
IMAGE, LABEL = "/image_raw", "/label"
KINDS = {
    IMAGE: "sensor_msgs/msg/Image",
    "/jpeg": "sensor_msgs/msg/CompressedImage",
    LABEL: "vision_msgs/msg/Classification",
    "/text": "std_msgs/msg/String",
    "/truth": DETECTION_ARRAY,
}
MS = 1_000_000


def frames(count=40, seed=0, size=(48, 64)):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def record(path, events):
    """(topic, time in ms, message or what it is made of) of any topics of `KINDS`."""
    with BagWriter(path) as bag:
        for topic in {topic: 0 for topic, _, _ in events}:
            bag.add_topic(topic, KINDS[topic])
        for topic, at_ms, given in events:
            stamp = at_ms * MS
            if topic == IMAGE:
                message = image_message(given, "rgb8", stamp)
            elif topic == LABEL:
                message = classification_message([given], [1.0], stamp)
            elif topic == "/text":
                message = message_class(KINDS[topic])(data=given)
            elif topic == "/jpeg":
                data = np.frombuffer(given, np.uint8)
                message = message_class(KINDS[topic])(header(stamp, "c"), "jpeg", data)
            else:
                message = given
            bag.write(topic, stamp, message)
    return path


def build(path, tmp_path, task="objects", settings=TEST_ONLY, name="set"):
    return build_dataset([path], task, tmp_path / name, settings)


def stored(tmp_path, name="set", **given):
    found = load_image_set(tmp_path / name, **given)
    return found, [found.class_names[label] for label in found.labels]


def test_evaluating_the_data_set_gives_the_figures_of_a_replay(tmp_path, tiny_bundle):
    pictures = frames(60, size=(40, 52))
    labels = [str(n) for n in np.random.default_rng(1).integers(0, 10, 60)]
    record_labelled_images(tmp_path / "bag", pictures, labels)
    build(tmp_path / "bag", tmp_path, "digits")
    pipeline = open_pipeline(tiny_bundle.path, device="cpu")
    replayed, evaluated = (ClassificationEvaluation(pipeline) for _ in range(2))
    replay(tmp_path / "bag", pipeline, replayed)
    metrics = evaluated.evaluate_data(tmp_path / "set")
    assert metrics.to_dict() == replayed.metrics().to_dict()
    assert metrics.n == 60
    scores = pipeline.classify(load_image_set(tmp_path / "set").images)
    by_stamp = [replayed.scores_by_stamp[stamp] for stamp in sorted(replayed.scores_by_stamp)]
    np.testing.assert_array_equal(scores, by_stamp)


def test_pictures_are_what_the_node_would_see(tmp_path):
    pictures = frames(6)
    events = [(IMAGE, i * 100, pictures[i]) for i in range(6)]
    record(tmp_path / "bag", [*events, *[(LABEL, i * 100, "ab"[i % 2]) for i in range(6)]])
    build(tmp_path / "bag", tmp_path)
    build(tmp_path / "bag", tmp_path, settings=replace(TEST_ONLY, size=32), name="small")
    for size in (32, 20):
        settings = preprocessing(size)
        expected = [prepare_image(image, settings).transpose(1, 2, 0) for image in pictures]
        found, labels = stored(tmp_path, convert=converter(settings))
        np.testing.assert_array_equal(found.images, expected)
        assert labels == list("ababab")
        if size == 32:
            small, _ = stored(tmp_path, "small", convert=converter(settings))
            np.testing.assert_array_equal(small.images, expected)
    with pytest.raises(DatasetError, match=r"prepared for.*32x32.*--size 20"):
        load_image_set(tmp_path / "small", convert=converter(preprocessing(20)))


def test_compressed_pictures_stay_the_files_that_came(tmp_path):
    blurred = [cv2.GaussianBlur(image, (9, 9), 4) for image in frames(4)]
    files = [cv2.imencode(".jpg", image)[1].tobytes() for image in blurred]
    events = [("/jpeg", i * 100, file) for i, file in enumerate(files)]
    record(tmp_path / "bag", [*events, *[(LABEL, i * 100, "x") for i in range(4)]])
    build(tmp_path / "bag", tmp_path)
    found, _ = stored(tmp_path)
    for image, file in zip(found.images, files, strict=True):
        expected = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(image, expected)


def test_boxes_are_cut_as_the_node_cuts_them(tmp_path):
    pictures = frames(3, size=(60, 80))
    boxes = np.array([[4.0, 6.0, 20.0, 30.0], [50.0, 10.0, 24.0, 12.0], [200.0, 0.0, 9.0, 9.0]])
    events = []
    for i, image in enumerate(pictures):
        truth = truth_message(boxes, ["car", "truck", "car"], i * 100 * MS)
        events += [(IMAGE, i * 100, image), ("/truth", i * 100, truth)]
    summary = build(record(tmp_path / "bag", events), tmp_path)
    assert summary.manifest["dropped"] == {"boxes outside": 3}
    settings = preprocessing(32)
    found, labels = stored(tmp_path, convert=converter(settings))
    assert labels == ["car", "truck"] * 3
    expected = [
        prepare_image(cut_box(image, box, 1.0), settings).transpose(1, 2, 0)
        for image in pictures
        for box in boxes[:2]
    ]
    np.testing.assert_array_equal(found.images, expected)


def test_labels_without_stamps_hold_and_others_go_to_the_nearest_frame(tmp_path):
    events = [(IMAGE, 100 * i, image) for i, image in enumerate(frames(12))]
    texts = [("/text", 150, "a"), ("/text", 550, "b"), ("/text", 850, "")]
    record(tmp_path / "held", sorted([*events, *texts], key=lambda event: event[1]))
    summary = build(tmp_path / "held", tmp_path)
    assert stored(tmp_path)[1] == ["a"] * 4 + ["b"] * 3
    assert summary.manifest["sources"][0]["labels"] == "hold"
    short = replace(TEST_ONLY, hold_s=0.2)
    build(tmp_path / "held", tmp_path, settings=short, name="short")
    assert stored(tmp_path, "short")[1] == ["a"] * 2 + ["b"] * 2
    own = [(LABEL, at, name) for at, name in ((110, "a"), (190, "b"), (460, "c"), (840, "d"))]
    record(tmp_path / "near", [*events, *own])
    summary = build(tmp_path / "near", tmp_path, name="nearest")
    assert summary.manifest["sources"][0]["labels"] == "nearest"
    assert stored(tmp_path, "nearest")[1] == ["a", "b", "c", "d"]
    assert summary.manifest["dropped"]["frames without a label"] == 8


def test_labels_that_contradict_each_other_are_none(tmp_path):
    events = [(IMAGE, 100 * i, image) for i, image in enumerate(frames(3))]
    events += [(LABEL, 0, "a"), (LABEL, 100, "a"), (LABEL, 100, "b"), (LABEL, 200, "b")]
    summary = build(record(tmp_path / "bag", events), tmp_path)
    assert stored(tmp_path)[1] == ["a", "b"]
    assert summary.manifest["dropped"]["stamps with different labels"] == 1


def test_what_cannot_be_labelled_is_told(tmp_path):
    picture, label = (IMAGE, 0, frames(1)[0]), (LABEL, 0, "a")
    far = (LABEL, 900, "a")
    two = [picture, label, ("/text", 0, "a")]
    cases = (
        ([picture], BagError, r"no topic of type .*Classification.*image_raw"),
        ([picture, *two[2:], ("/truth", 0, truth_message(np.zeros((0, 4)), [], 0))], BagError,
         r"several topics could be 'label'.*--topic label=TOPIC"),
        ([picture, (LABEL, 0, "")], DatasetError, r"no label that can be used.*without text"),
        ([picture, far], DatasetError, r"no frame of /image_raw has a label.*--labels"),
    )  # fmt: skip
    for number, (events, error, message) in enumerate(cases):
        record(tmp_path / f"bag{number}", events)
        with pytest.raises(error, match=message):
            build(tmp_path / f"bag{number}", tmp_path)
    record(tmp_path / "digits", [picture, (LABEL, 0, "seven")])
    with pytest.raises(DatasetError, match=r"label 'seven', expected one of 0, 1.*--skip-label"):
        build(tmp_path / "digits", tmp_path, "digits")
    named = replace(TEST_ONLY, topics={"label": "/text"})
    build(record(tmp_path / "two", two), tmp_path, settings=named)
    assert stored(tmp_path)[1] == ["a"]


def test_near_duplicates_are_never_on_both_sides(tmp_path):
    draw = np.random.default_rng(3)
    scenes = [cv2.resize(frames(1, i, (6, 8))[0], (64, 48)) for i in range(140)]
    scenes = [scenes[i // 4 % 10] if i < 40 else scenes[i] for i in range(140)]
    events = []
    for i, scene in enumerate(scenes):
        noisy = np.clip(scene + draw.normal(0.0, 2.0, scene.shape), 0, 255).astype(np.uint8)
        events += [(IMAGE, 100 * i, noisy), (LABEL, 100 * i, "ab"[i % 2])]
    record(tmp_path / "bag", events)
    settings = BuildSettings(block_s=0.2, guard_s=0.0, plots=False, jobs=1)
    summary = build(tmp_path / "bag", tmp_path, settings=settings)
    learned, tested = (stored(tmp_path, split=split)[0] for split in ("train", "test"))
    assert summary.manifest["dropped"]["pictures of test that look like ones learned from"] > 0
    apart = np.abs(tested.images[:, None].astype(int) - learned.images[None].astype(int)).mean(
        axis=(2, 3, 4)
    )
    assert apart.min() > 10.0
    both = replace(settings, keep_near_duplicates=True)
    everything = build(tmp_path / "bag", tmp_path, settings=both, name="both")
    assert sum(everything.rows.values()) == 140 > sum(summary.rows.values())


def test_training_takes_the_parts_as_the_data_set_has_them(tmp_path):
    labels = [str(n % 10) for n in range(200)]
    record_labelled_images(tmp_path / "bag", frames(200, size=(30, 30)), labels)
    settings = BuildSettings(block_s=0.5, guard_s=0.0, plots=False, jobs=1)
    summary = build(tmp_path / "bag", tmp_path, "digits", settings)
    learning = DigitLearning(DigitLearning.recipe("mlp"), tmp_path / "set")
    assert learning.train_size == summary.rows["train"]
    assert len(learning._validation[0]) == summary.rows["validation"]
    learned, _ = stored(tmp_path, split="train")
    tested, _ = stored(tmp_path)
    seen = {image.tobytes() for image in learned.images}
    assert not seen & {image.tobytes() for image in tested.images}
    assert learned.images.shape[1:] == (PREPROCESSING.height, PREPROCESSING.width, 1)
    assert provenance(tmp_path / "set")["sources"][0]["name"] == "bag"
