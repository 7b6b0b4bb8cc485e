"""Many serialised messages at once: samples of an IMU, poses and ranges as arrays.

NumPy takes the numbers of all messages of the ordinary layout together (little-endian; for the
layouts see `nn_perception.cdr`, `inertial.cdr` and `tasks.uwb.cdr`). Whatever is not ordinary goes
to the reader of single messages, which decides what it is.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.cdr import (
    ENCAPSULATION_BYTES,
    MAXIMUM_TEXT_BYTES,
    read_header,
    undecodable,
)
from nn_perception.datasets.bag_batches import Batch, Int64Array
from nn_perception.datasets.imu_truth import UNIT_TOLERANCE, WITHOUT_QUATERNION, pose_from_cdr
from nn_perception.errors import MessageError
from nn_perception.inertial.cdr import BODY_BYTES, reading_from_cdr
from nn_perception.inertial.readings import MAX_ACCEL_M_S2, MAX_RATE_RAD_S, NO_DATA

Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_HEAD_BYTES = 16
_RATE, _FORCE = 13 * 8, 25 * 8  # bytes from the orientation of an Imu
_LIMITS = np.repeat([MAX_RATE_RAD_S, MAX_ACCEL_M_S2], 3)
_RANGE, _RANGE_BYTES = "sensor_msgs/Range", 4 * 4


@dataclass(frozen=True)
class Rows:
    """What N messages of a batch say.

    Attributes:
        stamp_ns: (M,) header stamps of the usable ones, in the order of the batch.
        values: (M, K) their numbers.
        time_ns: (M,) bag times.
        name: (M,) index into ``names``; empty where names are not asked for.
        names: frames, by that index.
        dropped: those that cannot be used, by reason.
    """

    stamp_ns: Int64Array
    values: Float64Array
    time_ns: Int64Array
    name: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    names: tuple[str, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)


class _Heads(NamedTuple):
    """Stamps, lengths of the frames, and which messages are ordinary so far."""

    stamp_ns: Int64Array
    length: Int64Array
    plain: BoolArray


def header_stamps(batch: Batch) -> Int64Array:
    """Return the header stamps (N,) in ns, in place of which bad messages have their bag time."""
    heads = _heads(batch)
    return np.where(heads.plain, heads.stamp_ns, batch.time_ns)


def imu_rows(batch: Batch) -> Rows:
    """Read sensor_msgs/Imu: rate (rad/s) and specific force (m/s2), 6 columns.

    Dropped is what `reading_from_cdr` refuses, by its kind.
    """
    heads = _heads(batch)
    body = batch.start + ENCAPSULATION_BYTES + ((12 + heads.length + 7) & ~7)
    fast = heads.plain & (body + BODY_BYTES <= batch.start + batch.size)
    rate, force = (_numbers(batch, body[fast] + at, 4) for at in (_RATE, _FORCE))
    values = np.concatenate([rate[:, :3], force[:, :3]], axis=1)
    # Comparisons with NaN are false: no measurement is without numbers.
    good = (abs(values) <= _LIMITS).all(axis=1)
    good &= (rate[:, 3] != NO_DATA) & (force[:, 3] != NO_DATA)

    def one(data: bytes) -> tuple[int, tuple[float, ...]]:
        reading = reading_from_cdr(data)
        return reading.stamp_ns, (*reading.gyro_rad_s, *reading.accel_m_s2)

    return _merged(batch, heads.stamp_ns, fast, values, good, one)


def pose_rows(batch: Batch, *, child: bool = False) -> Rows:
    """Read poses: x, y, z, qx, qy, qz, qw with the quaternion's norm 1, 7 columns.

    Args:
        batch: of geometry_msgs/PoseStamped; of nav_msgs/Odometry or geometry_msgs/TransformStamped
            with ``child``.
        child: a child frame stands between header and pose.
    """
    heads = _heads(batch)
    end, plain = 12 + heads.length, heads.plain
    if child:
        at = (end + 3) & ~3
        plain = plain & (at + 4 + ENCAPSULATION_BYTES <= batch.size)
        length = np.zeros(len(batch), np.int64)
        where = batch.start[plain] + ENCAPSULATION_BYTES + at[plain]
        length[plain] = _block(batch, where, 4).view("<u4")[:, 0]
        plain &= length <= MAXIMUM_TEXT_BYTES
        end = at + 4 + length
    body = batch.start + ENCAPSULATION_BYTES + ((end + 7) & ~7)
    fast = plain & (body + 56 <= batch.start + batch.size)
    values = _numbers(batch, body[fast], 7)
    with np.errstate(invalid="ignore", over="ignore"):
        norm = np.sqrt((values[:, 3:] ** 2).sum(axis=1))
        good = (abs(norm - 1.0) <= UNIT_TOLERANCE) & np.isfinite(values[:, :3]).all(axis=1)
        values[:, 3:] /= norm[:, None]

    def one(data: bytes) -> tuple[int, tuple[float, ...]]:
        pose = pose_from_cdr(data, child=child)
        if pose is None:
            raise MessageError(WITHOUT_QUATERNION, "no pose")
        return pose

    return _merged(batch, heads.stamp_ns, fast, values, good, one)


def range_rows(batch: Batch) -> Rows:
    """Read sensor_msgs/Range: the range (m), 1 column, and frames as names."""
    heads = _heads(batch)
    floats = batch.start + ENCAPSULATION_BYTES + ((12 + heads.length + 1 + 3) & ~3)
    fast = heads.plain & (floats + _RANGE_BYTES <= batch.start + batch.size)
    values = _block(batch, floats[fast] + 12, 4).view("<f4").astype(np.float64)
    names: dict[str, int] = {}
    name = np.full(len(batch), -1)
    name[fast] = _frames(batch, np.flatnonzero(fast), heads.length, names)
    good = name[fast] >= 0
    extra: list[int] = []

    def one(data: bytes) -> tuple[int, tuple[float, ...]]:
        order, stamp_ns, frame, end = read_header(data, _RANGE)
        at = ENCAPSULATION_BYTES + ((end + 1 + 3) & ~3)
        if len(data) < at + _RANGE_BYTES:
            raise undecodable(data, _RANGE, f"expected {at + _RANGE_BYTES} bytes or more")
        extra.append(names.setdefault(frame, len(names)))
        return stamp_ns, struct.unpack_from(f"{order}f", data, at + 12)

    rows = _merged(batch, heads.stamp_ns, fast, values, good, one, keep=name)
    if extra:
        rows.name[rows.name < 0] = extra
    return replace(rows, names=tuple(names))


def _merged(
    batch: Batch,
    stamp_ns: Int64Array,
    fast: BoolArray,
    values: Float64Array,
    good: BoolArray,
    one: Callable[[bytes], tuple[int, tuple[float, ...]]],
    keep: Any = None,
) -> Rows:
    """Put together what was read at once and what is read one by one."""
    rows = np.full((len(batch), values.shape[1]), np.nan)
    rows[fast] = values
    usable = fast.copy()
    usable[fast] = good
    stamps, dropped = stamp_ns.copy(), Counter[str]()
    for row in np.flatnonzero(~usable).tolist():
        try:
            stamps[row], rows[row] = one(batch.message(row))
            usable[row] = True
        except MessageError as error:
            dropped[error.kind] += 1
    name = np.zeros(0, np.int64) if keep is None else keep[usable]
    return Rows(stamps[usable], rows[usable], batch.time_ns[usable], name, (), dropped)


def _heads(batch: Batch) -> _Heads:
    long_enough = batch.size >= _HEAD_BYTES
    head = np.zeros((len(batch), _HEAD_BYTES), np.uint8)
    head[long_enough] = _block(batch, batch.start[long_enough], _HEAD_BYTES)
    numbers = head.view("<u4").astype(np.int64)
    seconds = head[:, 4:8].copy().view("<i4")[:, 0].astype(np.int64)
    length = numbers[:, 3]
    plain = (
        long_enough
        & (head[:, 0] == 0)
        & (head[:, 1] == 1)
        & (length <= MAXIMUM_TEXT_BYTES)
        & (batch.size >= _HEAD_BYTES + length)
    )
    _check_frames(batch, plain, length)
    return _Heads(seconds * 1_000_000_000 + numbers[:, 2], np.where(plain, length, 0), plain)


def _check_frames(batch: Batch, plain: BoolArray, length: Int64Array) -> None:
    """Take out of ``plain`` the messages whose frame is no UTF-8."""
    rows = np.flatnonzero(plain)
    plain[rows[_frames(batch, rows, length, {}) < 0]] = False


def _frames(
    batch: Batch, rows: Int64Array, length: Int64Array, names: dict[str, int]
) -> Int64Array:
    """Return the index of each row's frame in ``names``, which grows; -1: no UTF-8."""
    found = np.full(len(rows), -1, np.int64)
    for size in np.unique(length[rows]).tolist():
        here = np.flatnonzero(length[rows] == size)
        texts = _block(batch, batch.start[rows[here]] + _HEAD_BYTES, size)
        same = (texts == texts[0]).all()
        void = np.ascontiguousarray(texts[:1] if same else texts).view(f"V{max(size, 1)}")
        kinds, which = np.unique(void[:, 0] if size else np.zeros(1, "V1"), return_inverse=True)
        index = [_name(kind.tobytes() if size else b"", names) for kind in kinds]
        found[here] = index[0] if same else np.array(index)[which]
    return found


def _name(text: bytes, names: dict[str, int]) -> int:
    try:
        frame = text.decode()
    except UnicodeDecodeError:
        return -1
    return names.setdefault(frame[:-1] if frame.endswith("\0") else frame, len(names))


def _numbers(batch: Batch, at: Int64Array, count: int) -> Float64Array:
    """Return doubles (N, count), a copy."""
    numbers: Float64Array = _block(batch, at, 8 * count).view("<f8").astype(np.float64, copy=False)
    return numbers


def _block(batch: Batch, at: Int64Array, size: int) -> NDArray[np.uint8]:
    """Return ``size`` bytes from each place (N,), a copy (N, size)."""
    if not size or not len(at):
        return np.zeros((len(at), size), np.uint8)
    data = batch.data
    blocks: Any = np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))
    taken: NDArray[np.uint8] = blocks[at].view(np.uint8).reshape(-1, size)
    return taken
