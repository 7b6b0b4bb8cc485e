"""Recordings of ultra-wideband ranges between tags on a body and anchors in a room, with truth.

Frames (REP-103): a world frame with z up, and the frame of the body that carries the tags.
Quaternions are x, y, z, w, unit, Hamilton, and rotate vectors from the body (or the anchor) into
the world: ``v_world = q * v_body * q^-1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_perception.datasets.imu import BoolArray, Float64Array
from nn_perception.datasets.uwb_text import (
    Anchor,
    Vector3,
    check_name,
    check_vector,
    format_anchors,
    format_tags,
)
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.rotations import quat_rotate

__all__ = ["OUTLIER_M", "Anchor", "BoolArray", "Float64Array", "Int64Array", "UwbSequence"]

Int64Array = NDArray[np.int64]

OUTLIER_M = 1.0
"""A range whose error exceeds this is an outlier."""

_UNIT_TOLERANCE = 1e-3
_PLANAR_M = 0.3
_ROWS = (
    "time_s",
    "tag",
    "anchor",
    "range_m",
    "position_m",
    "orientation_xyzw",
    "rx_power_dbm",
    "segment",
    "outlier",
)


@dataclass(frozen=True, eq=False)
class UwbSequence:
    """One recording, a row for each measured range, of N rows, at least 1.

    Arrays are converted to float64, int64 and bool. Poses are NaN in rows where they are unknown.

    Attributes:
        name: what the recording is called, a file's stem for example.
        time_s: (N,) seconds, not decreasing: several rows may have one stamp.
        tag: (N,) which of ``tags``, counted from 0.
        anchor: (N,) which of ``anchors``, counted from 0.
        range_m: (N,) as measured, metres; 0 or less, NaN and infinite where the radio failed.
        anchors: by name; the order of insertion gives the index.
        tags: lever arm x, y, z of each tag in the body's frame, metres, by name.
        position_m: (N, 3) true origin of the body's frame in the world.
        orientation_xyzw: (N, 4) truth, body to world.
        source: which radios in which room, in words; no path of the machine.
        rx_power_dbm: (N,) received power, NaN where it is missing, or None.
        segment: (N,) number of the uninterrupted piece, not decreasing. None: all 0.
        start_ns: absolute time of ``time_s`` = 0 in ns, or None where it is unknown.
        outlier: (N,) True where the range is of no use. None: where it is 0 or less, not finite, or
            wrong by more than `OUTLIER_M`.
        part: of a data set: ``train``, ``validation`` or ``test``; empty where nobody says.

    Raises:
        DatasetError: shapes, times or values are not of that kind.
    """

    name: str
    time_s: Float64Array
    tag: Int64Array
    anchor: Int64Array
    range_m: Float64Array
    anchors: Mapping[str, Anchor]
    tags: Mapping[str, Vector3]
    position_m: Float64Array
    orientation_xyzw: Float64Array
    source: str
    rx_power_dbm: Float64Array | None = None
    # None may be given for these two; they are arrays from the construction on.
    segment: Int64Array = None  # type: ignore[assignment]
    start_ns: int | None = None
    outlier: BoolArray = None  # type: ignore[assignment]
    part: str = ""

    def __post_init__(self) -> None:
        label = f"{self.source}/{self.name}"
        time_s = np.ascontiguousarray(self.time_s, np.float64)
        _check_time(time_s, label)
        object.__setattr__(self, "time_s", time_s)
        self._set_names(label)
        for field, count in (("tag", len(self.tags)), ("anchor", len(self.anchors))):
            self._set(field, np.int64, (), label)
            _check_index(getattr(self, field), count, field, label)
        self._set("range_m", np.float64, (), label)
        self._set("position_m", np.float64, (3,), label)
        self._set("orientation_xyzw", np.float64, (4,), label)
        unit = _poses(self.position_m, self.orientation_xyzw, label)
        object.__setattr__(self, "orientation_xyzw", unit)
        if self.rx_power_dbm is not None:
            self._set("rx_power_dbm", np.float64, (), label)
        for field, kind, default in (
            ("segment", np.int64, lambda: np.zeros(len(time_s), np.int64)),
            ("outlier", np.bool_, self._outliers),
        ):
            if getattr(self, field) is None:
                object.__setattr__(self, field, default())
            self._set(field, kind, (), label)
        if (np.diff(self.segment) < 0).any():
            raise DatasetError(f"{label}: segment decreases, expected the pieces in order; sort")

    def _set(self, field: str, kind: type[Any], columns: tuple[int, ...], label: str) -> None:
        array = np.ascontiguousarray(getattr(self, field), kind)
        if array.shape != (len(self), *columns):
            raise DatasetError(
                f"{label}: {field} has the shape {array.shape}, expected {(len(self), *columns)}; "
                "give one row for each time and as many columns"
            )
        object.__setattr__(self, field, array)

    def _set_names(self, label: str) -> None:
        try:
            for name in (*self.anchors, *self.tags):
                check_name(name, "anchor or tag")
            levers = {name: check_vector(row, f"tag {name}") for name, row in self.tags.items()}
        except (ConfigError, DatasetError) as error:
            raise DatasetError(f"{label}: {error}") from error
        # Copies: what the caller does to a mapping later must not change the recording.
        object.__setattr__(self, "anchors", dict(self.anchors))
        object.__setattr__(self, "tags", levers)

    def _outliers(self) -> BoolArray:
        with np.errstate(invalid="ignore"):  # infinite ranges
            wrong: BoolArray = abs(self.error_m) > OUTLIER_M
        return wrong | ~np.isfinite(self.range_m) | (self.range_m <= 0.0)

    def __len__(self) -> int:
        return len(self.time_s)

    @cached_property
    def sha256(self) -> str:
        """Hash of all arrays, anchors and tags: equal for equal content, whatever the file."""
        digest = hashlib.sha256(repr((self.anchors_text, self.tags_text)).encode())
        for field in _ROWS:
            value = getattr(self, field)
            digest.update(repr((field, None if value is None else value.shape)).encode())
            if value is not None:
                digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    @property
    def duration_s(self) -> float:
        """From the first row to the last, in seconds."""
        return float(self.time_s[-1] - self.time_s[0])

    @property
    def has_truth(self) -> BoolArray:
        """(N,) True where the pose is known."""
        return np.isfinite(self.orientation_xyzw[:, 3])

    @cached_property
    def tag_position_m(self) -> Float64Array:
        """(N, 3) true place of the row's tag in the world, metres."""
        levers = np.array(list(self.tags.values()), np.float64).reshape(-1, 3)
        moved: Float64Array = self.position_m + quat_rotate(self.orientation_xyzw, levers[self.tag])
        return moved

    @property
    def anchor_position_m(self) -> Float64Array:
        """(N, 3) place of the row's anchor in the world, metres."""
        return self._anchor_places()[self.anchor]

    @cached_property
    def range_true_m(self) -> Float64Array:
        """(N,) distance between the row's tag and anchor, metres; NaN where the pose is unknown."""
        apart: Float64Array = np.linalg.norm(self.tag_position_m - self.anchor_position_m, axis=1)
        return apart

    @property
    def error_m(self) -> Float64Array:
        """(N,) measured less true range, metres; NaN where the pose is unknown."""
        return self.range_m - self.range_true_m

    @property
    def planar(self) -> bool:
        """Whether tags and anchors are all at one height within 0.3 m: heights do not show then.

        Where no pose is known the anchors alone count.
        """
        heights = [self.tag_position_m[self.has_truth, 2], self._anchor_places()[:, 2]]
        return bool(np.ptp(np.concatenate(heights)) <= _PLANAR_M)

    @property
    def anchors_text(self) -> str:
        """The anchors in the grammar of `uwb_text`."""
        return format_anchors(self.anchors)

    @property
    def tags_text(self) -> str:
        """The tags in the grammar of `uwb_text`."""
        return format_tags(self.tags)

    def select(self, mask: ArrayLike) -> UwbSequence:
        """Return the rows where ``mask`` (N,) is True; anchors, tags and times stay as they are.

        Raises:
            DatasetError: no row is left, or the mask has another shape or type.
        """
        chosen = np.asarray(mask)
        if chosen.shape != (len(self),) or chosen.dtype != np.bool_ or not chosen.any():
            raise DatasetError(
                f"{self.name}: a mask {chosen.dtype} of the shape {chosen.shape} that is True in "
                f"{np.count_nonzero(chosen)} places, expected bool of {(len(self),)} that is True "
                "somewhere; choose other rows"
            )
        rows = {field: getattr(self, field) for field in _ROWS}
        return replace(self, **{key: row[chosen] for key, row in rows.items() if row is not None})

    def _anchor_places(self) -> Float64Array:
        return np.array([anchor.position_m for anchor in self.anchors.values()], np.float64)


def _check_time(time_s: Float64Array, label: str) -> None:
    if time_s.ndim != 1 or not len(time_s):
        raise DatasetError(
            f"{label}: times have the shape {time_s.shape}, expected (N,) with N of 1 or more; "
            "give one time for each range"
        )
    wrong = np.flatnonzero(~(np.diff(time_s) >= 0.0))
    if len(wrong) or not np.isfinite(time_s[[0, -1]]).all():
        at = int(wrong[0]) + 1 if len(wrong) else 0
        raise DatasetError(
            f"{label}: time {time_s[at]} s of row {at} comes before the one before or is not "
            "finite, expected times that do not decrease; sort the rows"
        )


def _check_index(index: Int64Array, count: int, field: str, label: str) -> None:
    wrong = np.flatnonzero((index < 0) | (index >= count))
    if len(wrong):
        raise DatasetError(
            f"{label}: {field} of row {wrong[0]} is {index[wrong[0]]}, expected 0 to {count - 1} "
            f"for {count} {field}s; add it to {field}s"
        )


def _poses(position_m: Float64Array, quat_xyzw: Float64Array, label: str) -> Float64Array:
    """Return unit quaternions of poses, each of which is known or not as a whole."""
    rows = np.concatenate([position_m, quat_xyzw], axis=1)
    partial = np.flatnonzero(~(np.isfinite(rows).all(axis=1) | np.isnan(rows).all(axis=1)))
    if len(partial):
        raise DatasetError(
            f"{label}: pose of row {partial[0]} is {rows[partial[0]].tolist()}, expected finite "
            "values or a whole row of NaN; make it NaN"
        )
    norm = np.linalg.norm(quat_xyzw, axis=1, keepdims=True)
    wrong = np.flatnonzero(abs(norm[:, 0] - 1.0) > _UNIT_TOLERANCE)
    if len(wrong):
        raise DatasetError(
            f"{label}: orientation of row {wrong[0]} has the norm {norm[wrong[0], 0]:.4g}, "
            "expected unit quaternions x, y, z, w; divide each by its norm"
        )
    unit: Float64Array = quat_xyzw / norm
    return unit
