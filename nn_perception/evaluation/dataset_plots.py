"""Pictures of a data set before anything is trained on it, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_settings import PARTS
from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    Canvas,
    finish,
    shorten,
)

COLOURS = dict(zip(PARTS, (BLUE, ORANGE, GREEN), strict=True))
_LETTERS = dict(zip("tvT", PARTS, strict=True))
MOST_BAGS, MOST_CLASSES = 24, 24
Float64Array = NDArray[np.float64]


def plot_blocks(blocks: Mapping[str, str], durations_s: Sequence[float]) -> bytes:
    """Draw to which part each block of time of each bag belongs.

    Args:
        blocks: bag -> a letter for each block: t, v, T.
        durations_s: of each bag, seconds.
    """
    shown = list(blocks.items())[:MOST_BAGS]
    unit, unit_s = ("minutes", 60.0) if max(durations_s) > 180.0 else ("s", 1.0)
    with Canvas(1.5 + 0.42 * len(shown)) as canvas:
        axes = canvas.figure.add_subplot()
        for row, ((_, letters), duration) in enumerate(zip(shown, durations_s, strict=False)):
            width = duration / unit_s / len(letters)
            starts = [i for i, c in enumerate(letters) if i == 0 or letters[i - 1] != c]
            runs: dict[str, list[tuple[float, float]]] = {}
            for start, stop in zip(starts, [*starts[1:], len(letters)], strict=True):
                span = (start * width, (stop - start) * width)
                runs.setdefault(COLOURS[_LETTERS[letters[start]]], []).append(span)
            # One object for each part: days have thousands of blocks.
            for colour, spans in runs.items():
                axes.broken_barh(
                    spans, (row - 0.35, 0.7), color=colour, edgecolor="white", linewidth=0.5
                )
        axes.set_yticks(range(len(shown)), [shorten(name, 26) for name, _ in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        finish(axes, "", f"time in the recording, {unit}", "")
        axes.grid(axis="y", visible=False)
        _legend(axes, [part for part in PARTS if any(_LETTERS[c] == part for c in _all(blocks))])
        return canvas.png(None)


def _all(blocks: Mapping[str, str]) -> str:
    return "".join(sorted(set("".join(blocks.values()))))


def _legend(axes: Any, parts: Sequence[str]) -> None:
    """Name the parts above the axes, where no data can be."""
    for part in parts:
        axes.plot([], [], "s", color=COLOURS[part], markersize=9, label=part)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(parts), borderaxespad=0.2)


def plot_counts(parts: Mapping[str, Any], classes: Sequence[str]) -> bytes:
    """Draw how many pictures of each class each part has."""
    shown = list(classes)[:MOST_CLASSES]
    used = [part for part in PARTS if parts[part]["rows"]]
    height = 0.8 / len(used)
    with Canvas(1.4 + 0.3 * max(len(shown), 3) * (1 + 0.35 * len(used))) as canvas:
        axes = canvas.figure.add_subplot()
        rows = np.arange(len(shown))
        most = max(max(parts[part]["counts"][name] for name in shown) for part in used)
        for index, part in enumerate(used):
            counts = np.array([parts[part]["counts"][name] for name in shown])
            at = rows - 0.4 + (index + 0.5) * height
            axes.barh(at, counts, height * 0.9, color=COLOURS[part])
            for y, count in zip(at, counts.tolist(), strict=True):
                axes.text(
                    count + 0.01 * most, y, f"{count:,}", va="center", fontsize=9,
                    color=RED if not count else MUTED,
                )  # fmt: skip
        axes.set_yticks(rows, [shorten(name, 24) for name in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1.08 * max(most, 1))
        finish(axes, "", "pictures", "")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        _legend(axes, used)
        return canvas.png(None)


def plot_montage(pictures: Mapping[str, Sequence[NDArray[np.uint8]]], columns: int) -> bytes:
    """Draw some pictures (H, W, C) of each class in a row."""
    names = [name for name in pictures if len(pictures[name])][:MOST_CLASSES]
    with Canvas(0.3 + 0.62 * len(names)) as canvas:
        grid = canvas.figure.subplots(len(names), columns, squeeze=False)
        canvas.figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
        for row, name in zip(grid, names, strict=True):
            for index, axes in enumerate(row):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
                if index < len(pictures[name]):
                    image = pictures[name][index]
                    grey = image.shape[2] == 1
                    axes.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=255)
            row[0].set_ylabel(
                shorten(name, 14), rotation=0, ha="right", va="center", labelpad=6, color=INK
            )
        return canvas.png(None)


def plot_offset(
    curve: Sequence[Sequence[float]], offset_s: float | None, label: str, detail_s: float = 1.0
) -> bytes:
    """Draw how well sensor and truth agree at each offset of their clocks; the best is marked."""
    offsets, values = (np.asarray(part, np.float64) for part in curve)
    with Canvas(3.4) as canvas:
        axes = canvas.figure.add_subplot()
        axes.plot(offsets, values, color=BLUE, linewidth=1.2)
        axes.margins(x=0.01)
        if offset_s is not None:
            axes.axvline(offset_s, color=RED, linewidth=1.2, linestyle=(0, (4, 3)))
            right = offset_s > float(np.mean(axes.get_xlim()))
            axes.annotate(
                f"{offset_s:+.4f} s", (offset_s, 0.94), (-6 if right else 6, 0), va="center",
                xycoords=("data", "axes fraction"), textcoords="offset points", color=RED,
                ha="right" if right else "left",
            )  # fmt: skip
        finish(axes, "", "added to the truth's stamps, s", label)
        return canvas.png(None)


def plot_trajectories(
    places: Mapping[str, Float64Array], anchors: Float64Array | None = None
) -> bytes:
    """Draw where the body was, seen from above and over time.

    Args:
        places: part -> (N, 4) minutes, x, y, z; NaN breaks the line.
        anchors: (A, 3) places of UWB anchors.
    """
    with Canvas(3.9) as canvas:
        grid = canvas.figure.add_gridspec(1, 2, width_ratios=[1, 1.25])
        above, height = (canvas.figure.add_subplot(part) for part in grid)
        for part, rows in places.items():
            above.plot(rows[:, 1], rows[:, 2], color=COLOURS[part], linewidth=0.9)
            height.plot(rows[:, 0], rows[:, 3], color=COLOURS[part], linewidth=0.9)
        if anchors is not None:
            above.plot(anchors[:, 0], anchors[:, 1], "^", color=INK, markersize=7)
        above.set_aspect("equal", adjustable="datalim")
        finish(above, "", "x, m", "y, m")
        finish(height, "", "time in the recording, minutes", "height, m")
        _legend(above, [part for part in PARTS if part in places])
        return canvas.png(None)


def plot_speeds(time_s: Float64Array, sensor: Float64Array, truth: Float64Array) -> bytes:
    """Draw the speed of rotation that sensor and truth show, after the alignment."""
    with Canvas(3.2) as canvas:
        axes = canvas.figure.add_subplot()
        axes.plot(time_s, np.degrees(sensor), color=BLUE, linewidth=1.6, label="gyroscope")
        axes.plot(time_s, np.degrees(truth), color=ORANGE, linewidth=0.9, label="truth")
        axes.margins(x=0.01)
        finish(axes, "", "time in the piece, s", "speed of rotation, deg/s")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
        return canvas.png(None)


def plot_residuals(errors_m: Mapping[str, Float64Array]) -> bytes:
    """Draw how the errors of ranges are distributed, for each anchor."""
    names = list(errors_m)[:MOST_CLASSES]
    every = np.concatenate([errors_m[name] for name in names])
    low, high = np.quantile(every, [0.005, 0.995])
    room = 0.1 * max(float(high - low), 0.02)
    edges = np.linspace(low - room, high + room, 81)
    middle = (edges[1:] + edges[:-1]) / 2.0
    with Canvas(1.1 + 0.42 * max(len(names), 2)) as canvas:
        axes = canvas.figure.add_subplot()
        for row, name in enumerate(names):
            counts, _ = np.histogram(errors_m[name], edges)
            shape = 0.85 * counts / max(int(counts.max()), 1)
            axes.fill_between(middle, row, row - shape, color=BLUE, alpha=0.35, linewidth=0)
            axes.plot(middle, row - shape, color=BLUE, linewidth=1.0)
            median = float(np.median(errors_m[name]))
            axes.plot([median, median], [row, row - 0.85], color=RED, linewidth=1.4)
        axes.axvline(0.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(names)), [shorten(name, 20) for name in names])
        axes.set_ylim(len(names) - 0.6, -1.1)
        finish(axes, "", "measured less true range, m; red: median", "")
        axes.grid(axis="y", visible=False)
        return canvas.png(None)
