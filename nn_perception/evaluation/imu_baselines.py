"""What an estimator of orientation is compared with: published filters, and plain integration.

* VQF: D. Laidig, T. Seel, "VQF: Highly accurate IMU orientation estimation with bias estimation
  and magnetic disturbance rejection", Information Fusion 91, 2023. The causal filter with its
  default parameters, without the magnetometer.
* RIANN: D. Weber, C. Gühmann, T. Seel, "RIANN - A robust neural network outperforms attitude
  estimation filters", AI 2(3), 2021. The published network. Its training data may have held trials
  of BROAD.

Both come from PyPI (``pip install nn_perception[eval]``); one that is missing is left out.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.errors import ConfigError
from nn_perception.evaluation.imu_metrics import integrate_open_loop, predict_ahead
from nn_perception.rotations import quat_from_wxyz, quat_normalise

Baseline = Callable[[ImuSequence], Float64Array]
"""Gives orientations (N, 4), sensor to earth, x, y, z, w; the heading's start is arbitrary."""

REST_S = 2.0
_REST_GYRO_STD_RAD_S = 0.02
_REST_ACCEL_STD_M_S2 = 0.2


def attitude_baselines() -> tuple[dict[str, Baseline], dict[str, str]]:
    """Return the baselines of `attitude` by name, and why others are left out."""
    found: dict[str, Baseline] = {
        "gyro_integration": lambda sequence: integrate_open_loop(sequence.gyro_rad_s, sequence),
        "constant_bias": lambda sequence: integrate_open_loop(
            sequence.gyro_rad_s - bias_at_rest(sequence), sequence
        ),
    }
    left_out = _add_published(found, np.zeros(3))
    return found, left_out


def gyro_baselines(constant_bias: ArrayLike | None) -> tuple[dict[str, Baseline], dict[str, str]]:
    """Return the baselines of `gyro` by name, and why others are left out.

    VQF and RIANN see the accelerometer too, and get the rate after the constant bias where it is
    known: a bias above 2 degrees/s is more than VQF takes off by itself.

    Args:
        constant_bias: mean bias of the training sequences (3,) rad/s, or None.
    """
    found: dict[str, Baseline] = {
        "gyro_integration": lambda sequence: integrate_open_loop(sequence.gyro_rad_s, sequence)
    }
    left_out: dict[str, str] = {}
    bias = np.zeros(3)
    if constant_bias is None:
        left_out["constant_bias"] = (
            "the bundle's calibration holds no constant_gyro_bias_rad_s of the training sequences"
        )
    else:
        bias = _three_numbers(constant_bias)
        found["constant_bias"] = lambda sequence: integrate_open_loop(
            sequence.gyro_rad_s - bias, sequence
        )
    return found, {**left_out, **_add_published(found, bias)}


def bias_at_rest(sequence: ImuSequence) -> Float64Array:
    """Return the mean rate (3,) of the first 2 s where the sensor rests in them, otherwise 0."""
    rows = sequence.time_s < sequence.time_s[0] + REST_S
    gyro, accel = sequence.gyro_rad_s[rows], sequence.accel_m_s2[rows]
    rests = (
        gyro.std(axis=0).max() < _REST_GYRO_STD_RAD_S
        and accel.std(axis=0).max() < _REST_ACCEL_STD_M_S2
    )
    bias: Float64Array = gyro.mean(axis=0) if rests else np.zeros(3)
    return bias


def vqf_told_delay(sequence: ImuSequence) -> Float64Array:
    """Run VQF, and turn its orientation on by the rate so that the sensor's delay is made up for.

    By the delay less half a period: VQF holds each reading over the period before its stamp, and
    is thus half a period ahead of `ImuSequence.sensor_delay_s`'s definition. Of BROAD's 24 trials
    the mean inclination error is 0.53 degrees so, and 0.60 with the whole delay: a rival is shown
    at its best.

    Raises:
        ImportError: the package is missing.
    """
    ahead_s = sequence.sensor_delay_s - 0.5 / sequence.rate_hz
    return predict_ahead(vqf_orientation(sequence), sequence.gyro_rad_s, ahead_s)


def vqf_orientation(sequence: ImuSequence) -> Float64Array:
    """Run VQF (6D) over a recording.

    Raises:
        ImportError: the package is missing.
    """
    module = importlib.import_module("vqf")
    result = module.VQF(1.0 / sequence.rate_hz).updateBatch(
        sequence.gyro_rad_s, sequence.accel_m_s2
    )
    orientation: Float64Array = quat_from_wxyz(np.asarray(result["quat6D"], np.float64))
    return orientation


def riann_orientation(sequence: ImuSequence) -> Float64Array:
    """Run RIANN over a recording.

    Raises:
        ImportError: the package is missing.
    """
    module = importlib.import_module("riann.riann")
    # By its path: the package looks for the file in ways that differ between Python versions.
    network = module.RIANN(str(Path(str(module.__file__)).with_name("riann.onnx")))
    result = network.predict(sequence.accel_m_s2, sequence.gyro_rad_s, sequence.rate_hz)
    orientation: Float64Array = quat_normalise(quat_from_wxyz(np.asarray(result, np.float64)))
    return orientation


def _add_published(found: dict[str, Baseline], bias: Float64Array) -> dict[str, str]:
    """Add the published filters whose packages are there; return why the others are not."""
    left_out: dict[str, str] = {}
    published: Mapping[str, Baseline] = {"vqf": vqf_orientation, "riann": riann_orientation}
    for name, baseline in published.items():
        try:
            importlib.import_module(name)
        except ImportError as error:
            left_out[name] = f"the package {name} cannot be imported ({error}): pip install {name}"
            continue
        found[name] = _without_bias(baseline, bias)
    return left_out


def _without_bias(baseline: Baseline, bias: Float64Array) -> Baseline:
    return lambda sequence: baseline(replace(sequence, gyro_rad_s=sequence.gyro_rad_s - bias))


def _three_numbers(values: ArrayLike) -> Float64Array:
    try:
        bias = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        bias = np.zeros(0)
    if bias.shape != (3,) or not all(map(math.isfinite, bias.tolist())):
        raise ConfigError(
            f"calibration.constant_gyro_bias_rad_s of the bundle is {values!r}, expected three "
            "numbers in rad/s; train it again"
        )
    return bias
