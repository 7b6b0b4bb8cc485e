"""The poses of late, and the one that holds at a stamp."""

from __future__ import annotations

from bisect import bisect_right
from math import acos, inf, sin, sqrt
from typing import NamedTuple

from nn_perception.datasets.uwb_text import Quaternion, Vector3
from nn_perception.errors import ConfigError, MessageError
from nn_perception.tasks.uwb.readings import OdomReading

JUMP_BACK_S = 1.0
HORIZON = 1000
"""Poses that are kept: ranges come a few milliseconds late, and not ten seconds."""

_ALMOST_SAME = 0.9995
"""Cosine above which a line is as good as an arc."""


class Pose(NamedTuple):
    """Where the body is at a stamp.

    Attributes:
        position_m: x, y, z in the frame of the anchors.
        orientation_xyzw: unit quaternion, body to world.
        variance_m2: of x, y, z; 0 where it is not known.
    """

    position_m: Vector3
    orientation_xyzw: Quaternion
    variance_m2: Vector3


class PoseBuffer:
    """Keeps poses in the order of their stamps.

    Attributes:
        max_age_s: an older pose tells too little about where the body is.
    """

    def __init__(self, max_age_s: float = 0.2, horizon: int = HORIZON) -> None:
        """Start empty.

        Args:
            max_age_s: above 0, seconds.
            horizon: poses that are kept at least; twice as many at most.

        Raises:
            ConfigError: a value is out of its range.
        """
        if not 0.0 < max_age_s < inf or horizon < 2:
            raise ConfigError(
                f"max_pose_age_s is {max_age_s} s and the horizon {horizon} poses, expected above "
                "0 and 2 or more; 0.2 s suits poses at 20 Hz"
            )
        self.max_age_s = max_age_s
        self._horizon = horizon
        self._stamps: list[int] = []
        self._poses: list[Pose] = []

    def __len__(self) -> int:
        return len(self._stamps)

    def clear(self) -> None:
        """Forget all poses."""
        self._stamps.clear()
        self._poses.clear()

    def add(self, reading: OdomReading) -> bool:
        """Take the next pose.

        Returns:
            True when the clock jumped back by more than a second, as in a looped bag: what was
            known before is forgotten.

        Raises:
            MessageError: ``"duplicate_stamp"`` or ``"backward_stamp"``: the pose is left out.
        """
        stamp, position_m, orientation_xyzw, variance_m2 = reading
        jumped = False
        if self._stamps and stamp <= (last := self._stamps[-1]):
            jumped = (last - stamp) * 1e-9 > JUMP_BACK_S
            if not jumped:
                raise _not_later(stamp, last)
            self.clear()
        self._stamps.append(stamp)
        self._poses.append(Pose(position_m, orientation_xyzw, variance_m2))
        # Rarely, and many at a time: one from the front for each new one would move all others.
        if len(self._stamps) > 2 * self._horizon:
            del self._stamps[: -self._horizon]
            del self._poses[: -self._horizon]
        return jumped

    def at(self, stamp_ns: int) -> Pose:
        """Return the pose of a stamp: between its neighbours, or the last one before it.

        Raises:
            MessageError: ``"no_pose"``, ``"stale_pose"`` or ``"future_pose"``.
        """
        stamps = self._stamps
        if not stamps:
            raise MessageError(
                "no_pose",
                "no pose has come yet, expected one before the first range; check the topic 'odom'",
            )
        index = bisect_right(stamps, stamp_ns) - 1
        if index < 0:
            raise MessageError(
                "future_pose",
                f"the earliest pose is {(stamps[0] - stamp_ns) * 1e-9:.3f} s later than the range, "
                "expected one before it; bring the clocks of both publishers into step",
            )
        age_ns = stamp_ns - stamps[index]
        if age_ns * 1e-9 > self.max_age_s:
            raise MessageError(
                "stale_pose",
                f"the last pose before the range is {age_ns * 1e-9:.3f} s older, expected "
                f"{self.max_age_s:g} s at most; look after the publisher of 'odom', or raise "
                "max_pose_age_s",
            )
        pose = self._poses[index]
        if age_ns == 0 or index + 1 == len(stamps):
            return pose
        part = age_ns / (stamps[index + 1] - stamps[index])
        return _between(pose, self._poses[index + 1], part)


def _not_later(stamp: int, last: int) -> MessageError:
    if stamp == last:
        return MessageError(
            "duplicate_stamp",
            f"the pose of {stamp} ns came twice; expected a later one for each message: look for "
            "a second publisher of 'odom'",
        )
    return MessageError(
        "backward_stamp",
        f"the pose of {stamp} ns is {(last - stamp) * 1e-6:.3f} ms before the last one; expected "
        "poses in order of their stamps: look for a second publisher of 'odom'",
    )


def _between(one: Pose, other: Pose, part: float) -> Pose:
    """Return the pose a part (0 to 1) of the way from one to the other; the doubt is the larger."""
    (ax, ay, az), (bx, by, bz) = one.position_m, other.position_m
    place = (ax + part * (bx - ax), ay + part * (by - ay), az + part * (bz - az))
    (ux, uy, uz), (vx, vy, vz) = one.variance_m2, other.variance_m2
    variance = (max(ux, vx), max(uy, vy), max(uz, vz))
    return Pose(place, _slerp(one.orientation_xyzw, other.orientation_xyzw, part), variance)


def _slerp(one: Quaternion, other: Quaternion, part: float) -> Quaternion:
    """Return the rotation on the shorter arc (Shoemake 1985)."""
    (ax, ay, az, aw), (bx, by, bz, bw) = one, other
    dot = ax * bx + ay * by + az * bz + aw * bw
    first, second = 1.0 - part, part if dot >= 0.0 else -part
    dot = min(abs(dot), 1.0)
    if dot < _ALMOST_SAME:
        angle = acos(dot)
        scale = 1.0 / sin(angle)
        first = scale * sin(first * angle)
        second = scale * sin(second * angle)
    x, y = first * ax + second * bx, first * ay + second * by
    z, w = first * az + second * bz, first * aw + second * bw
    norm = 1.0 / sqrt(x * x + y * y + z * z + w * w)
    return x * norm, y * norm, z * norm, w * norm
