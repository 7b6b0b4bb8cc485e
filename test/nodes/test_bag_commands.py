"""Commands for bags: which topics they take, by the rules of `ros2 bag`."""

import re

import pytest

from nn_perception.errors import BagError, ConfigError
from nn_perception.nodes.bag_commands import NodeTopics, play_command, record_command

TOPICS = (
    ("subscribes", "image_raw", ""),
    ("subscribes", "image_raw/compressed", ""),
    ("publishes", "classification", ""),
    ("publishes", "~/debug/image", ""),
    ("publishes", "~/active_model", ""),
    ("publishes", "/diagnostics", ""),
)


def node(name="/r1/eyes", **remapped):
    return NodeTopics(name, TOPICS, remapped)


def regex(command, flag):
    assert command.count(flag) == 1
    return re.compile(command[command.index(flag) + 1])


TAKEN = (
    "/r1/image_raw",
    "/r1/image_raw/compressed",
    "/r1/left/image_raw",
    "/r1/arm/right/classification",
    "/r1/classification",
    "/r1/eyes/active_model",
    "/diagnostics",
)
LEFT = (
    "/image_raw",
    "/r2/image_raw",
    "/r1/my_image_raw",
    "/r1/image_rawer",
    "/r1/eyes/debug/image",
    "/r1/diagnostics",
    "/x/diagnostics",
    "/r1/eyes2/active_model",
)


@pytest.mark.parametrize("topic", TAKEN + LEFT)
def test_records_inputs_and_outputs(tmp_path, topic):
    command = record_command(str(tmp_path / "bag"), [node()], False)
    found = regex(command, "--regex").search(topic)  # as rosbag2's recorder does
    assert (found is not None) == (topic in TAKEN)


def test_record_command_is_that_of_ros2_bag(tmp_path):
    out = str(tmp_path / "bag")
    command = record_command(out, [node()], False)
    assert command[:7] == ["ros2", "bag", "record", "--output", out, "--storage", "mcap"]
    assert "--use-sim-time" not in command
    assert record_command(out, [node()], True)[-1] == "--use-sim-time"


def test_follows_remappings(tmp_path):
    command = record_command(
        str(tmp_path / "bag"), [node(image_raw="/cam/image"), node(image_raw="cam")], False
    )
    search = regex(command, "--regex").search
    for topic in ("/cam/image", "/cam/image/compressed", "/r1/cam", "/r1/cam/compressed"):
        assert search(topic)
    assert not search("/r1/image_raw")


def test_in_the_root_namespace(tmp_path):
    search = regex(record_command(str(tmp_path / "b"), [node("/eyes")], False), "--regex").search
    for topic in ("/image_raw", "/left/image_raw", "/eyes/active_model", "/classification"):
        assert search(topic)
    assert not search("/image_rawer")


@pytest.mark.parametrize(
    ("topic", "left_out"),
    [
        ("/r1/classification", True),
        ("/r1/left/classification", True),
        ("/r1/eyes/active_model", True),
        ("/diagnostics", True),
        ("/clock", True),
        ("/r1/clock", False),
        ("/r1/image_raw", False),
        ("/r1/classification/truth", False),
        ("/r2/classification", False),
        ("/tf", False),
    ],
)
def test_plays_what_the_nodes_do_not_publish(tmp_path, topic, left_out):
    command = play_command(str(tmp_path), [node()], "1.0")
    found = regex(command, "--exclude-regex").fullmatch(topic)  # as rosbag2's player does
    assert (found is not None) == left_out


def test_play_command_is_that_of_ros2_bag(tmp_path):
    command = play_command(str(tmp_path), [node()], "0.5", "--start-offset 3 --remap '/a b:=/c'")
    assert list(command[:7]) == ["ros2", "bag", "play", str(tmp_path), "--clock", "--rate", "0.5"]
    assert list(command[-4:]) == ["--start-offset", "3", "--remap", "/a b:=/c"]


def test_the_patterns_need_nothing_that_posix_lacks(tmp_path):
    """rosbag2 reads them with ECMAScript for MCAP, and as POSIX extended for SQLite."""
    command = play_command(str(tmp_path), [node(image_raw="/cam/image")], "1")
    pattern = command[command.index("--exclude-regex") + 1]
    assert not re.search(r"\(\?|\\[^.]|[*+?][?+]", pattern)


def test_says_what_cannot_be_used(tmp_path):
    with pytest.raises(BagError, match="there already"):
        record_command(str(tmp_path), [node()], False)
    with pytest.raises(BagError, match="no such file"):
        play_command(str(tmp_path / "absent"), [node()], "1")
    for rate in ("0", "-1", "fast", "nan", "inf", ""):
        with pytest.raises(ConfigError):
            play_command(str(tmp_path), [node()], rate)
    with pytest.raises(ConfigError, match="quotation"):
        play_command(str(tmp_path), [node()], "1", "'")
