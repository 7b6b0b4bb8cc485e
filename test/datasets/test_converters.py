from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets import converters, digit_frames, digit_frames_bags
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.converters import Converter, convert_to_bags
from nn_perception.datasets.detection_messages import read_detections
from nn_perception.datasets.imu_bags import read_imu_bag
from nn_perception.datasets.imu_files import load_broad
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.errors import BagError, DatasetError
from nn_perception.messages import decode_image, stamp_ns

pytest.importorskip("rosbags")


@pytest.fixture
def folder(tmp_path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for number in (1, 2):
        made = simulate_imu(100.0, seed=number, motion=Motion(duration_s=2.0))
        np.savez(
            data / f"0{number}_trial.npz",
            gyr=made.gyro_rad_s, acc=made.accel_m_s2, mag=made.accel_m_s2, pos=made.position_m,
            quat=np.roll(made.orientation_xyzw, 1, axis=1), movement=made.movement, fs=100.0,
        )  # fmt: skip
    (data / "README.md").write_text("about\n")
    return data


def test_a_directory_becomes_a_directory_of_bags(tmp_path, folder):
    done = list(convert_to_bags(folder, tmp_path / "bags"))
    assert [(file.name, bag.name, count) for file, bag, count in done] == [
        ("01_trial.npz", "01_trial", 201),
        ("02_trial.npz", "02_trial", 201),
    ]
    given, found = load_broad(folder / "02_trial.npz"), read_imu_bag(tmp_path / "bags/02_trial")
    np.testing.assert_array_equal(found.gyro_rad_s, given.gyro_rad_s)
    np.testing.assert_array_equal(found.movement, given.movement)
    assert found.sensor_delay_s == given.sensor_delay_s != 0.0
    with pytest.raises(BagError, match="01_trial: is there already"):
        list(convert_to_bags(folder, tmp_path / "bags"))


def test_a_file_becomes_a_bag(tmp_path, folder):
    ((_, bag, count),) = convert_to_bags(folder / "01_trial.npz", tmp_path / "one")
    assert (bag, count) == (tmp_path / "one", 201)
    assert len(read_imu_bag(bag)) == 201


def test_what_cannot_be_converted_is_named(tmp_path, folder):
    with pytest.raises(DatasetError, match=r"README\.md: is of no kind .*BROAD"):
        list(convert_to_bags(folder / "README.md", tmp_path / "x"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: expected one of"):
        list(convert_to_bags(tmp_path / "empty", tmp_path / "x"))
    (folder / "03_trial.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"03_trial\.npz"):
        list(convert_to_bags(folder, tmp_path / "bags"))


def test_another_kind_is_one_entry(tmp_path, folder, monkeypatch):
    def convert(source: Path, bag: Path) -> int:
        bag.write_text(source.read_text())
        return 7

    kind = Converter("text", "texts", ".md", lambda path: "about" in path.read_text(), convert)
    monkeypatch.setitem(converters.CONVERTERS, "text", kind)
    done = list(convert_to_bags(folder, tmp_path / "bags"))
    assert [count for _, _, count in done] == [201, 201, 7]


def test_simulated_digits_become_bags_with_truth(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(digit_frames, "find_mnist", lambda data: None)
    monkeypatch.setattr(digit_frames, "data_from_environment", lambda: None)
    monkeypatch.setattr(digit_frames_bags.write_frames_bag, "__defaults__", (3, 10.0))
    done = list(convert_to_bags(Path("simulated-digits"), tmp_path / "bags"))
    assert [(bag.name, count) for _, bag, count in done] == [
        ("simulated_digits_1000", 3),
        ("simulated_digits_1001", 3),
    ]
    frames = digit_frames.open_digit_frames("test", 1001)
    with BagReader(tmp_path / "bags" / "simulated_digits_1001") as bag:
        images = [message for _, _, message in bag.messages(["/image_raw"])]
        truths = [message for _, _, message in bag.messages(["/truth"])]
        assert bag.duration_s == pytest.approx(0.2)
    for index, (image, truth) in enumerate(zip(images, truths, strict=True)):
        frame, boxes = frames[index], read_detections(truth)
        assert image.encoding == "rgb8"
        np.testing.assert_array_equal(decode_image(image, 3), frame.image)
        assert stamp_ns(image) == stamp_ns(truth)
        np.testing.assert_array_equal(boxes.boxes_xywh, frame.boxes_xywh)
        assert boxes.labels == tuple(str(label) for label in frame.labels)
        np.testing.assert_array_equal(boxes.lines, frame.lines)


def test_frames_are_recorded_at_a_rate_and_at_least_one(tmp_path):
    for count, rate in ((0, 10.0), (1, 0.0), (1, float("nan"))):
        with pytest.raises(BagError, match="expected at least one"):
            digit_frames_bags.write_frames_bag(None, tmp_path / "bag", count, rate)
