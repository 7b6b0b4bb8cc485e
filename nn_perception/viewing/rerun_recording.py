"""A recording for Rerun (.rrd): what is to be seen, all on the timeline of the headers' stamps."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import NnPerceptionError
from nn_perception.viewing.views import X_Y_Z, Colour, View, below

if TYPE_CHECKING:
    import rerun

TIMELINE = "ros_time"
APPLICATION = "nn_perception"
ROWS = 4096
"""Rows of numbers that are written together."""
BODY = (0.30, 0.20, 0.06)
"""Half sizes of the body that shows an orientation: flat and longer than wide."""

Rows = NDArray[np.float64]


def require_rerun() -> ModuleType:
    """Return the module.

    Raises:
        NnPerceptionError: it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise NnPerceptionError(
            f"recordings for Rerun are written with rerun-sdk, which cannot be imported ({error}); "
            "pip install nn-perception[view]"
        ) from error
    return rerun


@dataclass
class _Rows:
    """Rows of numbers of one entity that wait to be written."""

    width: int
    columns: Callable[[Rows], Any]
    """Makes Rerun's columns of the rows."""
    stamps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


class RerunRecording:
    """A new recording; use it in a ``with`` statement, and `finish` it with a layout.

    The file has its name only when it is complete.

    Attributes:
        path: of the file.
        views: the entities of each view.
        rows: how often each entity was written.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Prepare.

        Args:
            path: of the file, whose name ends in ``.rrd``; one that is there is replaced.
            name: what the viewer calls the recording.
        """
        self.path = path
        self.views: dict[View, list[str]] = {}
        self.rows: Counter[str] = Counter()
        self._name = name
        self._partial = path.with_name(f".{path.name}.partial")
        self._waiting: dict[str, _Rows] = {}
        self._rr: Any = None
        self._stream: rerun.RecordingStream | None = None

    def __enter__(self) -> RerunRecording:
        """Open the file.

        Raises:
            NnPerceptionError: Rerun is not installed, or the file cannot be made.
        """
        self._rr = require_rerun()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.write_bytes(b"")
        except OSError as error:
            raise NnPerceptionError(
                f"{self.path}: cannot be made ({error.strerror or error}); give another --out"
            ) from None
        self._stream = self._rr.RecordingStream(APPLICATION)
        self._stream.save(self._partial)
        self._stream.send_recording_name(self._name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.disconnect()
        self._partial.unlink(missing_ok=True)
        return False

    def finish(self, blueprint: Any) -> int:
        """Write what waits and the layout, and give the file its name; return its bytes.

        Raises:
            NnPerceptionError: the file cannot be written.
        """
        for entity in self._waiting:
            self._write_rows(entity)
        stream = self._open()
        stream.send_blueprint(blueprint, make_active=True, make_default=True)
        try:
            stream.flush()
            stream.disconnect()
            self._stream = None
            size = self._partial.stat().st_size
            self._partial.replace(self.path)
        except Exception as error:  # Rerun raises types of its own, such as for a full disk
            raise NnPerceptionError(f"{self.path}: cannot be written ({error})") from error
        return size

    # What is to be seen, at a stamp in nanoseconds.

    def picture(self, entity: str, stamp_ns: int, file: bytes, media_type: str) -> None:
        """Show a JPEG or PNG file."""
        columns = self._rr.EncodedImage.columns(blob=[file], media_type=[media_type])
        self._write(entity, [stamp_ns], columns)

    def boxes(
        self,
        entity: str,
        stamp_ns: int,
        boxes_xywh: NDArray[np.floating[Any]],
        labels: Sequence[str],
        colour: Colour,
    ) -> None:
        """Show boxes (N, 4), pixels, until the next ones of the entity; N may be 0."""
        count, boxes = len(boxes_xywh), np.asarray(boxes_xywh, np.float32).reshape(-1, 4)
        columns = self._rr.Boxes2D.columns(
            centers=boxes[:, :2] + boxes[:, 2:] / 2,
            half_sizes=boxes[:, 2:] / 2,
            labels=list(labels),
            colors=[colour] * count,
        )
        self._write(entity, [stamp_ns], columns.partition([count]))

    def text(self, entity: str, stamp_ns: int, markdown: str) -> None:
        """Show a text until the next one of the entity."""
        columns = self._rr.TextDocument.columns(text=[markdown], media_type=["text/markdown"])
        self._write(entity, [stamp_ns], columns)

    def log(self, entity: str, stamp_ns: int, text: str, level: str) -> None:
        """Add a line; ``level`` is ``INFO``, ``WARN``, ``ERROR`` or another that Rerun knows."""
        self._write(entity, [stamp_ns], self._rr.TextLog.columns(text=[text], level=[level]))

    def numbers(self, entity: str, stamp_ns: int, values: Sequence[float]) -> None:
        """Add a row to the plot of an entity that `plot` was called for."""
        self._add(entity, stamp_ns, values)

    def pose(self, entity: str, stamp_ns: int, position_m: Any, quat_xyzw: Any) -> None:
        """Move an entity that `axes` was called for: from its own frame to its parent's."""
        self._add(entity, stamp_ns, (*position_m, *quat_xyzw))

    # What holds for the whole recording.

    def place(self, entity: str, view: View) -> None:
        """Show an entity, and what is below it, in a view."""
        entities = self.views.setdefault(view, [])
        if entity not in entities:
            entities.append(entity)

    def remove(self, entity: str, view: View) -> None:
        """Take an entity out of a view again; without any, the view is none."""
        self.views[view].remove(entity)
        if not self.views[view]:
            del self.views[view]

    def plot(
        self,
        entity: str,
        names: Sequence[str],
        colours: Sequence[Colour],
        view: View,
        *,
        width: int = 0,
        convert: Callable[[Rows], Rows] = lambda rows: rows,
        steps: bool = False,
    ) -> None:
        """Name the columns of an entity's numbers, and show them in a view.

        Args:
            entity: the numbers.
            names: of the lines.
            colours: of the lines.
            view: where they are shown.
            width: numbers in a row; 0: one for each line.
            convert: makes the lines' numbers (N, lines) of rows (N, width).
            steps: whether a number holds until the next one.
        """
        if entity not in self._waiting:

            def columns(rows: Rows) -> Any:
                lines = np.asarray(convert(rows), np.float64)
                scalars = self._rr.Scalars.columns(scalars=lines.ravel())
                return scalars.partition([len(names)] * len(rows))

            self._waiting[entity] = _Rows(width or len(names), columns)
            mode = "StepAfter" if steps else "Linear"
            line = self._rr.SeriesLines(
                names=list(names), colors=list(colours), interpolation_mode=mode
            )
            self._open().log(entity, line, static=True)
            self.place(entity, view)

    def axes(self, entity: str, name: str, colour: Colour, length_m: float) -> None:
        """Draw x, y and z, a body, and a name at the end of x, where the entity is."""
        if entity in self._waiting:
            return

        def columns(rows: Rows) -> Any:
            return self._rr.Transform3D.columns(translation=rows[:, :3], quaternion=rows[:, 3:])

        self._waiting[entity] = _Rows(7, columns)
        arrows = self._rr.Arrows3D(vectors=np.eye(3) * length_m, colors=X_Y_Z)
        half_sizes = [[size * length_m for size in BODY]]
        body = self._rr.Boxes3D(half_sizes=half_sizes, colors=[colour])
        tip = [[1.05 * length_m, 0.0, 0.0]]
        label = self._rr.Points3D(tip, colors=[colour], labels=[name], radii=[0.01 * length_m])
        self._open().log(below(entity, "axes"), arrows, static=True)
        self._open().log(below(entity, "body"), body, static=True)
        self._open().log(below(entity, "name"), label, static=True)

    def hide_labels(self, entity: str) -> None:
        """Show the labels of an entity's boxes only where the mouse is."""
        fields = self._rr.Boxes2D.from_fields(show_labels=False)
        self._open().log(entity, fields, static=True)

    def turn(self, entity: str, quat_xyzw: Sequence[float]) -> None:
        """Turn an entity, and all that is below it, for good."""
        turned = self._rr.Transform3D(quaternion=list(quat_xyzw))
        self._open().log(entity, turned, static=True)

    def line(self, entity: str, points_m: Rows, colour: Colour, view: View) -> None:
        """Draw a line through points (N, 3)."""
        strip = self._rr.LineStrips3D([points_m], colors=[colour])
        self._open().log(entity, strip, static=True)
        self.place(entity, view)

    def points(self, entity: str, points_m: Rows, labels: Sequence[str], view: View) -> None:
        """Draw points (N, 3) with names."""
        dots = self._rr.Points3D(points_m, labels=list(labels), radii=[0.05])
        self._open().log(entity, dots, static=True)
        self.place(entity, view)

    # How it is written.

    def _open(self) -> rerun.RecordingStream:
        if self._stream is None:
            raise NnPerceptionError(f"{self.path}: is not open; use 'with RerunRecording(...)'")
        return self._stream

    def _add(self, entity: str, stamp_ns: int, values: Sequence[float]) -> None:
        waiting = self._waiting[entity]
        waiting.stamps.append(stamp_ns)
        waiting.values.extend(values)
        if len(waiting.stamps) >= ROWS:
            self._write_rows(entity)

    def _write_rows(self, entity: str) -> None:
        waiting = self._waiting[entity]
        if not waiting.stamps:
            return
        rows = np.array(waiting.values, np.float64).reshape(-1, waiting.width)
        self._write(entity, waiting.stamps, waiting.columns(rows))
        self._waiting[entity] = _Rows(waiting.width, waiting.columns)

    def _write(self, entity: str, stamps_ns: Sequence[int], columns: Any) -> None:
        stamps = np.array(stamps_ns, np.int64).view("datetime64[ns]")
        index = self._rr.TimeColumn(TIMELINE, timestamp=stamps)
        self._open().send_columns(entity, indexes=[index], columns=columns)
        self.rows[entity] += len(stamps_ns)
