"""Trajectories in the text format of the TUM RGB-D benchmark, which ``evo`` reads.

One pose a line, single spaces, no space at the end: ``timestamp tx ty tz qx qy qz qw``, with the
timestamp in seconds and the quaternion's scalar last (https://github.com/MichaelGrupp/evo/wiki).
``evo_ape tum truth.tum estimate.tum --pose_relation angle_deg`` compares two orientations.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.errors import DatasetError


def write_tum(
    path: Path,
    sequence: ImuSequence,
    orientation_xyzw: Float64Array,
    position_m: Float64Array | None = None,
) -> int:
    """Write orientations; rows that are NaN are left out.

    Args:
        path: the file; directories are made.
        sequence: gives the times: ``start_ns`` (0 where it is unknown) plus ``time_s``.
        orientation_xyzw: (N, 4).
        position_m: (N, 3), zeros where it is NaN or None.

    Returns:
        The number of poses.

    Raises:
        DatasetError: the file cannot be written.
    """
    start_ns = sequence.start_ns or 0
    position = np.zeros((len(sequence), 3)) if position_m is None else np.nan_to_num(position_m)
    rows = np.flatnonzero(np.isfinite(orientation_xyzw).all(axis=1))
    lines = []
    for row in rows:
        # Whole nanoseconds: a float64 cannot hold them together with the date.
        sec, nanosec = divmod(start_ns + round(sequence.time_s[row] * 1e9), 10**9)
        numbers = (*position[row], *orientation_xyzw[row])
        lines.append(f"{sec}.{nanosec:09d} " + " ".join(f"{number:.9f}" for number in numbers))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror or error}); give another directory"
        ) from error
    return len(rows)
