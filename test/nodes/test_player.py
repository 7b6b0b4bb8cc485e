"""A bag through the live node: the same answers as offline, frame by frame."""

import numpy as np
import pytest

from nn_perception.datasets.bags import BagWriter, image_message, record_labelled_images
from nn_perception.errors import BagError
from nn_perception.evaluation.replay import replay
from nn_perception.nodes.frames import ClientError, raw_stamp_ns
from nn_perception.nodes.player import IMMEDIATELY, PlayerError, play_bag
from nn_perception.tasks.loading import open_pipeline

FRAMES = 100


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Pictures in several sizes and encodings at 100 Hz, one of them unusable."""
    path = tmp_path_factory.mktemp("bags") / "camera"
    random = np.random.default_rng(1)
    with BagWriter(path) as writer:
        writer.add_topic("/camera/image", "sensor_msgs/msg/Image")
        for index in range(FRAMES):
            stamp_ns = 1_700_000_000_000_000_000 + index * 10_000_000
            channels, encoding = [((), "mono8"), ((3,), "rgb8"), ((4,), "bgra8")][index % 3]
            shape = (28 + index % 7, 28 + index % 5, *channels)
            pixels = random.integers(0, 256, shape, dtype=np.uint8)
            encoding = "unknown" if index == 50 else encoding
            writer.write("/camera/image", stamp_ns, image_message(pixels, encoding, stamp_ns))
    return path


class Collect:
    """The answers of a replay, by stamp."""

    truth = ()

    def __init__(self):
        self.by_stamp = {}

    def add_truth(self, name, message, time_ns):
        raise AssertionError("there is no truth topic")

    def add_result(self, message, result, time_ns):
        order = np.argsort(-result.scores, kind="stable")
        labels = tuple(result.labels[i] for i in order)
        self.by_stamp[result.stamp_ns] = (labels, tuple(result.scores[order]))


@pytest.fixture(scope="module")
def offline(bag, model_root):
    collected = Collect()
    done = replay(bag, open_pipeline(model_root / "digits", device="cpu"), collected)
    assert (done.messages, done.bad) == (FRAMES, {"encoding": 1})
    return collected.by_stamp


@pytest.mark.parametrize("rate", [IMMEDIATELY, 1.0])
def test_live_answers_are_the_offline_ones_frame_by_frame(start, ros, bag, offline, rate):
    start(queue_size=1000, qos_depth=1000)
    progress = []
    playback = play_bag(
        bag, rate=rate, context=ros, answer_timeout_s=1.0, on_progress=progress.append
    )
    assert sum(progress) == FRAMES
    live = {f.stamp_ns: (f.labels, f.scores) for f in playback.frames if f.answers}
    assert live == offline
    assert (playback.sent, playback.lost) == (FRAMES, 1)
    assert playback.frames[50].answers == 0
    assert (playback.answered_twice, playback.stray_answers) == (0, 0)
    assert playback.latency_s.min() > 0.0


def test_pace_is_that_of_the_bag(start, ros, bag):
    """Not a timing assertion on this machine's speed: frames can be late, never early."""
    start(queue_size=1000, qos_depth=1000)
    playback = play_bag(bag, rate=2.0, context=ros, answer_timeout_s=1.0)
    start_s = playback.frames[0].published_s
    for frame in playback.frames:
        assert frame.published_s - start_s >= frame.index * 0.005 - 1e-4


def test_parameters_are_set_at_their_frames(start, ros, bag):
    start(queue_size=1000, qos_depth=1000)
    settings = {30: {"model": "absent"}, 60: {"model": "seven"}}
    playback = play_bag(bag, rate=IMMEDIATELY, settings=settings, context=ros, answer_timeout_s=1.0)
    refused, taken = playback.changes
    assert (refused.frame_index, refused.name, refused.value) == (30, "model", "absent")
    assert not refused.successful
    assert "absent" in refused.reason
    assert taken.successful
    assert taken.requested_s < taken.answered_s
    frames = playback.frames
    assert frames[59].published_s < taken.requested_s < frames[61].published_s
    assert playback.swap_gap_s() > 0.0
    assert playback.lost == 1
    # How many frames a swap takes is up to the machine; what comes behind it knows the new model.
    after = play_bag(bag, rate=IMMEDIATELY, context=ros, answer_timeout_s=1.0)
    assert {frame.labels[0] for frame in after.frames if frame.answers} == {"7"}


def test_parameters_for_frames_that_do_not_exist_are_an_error(start, ros, bag):
    start()
    with pytest.raises(PlayerError, match="frame 1000"):
        play_bag(
            bag,
            rate=IMMEDIATELY,
            settings={1000: {"model": "seven"}},
            context=ros,
            answer_timeout_s=0.1,
        )


def test_frames_with_one_stamp_are_an_error(start, ros, tmp_path):
    start()
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image_raw", "sensor_msgs/msg/Image")
        for time_ns in (1, 2):
            message = image_message(np.zeros((28, 28), np.uint8), "mono8", stamp_ns=7)
            writer.write("/image_raw", time_ns, message)
    with pytest.raises(PlayerError, match="stamp"):
        play_bag(tmp_path / "bag", rate=IMMEDIATELY, context=ros)


def test_a_classifier_that_never_answers_is_an_error(start, ros, bag):
    start()
    from nn_perception.nodes.client import ClassifierClient

    with (
        ClassifierClient(context=ros, image_topic="/elsewhere") as client,
        pytest.raises(ClientError, match="/elsewhere"),
    ):
        client.connect(timeout_s=1.0)


@pytest.mark.parametrize(("topic", "reason"), [("/nope", "nope"), ("/label", "Classification")])
def test_a_wrong_topic_is_a_bag_error(ros, tmp_path, topic, reason):
    pictures = np.zeros((2, 28, 28), np.uint8)
    record_labelled_images(tmp_path / "bag", pictures, ["0", "1"])
    with pytest.raises(BagError, match=reason):
        play_bag(tmp_path / "bag", topic=topic, context=ros)


def test_stamp_of_serialised_messages():
    little = bytes([0, 1, 0, 0]) + (5).to_bytes(4, "little") + (6).to_bytes(4, "little")
    big = bytes([0, 0, 0, 0]) + (5).to_bytes(4, "big") + (6).to_bytes(4, "big")
    assert raw_stamp_ns(little) == raw_stamp_ns(big) == 5_000_000_006
    with pytest.raises(ClientError, match="header"):
        raw_stamp_ns(b"\0\1\0\0")
