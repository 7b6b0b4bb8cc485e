"""evaluate, replay and convert with inertial recordings; the pipeline is plain integration."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.cli.main import main
from nn_perception.datasets.imu_bags import read_imu_bag, write_imu_bag
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.inertial.readings import reading_from_message
from nn_perception.rotations import integrate_gyro, integrate_step
from nn_perception.tasks import loading
from nn_perception.tasks.pipeline import InputSpec

pytest.importorskip("rosbags")


@pytest.fixture(scope="module")
def simulated():
    motion = Motion(duration_s=12.0)
    return simulate_imu(100.0, seed=3, motion=motion, errors=SensorErrors.none())


class Strapdown:
    inputs = (InputSpec("imu", ("sensor_msgs/msg/Imu",), "every"),)

    def __init__(self, task, start):
        config = SimpleNamespace(calibration={"constant_gyro_bias_rad_s": [0.0, 0.0, 0.01]})
        self.bundle = SimpleNamespace(name="stand-in", id="0", task=task, config=config)
        self.engine = SimpleNamespace(backend="none", device="cpu")
        self.start = start

    def reset(self):
        self.quat, self.before = self.start, None

    def process(self, name, message):
        reading = reading_from_message(message)
        if self.before is not None:
            step_s = (reading.stamp_ns - self.before.stamp_ns) * 1e-9
            self.quat = integrate_step(self.quat, self.before.gyro_rad_s, step_s)
        self.before = reading
        return SimpleNamespace(
            stamp_ns=reading.stamp_ns, frame_id=reading.frame_id, stage_s={"estimate": 1e-6},
            orientation_xyzw=self.quat, covariance_rad2=np.eye(3),
            gyro_rad_s=reading.gyro_rad_s, covariance_rad2_s2=None, bias_rad_s=np.zeros(3),
        )  # fmt: skip

    def estimate(self, sequence, sensor_delay_s=0.0):
        quat = integrate_gyro(sequence.gyro_rad_s[:-1], np.diff(sequence.time_s), self.start)
        return SimpleNamespace(
            orientation_xyzw=quat, variance_rad2=np.full((len(sequence), 3), 1e-4)
        )

    def correct(self, sequence):
        return SimpleNamespace(gyro_rad_s=sequence.gyro_rad_s)


@pytest.fixture
def opened(monkeypatch, simulated):
    """Let the command open the stand-in in place of a bundle; keeps the settings it is given."""
    seen = {}

    def install(task):
        def open_pipeline(bundle, **arguments):
            seen.update(arguments)
            return Strapdown(task, simulated.orientation_xyzw[0])

        monkeypatch.setattr(loading, "open_pipeline", open_pipeline)
        return seen

    return install


@pytest.fixture
def folder(tmp_path, simulated):
    write_imu_bag(simulated, tmp_path / "data" / "flight_1")
    write_imu_bag(simulated.slice(0, 1000), tmp_path / "data" / "flight_2")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("task", "headline"), [("attitude", "inclination_rms_deg"), ("gyro", "orientation_rms_deg")]
)
def test_evaluate_prints_the_figures_and_those_of_the_baselines(
    capsys, folder, opened, task, headline
):
    opened(task)
    assert main(["evaluate", "x", "--data", str(folder), "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures[headline]["per_sequence"]) == {"flight_1", "flight_2"}
    assert figures[headline]["mean"] < 1.0
    assert {"gyro_integration", "constant_bias"} <= set(figures["baselines"])
    for name in ("vqf", "riann"):
        assert (name in figures["baselines"]) != (name in figures["baselines_left_out"])
    assert figures["bundle"] == "stand-in (0)"


def test_evaluate_writes_trajectories_and_a_page(capsys, tmp_path, folder, opened):
    pytest.importorskip("matplotlib")
    opened("attitude")
    words = ["evaluate", "x", "--data", str(folder), "--tum", str(tmp_path / "tum")]
    assert main([*words, "--report", str(tmp_path / "page")]) == 0
    assert "trajectories  4 files" in capsys.readouterr().out
    assert len(np.loadtxt(tmp_path / "tum" / "flight_2_truth.tum")) == 1000
    assert (tmp_path / "page" / "index.html").is_file()


def test_evaluate_names_the_recording_that_cannot_be_read(capsys, folder, opened):
    opened("gyro")
    (folder / "flight_3.npz").write_bytes(b"nothing")
    assert main(["evaluate", "x", "--data", str(folder)]) == 2
    assert "flight_3.npz: cannot be read" in capsys.readouterr().err


def test_trajectories_are_for_orientations_only(capsys, monkeypatch, tmp_path, opened):
    opened("digits")
    monkeypatch.setattr(
        "nn_perception.evaluation.image_classification.ClassificationEvaluation.__init__",
        lambda self, pipeline: None,
    )
    assert main(["evaluate", "x", "--data", ".", "--tum", str(tmp_path)]) == 2
    assert "the task 'digits' has none" in capsys.readouterr().err


def test_replay_compares_records_and_passes_settings(capsys, tmp_path, folder, opened):
    seen = opened("attitude")
    bag = folder / "flight_1"
    words = ["replay", str(bag), "--model", "x", "--set", "sensor_delay_s=0.004", "--json", "-"]
    assert main([*words, "--out", str(tmp_path / "answers")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert seen["settings"] == {"sensor_delay_s": 0.004}
    assert figures["inclination_rms_deg"]["per_sequence"].keys() == {"flight_1"}
    assert figures["inclination_rms_deg"]["mean"] < 1.0
    assert figures["replay"]["answered"] == len(read_imu_bag(bag))
    assert len(read_imu_bag(tmp_path / "answers", imu_topic="/imu/data")) == len(read_imu_bag(bag))
    assert main(["replay", str(bag), "--model", "x", "--set", "sensor_delay_s=fast"]) == 2
    assert "expected NAME=NUMBER" in capsys.readouterr().err


def test_convert_makes_bags(capsys, tmp_path, simulated):
    np.savez(
        tmp_path / "01_trial.npz",
        gyr=simulated.gyro_rad_s, acc=simulated.accel_m_s2, mag=simulated.accel_m_s2,
        pos=simulated.position_m, quat=np.roll(simulated.orientation_xyzw, 1, axis=1),
        movement=simulated.movement, fs=100.0,
    )  # fmt: skip
    assert main(["convert", str(tmp_path), str(tmp_path / "bags")]) == 0
    assert "1,201 messages" in capsys.readouterr().out
    assert len(read_imu_bag(tmp_path / "bags" / "01_trial")) == 1201
    assert main(["convert", str(tmp_path / "01_trial.npz"), str(tmp_path / "bags/01_trial")]) == 2
    assert "is there already" in capsys.readouterr().err
