from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import header
from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bag_writer import range_message, write_uwb_bag
from nn_perception.datasets.uwb_bags import (
    ANCHORS_TOPIC,
    ODOM,
    ODOM_TOPIC,
    POSE,
    POSE_TOPIC,
    RANGE,
    STRING,
    TAGS_TOPIC,
    range_topics,
    read_uwb_bag,
)
from nn_perception.datasets.uwb_odom import OdomNoise
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.errors import BagError, DatasetError
from nn_perception.rotations import quat_conjugate, quat_distance, quat_log, quat_multiply

pytest.importorskip("rosbags")

START_NS = 1_403_636_579_758_555_392
SECOND = 1_000_000_000


@lru_cache(maxsize=2)
def flight(tags: int = 1) -> UwbSequence:
    return replace(simulate_uwb(2, duration_s=6.0, tags=tags), start_ns=START_NS)


def with_pauses(given: UwbSequence) -> UwbSequence:
    """Two segments with 3 s between, and a second without truth in the second of them."""
    place, quat = given.position_m.copy(), given.orientation_xyzw.copy()
    unknown = (given.time_s > 4.0) & (given.time_s < 5.0)
    place[unknown], quat[unknown] = np.nan, np.nan
    later = given.time_s >= 3.0
    return replace(
        given,
        time_s=given.time_s + 3.0 * later,
        segment=later.astype(np.int64),
        position_m=place,
        orientation_xyzw=quat,
        outlier=None,  # found again: by less truth
    )


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("tags", [1, 2])
def test_what_is_written_is_read_again(tmp_path, storage, tags):
    given = with_pauses(flight(tags))
    assert write_uwb_bag(given, tmp_path / "flight", storage=storage) == len(given)
    found = read_uwb_bag(tmp_path / "flight")
    assert (found.name, found.source, found.start_ns) == ("flight", "bag", START_NS)
    np.testing.assert_allclose(found.time_s, given.time_s, atol=1e-9)
    for field in ("tag", "anchor", "segment", "has_truth", "outlier"):
        np.testing.assert_array_equal(getattr(found, field), getattr(given, field))
    np.testing.assert_array_equal(found.range_m, given.range_m.astype(np.float32))
    assert (found.anchors_text, found.tags_text) == (given.anchors_text, given.tags_text)
    known = given.has_truth
    assert 0.7 < known.mean() < 0.9
    np.testing.assert_allclose(found.position_m[known], given.position_m[known], atol=1e-9)
    turned = quat_distance(found.orientation_xyzw[known], given.orientation_xyzw[known])
    assert turned.max() < 1e-9
    np.testing.assert_allclose(found.range_true_m[known], given.range_true_m[known], atol=1e-9)


def test_rare_ranges_stay_one_piece_where_poses_go_on(tmp_path):
    given = flight()
    rare = given.select(np.isin(np.arange(len(given)), [0, 300, 600, 719]))  # 2.5 s apart
    write_uwb_bag(rare, tmp_path / "bag")
    assert read_uwb_bag(tmp_path / "bag").segment.tolist() == [0, 0, 0, 0]
    write_uwb_bag(replace(rare, segment=np.arange(4)), tmp_path / "pieces")
    assert read_uwb_bag(tmp_path / "pieces").segment.tolist() == [0, 1, 2, 2]  # 1 s is no pause


def test_ranges_that_failed_are_kept_as_they_are(tmp_path):
    range_m = flight().range_m.copy()
    range_m[:3] = [np.nan, np.inf, -0.5]
    write_uwb_bag(replace(flight(), range_m=range_m), tmp_path / "bag")
    np.testing.assert_array_equal(read_uwb_bag(tmp_path / "bag").range_m[:3], range_m[:3])


def test_topics_frames_and_order(tmp_path):
    given = with_pauses(flight(2))
    write_uwb_bag(given, tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag:
        assert {topic.name: topic.type for topic in bag.topics.values()} == {
            "/tag0/uwb/range": RANGE,
            "/tag1/uwb/range": RANGE,
            ODOM_TOPIC: ODOM,
            POSE_TOPIC: POSE,
            ANCHORS_TOPIC: STRING,
            TAGS_TOPIC: STRING,
        }
        assert bag.topics[ANCHORS_TOPIC].count == bag.topics[TAGS_TOPIC].count == 1
        messages = list(bag.messages())
    times = [time_ns for _, time_ns, _ in messages]
    assert times == sorted(times)
    assert times[0] == START_NS
    names = [topic for topic, _, _ in messages]
    first_range = min(names.index(topic) for topic in names if topic.endswith("/range"))
    assert max(map(names.index, (ODOM_TOPIC, POSE_TOPIC, ANCHORS_TOPIC, TAGS_TOPIC))) < first_range
    for topic, time_ns, message in messages:
        if topic in (ANCHORS_TOPIC, TAGS_TOPIC):
            continue
        stamp = message.header.stamp
        assert stamp.sec * SECOND + stamp.nanosec == time_ns
        frame = message.header.frame_id
        assert frame in (given.anchors if topic.endswith("/range") else ("map",))
    ranged = next(message for topic, _, message in messages if topic.endswith("/range"))
    assert (ranged.min_range, ranged.max_range, ranged.variance) == (0.0, 100.0, 0.0)
    assert (ranged.field_of_view, ranged.radiation_type) == (0.0, 0)
    assert range_topics(["a"]) == {"a": "/uwb/range"}


def poses(path: Path, topic: str) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and poses (N, 7)."""
    rows = []
    with BagReader(path) as bag:
        for _, time_ns, message in bag.messages([topic]):
            pose = message.pose.pose if topic == ODOM_TOPIC else message.pose
            place, turn = pose.position, pose.orientation
            quat = (turn.x, turn.y, turn.z, turn.w)
            rows.append(((time_ns - START_NS) * 1e-9, place.x, place.y, place.z, *quat))
    table = np.array(rows)
    return table[:, 0], table[:, 1:]


def test_odometry_comes_at_twenty_hertz_within_segments(tmp_path):
    given = with_pauses(flight())
    write_uwb_bag(given, tmp_path / "bag")
    time_s, _ = poses(tmp_path / "bag", ODOM_TOPIC)
    assert time_s[0] == 0.0
    assert not ((time_s > 3.0) & (time_s < 5.99)).any()  # between the segments
    assert not ((time_s > 7.01) & (time_s < 7.99)).any()  # no truth, no estimate
    early = time_s[time_s < 2.96]
    np.testing.assert_allclose(early, 0.05 * np.arange(len(early)), atol=1e-8)
    assert len(early) == 60
    true_s, _ = poses(tmp_path / "bag", POSE_TOPIC)
    assert set(np.rint(time_s * 1e9)) <= set(np.rint(true_s * 1e9))


def test_odometry_is_disturbed_as_its_covariance_says(tmp_path):
    long = replace(simulate_uwb(3, duration_s=1000.0, anchors=1), start_ns=START_NS)
    write_uwb_bag(long, tmp_path / "bag")
    time_s, estimated = poses(tmp_path / "bag", ODOM_TOPIC)
    true_s, true = poses(tmp_path / "bag", POSE_TOPIC)
    true = true[np.searchsorted(true_s, time_s - 1e-6)]
    off = estimated[:, :3] - true[:, :3]
    np.testing.assert_allclose(off.std(axis=0), 0.05, rtol=0.25)
    turn = quat_log(quat_multiply(estimated[:, 3:], quat_conjugate(true[:, 3:])))
    assert np.degrees(turn[:, 2].std()) == pytest.approx(1.0, rel=0.25)
    assert abs(turn[:, :2]).max() < 1e-9
    # Correlated over 5 s: after 0.05 s nearly the same, after 50 s another one.
    for steps, low, high in ((1, 0.97, 1.0), (100, 0.2, 0.55), (1000, -0.25, 0.25)):
        assert low < np.corrcoef(off[:-steps, 0], off[steps:, 0])[0, 1] < high
    with BagReader(tmp_path / "bag") as bag:
        message = next(iter(bag.messages([ODOM_TOPIC])))[2]
    covariance = np.array(message.pose.covariance).reshape(6, 6)
    expected = [0.05**2] * 3 + [0.0, 0.0, np.radians(1.0) ** 2]
    np.testing.assert_allclose(covariance, np.diag(expected))
    assert message.child_frame_id == "base_link"
    assert message.twist.twist.linear.x == 0.0


def test_the_disturbance_follows_its_parameters(tmp_path):
    none = OdomNoise(position_std_m=0.0, yaw_std_rad=0.0)
    write_uwb_bag(flight(), tmp_path / "exact", odom_noise=none)
    time_s, estimated = poses(tmp_path / "exact", ODOM_TOPIC)
    true_s, true = poses(tmp_path / "exact", POSE_TOPIC)
    np.testing.assert_allclose(estimated, true[np.isin(true_s, time_s)], atol=1e-12)
    ticks = np.arange(5) * 0.05
    np.testing.assert_array_equal(OdomNoise().draw(ticks), OdomNoise().draw(ticks))
    assert (OdomNoise(seed=1).draw(ticks) != OdomNoise().draw(ticks)).all()
    for wrong in [{"time_constant_s": 0.0}, {"position_std_m": -1.0}, {"seed": -1}]:
        with pytest.raises(DatasetError, match=r"OdomNoise\(\) is a start"):
            OdomNoise(**wrong)


def record(path: Path, ranges=(), texts=()) -> Path:
    """A bag of (topic, stamp in s, frame, range) and (topic, text)."""
    with BagWriter(path) as bag:
        for topic in dict.fromkeys(row[0] for row in ranges):
            bag.add_topic(topic, RANGE)
        for number, (topic, stamp, frame, range_m) in enumerate(ranges):
            bag.write(topic, number, range_message(range_m, frame, int(stamp * SECOND)))
        for topic in dict.fromkeys(row[0] for row in texts):
            bag.add_topic(topic, STRING)
        for topic, text in texts:
            bag.write(topic, 0, message_class(STRING)(data=text))
    return path


ANCHORS = (ANCHORS_TOPIC, "a: 0 0 1; b: 4 0 1")
TAG = (TAGS_TOPIC, "front: 0.1 0 0")


def test_ranges_of_other_frames_are_left_out_and_counted(tmp_path):
    frames = ["a", "", "b", "c", "c", "a"]
    rows = [("/uwb/range", 5.0 + index, frame, index) for index, frame in enumerate(frames)]
    path = record(tmp_path / "bag", rows, [ANCHORS, TAG])
    with pytest.warns(UserWarning, match=r"of 6 left out: 1 without a frame, 2 of the frame 'c'"):
        found = read_uwb_bag(path)
    assert found.range_m.tolist() == [0.0, 2.0, 5.0]
    assert found.anchor.tolist() == [0, 1, 0]
    assert found.start_ns == 5 * SECOND
    assert not found.has_truth.any()
    assert found.segment.tolist() == [0, 0, 1]  # 2 s and 3 s apart
    other = record(tmp_path / "other", rows, [(ANCHORS_TOPIC, "z: 0 0 1"), TAG])
    with (
        pytest.warns(UserWarning, match="of 6 left out"),
        pytest.raises(DatasetError, match=r"no range of an anchor, expected frame_id one of \['z'"),
    ):
        read_uwb_bag(other)


def test_ranges_are_sorted_by_stamp_over_tags(tmp_path):
    rows = [("/r/y/uwb/range", 3.0, "a", 3.0), ("/r/x/uwb/range", 1.0, "b", 1.0)]
    rows += [("/r/y/uwb/range", 1.0, "a", 2.0), ("/r/x/uwb/range", 4.0, "b", 4.0)]
    tags = (TAGS_TOPIC, "x: 0 0 0; silent: 0 1 0; y: 1 0 0")
    found = read_uwb_bag(record(tmp_path / "bag", rows, [ANCHORS, tags]))
    assert found.range_m.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert found.tag.tolist() == [0, 2, 2, 0]
    assert found.time_s.tolist() == [0.0, 0.0, 2.0, 3.0]


def test_a_single_tag_may_have_any_namespace_or_no_description(tmp_path):
    rows = [("/robot/uwb/range", 1.0, "a", 3.0)]
    found = read_uwb_bag(record(tmp_path / "one", rows, [ANCHORS, TAG]))
    assert dict(found.tags) == {"front": (0.1, 0.0, 0.0)}
    with pytest.warns(UserWarning, match="no /uwb/tags: the tag is taken as base_link"):
        found = read_uwb_bag(record(tmp_path / "two", rows, [ANCHORS]))
    assert dict(found.tags) == {"tag0": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("topics", "texts", "message"),
    [
        (["/scan"], [ANCHORS, TAG], r"no ranges, expected sensor_msgs/msg/Range .* holds /scan"),
        (["/uwb/range"], [TAG], r"no topic '/uwb/anchors'"),
        (["/uwb/range"], [(ANCHORS_TOPIC, "a: 1 2"), TAG], r"/uwb/anchors: .* has 2 numbers"),
        (["/uwb/range"], [ANCHORS, (TAGS_TOPIC, "t 1 2 3")], r"/uwb/tags: .* has no colon"),
        (["/uwb/range"], [ANCHORS, ANCHORS, (ANCHORS_TOPIC, ""), TAG], r"2 different texts"),
        (["/x/uwb/range", "/y/uwb/range"], [ANCHORS, TAG], r"TAG/uwb/range with TAG one of front"),
        (["/x/uwb/range", "/y/uwb/range"], [ANCHORS], r"no topic '/uwb/tags'"),
        (
            ["/r/x/uwb/range", "/s/x/uwb/range"],
            [ANCHORS, (TAGS_TOPIC, "x: 0 0 0")],
            r"ranges on /r/x/uwb/range, /s/x/uwb/range, expected",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, topics, texts, message):
    rows = [(topic, 1.0, "a", 3.0) for topic in topics]
    with pytest.raises(BagError, match=f"bag: .*{message}"):
        read_uwb_bag(record(tmp_path / "bag", rows, texts))


def test_damaged_bags_are_refused(tmp_path):
    for storage, file in (("mcap", "m.mcap"), ("sqlite3", "m.db3")):
        path = tmp_path / storage / "m"
        path.parent.mkdir()
        write_uwb_bag(flight(), path, storage=storage)
        data = (path / file).read_bytes()
        (path / file).write_bytes(data[: len(data) // 2])
        with pytest.raises(BagError, match="truncated or damaged"):
            read_uwb_bag(path)
    with pytest.raises(BagError, match="is there already"):
        write_uwb_bag(flight(), path)


def test_truth_is_unknown_across_a_gap(tmp_path):
    pose = message_class("geometry_msgs/msg/Pose")(
        position=message_class("geometry_msgs/msg/Point")(1.0, 2.0, 3.0),
        orientation=message_class("geometry_msgs/msg/Quaternion")(0.0, 0.0, 0.0, 1.0),
    )
    path = tmp_path / "bag"
    with BagWriter(path) as bag:
        for topic, kind in ((POSE_TOPIC, POSE), ("/uwb/range", RANGE), (ANCHORS_TOPIC, STRING)):
            bag.add_topic(topic, kind)
        bag.write(ANCHORS_TOPIC, 0, message_class(STRING)(data=ANCHORS[1]))
        for stamp in (0.9, 1.05, 1.2, 1.6, 1.75, 1.9):
            bag.write(POSE_TOPIC, 0, message_class(POSE)(header(int(stamp * SECOND), "map"), pose))
        for stamp in np.arange(1.0, 2.0, 0.1):
            bag.write("/uwb/range", 0, range_message(2.0, "a", round(stamp * SECOND)))
    with pytest.warns(UserWarning, match="no /uwb/tags"):
        found = read_uwb_bag(path)
    at_s = 1.0 + found.time_s
    assert np.round(at_s[found.has_truth], 3).tolist() == [1.0, 1.1, 1.2, 1.6, 1.7, 1.8, 1.9]
    assert found.position_m[0].tolist() == [1.0, 2.0, 3.0]
