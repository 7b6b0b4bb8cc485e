import dataclasses

import numpy as np
import pytest

from nn_perception.datasets.bags import (
    BagReader,
    BagWriter,
    classification_message,
    image_message,
    record_labelled_images,
)
from nn_perception.errors import BagError, ConfigError
from nn_perception.evaluation.image_classification import (
    ClassificationEvaluation,
    choose_evaluation,
)
from nn_perception.evaluation.replay import replay
from nn_perception.tasks.loading import open_pipeline

IMAGE = "sensor_msgs/msg/Image"


@pytest.fixture(scope="module")
def images():
    # Dark at the border, so that no picture is inverted as ink on paper would be.
    return np.random.default_rng(0).integers(0, 200, (60, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def pipeline(tiny_bundle):
    return open_pipeline(tiny_bundle, device="cpu")


def run(bag, pipeline, **arguments):
    evaluation = ClassificationEvaluation(pipeline, keep_results=True)
    return replay(bag, pipeline, evaluation, **arguments), evaluation


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_replay_gives_the_scores_of_the_pictures(tmp_path, pipeline, images, storage):
    scores = pipeline.classify(images)
    answers = [str(i) for i in scores.argmax(1)]
    labels = [*answers[:-15], *(str((int(a) + 1) % 10) for a in answers[-15:])]
    record_labelled_images(tmp_path / "bag", images, labels, 50.0, storage=storage)
    done, evaluation = run(tmp_path / "bag", pipeline)
    assert (done.messages, done.answered, dict(done.bad)) == (60, 60, {})
    assert done.topics == {"image_raw": "/image_raw", "label": "/label"}
    assert done.bag_seconds == pytest.approx(59 / 50)
    np.testing.assert_allclose(
        np.stack(list(evaluation.scores_by_stamp.values())), scores, atol=1e-6
    )
    assert evaluation.metrics().accuracy == pytest.approx(45 / 60)
    assert len(evaluation.wrong) == 15
    picture, truth, answer, score = evaluation.wrong[0]
    assert (truth, answer) == (labels[45], answers[45])
    assert np.array_equal(picture[..., 0], images[45])
    assert score == pytest.approx(scores[45].max(), abs=1e-6)


def test_answers_can_be_recorded_and_read_again(tmp_path, pipeline, images):
    record_labelled_images(tmp_path / "bag", images, ["0"] * 60)
    _, evaluation = run(tmp_path / "bag", pipeline)
    evaluation.record_results(tmp_path / "answers")
    with BagReader(tmp_path / "bag") as source, BagReader(tmp_path / "answers") as bag:
        times = [time_ns for _, time_ns, _ in source.messages(["/image_raw"])]
        found = list(bag.messages(["/classification"]))
    assert [time_ns for _, time_ns, _ in found] == times
    scores = np.stack(list(evaluation.scores_by_stamp.values()))
    for (_, _, message), row in zip(found, scores, strict=True):
        assert [hypothesis.score for hypothesis in message.results] == row.tolist()


def test_a_frame_that_is_not_known_is_recorded_without_a_class(tmp_path, pipeline, images):
    record_labelled_images(tmp_path / "bag", images[:3], ["0"] * 3)
    evaluation = ClassificationEvaluation(pipeline, keep_results=True)
    process = pipeline.process_many

    class Choosy:
        bundle, inputs, reset = pipeline.bundle, pipeline.inputs, staticmethod(pipeline.reset)

        @staticmethod
        def process(name, message):
            (result,) = process([(name, message)])
            return dataclasses.replace(result, accepted=result.stamp_ns % 2 == 0)

    replay(tmp_path / "bag", Choosy(), evaluation)
    evaluation.record_results(tmp_path / "answers")
    with BagReader(tmp_path / "answers") as bag:
        found = [message for _, _, message in bag.messages(["/classification"])]
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in found]
    assert [len(m.results) for m in found] == [10 * (stamp % 2 == 0) for stamp in stamps]
    assert evaluation.not_answered == sum(stamp % 2 for stamp in stamps) > 0
    # Of two frames with one stamp the last counts, for scores and answers alike.
    again = pipeline.process("image_raw", image_message(images[0], "mono8", stamps[1]))
    for accepted, count in ((False, 1), (True, 0), (False, 1), (False, 1)):
        fresh = dataclasses.replace(again, stamp_ns=1, accepted=accepted)
        evaluation.add_result(None, fresh, 1)
        assert evaluation.not_answered == sum(stamp % 2 for stamp in stamps) + count


def test_bad_frames_are_skipped_and_counted(tmp_path, pipeline, images):
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/image_raw", IMAGE)
        for number, image in enumerate(images[:6]):
            message = image_message(image, "mono8", number * 10**9)
            if number == 2:
                object.__setattr__(message, "encoding", "mono9")
            if number in (3, 4):
                object.__setattr__(message, "data", message.data[:-5])
            bag.write("/image_raw", number * 10**9, message)
    done, evaluation = run(tmp_path / "bag", pipeline)
    assert (done.messages, done.answered) == (6, 3)
    assert dict(done.bad) == {"encoding": 1, "data_short": 2}
    assert "mono9" in done.bad_example["encoding"]
    assert evaluation.metrics() is None
    assert evaluation.to_dict()["accuracy"] is None


def test_label_recorded_before_its_image_and_unknown_labels(tmp_path, pipeline, images):
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/label", "vision_msgs/msg/Classification")
        bag.add_topic("/image_raw", IMAGE)
        for number, label in enumerate(["3", "cat", "4"]):
            stamp = number * 10**9 + 5
            bag.write("/label", stamp - 1, classification_message([label], [1.0], stamp))
            bag.write("/image_raw", stamp, image_message(images[number], "mono8", stamp))
    _, evaluation = run(tmp_path / "bag", pipeline)
    assert evaluation.metrics().n == 2
    assert evaluation.unknown_labels == {"cat"}


def two_cameras(path, images):
    with BagWriter(path) as bag:
        for topic in ("/left/image_raw", "/right/image_raw", "/left/depth"):
            bag.add_topic(topic, IMAGE)
            bag.write(topic, 1, image_message(images[0], "mono8", 1))
        bag.add_topic("/label", "vision_msgs/msg/Classification")
        bag.write("/label", 1, classification_message(["1"], [1.0], 1))


def test_topics_by_name_and_when_several_fit(tmp_path, pipeline, images):
    two_cameras(tmp_path / "bag", images)
    with pytest.raises(BagError, match="--topic image_raw=TOPIC"):
        run(tmp_path / "bag", pipeline)
    for name in ("/right/image_raw", "right/image_raw"):
        done, _ = run(tmp_path / "bag", pipeline, topics={"image_raw": name})
        assert (done.messages, done.topics["image_raw"]) == (1, "/right/image_raw")


def test_several_cameras_are_replayed_one_at_a_time(tiny_bundle):
    """Their frames may have the same stamps, and one's truth is none for the other's answers."""
    with pytest.raises(ConfigError, match=r"left/image_raw, right/image_raw: take one"):
        choose_evaluation(open_pipeline(tiny_bundle, settings={"cameras": "left,right"}))
    one = open_pipeline(tiny_bundle, settings={"cameras": "left"})
    assert choose_evaluation(one).pipeline is one


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({"image_raw": "/missing"}, ["no topic '/missing'", "/left/image_raw"]),
        ({"image_raw": "/label"}, ["/label is vision_msgs", "sensor_msgs/msg/Image"]),
        ({"imgae": "/left/image_raw"}, ["imgae", "image_raw"]),
    ],
)
def test_wrong_topic_is_named_with_what_is_there(tmp_path, pipeline, images, topics, words):
    two_cameras(tmp_path / "bag", images)
    with pytest.raises(BagError) as caught:
        run(tmp_path / "bag", pipeline, topics=topics)
    for word in words:
        assert word in str(caught.value)


def test_bag_without_images(tmp_path, pipeline):
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/label", "vision_msgs/msg/Classification")
        bag.write("/label", 1, classification_message(["1"], [1.0], 1))
    with pytest.raises(BagError, match="no topic of type"):
        run(tmp_path / "bag", pipeline)
