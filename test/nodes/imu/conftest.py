"""Nodes for IMUs around a stub: a pipeline whose answers tell which samples it has seen."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from nn_perception import tasks
from nn_perception.errors import MessageError
from nn_perception.inertial.readings import reading_from_message
from nn_perception.tasks import Task
from nn_perception.tasks.pipeline import InputSpec

SECOND_NS = 1_000_000_000
COMMANDS = {"break": -77.0, "long": -78.0, "nan_covariance": -79.0, "nothing": -80.0}
FLAGS = {"saturated": 100.0, "gap": 101.0}


@dataclass(frozen=True)
class AttitudeResult:
    stamp_ns: int
    frame_id: str
    orientation_xyzw: np.ndarray
    covariance_rad2: np.ndarray
    gyro_bias_rad_s: np.ndarray
    flags: tuple
    stage_s: dict


@dataclass(frozen=True)
class GyroResult:
    stamp_ns: int
    frame_id: str
    gyro_rad_s: np.ndarray
    bias_rad_s: np.ndarray
    covariance_rad2_s2: np.ndarray | None
    flags: tuple
    stage_s: dict


class Stub:
    """Counts the samples of each unit; the first rate of a sample may be a command."""

    inputs = (InputSpec("imu/data_raw", ("sensor_msgs/msg/Imu",), "every"),)

    def __init__(self, bundle, engine, sensor_delay_s=0.0):
        self.bundle, self.engine, self.sensor_delay_s = bundle, engine, sensor_delay_s
        self.resets, self.groups = 0, []
        self.counts = {}

    def reset(self):
        self.counts = {}
        self.resets += 1

    def adopt(self, previous):
        if self.bundle.path.name == "stranger":
            return False
        if self.bundle.path.name == "broken":
            raise ZeroDivisionError("while adopting")
        self.counts = previous.counts
        return True

    def process(self, name, message):
        (answer,) = self.process_many([(name, message)])
        if isinstance(answer, MessageError):
            raise answer
        return answer

    def process_many(self, arrivals):
        self.groups.append(len(arrivals))
        return [self._one(name, reading_from_message(message)) for name, message in arrivals]

    def _one(self, name, reading):
        command = reading.gyro_rad_s[0]
        if command == COMMANDS["break"]:
            raise ZeroDivisionError("as a bug would")
        if command == COMMANDS["nothing"]:
            return None
        if reading.accel_m_s2[2] == 0.0:
            return MessageError("free_fall", "no acceleration")
        self.counts[name] = self.counts.get(name, 0) + 1
        flags = tuple(flag for flag, value in FLAGS.items() if value == command)
        return self.result(reading, self.counts[name], command, flags)


class StubAttitude(Stub):
    """Answers with the number of samples since the reset as an angle, in milliradians."""

    def result(self, reading, count, command, flags):
        half = count * 0.5e-3
        covariance = np.eye(3) * (1.0 + self.sensor_delay_s)
        if command == COMMANDS["nan_covariance"]:
            covariance[1, 1] = np.nan
        orientation = np.array([0.0, 0.0, np.sin(half), np.cos(half)])
        return AttitudeResult(
            reading.stamp_ns,
            reading.frame_id,
            orientation * (2.0 if command == COMMANDS["long"] else 1.0),
            covariance,
            np.zeros(3),
            flags,
            {"engine": 1e-6},
        )


class StubGyro(Stub):
    """Subtracts half of what it calls bias, so that bias and difference are not the same."""

    def __init__(self, bundle, engine):
        super().__init__(bundle, engine)

    def result(self, reading, count, command, flags):
        bias = np.array([1.0, 2.0, 3.0]) * 1e-3
        return GyroResult(
            reading.stamp_ns,
            reading.frame_id,
            reading.gyro_rad_s - 0.5 * bias,
            bias * (np.nan if command == COMMANDS["nan_covariance"] else 1.0),
            np.eye(3) * 1e-6 if flags else None,
            flags,
            {"engine": 1e-6},
        )


class StubTask(Task):
    def load_pipeline(self):
        return {"stub_attitude": StubAttitude, "stub_gyro": StubGyro}[self.name]


def stub(name):
    return StubTask(name, "a stub", "", "", "", "one")


@pytest.fixture(autouse=True)
def stub_tasks(monkeypatch):
    """Register the stubs beside the real tasks."""
    stubs = {name: stub(name) for name in ("stub_attitude", "stub_gyro")}
    registry = MappingProxyType({**tasks.all_tasks(), **stubs})
    monkeypatch.setattr(tasks, "all_tasks", lambda: registry)


@pytest.fixture(scope="session")
def stub_models(tmp_path_factory, save_model):
    """Models of each stub: one, two, stranger (takes no state over), broken (fails at it)."""
    roots = {}
    for task in ("stub_attitude", "stub_gyro"):
        roots[task] = tmp_path_factory.mktemp(task)
        for seed, name in enumerate(("one", "two", "stranger", "broken")):
            save_model(roots[task] / name, task=task, seed=seed)
    return roots


def node_class(executable):
    from nn_perception.nodes.attitude_estimator import AttitudeEstimator
    from nn_perception.nodes.gyro_corrector import GyroCorrector

    return {"attitude_estimator": AttitudeEstimator, "gyro_corrector": GyroCorrector}[executable]


STUBS = {"attitude_estimator": "stub_attitude", "gyro_corrector": "stub_gyro"}


@pytest.fixture
def start_imu(start, stub_models):
    """Return a function that starts a node around its stub."""

    def make(executable="attitude_estimator", **parameters):
        task = STUBS[executable]
        values = {"task": task, "model_root": str(stub_models[task]), **parameters}
        return start(node_class=node_class(executable), **values)

    return make


@pytest.fixture
def connect_imu(ros):
    """Return a function that makes a connected client of a node; they are closed afterwards."""
    from nn_perception.nodes.imu_client import ImuClient

    clients = []

    def make(node, *, connected=True, **arguments):
        client = ImuClient(node.get_fully_qualified_name(), context=ros, **arguments)
        clients.append(client)
        if connected:
            client.connect()
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def estimator(start_imu, connect_imu):
    """An active attitude estimator and a connected client."""
    node = start_imu()
    return node, connect_imu(node)


@pytest.fixture
def samples():
    """Return a function that makes serialised samples with rising stamps of their own."""
    from nn_perception.nodes.imu_client import FIRST_STAMP_NS, sample

    count = 0

    def make(number, rate_hz=200.0, **fields):
        nonlocal count
        made = []
        for _ in range(number):
            count += 1
            made.append(sample(FIRST_STAMP_NS + round(count * SECOND_NS / rate_hz), **fields))
        return made

    return make


@pytest.fixture
def command(samples):
    """Return a function that makes a sample with a command for the stub."""

    def make(name):
        value = {**COMMANDS, **FLAGS}[name]
        return samples(1, gyro_rad_s=(value, 0.0, 0.0))[0]

    return make
