"""The bias that gravity shows in motion."""

import numpy as np

from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.tasks.gyro.aid import GravityAid

MOTION = Motion(duration_s=60.0, rate_rms_rad_s=1.0, accel_rms_m_s2=1.0, rest_s=(0.0, 0.0))


def follow(aid: GravityAid, bias_rad_s, unknown: float = 0.0) -> np.ndarray:
    sequence = simulate_imu(200.0, 3, MOTION, SensorErrors.none())
    aid.begin(sequence.accel_m_s2[0].tolist())
    found = []
    for rate, force in zip(sequence.gyro_rad_s, sequence.accel_m_s2, strict=True):
        rate = (rate + bias_rad_s).tolist()
        found.append(list(aid.follow(rate, force.tolist(), 0.005, unknown * 0.005)))
    return np.array(found)


def test_finds_a_bias_while_it_moves():
    bias = np.array([0.002, -0.0015, 0.001])
    found = follow(GravityAid(2e-3), bias)
    assert np.linalg.norm(found[-1] - bias) < 0.5 * np.linalg.norm(bias)
    # It comes by and by: nothing is known after a tenth of a second.
    assert np.linalg.norm(found[20]) < 0.2 * np.linalg.norm(bias)


def test_finds_none_where_there_is_none():
    assert np.abs(follow(GravityAid(2e-3), np.zeros(3))[-1]).max() < 4e-4


def test_can_be_left_out():
    assert not follow(GravityAid(0.0), np.array([0.01, 0.0, 0.0])).any()


def test_what_is_unknown_tells_little():
    bias = np.array([0.002, -0.0015, 0.001])
    sure, unsure = (follow(GravityAid(2e-3), bias, part)[-1] for part in (0.0, 1.0))
    assert np.linalg.norm(unsure) < 0.5 * np.linalg.norm(sure)
