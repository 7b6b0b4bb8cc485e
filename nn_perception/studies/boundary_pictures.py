"""Pictures of the study ``decision-boundary``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.points_2d import Points
from nn_perception.evaluation.plot_style import BLUE, INK, MUTED, ORANGE, WIDTH_IN, Canvas
from nn_perception.studies.planes import CORNERS, EXTENT, TABLE_HIGH, TABLE_LOW

MOST_LINES = 4
"""Hidden units of which each one's line is drawn; of more, nobody could tell them apart."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """What one small picture shows.

    Attributes:
        plane: probability of class 1, (SIDE, SIDE), row 0 at the bottom; None: it diverged.
        accuracy: written into the corner.
        lines: weights (units, 2) and biases (units,) of hidden units.
    """

    plane: FloatArray | None = None
    accuracy: float = float("nan")
    lines: tuple[FloatArray, FloatArray] | None = None


def plot_grid(
    cells: Sequence[Sequence[Cell]],
    rows: Sequence[str],
    columns: Sequence[str],
    points: Sequence[Sequence[Points]],
) -> bytes:
    """Draw what each network (columns) says of each kind of points (rows).

    Args:
        cells: of each row.
        rows: names.
        columns: names.
        points: of each row: one for each cell, or one for all.
    """
    side = (WIDTH_IN - 0.4) / max(len(columns), 4)
    with Canvas(side * len(rows) + 0.45, side * len(columns) + 0.5) as canvas:
        axes = canvas.figure.subplots(len(rows), len(columns), squeeze=False)
        canvas.figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                draw_cell(axes[i, j], cell, -EXTENT, EXTENT)
                drawn = points[i][j] if len(points[i]) > 1 else points[i][0]
                _draw_points(axes[i, j], drawn.points, drawn.classes, 5)
                _write(axes[i, j], cell)
                if i == 0:
                    axes[i, j].set_title(columns[j], fontsize=10.5, loc="center", pad=5)
            axes[i, 0].set_ylabel(rows[i], fontsize=11)
        return canvas.png(None)


def plot_tables(
    cells: Sequence[Cell], titles: Sequence[str], tables: Sequence[Sequence[int]]
) -> bytes:
    """Draw what is said of the four rows of truth tables.

    Args:
        cells: one for each picture.
        titles: of the pictures.
        tables: values at `CORNERS`.
    """
    with Canvas(2.3) as canvas:
        for axes, cell, title, values in zip(
            canvas.figure.subplots(1, len(cells)), cells, titles, tables, strict=True
        ):
            draw_cell(axes, cell, TABLE_LOW, TABLE_HIGH)
            for corner, value in zip(CORNERS, values, strict=True):
                axes.plot(
                    *corner, "o", markersize=9, markeredgewidth=2, markeredgecolor=INK,
                    markerfacecolor=INK if value else "white",
                )  # fmt: skip
            axes.set_title(title, fontsize=11, loc="center", pad=6)
            axes.set_xticks((0, 1))
            axes.set_yticks((0, 1))
            _write(axes, cell)
        return canvas.png(None)


def draw_cell(axes: Any, cell: Cell, low: float, high: float) -> None:
    """Draw a shaded plane, its boundary and the hidden units' lines; no points."""
    from matplotlib.colors import LinearSegmentedColormap

    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xticks=(), yticks=())
    axes.spines[["top", "right"]].set_visible(True)
    if cell.plane is None:
        axes.text(0.5, 0.5, "diverged", transform=axes.transAxes, ha="center", va="center")
        return
    shades = LinearSegmentedColormap.from_list("classes", (BLUE, "white", ORANGE))
    axes.imshow(
        cell.plane, extent=(low, high, low, high), origin="lower", cmap=shades, vmin=0.0,
        vmax=1.0, alpha=0.6, interpolation="bilinear",
    )  # fmt: skip
    axis = np.linspace(low, high, len(cell.plane))
    if cell.plane.min() < 0.5 < cell.plane.max():
        axes.contour(axis, axis, cell.plane, levels=(0.5,), colors=(INK,), linewidths=1.4)
    if cell.lines is not None:
        for weights, bias in zip(*cell.lines, strict=True):
            _draw_line(axes, weights, bias)


def _draw_line(axes: Any, weights: FloatArray, bias: float) -> None:
    """Draw where weights . x + bias = 0."""
    length = np.linalg.norm(weights)
    if length == 0.0:
        return
    foot = -bias * weights / length**2
    along = np.array((-weights[1], weights[0])) / length
    ends = foot + np.outer((-9.0, 9.0), along)
    axes.plot(*ends.T, color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)))


def _draw_points(axes: Any, points: FloatArray, classes: npt.NDArray[np.int64], size: int) -> None:
    for label, colour in enumerate((BLUE, ORANGE)):
        axes.scatter(
            *points[classes == label].T, s=size, color=colour, edgecolors="white", linewidths=0.3
        )


def _write(axes: Any, cell: Cell) -> None:
    if cell.plane is not None:
        axes.text(
            0.04, 0.04, f"{100 * cell.accuracy:.0f} %", transform=axes.transAxes, fontsize=8.5,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}, zorder=5,
        )  # fmt: skip
