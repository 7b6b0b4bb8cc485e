"""The command as a whole: what it says, what it refuses, and what it leaves on the disk."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import nn_perception
from nn_perception.cli.main import main
from nn_perception.datasets.bags import record_labelled_images
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_simulated import simulated_recordings
from nn_perception.errors import NnPerceptionError
from nn_perception.share import shipped_models
from nn_perception.viewing import viewer
from nn_perception.viewing.poses import LINE_POINTS, Pose, PoseTrack, Trajectory, heading_between

from .conftest import Recorded, verified

TURNED = np.array([0.0, 0.0, np.sin(0.35), np.cos(0.35)])
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])


@pytest.fixture
def bag(tmp_path):
    path = tmp_path / "pictures"
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    record_labelled_images(path, images, [str(i) for i in range(6)])
    return path


@pytest.fixture
def view(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["view", *map(str, words)])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def test_says_what_is_shown_and_names_the_file_after_the_bag(view, bag, tmp_path):
    done = view(bag, "--model", shipped_models() / "digits")
    assert done.code == 0, done.err
    assert "/image_raw         6" in done.out
    assert "digits on pictures: 6 answers to 6 messages" in done.out
    assert "recording  pictures.rrd" in done.out
    assert [path.name for path in tmp_path.iterdir()].count("pictures.rrd") == 1
    found = Recorded(tmp_path / "pictures.rrd")
    texts = found.values("classification/label", "TextDocument:text")
    assert texts == [[f"# {i}"] for i in range(6)]
    assert len(found.rows["classification/digits"]) == 6
    assert verified(tmp_path / "pictures.rrd").returncode == 0


def test_a_bag_is_named_by_its_directory_whatever_it_is_called(view, bag, monkeypatch):
    bag = bag.rename(bag.with_name("drive_1.5"))
    assert "recording  drive_1.5.rrd" in view(bag).out
    monkeypatch.chdir(bag)
    assert "recording  drive_1.5.rrd" in view(".").out


def test_leaves_nothing_half_and_replaces_what_is_whole(view, bag, tmp_path):
    out = tmp_path / "made" / "it.rrd"
    assert view(bag, "--out", out).code == 0
    whole = out.read_bytes()
    (cut,) = bag.glob("*.mcap")
    cut.write_bytes(cut.read_bytes()[:-4000])
    done = view(bag, "--out", out)
    assert done.code == 2
    assert "truncated or damaged" in done.err
    assert out.read_bytes() == whole
    assert list(out.parent.iterdir()) == [out]


FULL_DISK = """
import resource, sys
from nn_perception.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # Python ignores the signal: EFBIG
sys.exit(main(["view", *sys.argv[1:]]))
"""


def test_a_full_disk_is_an_error_and_the_recording_before_stays(view, bag, tmp_path):
    assert view(bag).code == 0
    out = tmp_path / "pictures.rrd"
    whole = out.read_bytes()
    assert len(whole) > 8192
    command = [sys.executable, "-c", FULL_DISK, str(bag), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{out}: cannot be written" in done.stderr
    assert out.read_bytes() == whole
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "it.txt"], "a recording's name ends in .rrd"),
        (["--topic", "/image_rav"], "no bag has a topic '/image_rav'; did you mean '/image_raw'?"),
        (["--max-image-hz", "-1"], "--max-image-hz is -1, expected 0 (all) or more"),
        (["--max-image-hz", "nan"], "--max-image-hz is nan"),
        (["--set", "regions=digits"], "no model has this setting (there are: none"),
        (["--set", "sensor_delay_s"], "expected NAME=NUMBER"),
        (["--topic", "image_raw="], "--topic is of the form INPUT=TOPIC"),
        (["--model", "nowhere"], "nowhere"),
        (["--out", "/proc/it.rrd"], "cannot be made"),
    ],
)
def test_refuses_in_words(view, bag, words, told):
    done = view(bag, *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_a_model_needs_a_bag_that_it_fits(view, bag, tmp_path):
    done = view(bag, "--model", shipped_models() / "attitude")
    assert done.code == 2
    assert "no bag has what attitude takes (sensor_msgs/msg/Imu)" in done.err
    (motion,) = simulated_recordings([1], duration_s=2.0)
    write_imu_bag(motion, tmp_path / "imu")
    done = view(bag, tmp_path / "imu", "--model", shipped_models() / "attitude")
    assert done.code == 0, done.err
    assert "attitude on imu: " in done.out
    assert "attitude on pictures" not in done.out


def test_settings_reach_the_models_that_know_them(view, bag):
    digits = shipped_models() / "digits"
    done = view(bag, "--model", digits, "--set", "keep_percent=100", "--set", "sensor_delay_s=0.1")
    assert done.code == 2
    assert "--set sensor_delay_s: no model has this setting" in done.err
    assert view(bag, "--model", digits, "--set", "keep_percent=100").code == 0
    assert view(bag, "--model", digits, "--topic", "image_raw=/image_raw").code == 0
    done = view(bag, "--model", digits, "--topic", "imu=/image_raw")
    assert done.code == 2
    assert "no model has an input 'imu'" in done.err


def test_a_bag_twice_is_refused(view, bag):
    done = view(bag, bag.parent / "pictures")
    assert done.code == 2
    assert "a bag is named twice" in done.err


@pytest.mark.without_rerun
def test_without_rerun_it_names_the_package(view, bag, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    done = view(bag)
    assert done.code == 2
    assert "pip install nn-perception[view]" in done.err


@pytest.mark.without_rerun
def test_the_viewer_is_a_process_whose_end_is_told(monkeypatch, tmp_path):
    asked = []

    def run(code):
        return lambda command, **_: asked.append(command) or subprocess.CompletedProcess([], code)

    monkeypatch.setattr(viewer.subprocess, "run", run(0))
    viewer.open_viewer(tmp_path / "it.rrd")
    assert asked[0][0] == sys.executable
    assert asked[0][-5:] == ["-m", "rerun", "--port", "auto", str(tmp_path / "it.rrd")]
    monkeypatch.setattr(viewer.subprocess, "run", run(1))
    with pytest.raises(NnPerceptionError, match="ended with code 1"):
        viewer.open_viewer(tmp_path / "it.rrd")


@pytest.mark.without_rerun
def test_only_files_of_that_name_import_rerun():
    package = Path(nn_perception.__file__).parent
    found = set()
    for file in package.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "import rerun" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "rerun" for name in names):
                found.add(file.relative_to(package).as_posix())
    assert found == {"viewing/rerun_layout.py", "viewing/rerun_recording.py"}


@pytest.mark.without_rerun
def test_poses_are_interpolated_between_near_ones_only():
    track = PoseTrack(max_gap_s=0.2)
    assert track.at(0) is None
    assert track.is_beyond(0)
    for ms in (0, 100, 400):
        place, quat = np.array([ms, 0.0, 0.0]), TURNED if ms else LEVEL
        track.add(Pose(ms * 10**6, place, quat))
    half = track.at(50 * 10**6)
    np.testing.assert_allclose(half.position_m, [50.0, 0.0, 0.0])
    np.testing.assert_allclose(half.quat_xyzw, [0.0, 0.0, np.sin(0.175), np.cos(0.175)])
    assert track.at(200 * 10**6) is None  # between poses that are 0.3 s apart
    assert track.at(400 * 10**6).position_m[0] == 400.0
    assert track.is_beyond(401 * 10**6)
    assert not track.is_beyond(400 * 10**6)
    assert track.nearest(104 * 10**6).stamp_ns == 100 * 10**6
    assert track.nearest(110 * 10**6) is None


@pytest.mark.without_rerun
def test_a_trajectory_is_of_bounded_size_and_keeps_its_shape():
    trajectory = Trajectory()
    count = 5 * LINE_POINTS
    for number in range(count):
        trajectory.add(np.array([number, 0.0, 0.0]))
    points = trajectory.points_m
    assert len(points) < LINE_POINTS
    steps = np.diff(points[:, 0])
    assert (steps == steps[0]).all()
    assert points[0, 0] == 0.0
    assert points[-1, 0] >= count - 1 - steps[0]
    assert trajectory.length_m == pytest.approx(points[-1, 0])


@pytest.mark.without_rerun
def test_heading_is_all_that_is_taken_from_the_truth():
    tilt = np.array([np.sin(0.2), 0.0, 0.0, np.cos(0.2)])
    np.testing.assert_allclose(heading_between(LEVEL, TURNED), TURNED)
    np.testing.assert_allclose(heading_between(TURNED, LEVEL), TURNED * [1, 1, -1, 1])
    np.testing.assert_allclose(heading_between(LEVEL, tilt), LEVEL)
    np.testing.assert_allclose(heading_between(LEVEL, -TURNED), -TURNED)  # the same turn
