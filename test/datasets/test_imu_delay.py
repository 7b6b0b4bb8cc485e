from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.imu import ImuSequence, interpolate
from nn_perception.datasets.imu_delay import estimate_sensor_delay
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.errors import DatasetError


def late(delay_s: float, errors: SensorErrors | None = None, seed: int = 1) -> ImuSequence:
    """200 Hz, with the rate of ``delay_s`` earlier in each sample."""
    fine = simulate_imu(1000.0, seed=seed, errors=errors)
    rate = interpolate(fine.time_s - delay_s, fine.time_s, fine.gyro_rad_s, 1.0, turn=False)
    names = ("time_s", "accel_m_s2", "orientation_xyzw")
    rows = {name: getattr(fine, name)[50:-50:5] for name in names}
    return ImuSequence(name="late", source="simulator", gyro_rad_s=rate[50:-50:5], **rows)


@pytest.mark.parametrize("delay_s", [0.0, 0.0041, 0.0125, -0.003])
def test_a_known_delay_is_found(delay_s):
    perfect = late(delay_s, SensorErrors.none())
    assert estimate_sensor_delay(perfect) == pytest.approx(delay_s, abs=5e-5)
    for seed in (1, 2):
        assert estimate_sensor_delay(late(delay_s, seed=seed)) == pytest.approx(delay_s, abs=3e-4)


def test_wrong_truth_in_few_places_does_not_move_it():
    sequence = late(0.004)
    wrong = sequence.orientation_xyzw.copy()
    wrong[1000:1100] = [1.0, 0.0, 0.0, 0.0]
    wrong[3000:3100] = np.nan
    assert estimate_sensor_delay(replace(sequence, orientation_xyzw=wrong)) == pytest.approx(
        estimate_sensor_delay(sequence), abs=1e-4
    )


def test_what_cannot_be_measured_is_said():
    sequence = late(0.015, SensorErrors.none())
    with pytest.raises(DatasetError, match=r"no delay within 0\.01 s"):
        estimate_sensor_delay(sequence, max_delay_s=0.01)
    with pytest.raises(DatasetError, match="truth at both ends of 0 windows"):
        estimate_sensor_delay(replace(sequence, orientation_xyzw=None))
    rest = simulate_imu(motion=Motion(duration_s=10.0, rate_rms_rad_s=0.0))
    with pytest.raises(DatasetError, match="expected movement"):
        estimate_sensor_delay(rest)
