"""Pictures of polynomials: fits, errors, bias and variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.polynomials import (
    DEGREES,
    PENALTIES,
    Errors,
    PolynomialStudy,
    Sets,
    features,
    fit,
    truth,
)

FAINT_FITS = 20
"""Fits to other sets that are drawn behind that of the first."""

SHOWN = (
    ((1, 0.0), (5, 0.0), (DEGREES[-1], 0.0)),
    ((DEGREES[-1], 1e-6), (DEGREES[-1], 1e-2), (DEGREES[-1], 10.0)),
)
"""(degree, penalty) of the pictures of fits."""

_PENALTY = "penalty lambda (logarithmic)"


def plot_fits(found: PolynomialStudy) -> bytes:
    """Draw polynomials of some degrees and penalties through the first set, and through others."""
    with Canvas(5.2) as canvas:
        grid = canvas.figure.subplots(2, 3, sharex=True, sharey=True)
        for row, axes_row in zip(SHOWN, grid, strict=True):
            for (degree, penalty), axes in zip(row, axes_row, strict=True):
                _draw_fit(axes, found.drawn, degree, penalty)
                title = f"degree {degree}" + (f", lambda {penalty:g}" if penalty else "")
                finish(axes, title, "", "")
        for axes in grid[1]:
            axes.set_xlabel("x")
        handles, labels = grid[0][0].get_legend_handles_labels()
        canvas.figure.legend(handles, labels, loc="outside lower center", ncol=4)
        return canvas.png(None)


def _draw_fit(axes: Any, drawn: Sets, degree: int, penalty: float) -> None:
    x = np.linspace(0.0, 1.0, 300)
    rows = features(x, degree)
    curves = rows @ fit(drawn.x, drawn.y[:, : FAINT_FITS + 1], degree, penalty)
    others = axes.plot(x, curves[:, 1:], color=MUTED, linewidth=0.6, alpha=0.45)
    if others:
        others[0].set_label("fits to other draws")
    axes.plot(x, truth(x), color=GREEN, linewidth=1.6, linestyle="--", label="truth")
    axes.plot(x, curves[:, 0], color=RED, label="fit to these points")
    axes.plot(drawn.x, drawn.y[:, 0], "o", color=BLUE, markersize=4, label="points")
    axes.set(xlim=(-0.02, 1.02), ylim=(-2.0, 2.0))


def plot_errors(found: PolynomialStudy) -> bytes:
    """Draw training and test error by degree and by penalty."""
    with Canvas(3.4) as canvas:
        left, right = canvas.figure.subplots(1, 2, sharey=True)
        for axes, errors, values in _both(left, right, found):
            axes.plot(
                values, [e.training for e in errors], "o-", color=BLUE, ms=4, label="training"
            )
            axes.plot(values, [e.test for e in errors], "s-", color=RED, ms=4, label="new points")
            axes.axhline(errors[0].noise, color=MUTED, linestyle=":", linewidth=1.2, label="noise")
            best = min(range(len(errors)), key=lambda n: errors[n].test)
            axes.plot(
                values[best], errors[best].test, "o", ms=13, mfc="none", mec=INK, label="least"
            )
            _log_errors(axes)
        finish(left, "By degree", "degree", "mean squared error (log.)")
        finish(right, f"Degree {DEGREES[-1]}, by penalty", _PENALTY, "")
        left.legend()
        return canvas.png(None)


def plot_parts(found: PolynomialStudy) -> bytes:
    """Draw bias, variance and noise by degree and by penalty: exact lines, and what was drawn."""
    with Canvas(3.6) as canvas:
        left, right = canvas.figure.subplots(1, 2, sharey=True)
        for axes, errors, values in _both(left, right, found):
            for name, exact, colour in (
                ("bias²", "exact_bias2", GREEN),
                ("variance", "exact_variance", ORANGE),
            ):
                measured = [getattr(e, "bias2" if exact == "exact_bias2" else name) for e in errors]
                axes.plot(values, [getattr(e, exact) for e in errors], color=colour, label=name)
                axes.plot(values, measured, "o", color=colour, ms=4)
            axes.axhline(errors[0].noise, color=MUTED, linestyle=":", linewidth=1.2, label="noise")
            total = [e.exact_bias2 + e.exact_variance + e.noise for e in errors]
            axes.plot(values, total, color=INK, label="sum")
            axes.plot(
                values, [e.test for e in errors], "s", color=INK, ms=4, label="error, measured"
            )
            _log_errors(axes)
            axes.set_ylim(bottom=1e-3)
        finish(left, "By degree", "degree", "mean squared error (log.)")
        finish(right, f"Degree {DEGREES[-1]}, by penalty", _PENALTY, "")
        handles, labels = left.get_legend_handles_labels()
        canvas.figure.legend(handles, labels, loc="outside lower center", ncol=5)
        return canvas.png(None)


def _both(
    left: Any, right: Any, found: PolynomialStudy
) -> list[tuple[Any, Sequence[Errors], list[float]]]:
    left.set_xticks(DEGREES[::2])
    right.set_xscale("log")
    right.set_xticks(PENALTIES[::2], [f"{penalty:g}" for penalty in PENALTIES[::2]])
    right.minorticks_off()
    return [
        (left, found.by_degree, [e.degree for e in found.by_degree]),
        (right, found.by_penalty, [e.penalty for e in found.by_penalty]),
    ]


def _log_errors(axes: Any) -> None:
    axes.set_yscale("log")
    plain_log_ticks(axes.yaxis)
