"""How the clock of the truth stands to that of an inertial sensor, and the body to the sensor.

First the speeds of rotation are correlated (`build_offset`), which needs neither a common frame nor
a good guess. Then the rotation between both bodies follows from their turns (W. Kabsch, Acta
Crystallographica A 32, 1976), and the rest of the offset from short windows in which turns are
compared, see `imu_delay`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nn_perception.datasets.build_offset import BIN_S, Curve, Speeds, coarse_offset
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_delay import estimate_sensor_delay
from nn_perception.datasets.imu_resampling import Float64Array, interpolate
from nn_perception.errors import DatasetError
from nn_perception.rotations import (
    quat_conjugate,
    quat_distance,
    quat_from_matrix,
    quat_log,
    quat_multiply,
    quat_rotate,
)

_PIECE_S, _PIECES = 30.0, 8
_FINE_S = 0.04
_SIGNIFICANT_S = 1e-3
"""A smaller offset is left as it is: it is that of filters and cables, not of clocks."""
_SIGNIFICANT_MOUNTING_DEG = 3.0
_TURN_S = 0.1
_LEAST_AGREEMENT = 0.7
_MOST_TILT_DEG = 15.0
TILTED = "the truth's z axis is tilted"
IDENTITY = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Alignment:
    """How truth and sensor were brought together.

    Attributes:
        offset_s: what must be added to the truth's stamps, as estimated; NaN: not estimated.
        sigma_s: its standard deviation, from pieces of the recording.
        applied_s: what was added.
        correlation: of the speeds of rotation at that offset, 0 to 1; NaN where not computed.
        drift_ppm: by how much the offset grows; NaN where it cannot be told.
        mounting_deg: angle between the truth's body and the sensor; NaN: not estimated.
        mounting_xyzw: rotation from the truth's body to the sensor that was taken out.
        note: what a reader should know, in words.
        curve: offsets (s) and correlations, or costs, for a picture.
    """

    offset_s: float = math.nan
    sigma_s: float = math.nan
    applied_s: float = 0.0
    correlation: float = math.nan
    drift_ppm: float = math.nan
    mounting_deg: float = math.nan
    mounting_xyzw: tuple[float, float, float, float] = IDENTITY
    note: str = ""
    curve: Curve = ((), ())

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, NaN as None."""
        values = vars(self) | {"mounting_xyzw": list(self.mounting_xyzw)}
        values["curve"] = [list(part) for part in self.curve]
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }


def align_imu(
    name: str, imu: Spool, poses: Spool, settings: BuildSettings, told_s: float = 0.0
) -> Alignment:
    """Estimate offset and mounting, and decide what of it is applied.

    Args:
        name: of the recording, for errors.
        imu: rows with ``stamp`` (ns), ``gyro`` and ``accel``.
        poses: rows with ``stamp`` and ``pose`` (position, quaternion).
        settings: a given offset is taken, and none estimated.
        told_s: the sensor's delay that the bag states; it is no offset of clocks.

    Raises:
        DatasetError: both have no time in common, there is no motion, or they do not fit.
    """
    if settings.offset_s is not None:
        return Alignment(applied_s=settings.offset_s, note="offset given")
    gap_s = settings.gap_s("imu")
    speeds = Speeds.of(name, imu, poses, gap_s, settings.max_offset_s)
    coarse_s, correlation, curve = coarse_offset(name, speeds, settings.max_offset_s)
    offset_s, mounting, angle_deg, turned = coarse_s, None, math.nan, False
    # Twice: a mounting from pieces that are some milliseconds apart is a degree off.
    for _ in range(2):
        pieces = _pieces(imu, poses, speeds, offset_s, gap_s)
        mounting, angle_deg, agreement = _mounting(pieces)
        _check_agreement(name, agreement, offset_s)
        turned = (
            settings.mounting and mounting is not None and angle_deg >= _SIGNIFICANT_MOUNTING_DEG
        )
        if turned and mounting is not None:
            pieces = [_mounted(piece, mounting) for piece in pieces]
        rest_s, sigma_s, drift = _fine(pieces)
        offset_s += rest_s
    own_s = offset_s - told_s
    significant = abs(own_s) > max(_SIGNIFICANT_S, 3.0 * sigma_s)
    note = _tilt_note(pieces)
    if told_s and abs(own_s) <= _FINE_S:
        significant = False
        note = f"the bag states a delay of {1e3 * told_s:.1f} ms. {note}".strip()
    return Alignment(
        offset_s=offset_s,
        sigma_s=sigma_s,
        applied_s=own_s if significant else 0.0,
        correlation=correlation,
        drift_ppm=drift,
        mounting_deg=angle_deg,
        mounting_xyzw=tuple(mounting.tolist()) if turned and mounting is not None else IDENTITY,
        note=note,
        curve=curve,
    )


def _pieces(
    imu: Spool, poses: Spool, speeds: Speeds, offset_s: float, gap_s: float
) -> list[ImuSequence]:
    """Return the pieces with most motion, with the truth brought to their stamps."""
    width = round(_PIECE_S / BIN_S)
    shifted = np.roll(speeds.truth, round(offset_s / BIN_S))
    power = np.nan_to_num(np.minimum(shifted, speeds.imu)) ** 2
    starts = np.arange(0, max(1, len(power) - width // 2), width)
    energy = np.add.reduceat(power, starts)
    chosen = np.sort(starts[np.argsort(-energy, kind="stable")[:_PIECES]])
    found = []
    for start in chosen.tolist():
        begin_ns = speeds.origin_ns + round(start * BIN_S * 1e9)
        piece = _piece(imu, poses, begin_ns, round(offset_s * 1e9), gap_s)
        if piece is not None:
            found.append(piece)
    return found


def _piece(
    imu: Spool, poses: Spool, begin_ns: int, offset_ns: int, gap_s: float
) -> ImuSequence | None:
    span_ns, margin_ns = round(_PIECE_S * 1e9), round(1e9)
    rows = imu.read(imu.first_at(begin_ns), imu.first_at(begin_ns + span_ns))
    true = poses.read(
        poses.first_at(begin_ns - offset_ns - margin_ns),
        poses.first_at(begin_ns - offset_ns + span_ns + margin_ns),
    )
    if len(rows) < 100 or len(true) < 2:
        return None
    time_s = (rows["stamp"] - begin_ns) * 1e-9
    true_s = (true["stamp"] + offset_ns - begin_ns) * 1e-9
    quat = interpolate(time_s, true_s, true["pose"][:, 3:], gap_s, turn=True)
    return ImuSequence(
        f"piece at {begin_ns * 1e-9:.0f} s", time_s, rows["gyro"], rows["accel"], "bag",
        orientation_xyzw=quat, start_ns=begin_ns,
    )  # fmt: skip


def _check_agreement(name: str, agreement: float, offset_s: float) -> None:
    if agreement < _LEAST_AGREEMENT:
        raise DatasetError(
            f"{name}: sensor and truth do not fit: where their speeds of rotation fit best "
            f"({offset_s:+.2f} s), their turns agree by {agreement:.2f} alone, expected "
            f"{_LEAST_AGREEMENT} or more; choose the pose of this sensor with --topic pose=TOPIC, "
            "or give a larger --max-offset-s"
        )


def _mounting(pieces: list[ImuSequence]) -> tuple[Float64Array | None, float, float]:
    """Compare turns of sensor and truth, whatever the axes of both.

    Returns:
        The rotation (4,) from the truth's body to the sensor, None where turns about one axis
        alone do not tell it; its angle in degrees; and the correlation of the turns, 0 to 1.
    """
    total, power = np.zeros((3, 3)), np.zeros(2)
    for piece in pieces:
        count = max(1, round(_TURN_S * piece.rate_hz))
        quat = np.asarray(piece.orientation_xyzw)
        turns = quat_log(quat_multiply(quat_conjugate(quat[:-count]), quat[count:]))
        steps = np.diff(piece.time_s)[:, None] * (piece.gyro_rad_s[1:] + piece.gyro_rad_s[:-1]) / 2
        sums = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        known = np.isfinite(turns).all(axis=1)
        if not known.any():
            continue
        measured, turns = (sums[count:] - sums[:-count])[known], turns[known]
        measured = measured - np.median(measured, axis=0)  # its bias
        total += measured.T @ turns
        power += (measured**2).sum(), (turns**2).sum()
    left, strength, right = np.linalg.svd(total)
    agreement = float(strength.sum() / max(math.sqrt(power[0] * power[1]), 1e-12))
    if strength[1] < 0.02 * strength[0] or not strength[0] > 0.0:
        return None, math.nan, agreement
    flip = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    mounting = np.asarray(quat_from_matrix(left @ flip @ right), np.float64)
    return mounting, math.degrees(float(quat_distance(mounting, np.array(IDENTITY)))), agreement


def _mounted(piece: ImuSequence, mounting: Float64Array) -> ImuSequence:
    quat = quat_multiply(np.asarray(piece.orientation_xyzw), quat_conjugate(mounting))
    return replace(piece, orientation_xyzw=quat)


def _fine(pieces: list[ImuSequence]) -> tuple[float, float, float]:
    """Return what is left of the offset, its standard deviation, and the drift in ppm."""
    found, at_s, last = [], [], "no piece has truth and motion"
    for piece in pieces:
        try:
            found.append(estimate_sensor_delay(piece, max_delay_s=_FINE_S))
            at_s.append((piece.start_ns or 0) * 1e-9)
        except DatasetError as error:
            last = str(error)
    if not found:
        raise DatasetError(f"the offset of the clocks cannot be measured: {last}")
    delays, at = np.array(found), np.array(at_s)
    spread = 1.4826 * float(np.median(abs(delays - np.median(delays))))
    sigma_s = max(spread / math.sqrt(len(delays)), 1e-5) if len(delays) > 1 else _SIGNIFICANT_S / 3
    drift = math.nan
    if len(delays) >= 4 and np.ptp(at) >= 2.0 * _PIECE_S:
        drift = 1e6 * float(np.polyfit(at - at[0], delays, 1)[0])
    return float(np.median(delays)), sigma_s, drift


def _tilt_note(pieces: list[ImuSequence]) -> str:
    """Say so when the truth's earth frame has its z axis elsewhere than up."""
    up = np.zeros(3)
    for piece in pieces:
        known = piece.has_truth
        quat = np.asarray(piece.orientation_xyzw)[known]
        up += quat_rotate(quat, piece.accel_m_s2[known]).sum(axis=0)
    size = float(np.linalg.norm(up))
    tilt = math.degrees(math.acos(max(-1.0, min(1.0, up[2] / size)))) if size > 0 else 0.0
    if tilt <= _MOST_TILT_DEG:
        return ""
    return f"{TILTED} by {tilt:.0f} degrees from up"
