"""Read recordings of inertial sensors: BROAD, EuRoC and TUM-VI as .npz files, and their splits.

The files hold quaternions scalar first (w, x, y, z); they are x, y, z, w from here on. Nothing
stored in them is ever unpickled.

* BROAD: D. Laidig, M. Caruso, A. Cereatti, T. Seel, "BROAD - A Benchmark for Robust Inertial
  Orientation Estimation", Data 6(7), 2021.
* EuRoC: M. Burri et al., "The EuRoC micro aerial vehicle datasets", IJRR 35(10), 2016.
* TUM-VI: D. Schubert et al., "The TUM VI Benchmark for Evaluating Visual-Inertial Odometry",
  IROS 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.imu import ImuSequence, interpolate
from nn_perception.datasets.imu_npz import REPAIR, Layout, array_names, read_npz
from nn_perception.errors import DatasetError, nearest

# Brossard et al., "Denoising IMU Gyroscopes with Deep Learning for Open-Loop Attitude Estimation",
# RA-L 2020, section IV.
EUROC_TRAIN = (
    "euroc_MH_01_easy",
    "euroc_MH_03_medium",
    "euroc_MH_05_difficult",
    "euroc_V1_02_medium",
    "euroc_V2_01_easy",
    "euroc_V2_03_difficult",
)
EUROC_TEST = (
    "euroc_MH_02_easy",
    "euroc_MH_04_difficult",
    "euroc_V1_01_easy",
    "euroc_V1_03_difficult",
    "euroc_V2_02_medium",
)
TUMVI_TRAIN = ("tumvi_room1", "tumvi_room3", "tumvi_room5")
TUMVI_TEST = ("tumvi_room2", "tumvi_room4", "tumvi_room6")

# Trials of BROAD by number, fixed before the first training: each is left out in one fold. Trials
# of one kind follow each other in BROAD, so every sixth puts them into different folds.
BROAD_FOLDS = (
    (1, 8, 16, 29),
    (2, 9, 18, 31),
    (3, 10, 24, 32),
    (4, 11, 26, 33),
    (5, 14, 27, 34),
    (6, 15, 28, 36),
)

BROAD_SENSOR_DELAY_S = 0.0041
"""How late BROAD's gyroscope shows the motion of the truth (1.2 samples).

The mean over 24 trials of `imu_delay.estimate_sensor_delay`, the same within 0.5 ms in every one.
"""

Truth = Literal["recomputed", "original"]
_SCALAR, _SERIES = ("f", ()), ("f", ("N",))
_VECTORS, _QUATERNIONS, _FLAGS = ("f", ("N", 3)), ("f", ("N", 4)), ("b", ("N",))
_BROAD: Layout = {
    **dict.fromkeys(("gyr", "acc", "mag", "pos"), _VECTORS),
    **{"quat": _QUATERNIONS, "movement": _FLAGS, "fs": _SCALAR},
}
_EUROC_TUMVI: Layout = {
    **dict.fromkeys(("gyr", "acc", "pos", "vel"), _VECTORS),
    **{"quat": _QUATERNIONS, "valid": _FLAGS, "t": _SERIES, "t0_ns": ("i", ())},
}
_BIASES: Layout = dict.fromkeys(("bias_gyr", "bias_acc"), _VECTORS)
_ALTERNATIVE: Layout = {
    **{"alt_t": ("f", ("M",)), "alt_quat": ("f", ("M", 4))},
    **{f"alt_{name}": ("f", ("M", 3)) for name in ("pos", "vel", "bias_gyr", "bias_acc")},
}
_ALTERNATIVE_GAP_S = 0.11  # it comes at 20 Hz: one sample may be missing
_KINDS_EXPECTED = (
    f"expected a trial of BROAD ({', '.join(_BROAD)}) or a sequence of EuRoC or TUM-VI "
    f"({', '.join(_EUROC_TUMVI)})"
)


def load_broad(path: Path) -> ImuSequence:
    """Read one trial of BROAD; error figures are taken where ``movement`` is True.

    The earth frame is ENU (x east, y magnetic north, z up). Positions are those of the optical
    system. ``sensor_delay_s`` is `BROAD_SENSOR_DELAY_S`; nothing is shifted here.

    Raises:
        DatasetError: the file is missing, damaged, or no trial of BROAD.
    """
    arrays = read_npz(path, _BROAD)
    rate_hz = float(arrays["fs"])
    if not 0.0 < rate_hz < np.inf:
        raise DatasetError(f"{path}: fs is {rate_hz} Hz, expected above 0; {REPAIR}")
    return _sequence(
        path,
        time_s=np.arange(len(arrays["gyr"])) / rate_hz,
        gyro_rad_s=arrays["gyr"],
        accel_m_s2=arrays["acc"],
        source="broad",
        mag_ut=arrays["mag"],
        orientation_xyzw=_xyzw(arrays["quat"]),
        position_m=arrays["pos"],
        movement=arrays["movement"],
        sensor_delay_s=BROAD_SENSOR_DELAY_S,
    )


def load_euroc_tumvi(path: Path, truth: Truth = "recomputed") -> ImuSequence:
    """Read one sequence of EuRoC or TUM-VI.

    Truth of samples that the file marks as not valid is NaN. The world frame has z up; its heading
    is that of the data set. Biases are kept where the truth has them (EuRoC, in part).

    Args:
        path: the .npz file.
        truth: where the file holds a recomputed truth (``alt_*``: V1_01, whose original
            orientation is wrong by 5.5 degrees), ``"recomputed"`` takes it, interpolated from
            20 Hz to the samples by slerp (error 0.04 degrees RMS) and lines, and ``"original"``
            does not. Without effect for other files.

    Raises:
        DatasetError: the file is missing, damaged, or no such sequence.
    """
    if truth not in ("recomputed", "original"):
        raise DatasetError(f"truth is {truth!r}, expected 'recomputed' or 'original'")
    names = array_names(path)
    layout = dict(_EUROC_TUMVI)
    layout.update({name: kind for name, kind in _BIASES.items() if name in names})
    if truth == "recomputed" and any(name.startswith("alt_") for name in names):
        layout.update(_ALTERNATIVE)
    arrays = read_npz(path, layout)
    own = arrays if "alt_t" not in arrays else _alternative(arrays, path)
    known = own["valid"][:, np.newaxis]
    rows = {
        key: np.where(known, own[name], np.nan)
        for key, name in (
            ("position_m", "pos"),
            ("velocity_m_s", "vel"),
            ("gyro_bias_rad_s", "bias_gyr"),
            ("accel_bias_m_s2", "bias_acc"),
        )
        if name in own
    }
    return _sequence(
        path,
        time_s=arrays["t"],
        gyro_rad_s=arrays["gyr"],
        accel_m_s2=arrays["acc"],
        source="tumvi" if Path(path).stem.startswith("tumvi") else "euroc",
        orientation_xyzw=_xyzw(np.where(known, own["quat"], np.nan)),
        start_ns=int(arrays["t0_ns"]),
        **rows,
    )


def load_imu_directory(path: Path, truth: Truth = "recomputed") -> list[ImuSequence]:
    """Read all .npz files of a directory, or one file, recognised by their arrays.

    Args:
        path: a directory with trials of BROAD, sequences of EuRoC and TUM-VI, or both.
        truth: see :func:`load_euroc_tumvi`.

    Returns:
        The sequences in order of name.

    Raises:
        DatasetError: nothing is there, or a file is damaged or of another kind.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*.npz"))
    if not files:
        raise DatasetError(
            f"{path}: no .npz file there, {_KINDS_EXPECTED}; name the directory that holds them"
        )
    found = []
    for file in files:
        names = array_names(file)
        if {"fs", "movement"} <= names:
            found.append(load_broad(file))
        elif {"t", "t0_ns"} & names:
            found.append(load_euroc_tumvi(file, truth))
        else:
            raise DatasetError(
                f"{file}: holds {', '.join(sorted(names)) or 'nothing'}, {_KINDS_EXPECTED}; "
                f"take the file away, or {REPAIR}"
            )
    return found


def broad_trial(name: str) -> int:
    """Return the number of a BROAD trial from its name, 7 for ``07_undisturbed_fast_rotation_B``.

    Raises:
        DatasetError: the name does not start with a number.
    """
    number = name.split("_")[0]
    if not number.isdecimal():
        raise DatasetError(
            f"{name!r} does not start with the number of a BROAD trial, expected for example "
            "01_undisturbed_slow_rotation_A; keep the names of the files"
        )
    return int(number)


def select(sequences: Iterable[ImuSequence], names: Sequence[str]) -> list[ImuSequence]:
    """Return the sequences of these names in this order.

    Raises:
        DatasetError: one of them is not there.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DatasetError(
            f"no sequence {missing[0]!r}, expected one of {sorted(by_name)}"
            f"{nearest(missing[0], by_name)}; add its file to the directory"
        )
    return [by_name[name] for name in names]


def _alternative(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, NDArray[Any]]:
    """Bring the recomputed truth to the times of the samples."""
    if len(arrays["alt_t"]) < 2 or not (np.diff(arrays["alt_t"]) > 0.0).all():
        raise DatasetError(f"{path}: alt_t does not increase; {REPAIR}")
    moved: dict[str, NDArray[Any]] = {
        name[len("alt_") :]: interpolate(
            arrays["t"],
            arrays["alt_t"],
            arrays[name].astype(np.float64),
            _ALTERNATIVE_GAP_S,
            turn=name == "alt_quat",
        )
        for name in _ALTERNATIVE
        if name != "alt_t"
    }
    moved["valid"] = np.ones(len(arrays["t"]), dtype=bool)
    return moved


def _sequence(path: Path, **fields: Any) -> ImuSequence:
    try:
        return ImuSequence(name=Path(path).stem, **fields)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}; or {REPAIR}") from error


def _xyzw(quat_wxyz: NDArray[Any]) -> NDArray[Any]:
    """Put the scalar, which comes first in these files, last."""
    return np.roll(quat_wxyz, -1, axis=-1)
