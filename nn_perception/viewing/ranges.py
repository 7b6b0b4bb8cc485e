"""Ranges of anchors: as measured, corrected, and as they truly are."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nn_perception.datasets.uwb_bags import MAX_TRUTH_GAP_S
from nn_perception.datasets.uwb_text import Anchor, Vector3, parse_anchors, parse_tags
from nn_perception.errors import MessageError, NnPerceptionError
from nn_perception.rotations import quat_rotate
from nn_perception.viewing.poses import KEPT, Pose, PoseTrack
from nn_perception.viewing.rerun_recording import RerunRecording
from nn_perception.viewing.views import TRUTH, Colour, View, path

RAW, CORRECTED = "raw", "corrected"
COLOURS: Mapping[str, Colour] = {RAW: (213, 94, 0), CORRECTED: (230, 159, 0)}
ONLY_TAG = "tag"
"""Stands for the tag where topics name none."""
ORIGIN: Vector3 = (0.0, 0.0, 0.0)


class _Waiting(NamedTuple):
    stamp_ns: int
    source: str
    colour: Colour
    tag: str
    anchor: str
    range_m: float


class Ranges:
    """Shows the ranges of one bag; those whose true pose is known with the truth and their error.

    A range waits for the true pose behind it, but not for ever: `poses.KEPT` ranges at most.
    """

    def __init__(self, recording: RerunRecording, group: str) -> None:
        """Prepare; anchors and tags may come later, see `place_anchors`."""
        self._recording, self._group = recording, group
        self._anchors: Mapping[str, Anchor] = {}
        self._tags: Mapping[str, Vector3] = {}
        self._true = PoseTrack(MAX_TRUTH_GAP_S)
        self._first: dict[tuple[str, str], str] = {}  # the source beside which the truth stands
        self._waiting: deque[_Waiting] = deque(maxlen=KEPT)

    def place_anchors(self, text: str) -> None:
        """Take and draw anchors, in the grammar of `uwb_text`.

        Raises:
            MessageError: it is not of the grammar.
        """
        self._anchors = _parsed(parse_anchors, text)
        points = np.array([anchor.position_m for anchor in self._anchors.values()])
        view = View("space", "Trajectory", self._group)
        entity = path(self._group, "world", "anchors")
        self._recording.points(entity, points.reshape(-1, 3), list(self._anchors), view)

    def place_tags(self, text: str) -> None:
        """Take the places of the tags on the body; see `place_anchors`."""
        self._tags = _parsed(parse_tags, text)

    def message(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show sensor_msgs/Range: one of an anchor, whose name is the frame.

        Raises:
            MessageError: it is no distance (REP-117: infinite or NaN says why).
        """
        parts = topic.strip("/").split("/")
        name = CORRECTED if CORRECTED in parts[-1] else RAW
        tag = parts[0] if len(parts) > 2 else ONLY_TAG
        anchor = str(message.header.frame_id)
        self.add(name, COLOURS[name], tag, anchor, stamp_ns, float(message.range))

    def add(
        self, source: str, colour: Colour, tag: str, anchor: str, stamp_ns: int, range_m: float
    ) -> None:
        """Show a range in metres of a source: `RAW`, `CORRECTED`, or a model's name.

        Raises:
            MessageError: it is not finite.
        """
        if not math.isfinite(range_m):
            raise MessageError("not_finite", f"range is {range_m} m, expected a distance")
        self._plot(source, colour, tag, anchor, stamp_ns, range_m)
        if anchor in self._anchors:
            self._waiting.append(_Waiting(stamp_ns, source, colour, tag, anchor, range_m))
            self._settle()

    def rewind(self) -> None:
        """Take true poses from the beginning of the recording again."""
        self._true = PoseTrack(MAX_TRUTH_GAP_S)
        self._waiting.clear()

    def true_pose(self, pose: Pose) -> None:
        """Take a true pose of the body."""
        self._true.add(pose)
        self._settle()

    def _settle(self) -> None:
        """Compare the ranges that need not wait any more."""
        while self._waiting and not self._true.is_beyond(self._waiting[0].stamp_ns):
            entry = self._waiting.popleft()
            pose = self._true.at(entry.stamp_ns)
            if pose is not None:
                self._compare(entry, pose)

    def _compare(self, entry: _Waiting, pose: Pose) -> None:
        stamp_ns, source, colour, tag, anchor, range_m = entry
        arm = self._tags.get(tag) or next(iter(self._tags.values()), ORIGIN)
        place = pose.position_m + quat_rotate(pose.quat_xyzw, np.array(arm))
        true_m = float(np.linalg.norm(place - np.array(self._anchors[anchor].position_m)))
        if self._first.setdefault((tag, anchor), source) == source:
            self._plot("truth", TRUTH, tag, anchor, stamp_ns, true_m)
        entity = path(self._group, "range_errors", tag, anchor, source)
        view = View("plot", "Range errors (m)", self._group)
        self._recording.plot(entity, [f"{source} {tag} {anchor}"], [colour], view)
        self._recording.numbers(entity, stamp_ns, (range_m - true_m,))

    def _plot(
        self, source: str, colour: Colour, tag: str, anchor: str, stamp_ns: int, range_m: float
    ) -> None:
        entity = path(self._group, "ranges", tag, anchor, source)
        view = View("detail", f"Range {anchor} {tag} (m)", self._group)
        self._recording.plot(entity, [source], [colour], view)
        self._recording.numbers(entity, stamp_ns, (range_m,))


def _parsed(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except NnPerceptionError as error:
        raise MessageError("anchors", str(error)) from None
