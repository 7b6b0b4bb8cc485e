"""Page and pictures of the study ``features``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.evaluation.plot_style import Canvas
from nn_perception.studies.features_figures import Features
from nn_perception.studies.kernels import EDGES, KERNELS, FloatArray, Grey, filtered

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report

SIGNED = "RdBu_r"
"""Colours of positive (red) and negative (blue) values; 0 is white."""

SHOWN_UNITS, COLUMNS = 16, 8


def build(report: Report, result: Features) -> None:
    """Add all parts of the page."""
    report.text("What is seen", *result.findings())
    report.figure(
        "Kernels written by hand, on a digit", plot_kernels(result.digit),
        "Fixed 3x3 convolutions. Red is positive, blue negative; the last is the length of "
        "(Sobel x, Sobel y), the strength of an edge whatever its direction.",
    )  # fmt: skip
    report.figure(
        "Kernels written by hand, on a picture", plot_kernels(result.picture),
        f"The same. Picture: {result.source}.",
    )  # fmt: skip
    for name in result.networks:
        if not result.first(name):
            continue
        if result.is_convolution(name):
            _add_filters(report, result, name)
        else:
            report.figure(
                f"First layer of {name}", plot_units(result.first(name)),
                "Each picture holds a unit's weights, one for each pixel: red where ink speaks for "
                "the unit, blue where it speaks against it. Each has its own scale. Of many units "
                "those with the largest weights are shown, before training and after.",
            )  # fmt: skip
    report.table(
        "First layers", result.rows(), result.HEADER,
        "Accuracy on held-out pictures. Neighbours: correlation of weights that lie beside or "
        "below each other; noise has 0. Moved: by how much the layer's sums change when the digit "
        "moves, as a part of their size; those of filters are compared where they have moved to.",
    )  # fmt: skip


def _add_filters(report: Report, result: Features, name: str) -> None:
    report.figure(
        f"Filters of {name}", plot_filters(result.first(name)),
        "Above: the weights of each filter. Below: its answer to the digit before the activation; "
        "of it a ReLU lets the red pass. Each has its own scale; 0 is white.",
    )  # fmt: skip
    rows = result.filter_rows(name)
    if rows:
        report.table(
            f"Filters of {name} and kernels", rows, result.FILTER_HEADER,
            "The kernel with the largest cosine to the filter; below 0: the kernel times -1.",
        )  # fmt: skip


def plot_kernels(picture: Grey, path: Path | None = None) -> bytes:
    """Draw what each kernel makes of a grey picture (H, W)."""
    answers = filtered(picture)
    panels = {
        **answers,
        "edge strength": np.hypot(answers["Sobel x"], answers["Sobel y"]),
    }
    columns = (len(panels) + 1) // 2
    height = 2 * (7.6 / columns * picture.shape[0] / picture.shape[1] + 0.35)
    with Canvas(height) as canvas:
        grid = canvas.figure.subplots(2, columns, squeeze=False).flat
        for axes, (name, values) in zip(grid, panels.items(), strict=True):
            axes.set_title(name, fontsize=11)
            if name in EDGES:
                _signed(axes, values, 0.99)
            else:
                top = 255.0 if name in KERNELS else float(values.max()) or 1.0
                axes.imshow(values, cmap="gray", vmin=0, vmax=top)
                axes.set_axis_off()
        return canvas.png(path)


def plot_units(found: dict[str, FloatArray], path: Path | None = None) -> bytes:
    """Draw weights (units, H, W) as pictures: all of ten, or the largest, at the start and then."""
    weights, start = found["weights"], found["start"]
    if len(weights) <= 10:
        return _grid([*weights], 5, path, [str(number) for number in range(len(weights))])
    sizes = np.linalg.norm(weights.reshape(len(weights), -1), axis=1)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:SHOWN_UNITS])
    pictures: list[FloatArray | None] = []
    titles: list[str] = []
    for first in range(0, len(largest), COLUMNS):
        row = largest[first : first + COLUMNS]
        gap = [None] * (COLUMNS - len(row))
        pictures += [*start[row], *gap, *weights[row], *gap]
        titles += [f"unit {unit + 1}" for unit in row] + [""] * (len(gap) + COLUMNS)
    return _grid(pictures, COLUMNS, path, titles, ("start", "trained"))


def plot_filters(found: dict[str, FloatArray], path: Path | None = None) -> bytes:
    """Draw filters (filters, k, k), and below each its answer (filters, H, W)."""
    weights, sums = found["weights"], found["sums"]
    columns = min(COLUMNS, len(weights))
    pictures: list[FloatArray | None] = []
    titles: list[str] = []
    for first in range(0, len(weights), columns):
        chosen = range(first, min(first + columns, len(weights)))
        gap = columns - len(chosen)
        pictures += [*weights[first : first + columns], *[None] * gap]
        pictures += [*sums[first : first + columns], *[None] * gap]
        titles += [str(number + 1) for number in chosen] + [""] * (gap + columns)
    return _grid(pictures, columns, path, titles)


def _grid(
    pictures: Sequence[FloatArray | None],
    columns: int,
    path: Path | None,
    titles: Sequence[str],
    sides: tuple[str, ...] = ("",),
) -> bytes:
    rows = -(-len(pictures) // columns)
    named = sum(any(titles[row * columns : (row + 1) * columns]) for row in range(rows))
    with Canvas(rows * 7.6 / columns + 0.3 * named) as canvas:
        grid = canvas.figure.subplots(rows, columns, squeeze=False)
        for row, axes in enumerate(grid[:, 0]):
            axes.set_ylabel(sides[row % len(sides)])
        for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
            if title:
                axes.set_title(title, fontsize=10 if columns > 5 else 12, pad=4)
            if picture is None:
                axes.set_axis_off()
            else:
                _signed(axes, picture)
        return canvas.png(path)


def _signed(axes: Any, values: FloatArray, share: float = 1.0) -> None:
    """Draw values; a share of them is within the colours' range."""
    limit = float(np.quantile(np.abs(values), share)) or 1.0
    axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
