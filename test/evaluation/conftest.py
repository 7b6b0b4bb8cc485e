"""Stand-ins for pipelines: plain integration, and an engine that knows the simulated antennas."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.bundle import ArraySpec, Bundle, BundleConfig, NetworkSpec
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.datasets.uwb_simulated import RangeErrors, pattern_bias_m, simulated_site
from nn_perception.errors import MessageError
from nn_perception.inertial.readings import reading_from_message
from nn_perception.rotations import integrate_gyro, integrate_step, quat_exp, quat_multiply
from nn_perception.tasks.pipeline import InputSpec


@dataclass
class Answer:
    """A result with the fields of AttitudeResult and GyroResult."""

    stamp_ns: int
    frame_id: str
    orientation_xyzw: np.ndarray
    gyro_rad_s: np.ndarray
    covariance_rad2: np.ndarray = field(default_factory=lambda: np.eye(3) * 1e-4)
    covariance_rad2_s2: np.ndarray = field(default_factory=lambda: np.eye(3) * 1e-6)
    bias_rad_s: np.ndarray = field(default_factory=lambda: np.zeros(3))
    gyro_bias_rad_s: np.ndarray = field(default_factory=lambda: np.zeros(3))
    flags: tuple[str, ...] = ()
    stage_s: dict[str, float] = field(default_factory=lambda: {"engine": 1e-6})


class StrapdownPipeline:
    """Integrates the rate from an orientation that it is told; takes off a bias it is told."""

    inputs = (InputSpec("imu", ("sensor_msgs/msg/Imu",), "every"),)

    def __init__(self, start_xyzw=(0.0, 0.0, 0.0, 1.0), bias_rad_s=(0.0, 0.0, 0.0)):
        config = SimpleNamespace(calibration={})
        self.bundle = SimpleNamespace(config=config, name="stand-in", id="0", task="attitude")
        self.engine = SimpleNamespace(backend="none", device="cpu")
        self.start = np.array(start_xyzw, np.float64)
        self.bias = np.array(bias_rad_s, np.float64)
        self.groups: list[int] = []
        self.reset()

    def reset(self):
        self.quat, self.before = self.start, None

    def process(self, name, message):
        reading = reading_from_message(message)
        rate = reading.gyro_rad_s - self.bias
        if self.before is not None:
            step_ns = reading.stamp_ns - self.before[0]
            if step_ns <= 0:
                raise MessageError("stamp", f"stamp {reading.stamp_ns} is not later")
            self.quat = integrate_step(self.quat, self.before[1], step_ns * 1e-9)
        self.before = (reading.stamp_ns, rate)
        return Answer(reading.stamp_ns, reading.frame_id, self.quat, rate)

    def process_many(self, entries):
        self.groups.append(len(entries))
        answers = []
        for name, message in entries:
            try:
                answers.append(self.process(name, message))
            except MessageError as error:
                answers.append(error)
        return answers

    def estimate(self, sequence: ImuSequence, sensor_delay_s: float = 0.0):
        steps = np.diff(sequence.time_s)
        rate = sequence.gyro_rad_s - self.bias
        quat = integrate_gyro(rate[:-1], steps, self.start)
        quat = quat_multiply(quat, quat_exp(rate * sensor_delay_s))
        return SimpleNamespace(
            orientation_xyzw=quat,
            variance_rad2=np.full((len(sequence), 3), 1e-4),
            gyro_bias_rad_s=np.zeros((len(sequence), 3)),
        )

    def correct(self, sequence: ImuSequence):
        rate = sequence.gyro_rad_s - self.bias
        return SimpleNamespace(gyro_rad_s=rate, bias_rad_s=np.zeros((len(sequence), 3)))


@pytest.fixture
def strapdown():
    """Make a `StrapdownPipeline`."""
    return StrapdownPipeline


@pytest.fixture(scope="session")
def perfect() -> ImuSequence:
    """20 s at 200 Hz of a sensor without errors."""
    motion = Motion(duration_s=20.0, rest_s=(2.5, 3.0), move_s=(5.0, 8.0))
    return simulate_imu(200.0, seed=11, motion=motion, errors=SensorErrors.none())


UWB_SIGMA_M = 0.05


def uwb_bundle(tmp_path, pairs, *, site="simulated", data=None, **calibration):
    """Return a bundle of the task `uwb` in memory, without a network.

    Args:
        tmp_path: where it would lie.
        pairs: (tag, anchor) -> constant, m.
        site: of its radios.
        data: provenance.
        calibration: other values; None leaves one out. Means are the constants by default.
    """
    rows = [[*pair, constant, []] for pair, constant in pairs.items()]
    values = {
        "limit_m": 1.0, "raw_sigma_m": 0.25, "constant_sigma_m": 0.1, "sigma_scale": 1.0,
        "pairs": rows, "means": [row[:3] for row in rows], **calibration,
    }  # fmt: skip
    config = BundleConfig(
        format=1,
        task="uwb",
        network=NetworkSpec("range_bias", {}, 1),
        inputs=(ArraySpec("rows", (None, 14), "float32"),),
        outputs=(ArraySpec("errors", (None, 2), "float32", "m"),),
        preprocessing={"site": site},
        labels=(),
        calibration={key: value for key, value in values.items() if value is not None},
        training={"data": data or {}},
        metrics={},
        parity=0.0,
        files={},
    )
    return Bundle(tmp_path, "0", config, b"", b"")


def site_pairs(seed, errors=None):
    """Return the simulator's constants of a site by the names of tag and anchor."""
    anchors, constants = simulated_site(seed, errors or RangeErrors())
    return {
        (f"tag{tag}", name): float(constants[tag, at])
        for tag in range(len(constants))
        for at, name in enumerate(anchors)
    }


class Exact:
    """An engine that answers with the simulator's pattern; keeps the rows that it was asked."""

    backend, device = "exact", "cpu"

    def __init__(self, share=1.0):
        self.share = share
        self.seen = []

    def __call__(self, rows):
        self.seen.append(rows)
        directions = rows[:, :6].astype(np.float64)
        bias = self.share * pattern_bias_m(directions[:, :3], directions[:, 3:])
        return (np.stack([bias, np.full(len(rows), math.log(UWB_SIGMA_M))], 1).astype(np.float32),)


@pytest.fixture(scope="session")
def uwb():
    """Return what makes bundles and evaluations of the task `uwb`."""

    def stand_in(bundle, engine):
        return SimpleNamespace(bundle=bundle, engine=engine)

    return SimpleNamespace(
        bundle=uwb_bundle, pairs=site_pairs, Exact=Exact, stand_in=stand_in, sigma_m=UWB_SIGMA_M
    )
