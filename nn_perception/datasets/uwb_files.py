"""Read UWB ranges with truth from .csv or .csv.gz files, one row for each measurement.

| column | meaning |
|---|---|
| t | s; not decreasing, or starting again with each ``pose`` |
| tag, anchor | numbers; they become ``tag0``, ``anchor4`` |
| range | measured, m |
| tag_x, tag_y, tag_z | true place of the tag in the world, m |
| tag_qw, tag_qx, tag_qy, tag_qz | true orientation of the body, body to world |
| anc_x, anc_y, anc_z | place of the anchor in the world, m |
| anc_qw, anc_qx, anc_qy, anc_qz | optional: its orientation, anchor to world |
| range_true | optional, m: checked against the places |
| outlier | optional: 1 where the range is of no use |
| rx_power | optional: received power, dBm |
| pose | optional: number of the standing pose, each a segment |

Columns may be in any order and others are passed over. An empty cell is NaN. Quaternions are scalar
first in the files, and x, y, z, w from here on.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from nn_perception.datasets.imu_resampling import interpolate
from nn_perception.datasets.uwb import Anchor, BoolArray, Float64Array, Int64Array, UwbSequence
from nn_perception.datasets.uwb_text import Vector3
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_distance, quat_from_wxyz, quat_rotate

SUFFIXES = (".csv.gz", ".csv")
PAUSE_S = 2.0
"""Without a range for longer than this, a new segment begins."""
POSE_PAUSE_S = 10.0
"""Put between standing poses: their times start again with each."""

REPAIR = "copy or export the file again"
_PLACE, _TURN = ("tag_x", "tag_y", "tag_z"), ("tag_qw", "tag_qx", "tag_qy", "tag_qz")
_ANCHOR_PLACE = ("anc_x", "anc_y", "anc_z")
_ANCHOR_TURN = ("anc_qw", "anc_qx", "anc_qy", "anc_qz")
_NEEDED = ("t", "tag", "anchor", "range", *_PLACE, *_TURN, *_ANCHOR_PLACE)
_OPTIONAL = (*_ANCHOR_TURN, "range_true", "outlier", "rx_power", "pose")
_MARKS = ("t", "tag", "anchor", "range")

_ANCHOR_M = 1e-3
_ANCHOR_RAD = 2e-3
_TRUE_M = 2e-3
_RIGID_M = 0.05
_LEVER_DECIMALS = 5  # the files have 0.1 mm
_TAG_GAP_S = 0.2  # the first tag's place is interpolated for the others; not across a longer gap

Table = dict[str, Float64Array]


def load_uwb_file(path: Path) -> UwbSequence:
    """Read one recording.

    The origin of the body's frame is the tag with the lowest number; the lever arms of the others
    are medians over the recording. Where there is a column ``pose``, each pose is a segment, and
    they are laid one after another with `POSE_PAUSE_S` between; elsewhere a segment ends with a
    pause of more than `PAUSE_S`. ``source`` is the name up to its first underscore.

    Raises:
        DatasetError: the file is missing, damaged, or no such recording; the message names it, and
            line and column where they are to blame.
    """
    path = Path(path)
    table = _read_table(path)
    ids = {kind: np.unique(_whole(table, kind, path)) for kind in ("tag", "anchor")}
    tag, anchor = (np.searchsorted(ids[kind], table[kind]) for kind in ("tag", "anchor"))
    time_s, segment = _times(table, path)
    quat = quat_from_wxyz(_columns(table, _TURN))
    places = _columns(table, _PLACE)
    levers = _levers(ids["tag"], tag, time_s, places, quat, path)
    arms = np.array(list(levers.values()))[tag]
    name = stem(path)
    try:
        sequence = UwbSequence(
            name=name,
            time_s=time_s,
            tag=tag,
            anchor=anchor,
            range_m=table["range"],
            anchors=_anchors(ids["anchor"], table, path),
            tags=levers,
            position_m=places - quat_rotate(quat, arms),
            orientation_xyzw=quat,
            source=name.split("_")[0],
            rx_power_dbm=table.get("rx_power"),
            segment=segment,
            outlier=table["outlier"] != 0.0 if "outlier" in table else None,  # type: ignore[arg-type]
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}; or {REPAIR}") from error
    _check_true_ranges(sequence, table, path)
    return sequence


def is_uwb_file(path: Path) -> bool:
    """Whether it is such a file by name and columns; one that cannot be read is, to be refused."""
    if not path.name.endswith(SUFFIXES) or not path.is_file():
        return False
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.readline(10_000)
    except (OSError, EOFError, zlib.error):
        return True
    names = {name.strip() for name in head.decode("utf-8-sig", "replace").split(",")}
    return not head or names.issuperset(_MARKS)


def stem(path: Path) -> str:
    """Return the file's name without .csv or .csv.gz."""
    ends = [suffix for suffix in SUFFIXES if path.name.endswith(suffix)]
    return path.name[: -len(ends[0])] if ends else path.stem


def _read_table(path: Path) -> Table:
    """The known columns, (N,) each."""
    lines = _read_text(path).rstrip().splitlines()
    names = [name.strip() for name in lines[0].split(",")] if lines else []
    missing = [name for name in _NEEDED if name not in names]
    if missing or len(lines) < 2:
        lack = f"no column {missing[0]!r}" if missing else "no rows"
        raise DatasetError(f"{path}: {lack}, expected rows of {', '.join(_NEEDED)}; {REPAIR}")
    for number, line in enumerate(lines[1:], start=2):
        if line.count(",") != len(names) - 1:
            raise DatasetError(
                f"{path}: line {number} has {line.count(',') + 1} columns, expected {len(names)} "
                f"as the first line; {REPAIR}"
            )
    cells = ",".join(lines[1:]).split(",")
    table = {}
    for name in (*_NEEDED, *_OPTIONAL):
        if names.count(name) > 1:
            raise DatasetError(f"{path}: column {name!r} is there twice, expected once; {REPAIR}")
        if name in names:
            table[name] = _numbers(cells[names.index(name) :: len(names)], name, path)
    for name in ("t", "tag", "anchor", *_ANCHOR_PLACE):
        _refuse(~np.isfinite(table[name]), table[name], name, "a finite number", path)
    return table


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        plain = gzip.decompress(data) if path.suffix == ".gz" else data
        return plain.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{path}: cannot be read ({detail}), expected ranges as .csv or .csv.gz; {REPAIR}"
        ) from error


def _numbers(cells: list[str], name: str, path: Path) -> Float64Array:
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        pass
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            values[row] = float(cell) if cell.strip() else np.nan
        except ValueError as error:
            raise DatasetError(
                f"{path}: line {row + 2}, column {name!r}: {cell!r}, expected a number; {REPAIR}"
            ) from error
    return values


def _refuse(wrong: BoolArray, values: Float64Array, name: str, wanted: str, path: Path) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DatasetError(
            f"{path}: line {rows[0] + 2}, column {name!r}: {values[rows[0]]:g}, expected {wanted}; "
            f"{REPAIR}"
        )


def _whole(table: Table, name: str, path: Path) -> Int64Array:
    values = table[name]
    wrong = ~((values >= 0.0) & (values < 2**31) & (values == np.floor(values)))
    _refuse(wrong, values, name, "a whole number, 0 or more", path)
    return values.astype(np.int64)


def _columns(table: Table, names: tuple[str, ...]) -> Float64Array:
    return np.stack([table[name] for name in names], axis=1)


def _times(table: Table, path: Path) -> tuple[Float64Array, Int64Array]:
    """Times that do not decrease, and segments."""
    time_s = table["t"]
    step_s = np.diff(time_s)
    if "pose" in table:
        pose = _whole(table, "pose", path)
        new = np.append(False, np.diff(pose) != 0)
        back = np.append(False, np.diff(pose) < 0)
        _refuse(back, table["pose"], "pose", "pose by pose in order", path)
        step_s = np.where(new[1:], POSE_PAUSE_S, step_s)
    else:
        new = np.append(False, step_s > PAUSE_S)
    _refuse(np.append(False, step_s < 0.0), time_s, "t", "times that do not decrease", path)
    if "pose" in table:
        time_s = time_s[0] + np.append(0.0, np.cumsum(step_s))
    return time_s, np.cumsum(new)


def _levers(
    ids: Int64Array,
    tag: Int64Array,
    time_s: Float64Array,
    places: Float64Array,
    quat: Float64Array,
    path: Path,
) -> dict[str, Vector3]:
    """Lever arms of the tags; that of the first is 0."""
    levers = {f"tag{ids[0]}": (0.0, 0.0, 0.0)}
    at_s, rows = np.unique(time_s[tag == 0], return_index=True)
    first = places[tag == 0][rows]
    for index, number in enumerate(ids[1:], start=1):
        own = tag == index
        arms = np.full((0, 3), np.nan)
        if len(at_s) > 1:
            origin = interpolate(time_s[own], at_s, first, _TAG_GAP_S, turn=False)
            arms = quat_rotate(quat_conjugate(quat[own]), places[own] - origin)
            arms = arms[np.isfinite(arms).all(axis=1)]
        if not len(arms):
            raise DatasetError(
                f"{path}: tag{ids[0]} and tag{number} are never seen within {_TAG_GAP_S} s of each "
                "other, expected tags on one body; put the tags into files of their own"
            )
        lever = np.median(arms, axis=0)
        off_m = float(np.median(np.linalg.norm(arms - lever, axis=1)))
        if off_m > _RIGID_M:
            raise DatasetError(
                f"{path}: tag{number} moves by {off_m:.3f} m against tag{ids[0]}, expected a rigid "
                "body; check that tag_qw is the scalar and that the quaternion is body to world"
            )
        levers[f"tag{number}"] = _vector(np.round(lever, _LEVER_DECIMALS))
    return levers


def _anchors(ids: Int64Array, table: Table, path: Path) -> dict[str, Anchor]:
    anchors = {}
    places = _columns(table, _ANCHOR_PLACE)
    turned = all(name in table for name in _ANCHOR_TURN)
    quats = quat_from_wxyz(_columns(table, _ANCHOR_TURN)) if turned else None
    for number in ids:
        rows = np.flatnonzero(table["anchor"] == number)
        place, quat = places[rows[0]], None
        moved = abs(places[rows] - place).max(axis=1) > _ANCHOR_M
        if quats is not None and np.isfinite(quats[rows]).all():
            quat = quats[rows[0]]
            moved |= quat_distance(quats[rows], quat[np.newaxis]) > _ANCHOR_RAD
        if moved.any():
            raise DatasetError(
                f"{path}: line {rows[moved.argmax()] + 2}: anchor{number} is not where line "
                f"{rows[0] + 2} has it, expected the same anc_* within 1 mm; {REPAIR}, or split it "
                "where the anchor was moved"
            )
        try:
            if quat is None:
                anchors[f"anchor{number}"] = Anchor(_vector(place))
            else:
                anchors[f"anchor{number}"] = Anchor(
                    _vector(place), (*_vector(quat), float(quat[3]))
                )
        except DatasetError as error:
            raise DatasetError(f"{path}: anchor{number}: {error}") from error
    return anchors


def _vector(row: Float64Array) -> Vector3:
    return float(row[0]), float(row[1]), float(row[2])


def _check_true_ranges(sequence: UwbSequence, table: Table, path: Path) -> None:
    if "range_true" not in table:
        return
    off_m = abs(sequence.range_true_m - table["range_true"])
    wanted = f"the distance of the places within {_TRUE_M * 1e3:.0f} mm"
    _refuse(off_m > _TRUE_M, table["range_true"], "range_true", wanted, path)
