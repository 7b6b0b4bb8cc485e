"""Data sets of UWB ranges: true poses at the ranges' stamps, and how their clock stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.bag_writer import BagWriter
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build import build_dataset
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_bags import POSE_TOPIC, read_uwb_bag
from nn_perception.datasets.uwb_data import load_uwb_data, training_uwb
from nn_perception.datasets.uwb_simulated import TEST_SEEDS, simulated_uwb
from nn_perception.errors import BagError, DatasetError
from nn_perception.tasks.uwb.data import load_ranges

pytest.importorskip("rosbags")
pytest.importorskip("pyarrow")
TEST_ONLY = BuildSettings(split=(0, 0, 100), max_offset_s=10.0, plots=False, jobs=1)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "flight"
    write_uwb_bag(simulated_uwb(TEST_SEEDS[:1])[0], path)
    return path


def shifted(bag, out, offset_s, leave_out=(), keep=lambda topic, stamp_s: True):
    """The same bag, with true poses of a clock that is behind by ``offset_s``."""
    with BagReader(bag) as reader, BagWriter(out) as writer:
        start = reader.start_ns
        for name, topic in reader.topics.items():
            if name not in leave_out:
                writer.add_topic(name, topic.type)
        for topic, time_ns, data in reader.raw_messages():
            if topic in leave_out or not keep(topic, (time_ns - start) * 1e-9):
                continue
            if topic == POSE_TOPIC:
                stamp = time_ns - round(offset_s * 1e9)
                seconds, nanoseconds = divmod(stamp, 10**9)
                head = seconds.to_bytes(4, "little") + nanoseconds.to_bytes(4, "little")
                data = bytes(data[:4]) + head + bytes(data[12:])
            writer.write_raw(topic, time_ns, data)
    return out


def test_a_data_set_holds_what_the_reader_of_bags_gives(tmp_path, bag):
    expected = read_uwb_bag(bag)
    build_dataset([bag], "uwb", tmp_path / "set", TEST_ONLY)
    (found,) = load_uwb_data(tmp_path / "set")
    assert (found.name, found.part, found.start_ns) == ("flight", "test", expected.start_ns)
    assert found.select(found.has_truth).sha256 == expected.select(expected.has_truth).sha256
    assert found.anchors == expected.anchors
    assert found.tags == expected.tags


@pytest.mark.parametrize("offset_s", [0.25, -7.4])
def test_another_clock_is_found_and_taken_out(tmp_path, bag, offset_s):
    path = shifted(bag, tmp_path / "bag", offset_s)
    summary = build_dataset([path], "uwb", tmp_path / "set", TEST_ONLY)
    alignment = summary.manifest["sources"][0]["alignment"]
    assert alignment["offset_s"] == pytest.approx(offset_s, abs=0.02)
    assert alignment["applied_s"] == alignment["offset_s"]
    found, expected = load_uwb_data(tmp_path / "set")[0], read_uwb_bag(bag)
    spread = [
        float(np.nanstd(s.error_m[~s.outlier])) for s in (found, expected, read_uwb_bag(path))
    ]
    assert spread[0] == pytest.approx(spread[1], rel=0.1)
    assert spread[2] > 1.5 * spread[0]


def test_clocks_that_agree_are_left_alone_and_a_given_offset_is_taken(tmp_path, bag):
    summary = build_dataset([bag], "uwb", tmp_path / "set", TEST_ONLY)
    alignment = summary.manifest["sources"][0]["alignment"]
    assert abs(alignment["offset_s"]) < 0.02
    assert alignment["applied_s"] == 0.0
    path = shifted(bag, tmp_path / "bag", 1.0)
    build_dataset([path], "uwb", tmp_path / "given", replace(TEST_ONLY, offset_s=1.0))
    given, plain = (load_uwb_data(tmp_path / name)[0] for name in ("given", "set"))
    np.testing.assert_array_equal(given.position_m, plain.position_m)


def test_ranges_without_a_true_pose_are_left_out(tmp_path, bag):
    path = shifted(bag, tmp_path / "bag", 0.0, keep=lambda t, s: t != POSE_TOPIC or not 20 < s < 30)
    settings = replace(TEST_ONLY, offset_s=0.0)
    summary = build_dataset([path], "uwb", tmp_path / "set", settings)
    found = load_uwb_data(tmp_path / "set")
    whole = read_uwb_bag(path)
    assert sum(map(len, found)) == int(whole.has_truth.sum()) < len(whole)
    assert summary.manifest["dropped"]["ranges without a true pose"] == (~whole.has_truth).sum()
    assert all(piece.has_truth.all() for piece in found)


def test_parts_are_used_as_the_data_set_has_them(tmp_path, bag):
    settings = BuildSettings(block_s=10.0, offset_s=0.0, plots=False, jobs=1)
    summary = build_dataset([bag], "uwb", tmp_path / "set", settings)
    learned = training_uwb(tmp_path / "set")
    assert {s.part for s in learned} == {"train", "validation"}
    assert {s.part for s in load_uwb_data(tmp_path / "set")} == {"test"}
    data = load_ranges(tmp_path / "set", "", (), {}, 0.1)
    assert {s.part for s in data.sequences} == {"train"}
    assert data.validation is not None
    counted = data.rows.count.sum() + data.validation.count.sum()
    good = sum(int((s.has_truth & ~s.outlier).sum()) for s in learned)
    assert counted == good
    assert good <= summary.rows["train"] + summary.rows["validation"]


def test_what_is_missing_is_told(tmp_path, bag):
    bare = shifted(bag, tmp_path / "bare", 0.0, leave_out=(POSE_TOPIC,))
    with pytest.raises(
        BagError, match=r"/odom may be the robot's own estimate.*--topic pose=TOPIC"
    ):
        build_dataset([bare], "uwb", tmp_path / "set", TEST_ONLY)
    named = replace(TEST_ONLY, topics={"pose": "/odom"}, max_gap_s=0.5)
    build_dataset([bare], "uwb", tmp_path / "named", named)
    unknown = shifted(bag, tmp_path / "unknown", 0.0, leave_out=("/uwb/anchors", "/uwb/tags"))
    with pytest.raises(BagError, match="uwb/anchors"):
        build_dataset([unknown], "uwb", tmp_path / "set", TEST_ONLY)
    expected = read_uwb_bag(bag)
    told = replace(TEST_ONLY, anchors=expected.anchors_text, tags=expected.tags_text)
    build_dataset([unknown], "uwb", tmp_path / "told", told)
    assert load_uwb_data(tmp_path / "told")[0].anchors == expected.anchors
    far = shifted(bag, tmp_path / "far", 900.0)
    with pytest.raises(DatasetError, match=r"no overlap.*--max-offset-s"):
        build_dataset([far], "uwb", tmp_path / "set", TEST_ONLY)


def test_a_body_at_rest_tells_no_offset(tmp_path, bag):
    expected = read_uwb_bag(bag)
    still = replace(
        expected,
        position_m=np.tile([1.0, 2.0, 0.5], (len(expected), 1)),
        orientation_xyzw=np.tile([0.0, 0.0, 0.0, 1.0], (len(expected), 1)),
        outlier=None,
    )
    noise = np.random.default_rng(0).normal(0.0, 0.05, len(still))
    write_uwb_bag(replace(still, range_m=still.range_true_m + noise), tmp_path / "bag")
    summary = build_dataset([tmp_path / "bag"], "uwb", tmp_path / "set", TEST_ONLY)
    alignment = summary.manifest["sources"][0]["alignment"]
    assert alignment["offset_s"] is None
    assert "motion does not tell" in alignment["note"]
