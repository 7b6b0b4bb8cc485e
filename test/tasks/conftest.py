"""Pipelines of the shipped models, and streams of samples to feed them with."""

import dataclasses

import numpy as np
import pytest

from nn_perception.bundle import load_bundle
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.errors import MessageError
from nn_perception.inertial.readings import ImuReading
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline


@pytest.fixture(scope="session")
def shipped():
    """Return a function: name of a task -> its shipped bundle."""
    return lambda name: load_bundle(shipped_model(name))


@pytest.fixture(scope="session")
def open_shipped(shipped):
    """Return a function: name of a task, settings -> a pipeline of its own."""

    def open_one(name, **settings):
        return open_pipeline(shipped(name), device="cpu", settings=settings)

    return open_one


@pytest.fixture(scope="session")
def with_calibration(shipped):
    """Return a function: name of a task, changes -> its bundle with another calibration."""

    def change(name, **changes):
        bundle = shipped(name)
        values = {**bundle.config.calibration, **changes}
        kept = {key: value for key, value in values.items() if value is not None}
        config = dataclasses.replace(bundle.config, calibration=kept)
        return dataclasses.replace(bundle, config=config)

    return change


@pytest.fixture(scope="session")
def readings(shipped):
    """Return a function: task, seed -> samples of simulated motion.

    For the task ``gyro`` by a sensor with about the bias that its model expects, so that rest is
    seen as such.
    """
    expected = {
        "attitude": np.zeros(3),
        "gyro": np.array(shipped("gyro").config.calibration["expected_bias_rad_s"]),
    }

    def make(task, seed=0, duration_s=4.0, hz=200.0, start_ns=1_700_000_000_000_000_000):
        motion = Motion(duration_s, rest_s=(0.5, 1.0), move_s=(2.0, 3.0))
        errors = SensorErrors(gyro_bias_std_rad_s=0.003)
        sequence = simulate_imu(hz, seed, motion, errors)
        stamps = start_ns + np.round(sequence.time_s * 1e9).astype(np.int64)
        rows = zip(stamps.tolist(), sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
        return [ImuReading(t, "imu", w + expected[task], a) for t, w, a in rows]

    return make


@pytest.fixture(scope="session")
def kind_of():
    """Return a function: a pipeline, a message -> the kind of its refusal."""

    def kind(pipeline, message, name="imu"):
        with pytest.raises(MessageError) as caught:
            pipeline.process(name, message)
        return caught.value.kind

    return kind
