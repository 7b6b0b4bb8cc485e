"""Short simulated recordings to learn from."""

import dataclasses

import pytest

from nn_perception.datasets.imu_simulator import Motion, simulate_imu


@pytest.fixture(scope="session")
def recording():
    """Return a function: name, seed, ... -> a simulated recording."""

    def make(name, seed=0, duration_s=8.0, hz=200.0, errors=None):
        motion = Motion(duration_s, rest_s=(0.5, 1.0), move_s=(2.0, 4.0))
        return dataclasses.replace(simulate_imu(hz, seed, motion, errors), name=name)

    return make


@pytest.fixture(scope="session")
def named(recording):
    """Return a function: names, ... -> a recording for each, of different seeds."""
    return lambda *names, **changes: [
        recording(name, seed, **changes) for seed, name in enumerate(names)
    ]


@pytest.fixture
def recordings(monkeypatch, tmp_path):
    """Return a function: recordings -> a path from which they are loaded."""
    data = pytest.importorskip("nn_perception.tasks.gyro.data")

    def install(found):
        monkeypatch.setattr(data, "training_recordings", lambda path, folders: list(found))
        return tmp_path

    return install
