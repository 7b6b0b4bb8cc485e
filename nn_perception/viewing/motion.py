"""Samples of inertial sensors, orientations and poses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nn_perception.datasets.imu_truth import MAX_TRUTH_GAP_S
from nn_perception.errors import MessageError
from nn_perception.rotations import quat_to_euler
from nn_perception.viewing.poses import Pose, PoseTrack, Trajectory, heading_between
from nn_perception.viewing.rerun_recording import RerunRecording, Rows
from nn_perception.viewing.views import X_Y_Z, Source, View, below, flat, path, source_of

XYZ = ("x", "y", "z")
UNIT_TOLERANCE = 0.01
"""By how much the norm of a quaternion may differ from 1; beyond, it says that nothing is known."""
STILL_M = 0.05
"""A trajectory that is shorter is that of a body of which the orientation alone is known."""


class Motion:
    """Shows rates, accelerations, orientations and poses of one bag."""

    def __init__(
        self, recording: RerunRecording, group: str, imu_topics: Sequence[str], truth: str
    ) -> None:
        """Prepare.

        Args:
            recording: shows it.
            group: see `View`.
            imu_topics: of the bag; with none of them, orientations of poses are shown along the
                trajectory alone.
            truth: topic of the true pose, that others are compared with; empty: there is none.
        """
        self._recording, self._group, self._truth = recording, group, truth
        self._imu_topics = imu_topics
        self._true_poses = PoseTrack(MAX_TRUTH_GAP_S)
        self._trajectories: dict[str, tuple[Trajectory, Source]] = {}
        self._aligned: set[str] = set()
        self._latest: dict[str, tuple[int, Any]] = {}  # of those that are not aligned yet

    def imu(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show sensor_msgs/Imu, with its orientation where it has one."""
        name = flat(topic)
        for what, unit, vector in (
            ("rate", "rad/s", message.angular_velocity),
            ("acceleration", "m/s²", message.linear_acceleration),
        ):
            view = View("plot", f"{what.capitalize()} ({unit})", self._group)
            self.vector(("imu", name, what), name, stamp_ns, (vector.x, vector.y, vector.z), view)
        q = message.orientation
        # sensor_msgs/Imu: -1 there says that the orientation is not known.
        if message.orientation_covariance[0] != -1.0:
            self.attitude(source_of(topic), stamp_ns, unit_quaternion((q.x, q.y, q.z, q.w)))

    def pose(self, topic: str, stamp_ns: int, message: Any) -> Pose:
        """Show geometry_msgs/PoseStamped or nav_msgs/Odometry, and return it.

        Raises:
            MessageError: it is no pose.
        """
        pose = getattr(message.pose, "pose", message.pose)
        p, q = pose.position, pose.orientation
        if not all(map(math.isfinite, (p.x, p.y, p.z))):
            raise MessageError("not_finite", f"position is {p.x}, {p.y}, {p.z} m, expected numbers")
        place = np.array([p.x, p.y, p.z])
        found = Pose(stamp_ns, place, unit_quaternion((q.x, q.y, q.z, q.w)))
        source = source_of(topic)
        if topic == self._truth:
            self.true_pose(found)
        if self._imu_topics:
            self.attitude(source, stamp_ns, found.quat_xyzw)
        entity = path(self._group, "world", source.name)
        view = View("space", "Trajectory", self._group)
        self._recording.place(entity, view)
        self._recording.axes(entity, source.name, source.colour, 0.5)
        self._recording.pose(entity, stamp_ns, place, found.quat_xyzw)
        self._trajectories.setdefault(entity, (Trajectory(), source))[0].add(place)
        return found

    def true_pose(self, pose: Pose) -> None:
        """Compare estimates with a true pose from now on."""
        self._true_poses.add(pose)
        self._align()

    def rewind(self) -> None:
        """Take true poses from the beginning of the recording again."""
        self._true_poses = PoseTrack(MAX_TRUTH_GAP_S)
        self._latest.clear()

    def attitude(self, source: Source, stamp_ns: int, quat_xyzw: Any) -> None:
        """Show an orientation, sensor to earth.

        What is no truth is turned about the vertical, once, so that it begins as the truth does:
        without a compass its heading begins at zero.
        """
        entity = path(self._group, "attitude", source.name)
        view = View("space", "Attitude", self._group)
        sensor = below(entity, "sensor")
        self._recording.place(entity, view)
        self._recording.axes(sensor, source.name, source.colour, 0.8 + 0.4 * source.is_truth)
        self._recording.pose(sensor, stamp_ns, (0.0, 0.0, 0.0), quat_xyzw)
        self._plot_tilt(source, stamp_ns, quat_xyzw)
        if not source.is_truth and entity not in self._aligned:
            self._latest[entity] = (stamp_ns, quat_xyzw)
            self._align()

    def _plot_tilt(self, source: Source, stamp_ns: int, quat_xyzw: Any) -> None:
        view = View("plot", "Roll and pitch (deg)", self._group)
        entity = path(self._group, "tilt", source.name)
        names = [f"{source.name} {angle}" for angle in ("roll", "pitch")]
        red, green, blue = source.colour
        colours = (source.colour, (red // 2, green // 2, blue // 2))
        self._recording.plot(entity, names, colours, view, width=4, convert=_roll_and_pitch_deg)
        self._recording.numbers(entity, stamp_ns, quat_xyzw)

    def _align(self) -> None:
        """Turn the estimates whose true orientation of the same moment is known by now."""
        for entity, (stamp_ns, quat_xyzw) in list(self._latest.items()):
            true = self._true_poses.nearest(stamp_ns)
            if true is not None:
                self._aligned.add(entity)
                del self._latest[entity]
                self._recording.turn(entity, heading_between(quat_xyzw, true.quat_xyzw))

    def vector(
        self, parts: Iterable[str], name: str, stamp_ns: int, values: Sequence[float], view: View
    ) -> None:
        """Plot x, y and z."""
        entity = path(self._group, *parts)
        several = len(self._imu_topics) > 1
        names = [f"{name} {axis}" if several else axis for axis in XYZ]
        self._recording.plot(entity, names, X_Y_Z, view)
        self._recording.numbers(entity, stamp_ns, values)

    def finish(self) -> None:
        """Draw the trajectories."""
        for entity, (trajectory, source) in self._trajectories.items():
            view = View("space", "Trajectory", self._group)
            if trajectory.length_m < STILL_M:
                self._recording.remove(entity, view)
                continue
            line = f"{entity}.trajectory"  # beside the body, not below it: the body moves
            self._recording.line(line, trajectory.points_m, source.colour, view)


def _roll_and_pitch_deg(quat_xyzw: Rows) -> Rows:
    degrees: Rows = np.degrees(quat_to_euler(quat_xyzw)[:, :2])
    return degrees


def unit_quaternion(quat_xyzw: Sequence[float]) -> Any:
    """Return a quaternion (4,) with norm 1.

    Raises:
        MessageError: it is far from one.
    """
    norm = math.hypot(*quat_xyzw)
    if not abs(norm - 1.0) <= UNIT_TOLERANCE:
        raise MessageError(
            "orientation", f"orientation is {quat_xyzw} with the norm {norm:.3g}, expected 1"
        )
    return np.array(quat_xyzw) / norm
