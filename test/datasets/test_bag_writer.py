from __future__ import annotations

import numpy as np
import pytest
from ruamel.yaml import YAML

from nn_perception.datasets.bag_types import default_typestore, message_class
from nn_perception.datasets.bags import (
    BagReader,
    BagWriter,
    classification_message,
    image_message,
    record_labelled_images,
)
from nn_perception.errors import BagError

IMAGE = "sensor_msgs/msg/Image"
STAMP_NS = 12 * 10**9 + 34


def test_image_message_of_grey():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    message = image_message(image, "mono8", STAMP_NS, "eye")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 34)
    assert message.header.frame_id == "eye"
    assert (message.height, message.width, message.step) == (3, 4, 4)
    assert message.encoding == "mono8"
    assert bytes(message.data) == bytes(range(12))


def test_image_message_of_colour_with_padded_rows():
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    message = image_message(image, "rgb8", 0, step=12)
    assert message.step == 12
    assert message.data.reshape(2, 12)[:, :9].tolist() == image.reshape(2, 9).tolist()
    assert not message.data.reshape(2, 12)[:, 9:].any()


@pytest.mark.parametrize(("big_endian", "order"), [(False, "<u2"), (True, ">u2")])
def test_image_message_of_16_bit_in_both_byte_orders(big_endian, order):
    image = np.array([[1, 500], [40_000, 65_535]], np.uint16)
    message = image_message(image, "mono16", 0, big_endian=big_endian)
    assert message.is_bigendian == big_endian
    assert message.step == 4
    assert np.frombuffer(bytes(message.data), order).tolist() == image.ravel().tolist()


def test_image_message_of_a_view_and_of_nothing():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::3]
    assert image_message(image, "mono8", 0).data.tolist() == image.ravel().tolist()
    assert image_message(np.zeros((0, 4), np.uint8), "mono8", 0).data.size == 0


def test_image_message_refuses_what_cannot_be_laid_out():
    with pytest.raises(BagError, match="step is 3 bytes, expected at least the 4"):
        image_message(np.zeros((2, 4), np.uint8), "mono8", 0, step=3)
    with pytest.raises(BagError, match=r"\(4,\)"):
        image_message(np.zeros(4, np.uint8), "mono8", 0)


def test_classification_message():
    message = classification_message(["3", "8"], np.array([0.75, 0.25]), STAMP_NS)
    assert [(each.class_id, each.score) for each in message.results] == [("3", 0.75), ("8", 0.25)]
    with pytest.raises(BagError, match="1 labels but 2 scores"):
        classification_message(["3"], [0.5, 0.5], 0)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_is_what_ros2_bag_expects(tmp_path, storage):
    path = tmp_path / "bag"
    images = np.zeros((4, 2, 2, 1), np.uint8)
    assert record_labelled_images(path, images, list("0123"), 10.0, storage=storage) == 4
    data = YAML(typ="safe").load((path / "metadata.yaml").read_text())
    info = data["rosbag2_bagfile_information"]
    assert info["version"] == 8  # newer ones cannot be read by Humble
    assert info["storage_identifier"] == storage
    assert info["message_count"] == 8
    assert info["duration"]["nanoseconds"] == 300_000_000
    assert [(path / name).is_file() for name in info["relative_file_paths"]] == [True]
    for topic in info["topics_with_message_count"]:
        meta = topic["topic_metadata"]
        assert topic["message_count"] == 4
        assert meta["serialization_format"] == "cdr"
        assert meta["type_description_hash"] == default_typestore().hash_rihs01(meta["type"])
        (qos,) = YAML(typ="safe").load(meta["offered_qos_profiles"])
        # rmw's numbers: keep last, reliable, volatile, automatic
        assert [qos[key] for key in ("history", "reliability", "durability", "liveliness")] == [
            1,
            1,
            2,
            1,
        ]
        assert qos["deadline"] == {"sec": 9223372036, "nsec": 854775807}


def test_mcap_is_read_by_the_reference_library(tmp_path):
    reader = pytest.importorskip("mcap.reader")
    record_labelled_images(tmp_path / "bag", np.zeros((3, 2, 2), np.uint8), "abc")
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        found = [
            (schema.name, schema.encoding, channel.topic, channel.message_encoding)
            for schema, channel, _ in reader.make_reader(stream).iter_messages()
        ]
    assert found[:2] == [
        (IMAGE, "ros2msg", "/image_raw", "cdr"),
        ("vision_msgs/msg/Classification", "ros2msg", "/label", "cdr"),
    ]
    assert len(found) == 6


def test_recorded_images_and_labels_have_equal_stamps(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    record_labelled_images(tmp_path / "bag", images, "abcde", 30.0, frame_id="eye", start_ns=10**18)
    with BagReader(tmp_path / "bag") as bag:
        read = list(bag.messages())
    assert [topic for topic, _, _ in read] == ["/image_raw", "/label"] * 5
    times = [time_ns for _, time_ns, _ in read]
    assert times[::2] == times[1::2]
    assert times[2] - times[0] == 33_333_333
    assert times[8] - times[0] == 133_333_333
    for index, (_, time_ns, message) in enumerate(read):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == time_ns
        assert message.header.frame_id == "eye"
        if index % 2:
            assert [(each.class_id, each.score) for each in message.results] == [
                ("abcde"[index // 2], 1.0)
            ]
        else:
            assert message.encoding == "rgb8"
            assert bytes(message.data) == images[index // 2].tobytes()


def test_the_same_recording_is_the_same_file(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        record_labelled_images(tmp_path / name / "bag", np.zeros((3, 2, 2), np.uint8), "abc")
    first, second = ((tmp_path / name / "bag" / "bag.mcap") for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (2, "a", "no label number 1"),
        (1, "ab", "no image number 1"),
        (0, "", "no images to record"),
    ],
)
def test_recording_needs_a_label_for_each_image(tmp_path, images, labels, words):
    with pytest.raises(BagError, match=words):
        record_labelled_images(tmp_path / "bag", np.zeros((images, 2, 2), np.uint8), labels)
    with pytest.raises(BagError, match=r"no metadata\.yaml"):
        BagReader(tmp_path / "bag").__enter__()


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_recording_needs_a_rate(tmp_path, rate_hz):
    with pytest.raises(BagError, match="rate is"):
        record_labelled_images(tmp_path / "bag", np.zeros((1, 2, 2), np.uint8), "a", rate_hz)


def test_an_existing_path_is_not_overwritten(tmp_path):
    with pytest.raises(BagError, match="is there already"):
        BagWriter(tmp_path).__enter__()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BagError, match="cannot be made"):
        BagWriter(tmp_path / "file" / "bag").__enter__()


def test_misuse_of_the_writer_is_reported(tmp_path):
    with pytest.raises(BagError, match="storage is 'zip'"):
        BagWriter(tmp_path / "bag", "zip").__enter__()
    with pytest.raises(BagError, match="is not open"):
        BagWriter(tmp_path / "bag").add_topic("/a", IMAGE)
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/a", IMAGE)
        with pytest.raises(BagError, match="added before"):
            bag.add_topic("/a", IMAGE)
        with pytest.raises(BagError, match="was not added"):
            bag.write("/b", 0, None)
        with pytest.raises(BagError, match=f"no {IMAGE}"):
            bag.write("/a", 0, message_class("builtin_interfaces/msg/Time")(1, 2))
