from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from ruamel.yaml import YAML

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.datasets.bags import BagReader, BagTopic, BagWriter, record_labelled_images
from nn_perception.errors import BagError

IMAGE = "sensor_msgs/msg/Image"
CLASSIFICATION = "vision_msgs/msg/Classification"
IMU = "sensor_msgs/msg/Imu"
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = [str(index % 10) for index in range(40)]
STORAGES = {"mcap": "bag.mcap", "sqlite3": "bag.db3"}


@pytest.fixture(params=STORAGES)
def bag(request, tmp_path) -> Path:
    record_labelled_images(tmp_path / "bag", IMAGES, LABELS, 100.0, storage=request.param)
    return tmp_path / "bag"


def storage_file(bag: Path) -> Path:
    return next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))


def read_images(path: Path) -> np.ndarray:
    with BagReader(path) as bag:
        return np.stack([each.data.reshape(28, 28) for _, _, each in bag.messages(["/image_raw"])])


def refused(path: Path, words: str) -> str:
    """The message with which the bag is refused, on opening or on reading."""
    with pytest.raises(BagError, match=words) as caught, BagReader(path) as bag:
        for _ in bag.messages():
            pass
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("bare", [False, True])
def test_directories_and_bare_files_are_read(bag, bare, tmp_path):
    path = bag
    if bare:
        path = tmp_path / storage_file(bag).name
        shutil.move(storage_file(bag), path)
    with BagReader(path) as reader:
        assert reader.topics == {
            "/image_raw": BagTopic("/image_raw", IMAGE, 40),
            "/label": BagTopic("/label", CLASSIFICATION, 40),
        }
        assert reader.start_ns == 1_700_000_000 * 10**9
        assert reader.duration_s == pytest.approx(0.39)
        labels = [each.results[0].class_id for _, _, each in reader.messages(["/label"])]
    assert labels == LABELS
    assert np.array_equal(read_images(path), IMAGES)


def test_raw_messages_are_the_serialised_ones(bag):
    with BagReader(bag) as reader:
        raw = list(reader.raw_messages(["/image_raw"]))
        decoded = list(reader.messages(["/image_raw"]))
    assert [each[:2] for each in raw] == [each[:2] for each in decoded]
    again = default_typestore().serialize_cdr(decoded[7][2], IMAGE)
    assert raw[7][2] == bytes(again)


def test_a_reader_can_be_read_twice(bag):
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == len(list(reader.messages())) == 80


@pytest.mark.parametrize("mode", [CompressionMode.STORAGE, CompressionMode.MESSAGE])
def test_compressed_bags_are_read(tmp_path, bag, mode):
    with BagReader(bag) as reader:
        raw = list(reader.raw_messages())
    writer = Writer(tmp_path / "packed", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        types = {"/image_raw": IMAGE, "/label": CLASSIFICATION}
        connections = {
            name: writer.add_connection(name, each, typestore=default_typestore())
            for name, each in types.items()
        }
        for topic, time_ns, data in raw:
            writer.write(connections[topic], time_ns, data)
    assert np.array_equal(read_images(tmp_path / "packed"), IMAGES)


def test_a_recording_in_several_files_is_read(tmp_path):
    for name, part in (("one", slice(0, 25)), ("two", slice(25, 40))):
        start_ns = 10**18 + (part.start or 0)
        record_labelled_images(tmp_path / name, IMAGES[part], LABELS[part], start_ns=start_ns)
    shutil.move(tmp_path / "two" / "two.mcap", tmp_path / "one")
    yaml = YAML(typ="safe")
    data = yaml.load((tmp_path / "one" / "metadata.yaml").read_text())
    info = data["rosbag2_bagfile_information"]
    info["relative_file_paths"].append("two.mcap")
    info["message_count"] = 80
    for topic in info["topics_with_message_count"]:
        topic["message_count"] = 40
    yaml.dump(data, tmp_path / "one" / "metadata.yaml")
    assert np.array_equal(read_images(tmp_path / "one"), IMAGES)


def forget_definitions(path: Path) -> None:
    """Make an .db3 of the form that Humble writes: no definitions, no hashes."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE message_definitions; DROP TABLE schema;"
        "ALTER TABLE topics DROP COLUMN type_description_hash;"
    )
    connection.close()


def test_a_bag_without_definitions_is_read_with_the_known_types(tmp_path):
    record_labelled_images(tmp_path / "bag", IMAGES, LABELS, storage="sqlite3")
    path = tmp_path / "bag" / "bag.db3"
    forget_definitions(path)
    with BagReader(path) as reader:
        first = [message for _, _, message in reader.messages()][:2]
    assert bytes(first[0].data) == IMAGES[0].tobytes()
    assert first[1].results[0].class_id == "0"


def own_type(path: Path, definition: str, data: bytes, storage: StoragePlugin) -> None:
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connection = writer.add_connection(
            "/own", "own_msgs/msg/Own", msgdef=definition, rihs01="RIHS01_" + "0" * 64
        )
        writer.write(connection, 1, data)


def test_a_type_of_which_only_the_bag_knows_is_decoded(tmp_path):
    data = b"\0\1\0\0" + (7).to_bytes(4, "little")
    own_type(tmp_path / "bag", "uint32 value\n", data, StoragePlugin.MCAP)
    with BagReader(tmp_path / "bag" / "bag.mcap") as reader:
        assert [message.value for _, _, message in reader.messages()] == [7]


def test_a_definition_that_belies_its_hash_is_refused(tmp_path):
    own_type(tmp_path / "bag", "uint32 value\n", b"\0\1\0\0\0\0\0\0", StoragePlugin.SQLITE3)
    with BagReader(tmp_path / "bag") as reader, pytest.raises(BagError, match="another definition"):
        reader.messages()


def test_an_unknown_type_without_definition_is_refused_when_asked_for(tmp_path):
    own_type(tmp_path / "bag", "uint32 value\n", b"\0\1\0\0\0\0\0\0", StoragePlugin.SQLITE3)
    forget_definitions(tmp_path / "bag" / "bag.db3")
    with BagReader(tmp_path / "bag" / "bag.db3") as reader:
        assert reader.topics["/own"].count == 1
        with pytest.raises(BagError, match="carries no definition of own_msgs/msg/Own"):
            reader.messages(["/own"])


def test_a_damaged_definition_is_refused(tmp_path):
    own_type(tmp_path / "bag", "uint32\n]]]", b"\0\1\0\0\0\0\0\0", StoragePlugin.MCAP)
    with BagReader(tmp_path / "bag") as reader, pytest.raises(BagError, match="cannot be used"):
        reader.messages()


def test_topics_are_found_by_type(bag):
    with BagReader(bag) as reader:
        assert reader.find(IMAGE, "sensor_msgs/msg/CompressedImage") == ("/image_raw",)
        assert reader.find(IMU) == ()
        assert reader.require("/label", CLASSIFICATION).count == 40
        assert reader.require("/label").type == CLASSIFICATION


@pytest.mark.parametrize(
    ("name", "types", "words"),
    [
        (
            "/imag_raw",
            (IMAGE,),
            f"no topic '/imag_raw'; did you mean '/image_raw'?; topics with {IMAGE}: /image_raw",
        ),
        ("/label", (IMAGE,), f"'/label' is {CLASSIFICATION}, expected {IMAGE}; topics with"),
        ("/imu", (IMU,), f"none there has {IMU}; record one; the bag holds /image_raw ({IMAGE})"),
        ("/zzz", (), "topics with any type: /image_raw, /label"),
    ],
)
def test_a_missing_topic_or_wrong_type_names_those_that_fit(bag, name, types, words):
    with BagReader(bag) as reader, pytest.raises(BagError, match=re.escape(words)):
        reader.require(name, *types)


def test_a_missing_topic_is_reported_before_the_first_message(bag):
    with BagReader(bag) as reader:
        for read in (reader.messages, reader.raw_messages):
            with pytest.raises(BagError, match="no topic '/camera'"):
                read(["/camera"])


def test_a_topic_without_messages_is_reported(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image_raw", IMAGE)
        writer.add_topic("/tick", "builtin_interfaces/msg/Time")
        writer.write("/tick", 1, default_typestore().types["builtin_interfaces/msg/Time"](1, 2))
    with BagReader(tmp_path / "bag") as reader:
        with pytest.raises(BagError, match="'/image_raw' has no messages"):
            reader.require("/image_raw", IMAGE)
        assert len(list(reader.messages())) == 1


@pytest.mark.parametrize("storage", STORAGES)
def test_an_empty_bag_is_refused(tmp_path, storage):
    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.add_topic("/image_raw", IMAGE)
    refused(tmp_path / "bag", "empty, no message")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("keep", [0, 1, 9, 40, 0.3, 0.7, -1, -9, -40])
def test_a_cut_bag_is_refused_with_the_repair(bag, keep, bare):
    file = storage_file(bag)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    text = refused(file if bare else bag, "truncated or damaged")
    assert ("mcap recover" if file.suffix == ".mcap" else ".recover") in text


def test_a_bag_overwritten_in_the_middle_is_refused(bag):
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = b"\xff" * 6000
    file.write_bytes(data)
    refused(bag, "truncated or damaged|is no ")


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_what_is_no_bag_is_refused(tmp_path, suffix):
    path = tmp_path / f"page{suffix}"
    path.write_bytes(b"<html>" + b"not found " * 1000)
    refused(path, "truncated or damaged")


def test_paths_that_are_no_bags_are_refused(tmp_path):
    refused(tmp_path / "gone", "does not exist")
    refused(tmp_path, r"holds no metadata\.yaml.*expected a rosbag2 directory")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    refused(tmp_path / "old.bag", "ROS 1 bag.*rosbags-convert")
    (tmp_path / "notes.txt").write_text("no bag")
    refused(tmp_path / "notes.txt", "no bag by its name")


def test_a_directory_without_metadata_names_the_file_inside(bag):
    (bag / "metadata.yaml").unlink()
    text = refused(bag, "ros2 bag reindex")
    assert str(storage_file(bag)) in text


@pytest.mark.parametrize("text", ["", "[", "rosbag2_bagfile_information: 3"])
def test_damaged_metadata_is_refused(bag, text):
    (bag / "metadata.yaml").write_text(text)
    assert "ros2 bag reindex" in refused(bag, "truncated or damaged")


def test_a_future_bag_is_refused(bag):
    path = bag / "metadata.yaml"
    path.write_text(path.read_text().replace("version: 8", "version: 99"))
    refused(bag, "version 99 not supported.*pip install -U rosbags")


def test_a_missing_storage_file_is_refused(bag):
    storage_file(bag).unlink()
    refused(bag, "files are missing")


def test_messages_that_were_never_merged_into_the_database_are_not_forgotten(tmp_path):
    record_labelled_images(tmp_path / "bag", IMAGES, LABELS, storage="sqlite3")
    (tmp_path / "bag" / "bag.db3-wal").write_bytes(b"messages")
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag.db3"):
        refused(path, "wal_checkpoint")


def test_a_message_that_is_not_of_its_type_is_refused(tmp_path):
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image_raw", IMAGE, typestore=default_typestore())
        assert isinstance(connection.ext, ConnectionExtRosbag2)
        writer.write(connection, 5, b"\0\1\0\0garbage")
    refused(tmp_path / "bag", f"a message of '/image_raw' at 5 ns is no {IMAGE}")


def test_a_count_that_does_not_hold_is_told(bag):
    path = bag / "metadata.yaml"
    path.write_text(path.read_text().replace("message_count: 40", "message_count: 41"))
    with BagReader(bag) as reader, pytest.warns(UserWarning, match="promises 82.*holds 80"):
        assert len(list(reader.messages())) == 80


def test_a_closed_reader_says_so(bag):
    reader = BagReader(bag)
    with pytest.raises(BagError, match="is not open"):
        reader.messages()
    with reader:
        pass
    with pytest.raises(BagError, match="is not open"):
        reader.messages()


def read_and_fail(bag):
    with BagReader(bag) as reader:
        for _ in reader.messages():
            raise KeyError("of the caller")


def test_an_error_of_the_caller_passes_through(bag):
    with pytest.raises(KeyError, match="of the caller"):
        read_and_fail(bag)
