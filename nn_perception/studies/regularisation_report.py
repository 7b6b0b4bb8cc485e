"""Findings and page of the study ``regularisation``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nn_perception.studies import polynomial_pictures as polynomial
from nn_perception.studies import regularisation_pictures as pictures
from nn_perception.studies.groups import percent
from nn_perception.studies.polynomials import DEGREES, PolynomialStudy
from nn_perception.studies.regularisation import CURVES, METHODS, NONE, STRENGTHS
from nn_perception.studies.regularisation_digits import (
    DigitFigures,
    brier,
    finished_sizes,
    gap,
    label,
    mean,
)
from nn_perception.studies.small_digits import MASKS, PROBES

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report


def findings(fits: PolynomialStudy, figures: DigitFigures) -> list[str]:
    """Return what was found, in sentences."""
    return [
        *_of_polynomials(fits),
        *_of_methods(figures),
        *_of_l1(figures),
        *_of_curves(figures),
        *_of_dropout(figures),
    ]


def _of_polynomials(fits: PolynomialStudy) -> list[str]:
    first, last, best = fits.by_degree[0], fits.by_degree[-1], fits.best_degree
    ridge = fits.best_penalty
    return [
        f"Polynomials: from degree 1 to {last.degree} the training error falls from "
        f"{first.training:.3f} to {last.training:.3f}. On new points degree 1 underfits (error "
        f"{first.test:.3f}, of it bias² {first.bias2:.3f}), degree {best.degree} is best "
        f"({best.test:.3f}) and degree {last.degree} overfits ({last.test:.3f}, of it variance "
        f"{last.variance:.3f}).",
        f"A penalty of {ridge.penalty:g} brings degree {last.degree} from {last.test:.3f} to "
        f"{ridge.test:.3f}: its variance falls to {ridge.variance:.3f}, its bias² rises to "
        f"{ridge.bias2:.3f}.",
        "Bias² + variance + noise is the measured error, to "
        f"{percent(fits.largest_gap, 2)} at most over all degrees and penalties.",
    ]


def _of_methods(figures: DigitFigures) -> list[str]:
    if not figures.method(NONE).finished:
        return ["Digits: without regularisation all trainings diverged."]
    plain = figures.method(NONE)
    told = [
        f"Digits: without regularisation the network is right on {percent(mean(plain, 'training'))}"
        f" of the training pictures and {percent(mean(plain, 'validation'))} of the validation: a "
        f"gap of {100 * gap(figures, NONE):.1f} points."
    ]
    others = [name for name in METHODS if name != NONE and figures.method(name).finished]
    parts = [
        f"{label(name)} {percent(mean(figures.method(name), 'validation'))} (gap "
        f"{100 * gap(figures, name):.1f})"
        for name in others
    ]
    if parts:
        told.append("On validation: " + ", ".join(parts) + ".")
    diverged = [label(name) for name in METHODS if figures.method(name).diverged]
    if diverged:
        told.append(f"Trainings that diverged: with {', '.join(diverged)}.")
    stopped = figures.method("early stopping").finished
    if stopped:
        epochs = [len(outcome.history) for outcome in stopped]
        told.append(
            f"Early stopping ended after {min(epochs)} to {max(epochs)} epochs; it keeps the "
            "weights that were best on validation, which flatters its figure."
        )
    return told


def _of_l1(figures: DigitFigures) -> list[str]:
    shares = [
        f"{percent(mean(group, 'zero_weights'))} at {value:g}"
        for value in STRENGTHS["L1"][1]
        if (group := figures.method("L1", value)).finished
    ]
    strongest = figures.method("L2", STRENGTHS["L2"][1][-1])
    if not shares or not strongest.finished:
        return []
    return [
        f"L1 makes weights zero: {', '.join(shares)}. L2 makes them small, not zero: "
        f"{percent(mean(strongest, 'zero_weights'))} are at its strongest."
    ]


def _of_curves(figures: DigitFigures) -> list[str]:
    told = []
    for name in CURVES:
        sizes = finished_sizes(figures.curve(name))
        if len(sizes) < 2:
            continue
        (few, first), (many, last) = sizes[0], sizes[-1]
        text = (
            f"{name}: from {few:,} to {many:,} pictures the validation error falls from "
            f"{percent(1 - mean(first, 'validation'))} to {percent(1 - mean(last, 'validation'))}"
            f", the training error goes from {percent(1 - mean(first, 'training'))} to "
            f"{percent(1 - mean(last, 'training'))}"
        )
        start, end = brier(first), brier(last)
        if start and end:
            text += (
                f"; bias² from {start.bias2:.3f} to {end.bias2:.3f}, variance from "
                f"{start.variance:.3f} to {end.variance:.3f}"
            )
        told.append(text + ".")
    return told


def _of_dropout(figures: DigitFigures) -> list[str]:
    found = figures.scaling()
    if not found or not math.isfinite(found["ratio"]):
        return []
    return [
        f"Dropout of {found['p']:g}: the hidden units' mean answer in training is "
        f"{found['ratio']:.3f} of that in evaluation; without the division by 1 - p it would be "
        f"{found['without_scaling']:.3f}."
    ]


def build(report: Report, fits: PolynomialStudy, figures: DigitFigures) -> None:
    """Add the parts of the page."""
    report.text("What was found", *findings(fits, figures))
    _add_polynomials(report, fits)
    _add_methods(report, figures)
    _add_curves(report, figures)
    drawn = figures.dropped()
    if drawn is not None:
        report.figure(
            "Dropout in training and evaluation",
            pictures.plot_dropout(drawn),
            f"Mean answer of each hidden unit after dropout of {drawn['p']:g}, over {PROBES} "
            f"pictures and {MASKS} draws of the dropped units. What is left is divided by 1 - p in "
            "training, so that it is as large as in evaluation, on average.",
        )


def _add_polynomials(report: Report, fits: PolynomialStudy) -> None:
    sets = f"{fits.drawn.y.shape[1]:,} sets of {len(fits.drawn.x)} points"
    report.figure(
        "Fits",
        polynomial.plot_fits(fits),
        "Above: too simple, good, too free. Below: the same degree with a penalty on its weights "
        "that is too weak, good, too strong. Grey fits that lie far from the truth together are "
        "bias; fits that lie far from each other are variance.",
    )
    report.figure(
        "Errors of polynomials",
        polynomial.plot_errors(fits),
        f"Means over {sets}. Training error says nothing about new points.",
    )
    report.figure(
        "Bias and variance of polynomials",
        polynomial.plot_parts(fits),
        f"Points: from {sets}, with new noise for the error. Lines: computed without drawing, as a "
        "fit is linear in the points' values. bias² below 0.001 is not shown.",
    )
    rows = [
        (f"{e.degree}", f"{e.penalty:g}", e.training, e.bias2, e.variance, e.expected, e.test)
        for e in (*fits.by_degree[::2], *fits.by_penalty[::2])
    ]
    report.table(
        "Polynomials in figures",
        rows,
        ("degree", "lambda", "training", "bias²", "variance", "sum with noise", "new points"),
        f"Every second degree and penalty; penalties with degree {DEGREES[-1]}. The last two "
        "columns are computed independently of each other.",
    )


def _add_methods(report: Report, figures: DigitFigures) -> None:
    report.figure(
        "Regularisation on digits",
        pictures.plot_methods(figures),
        f"{_sizes(figures)} The grey bar is the gap; ticks are seeds. A training with augmentation "
        "is judged on its pictures as they are.",
    )
    report.table(
        "Regularisation in figures",
        figures.rows(),
        figures.HEADER,
        "Means of the seeds. Zero weights are those that are 0 exactly; RMS is the root of the "
        "mean squared weight. Early stopping keeps the weights that were best on validation.",
    )
    report.figure(
        "By strength",
        pictures.plot_strengths(figures),
        "Dotted: without regularisation. Bands: least to largest of the seeds.",
    )
    report.figure(
        "Over the epochs",
        pictures.plot_epochs(figures),
        "A validation loss that rises while the training loss falls is overfitting: fewer answers "
        "change than the network's confidence in wrong ones.",
    )


def _add_curves(report: Report, figures: DigitFigures) -> None:
    report.figure(
        "Learning curves",
        pictures.plot_learning_curves(figures),
        "An error that is high in training, too, is bias: a larger network helps. A gap between "
        "training and validation is variance: more pictures help. Bands: least to largest of the "
        "seeds, each with pictures and first weights of its own.",
    )
    if any(brier(group) for name in CURVES for group in figures.curve(name)):
        report.figure(
            "Bias and variance on digits",
            pictures.plot_bias_variance(figures),
            "Mean squared error of the ten probabilities, taken apart: variance is how far the "
            "seeds' answers are from their mean, bias² what is left, noise of the labels included. "
            "Estimated without bias from as many networks as there are seeds.",
        )


def _sizes(figures: DigitFigures) -> str:
    found = next((o.found for o in figures.outcomes if not o.diverged), None)
    if found is None:
        return ""
    trained = finished_sizes([figures.method(NONE)])
    count = f"{trained[0][0]:,} training pictures, " if trained else ""
    return f"{count}{found['validation_pictures']:,} validation pictures."
