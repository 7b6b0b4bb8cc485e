"""The page on boxes found in frames and what they were read as."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nn_perception.evaluation.detection import DetectionMetrics, FrameFigures
from nn_perception.evaluation.latency import Seconds, measured, percentiles_ms, summarise
from nn_perception.evaluation.plot_style import BLUE, GREEN, ORANGE, RED, WIDTH_IN, Canvas
from nn_perception.evaluation.plots import duration_text
from nn_perception.evaluation.report import Report, add_latency

MAX_PICTURES = 12
_SHOWN_WIDTH_PX = 800
RIGHT, WRONG, MISSED, FALSE = (
    tuple(bytes.fromhex(colour[1:])) for colour in (GREEN, ORANGE, RED, BLUE)
)
"""Colours of boxes, RGB: those of all pictures."""


class ErrorPicture(NamedTuple):
    """A frame with boxes drawn in, and what went wrong."""

    image: npt.NDArray[np.uint8]
    errors: int
    caption: str


def draw_errors(
    image: npt.NDArray[np.uint8],
    found: tuple[npt.NDArray[np.float32], Sequence[str]],
    true: tuple[npt.NDArray[np.float32], Sequence[str]],
    figures: FrameFigures,
) -> npt.NDArray[np.uint8]:
    """Draw boxes with labels: green right, orange wrong label, red missed, blue false.

    Args:
        image: (H, W, 3) RGB; it is left as it is.
        found: boxes (N, 4) and answers.
        true: boxes (M, 4) and labels.
        figures: of this frame.

    Returns:
        A picture (h, w, 3) RGB, at most 800 pixels wide.
    """
    scale = min(1.0, _SHOWN_WIDTH_PX / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    picture = np.array(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    truths = list(true[1])
    for box, answer, partner, right in zip(
        found[0], found[1], figures.partner, figures.is_right, strict=True
    ):
        if partner < 0:
            _draw_box(picture, box * scale, FALSE, answer)
        elif right:
            _draw_box(picture, box * scale, RIGHT, "")
        else:
            _draw_box(picture, box * scale, WRONG, f"{truths[partner]}>{answer}")
    missed = sorted(set(range(len(truths))) - set(figures.partner.tolist()))
    for index in missed:
        _draw_box(picture, true[0][index] * scale, MISSED, truths[index])
    return picture


def _draw_box(
    picture: npt.NDArray[np.uint8],
    box: npt.NDArray[np.float32],
    colour: tuple[int, ...],
    text: str,
) -> None:
    # The border lies around the box, so that it hides nothing of it. OpenCV wants small integers.
    low = np.clip(np.floor(box[:2]) - 2, -9999, 9999).astype(int).tolist()
    high = np.clip(np.ceil(box[:2] + box[2:]) + 1, -9999, 9999).astype(int).tolist()
    cv2.rectangle(picture, low, high, colour, 2)
    if text:
        # OpenCV's fonts know ASCII alone.
        plain = text.encode("ascii", "replace").decode()
        place = (low[0], low[1] - 4 if low[1] > 18 else high[1] + 16)
        for thickness, ink in ((4, (255, 255, 255)), (1, colour)):
            cv2.putText(
                picture, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, thickness, cv2.LINE_AA
            )


def plot_errors(pictures: Sequence[ErrorPicture], path: Path | None = None) -> bytes:
    """Draw pictures two in a row, each with its caption."""
    rows = math.ceil(len(pictures) / 2) or 1
    shape = max((entry.image.shape[0] / entry.image.shape[1] for entry in pictures), default=0.75)
    with Canvas(rows * (WIDTH_IN / 2 * min(shape, 1.5) + 0.45)) as canvas:
        cells = canvas.figure.subplots(rows, 2, squeeze=False).reshape(-1)
        for axes in cells:
            axes.set_axis_off()
        for axes, entry in zip(cells, pictures, strict=False):
            axes.imshow(entry.image, interpolation="antialiased")
            axes.set_title(entry.caption, fontsize=9, loc="left", pad=4, fontweight="normal")
        return canvas.png(path)


def write_regions_report(
    directory: Path,
    *,
    title: str,
    metrics: DetectionMetrics,
    figures: Mapping[str, object],
    pictures: Sequence[ErrorPicture],
    latency: Seconds | None,
    facts: Mapping[str, object],
) -> Path:
    """Write the page.

    Args:
        directory: made when missing; gets `index.html`, `metrics.json` and the pictures.
        title: heading of the page.
        metrics: of all frames.
        figures: what `metrics.json` will hold.
        pictures: frames with errors; at most 12 are shown, those with most errors first.
        latency: seconds per stage, or None.
        facts: what the reader needs to judge the figures: data, bundle, device.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: matplotlib is missing.
    """
    latency = measured(latency)
    report = Report(title, f"{metrics.frames:,} frames, {metrics.true:,} true boxes")
    report.metrics = {
        "title": title,
        **figures,
        "latency_ms": percentiles_ms(latency),
        "facts": dict(facts),
    }
    report.tiles(_tiles(metrics, latency))
    if facts:
        report.keyvalues("What was evaluated", facts)
    report.table(
        "Figures", _rows(metrics), ("figure", "value", "of"),
        "A found box is a true one when their intersection is at least half of their union "
        "(IoU 0.5), whatever the label. Reading accuracy counts missed boxes as errors.",
    )  # fmt: skip
    shown = sorted(pictures, key=lambda entry: -entry.errors)[:MAX_PICTURES]
    if shown:
        report.figure(
            "Frames with errors",
            plot_errors(shown),
            "Green: right. Orange: wrong label (truth > answer). Red: missed. Blue: found where "
            "nothing is.",
        )
    elif metrics.frames_exact == 1.0:
        report.text("Frames with errors", "None.")
    if latency:
        add_latency(report, latency)
    return report.write(directory)


def _tiles(metrics: DetectionMetrics, latency: Seconds) -> dict[str, str]:
    tiles = {
        "detection F1": _percent(metrics.f1),
        "reading accuracy": _percent(metrics.reading_accuracy),
    }
    if metrics.lines:
        tiles[f"lines exact, of {metrics.lines:,}"] = _percent(metrics.lines_exact)
    if latency:
        total = [sum(stages) for stages in zip(*latency.values(), strict=False)]
        tiles["per frame, median"] = duration_text(1e3 * summarise(total).p50_s)
    return tiles


def _rows(metrics: DetectionMetrics) -> list[tuple[str, str, str]]:
    """Return name, share and what it is a share of."""
    found, true, matched = (f"{n:,}" for n in (metrics.found, metrics.true, metrics.matched))
    rows = [
        ("precision", metrics.precision, f"{found} found"),
        ("recall", metrics.recall, f"{true} true"),
        ("F1", metrics.f1, "both"),
        ("reading accuracy", metrics.reading_accuracy, f"{true} true"),
        ("label accuracy", metrics.label_accuracy, f"{matched} pairs"),
        ("lines exact", metrics.lines_exact, f"{metrics.lines:,} lines"),
        ("frames without an error", metrics.frames_exact, f"{metrics.frames:,} frames"),
    ]
    return [(name, _percent(share), of) for name, share, of in rows]


def _percent(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{100 * share:.2f} %"
