"""Single numbers, texts and diagnostics."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn_perception.viewing.rerun_recording import RerunRecording
from nn_perception.viewing.views import X_Y_Z, View, flat, path, source_of

LEVELS = {0: "INFO", 1: "WARN", 2: "ERROR", 3: "TRACE"}
"""Of diagnostic_msgs/DiagnosticStatus: OK, WARN, ERROR, STALE."""


class Signals:
    """Shows what is neither picture nor motion."""

    def __init__(self, recording: RerunRecording, group: str) -> None:
        """Prepare; for ``group`` see `View`."""
        self._recording, self._group = recording, group

    def number(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Plot std_msgs/Float64 or Bool."""
        times = topic.endswith("processing_time_ms")
        view = View("last", "Processing time (ms)" if times else "Signals", self._group)
        entity = path(self._group, "signals", flat(topic))
        source, steps = source_of(topic), isinstance(message.data, (bool, np.bool_))
        self._recording.plot(entity, [source.name], [source.colour], view, steps=steps)
        self._recording.numbers(entity, stamp_ns, (float(message.data),))

    def vector(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Plot geometry_msgs/Vector3Stamped."""
        unit = " (rad/s)" if topic.endswith("gyro_bias") else ""
        entity = path(self._group, "signals", flat(topic))
        view = View("plot", f"{flat(topic)}{unit}", self._group)
        vector = message.vector
        self._recording.plot(entity, ("x", "y", "z"), X_Y_Z, view)
        self._recording.numbers(entity, stamp_ns, (vector.x, vector.y, vector.z))

    def text(self, topic: str, stamp_ns: int, text: str) -> None:
        """Show a text as a line of the log."""
        self._line(topic, stamp_ns, text, LEVELS[0])

    def diagnostics(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show each status of diagnostic_msgs/DiagnosticArray as a line of the log."""
        for status in message.status:
            level = LEVELS.get(int(status.level), LEVELS[2])
            self._line(topic, stamp_ns, f"{status.name}: {status.message}", level)

    def _line(self, topic: str, stamp_ns: int, text: str, level: str) -> None:
        entity = path(self._group, "log", flat(topic))
        self._recording.place(entity, View("log", "Log", self._group))
        self._recording.log(entity, stamp_ns, text, level)
