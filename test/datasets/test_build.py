"""Data sets as a whole: the split, several bags and processes, kills, damage, and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from nn_perception.cli.main import main
from nn_perception.datasets import build_bag
from nn_perception.datasets.bag_writer import (
    BagWriter,
    classification_message,
    image_message,
    record_labelled_images,
)
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build import build_dataset, find_bags
from nn_perception.datasets.build_bag import Job, files_sha256, stage_bag
from nn_perception.datasets.build_settings import PARTS, BuildSettings
from nn_perception.datasets.build_split import NONE, plan_split
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.imu_data import load_imu_data
from nn_perception.datasets.recorded import is_dataset, read_manifest
from nn_perception.errors import BagError, ConfigError, DatasetError
from nn_perception.evaluation.dataset_page import Track

pytest.importorskip("rosbags")
pq = pytest.importorskip("pyarrow.parquet")
QUICK = BuildSettings(plots=False, jobs=1)


def make_bag(path, seed=0, count=60, classes="abc"):
    draw = np.random.default_rng(seed)
    pictures = draw.integers(0, 256, (count, 16, 20, 3), np.uint8)
    record_labelled_images(path, pictures, [classes[i % len(classes)] for i in range(count)])
    return path


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    for number in range(4):
        make_bag(folder / f"drive_{number}", number)
    return folder


def test_parts_have_their_shares_of_each_class_and_no_block_is_in_two():
    counts = [np.random.default_rng(7).integers(0, 9, (50, 3)) for _ in range(3)]
    counts[1][10:20] = 0
    plan = plan_split(QUICK, 10.0, [0, 5, 7], counts)
    again = plan_split(QUICK, 10.0, [0, 5, 7], counts)
    other = plan_split(replace(QUICK, seed=1), 10.0, [0, 5, 7], counts)
    for one, two in zip(plan.parts, again.parts, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((a != b).any() for a, b in zip(plan.parts, other.parts, strict=True))
    total = sum(count.sum(axis=0) for count in counts)
    for own, share in enumerate((0.7, 0.15, 0.15)):
        held = sum(
            count[parts == own].sum(axis=0) for count, parts in zip(counts, plan.parts, strict=True)
        )
        assert abs(held / total - share).max() < 0.06


def test_rows_between_two_parts_are_left_out():
    counts = [np.ones((4, 1), int)]
    plan = replace_parts(plan_split(QUICK, 10.0, [100], counts), [0, 0, 2, 2], guard_s=2.0)
    seconds = np.array([0.0, 9.5, 10.5, 18.9, 19.1, 20.5, 21.1, 30.0, 39.0, 99.0])
    parts = plan.part_of(0, 100 + np.round(seconds * 1e9).astype(np.int64))
    assert parts.tolist() == [0, 0, 0, 0, NONE, NONE, 2, 2, 2, 2]


def test_a_guard_that_is_longer_than_a_block_keeps_parts_apart():
    counts = [np.ones((8, 1), int)]
    plan = replace_parts(plan_split(QUICK, 1.0, [0], counts), [0, 0, 0, 0, 2, 0, 0, 0], 5.0)
    stamps = np.arange(0, 8_000_000_000, 10_000_000)
    parts = plan.part_of(0, stamps)
    assert set(stamps[parts == 0][[0, -1]] / 1e9) == {0.0, 7.99}
    assert stamps[parts != NONE].tolist() == [s for s in stamps if s < 1.5e9 or s >= 7.5e9]


def replace_parts(plan, parts, guard_s):
    return replace(plan, parts=(np.array(parts),), guard_ns=round(guard_s * 1e9))


def test_too_few_blocks_or_bags_are_refused():
    with pytest.raises(DatasetError, match=r"2 block\(s\) of 10 s .* 3 parts.*--block-s"):
        plan_split(QUICK, 10.0, [0], [np.ones((2, 1), int)])
    with pytest.raises(DatasetError, match=r"1 bag\(s\).*--split-by time"):
        plan_split(replace(QUICK, split_by="bag"), 10.0, [0], [np.ones((9, 1), int)])
    for wrong in ({"split": (1, 2)}, {"split_by": "day"}, {"block_s": 0.0}, {"labels": "near"}):
        with pytest.raises(ConfigError, match="expected"):
            BuildSettings(**wrong)


def test_whole_bags_go_to_one_part_each(tmp_path, bags):
    summary = build_dataset([bags], "objects", tmp_path / "set", replace(QUICK, split_by="bag"))
    found = {
        part: {e["source"] for e in summary.manifest["parts"][part]["files"]} for part in PARTS
    }
    assert sorted(name for names in found.values() for name in names) == [
        f"drive_{number}" for number in range(4)
    ]
    assert set(summary.rows.values()) == {120, 60}


def test_any_number_of_processes_gives_the_same_data_set(tmp_path, bags):
    settings = replace(QUICK, block_s=0.3)
    one = build_dataset([bags], "objects", tmp_path / "one", settings)
    told = []
    two = build_dataset(
        [bags], "objects", tmp_path / "two", replace(settings, jobs=2),
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert one.manifest == two.manifest
    assert told[-1][0] <= told[-1][1]
    other = build_dataset([bags], "objects", tmp_path / "other", replace(settings, seed=5))
    assert other.manifest["sha256"] != one.manifest["sha256"]
    assert not list(tmp_path.glob(".*"))


def test_shards_say_where_they_are_from_and_in_which_units(tmp_path, bags):
    build_dataset([bags], "objects", tmp_path / "set", QUICK)
    manifest = read_manifest(tmp_path / "set")
    by_name = {source["name"]: source for source in manifest["sources"]}
    for part in PARTS:
        for entry in manifest["parts"][part]["files"]:
            schema = pq.read_schema(tmp_path / "set" / entry["file"])
            told = json.loads(schema.metadata[b"nn_perception"])
            bag = bags / told["source"]
            assert told["sha256"] == files_sha256(list(bag.glob("*.mcap")))
            assert told["sha256"] == by_name[told["source"]]["sha256"]
            assert schema.field("stamp_ns").metadata == {b"unit": b"ns"}
    assert is_dataset(tmp_path / "set")
    assert not is_dataset(bags)


def test_a_changed_or_missing_shard_is_refused(tmp_path, bags):
    build_dataset([bags], "objects", tmp_path / "set", QUICK)
    file = next((tmp_path / "set" / "test").glob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=r"damaged or changed; build"):
        load_image_set(tmp_path / "set")
    file.unlink()
    with pytest.raises(DatasetError, match="missing; build"):
        load_image_set(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"for the task 'objects' \(images\), expected imu"):
        load_imu_data(tmp_path / "set")
    assert load_image_set(tmp_path / "set", split="train").validation.any()
    (tmp_path / "set" / "dataset.json").write_text('{"format": 1')
    with pytest.raises(DatasetError, match=r"damaged .*build the data set again"):
        load_image_set(tmp_path / "set")


def test_damaged_bags_are_refused_or_skipped_by_name(tmp_path, bags):
    good = [bags / "drive_0", bags / "drive_1"]
    bad = make_bag(tmp_path / "bad", 9)
    file = next(bad.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(BagError, match=r"bad.*truncated or damaged"):
        build_dataset([*good, bad], "objects", tmp_path / "set", QUICK)
    assert not (tmp_path / "set").exists()
    skipping = replace(QUICK, skip_damaged=True, jobs=2)
    summary = build_dataset([*good, bad], "objects", tmp_path / "set", skipping)
    (skipped,) = summary.manifest["skipped"]
    assert skipped["name"] == "bad"
    assert "damaged" in skipped["reason"]
    files = [e for part in PARTS for e in summary.manifest["parts"][part]["files"]]
    assert {entry["source"] for entry in files} == {"drive_0", "drive_1"}
    with pytest.raises(BagError, match=r"none of 1 bag\(s\) can be used"):
        build_dataset([bad], "objects", tmp_path / "none", skipping)


def test_the_same_recording_twice_and_a_directory_that_is_there_are_refused(tmp_path, bags):
    copy = tmp_path / "copy.mcap"
    copy.write_bytes(next((bags / "drive_0").glob("*.mcap")).read_bytes())
    with BagReader(copy) as reader, BagWriter(tmp_path / "converted", "sqlite3") as writer:
        for name, topic in reader.topics.items():
            writer.add_topic(name, topic.type)
        for name, time_ns, data in reader.raw_messages():
            writer.write_raw(name, time_ns, data)
    for same in (copy, tmp_path / "converted"):
        with pytest.raises(DatasetError, match="same recording"):
            build_dataset([bags / "drive_0", same], "objects", tmp_path / "set", QUICK)
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match="is there already"):
        build_dataset([bags], "objects", tmp_path / "set", QUICK)
    with pytest.raises(BagError, match="does not exist"):
        find_bags([tmp_path / "nowhere"])
    assert len(find_bags([bags, bags / "drive_1"])) == 4
    with pytest.raises(DatasetError, match="task 'sounds'"):
        build_dataset([bags], "sounds", tmp_path / "other", QUICK)


def test_a_stamp_of_another_age_is_refused_and_fills_no_memory(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/image_raw", "sensor_msgs/msg/Image")
        bag.add_topic("/label", "vision_msgs/msg/Classification")
        for index in range(40):
            now = 1_700_000_000 * 10**9 + index * 10**8
            stamp = now if index else 0
            image = np.full((16, 20, 3), index, np.uint8)
            bag.write("/image_raw", now, image_message(image, "rgb8", stamp))
            bag.write("/label", now, classification_message(["a"], [1.0], stamp))
    with pytest.raises(DatasetError, match=r"bag: stamps from 0.0 to 1700000003.9 s.*clock"):
        build_dataset([tmp_path / "bag"], "objects", tmp_path / "set", QUICK)


def test_a_build_that_was_killed_leaves_nothing_and_goes_on(tmp_path, bags, monkeypatch):
    # The child tells when it begins with the third bag, and is killed while it waits there.
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from nn_perception.datasets import build, build_bag\n"
        "from nn_perception.datasets.build_settings import BuildSettings\n"
        "stage = build_bag.STAGES['images']\n"
        "def slow(bag, *rest):\n"
        "    if bag.name == 'drive_2':\n"
        "        print('third', flush=True)\n"
        "        time.sleep(60)\n"
        "    return stage(bag, *rest)\n"
        "build_bag.STAGES = {'images': slow}\n"
        "build.build_dataset([Path(sys.argv[1])], 'objects', Path(sys.argv[2]),"
        " BuildSettings(plots=False, jobs=1))\n"
    )
    out = tmp_path / "set"
    command = [sys.executable, "-c", code, str(bags), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "third\n"
        os.kill(child.pid, signal.SIGKILL)
    assert not out.exists()
    read = []
    stage = build_bag.STAGES["images"]
    counted = {"images": lambda bag, *rest: read.append(bag.name) or stage(bag, *rest)}
    monkeypatch.setattr(build_bag, "STAGES", counted)
    resumed = build_dataset([bags], "objects", out, QUICK)
    assert read == ["drive_2", "drive_3"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    fresh = build_dataset([bags], "objects", tmp_path / "fresh", QUICK)
    assert resumed.manifest == fresh.manifest


def test_an_error_keeps_the_bags_that_were_read(tmp_path, bags, monkeypatch):
    out, bad = tmp_path / "set", make_bag(tmp_path / "bad", 9)
    file = next(bad.glob("*.mcap"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-500])
    given = [bags / "drive_0", bags / "drive_1", bad]
    with pytest.raises(BagError, match=r"damaged.*2 bag\(s\) that were read.*\.set\.building"):
        build_dataset(given, "objects", out, QUICK)
    file.write_bytes(whole)
    read = []
    stage = build_bag.STAGES["images"]

    def full(bag, folder, *rest):
        read.append(bag.name)
        (folder / "rows.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_bag, "STAGES", {"images": full})
    with pytest.raises(DatasetError, match=r"No space left.*2 bag\(s\) that were read"):
        build_dataset(given, "objects", out, QUICK)
    kept = sorted(path.name for path in (tmp_path / ".set.building" / "bags").iterdir())
    assert (kept, read) == (["drive_0", "drive_1"], ["bad"])
    monkeypatch.setattr(
        build_bag,
        "STAGES",
        {"images": lambda bag, *rest: read.append(bag.name) or stage(bag, *rest)},
    )
    build_dataset(given, "objects", out, QUICK)
    assert read == ["bad", "bad"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "set"]


def test_what_a_page_shows_of_a_recording_does_not_grow_with_it():
    held = []
    for groups in (8, 32):
        tracemalloc.start()
        try:
            track = Track({"first_ns": 0, "rows": groups * 65536})
            for number in range(groups):
                rows = {f"position_{axis}": np.zeros(65536) for axis in "xyz"}
                stamps = np.arange(number * 65536, (number + 1) * 65536)
                track.add("train", rows | {"stamp_ns": stamps, "piece": np.zeros(65536, int)})
                del rows, stamps
            held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert 15_000 < len(track.lines["train"]) < 25_000
    assert max(held) < 2_000_000  # a view of each group would be 17 and 67 MB


def test_processes_of_a_build_that_was_killed_end(tmp_path, bags):
    # Both write to a pipe that they hold open: it ends when the last of them has.
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from nn_perception.datasets.build_bag import Job\n"
        "from nn_perception.datasets.build_jobs import run_jobs\n"
        "from nn_perception.datasets.build_settings import BuildSettings\n"
        "def wait(job, on_bytes):\n"
        "    os.write(1, b'begun\\n')\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    settings = BuildSettings(jobs=2)\n"
        "    bags = [Path(name) for name in sys.argv[1:]]\n"
        "    jobs = [Job(bag, bag.name, bag, 'objects', settings) for bag in bags]\n"
        "    run_jobs(wait, jobs, settings, lambda done, total: None)\n"
    )
    script = tmp_path / "build.py"
    script.write_text(code)
    command = [sys.executable, script, bags / "drive_0", bags / "drive_1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert [child.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        os.kill(child.pid, signal.SIGKILL)
        assert child.stdout.read() == ""


def test_rows_of_other_settings_or_of_a_changed_bag_are_not_taken(tmp_path):
    bag = make_bag(tmp_path / "bag")
    job = Job(bag, "bag", tmp_path / "rows", "objects", QUICK)
    first = stage_bag(job)
    assert stage_bag(job) == first
    assert stage_bag(replace(job, settings=replace(QUICK, seed=3, jobs=2)))["key"] == first["key"]
    assert stage_bag(replace(job, settings=replace(QUICK, size=32)))["key"] != first["key"]
    file = next(bag.glob("*.mcap"))
    os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns + 1_000_000_000))
    assert stage_bag(job)["key"] != first["key"]


def test_the_command_builds_reports_and_refuses(tmp_path, bags, capsys):
    out = tmp_path / "set"
    words = ["dataset", str(bags), "--task", "objects", "--out", str(out), "--json", "-"]
    assert main([*words, "--split", "50,25,25", "--block-s", "0.3", "--jobs", "1"]) == 0
    told = capsys.readouterr()
    manifest = json.loads(told.out)
    assert manifest == json.loads((out / "dataset.json").read_text())
    assert manifest["split"]["block_s"] == pytest.approx(0.3)
    assert "class a" in told.err
    page = (out / "summary.html").read_text()
    for word in ("drive_3", "Pictures of each class", "sha256", "data:image/png;base64"):
        assert word in page
    for picture in ("pictures_of_each_class.png", "some_pictures_of_each_class.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    for extra in (["--split", "a,b,c"], ["--offset", "soon"], ["--topic", "label"]):
        assert main([*words[:5], str(tmp_path / "no"), *extra]) == 2
    assert not (tmp_path / "no").exists()
