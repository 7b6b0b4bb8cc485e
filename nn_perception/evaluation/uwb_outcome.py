"""One recording of ranges, judged by each method; figures of several by method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nn_perception.bundle import Bundle
from nn_perception.datasets.uwb import BoolArray, Float64Array, UwbSequence
from nn_perception.datasets.uwb_text import geometry_problem
from nn_perception.evaluation.imu_metrics import Figures, Series
from nn_perception.evaluation.uwb_figures import Located, locate, range_figures
from nn_perception.evaluation.uwb_methods import METHODS, Method, known_rows, true_features
from nn_perception.tasks.uwb.model import Prediction, RangeModel

Trained = bool | str
"""Whether a bundle saw a recording: True, False, or ``"partly"``."""
PARTLY = "partly"
ACCEPTED = "bag"
"""The source of recordings that come from a robot: their radios are taken to be the right ones."""

NOTES = {
    "ranges": "ranges that are marked as outliers are left out of range_rmse_m and of coverage, "
    "and count in robust",
    "features": "range figures: the learned correction sees the true pose in place of an estimate",
    "loop": "position figures: in the loop, the learned correction sees the filter's own position "
    "and the true orientation, where a robot has that of an attitude estimator; outliers are not "
    "taken out",
    "height": "the height is fixed where tags and anchors are at one height (the error is "
    "horizontal then), and elsewhere an altimeter tells it, simulated from the truth with 0.05 m "
    "white noise at 20 Hz (the error is 3-D then)",
    "start": "the first position is known to 0.2 m in each coordinate, since anchors on a line or "
    "in a plane have a mirror image that fits as well; figures begin 2 s after the first range",
    "filter": "the filter is the same for all methods, each with its own standard deviation of a "
    "range; ranges beyond 5 standard deviations are shut out",
    "means": "means are over recordings, without those that were trained on as a whole (in_means)",
    "replay": "a replay: the learned corrections are the pipeline's answers, which saw the bag's "
    "odometry, and ranges that it refused count nowhere",
    "innovation": "mean squared innovation over the variance that the filter expected, of the "
    "ranges that it used; 1 is calibrated",
}


@dataclass(eq=False)
class UwbOutcome:
    """One recording, judged.

    Attributes:
        sequence: the rows that count.
        predictions: of each method as seen from the true poses, or as a replay answered.
        located: positions from each method's ranges.
        figures: of each method; see `range_figures` and `locate`.
        features: (N, 14) as seen from the true poses.
        trained: whether the bundle was trained on it; the rows that it saw are not in here when
            that is ``"partly"``.
        rows_left_out: number of rows by reason.
        geometry: what is wrong with the anchors' places, or "".
    """

    sequence: UwbSequence
    predictions: dict[str, Prediction] = field(default_factory=dict)
    located: dict[str, Located] = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    features: Float64Array = field(default_factory=lambda: np.zeros((0, 14)))
    trained: Trained = False
    rows_left_out: dict[str, int] = field(default_factory=dict)
    geometry: str = ""

    def error_m(self, method: str) -> Float64Array:
        """Return corrected minus true ranges (N,)."""
        error: Float64Array = self.sequence.error_m - self.predictions[method].bias_m
        return error


@dataclass(frozen=True)
class Cut:
    """What of a recording counts.

    Attributes:
        sequence: its rows, or None where none is left.
        trained: see `UwbOutcome`.
        rows_left_out: see `UwbOutcome`.
        reason: why no row is left.
        rows: (N,) True for the rows that count of the recording as it was, or None for no row.
    """

    sequence: UwbSequence | None
    trained: Trained = False
    rows_left_out: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    rows: BoolArray | None = None


def cut_to_rows(sequence: UwbSequence, model: RangeModel, bundle: Bundle) -> Cut:
    """Leave out what the model cannot know, was trained on, or has no truth.

    A recording that was trained on as a whole stays as it is, and is marked.
    """
    if sequence.source not in (model.site, ACCEPTED):
        reason = f"other radios: it is of {sequence.source!r}, the model of {model.site!r}"
        return Cut(None, reason=reason)
    trained, after_s = _training_of(sequence, bundle)
    kept, left = np.ones(len(sequence), bool), {}
    for reason, rows in (
        ("a tag and anchor that the model does not know", known_rows(sequence, model)),
        ("no true pose", sequence.has_truth),
        ("trained on", sequence.time_s > after_s),
    ):
        gone = int((kept & ~rows).sum())
        kept &= rows
        if not kept.any():
            return Cut(None, trained, reason=f"{reason}: no other row in it")
        if gone:
            left[reason] = gone
    return Cut(sequence.select(kept) if left else sequence, trained, left, rows=kept)


def judge(cut: Cut, methods: Mapping[str, Method]) -> UwbOutcome:
    """Take the figures of a recording with each method."""
    sequence = cut.sequence
    assert sequence is not None
    places = [anchor.position_m for anchor in sequence.anchors.values()]
    outcome = UwbOutcome(
        sequence,
        features=true_features(sequence),
        trained=cut.trained,
        rows_left_out=dict(cut.rows_left_out),
        geometry=geometry_problem(places),
    )
    for name, method in methods.items():
        told = method.predict()
        outcome.predictions[name] = told
        outcome.located[name] = located = locate(sequence, method.correct())
        figures = range_figures(outcome.error_m(name), told.sigma_m, sequence.outlier)
        outcome.figures[name] = figures | located.figures
    return outcome


def in_means(outcomes: Mapping[str, UwbOutcome]) -> list[str]:
    """Return the recordings that means are over: all, but for those trained on as a whole.

    Where there are no others, those.
    """
    clean = [name for name, outcome in outcomes.items() if outcome.trained is not True]
    return clean or list(outcomes)


def by_method(outcomes: Mapping[str, UwbOutcome], key: str) -> dict[str, Any]:
    """Return a figure's mean of each method, and ``per_sequence``."""
    values = {
        name: {method: outcome.figures[method][key] for method in METHODS}
        for name, outcome in outcomes.items()
    }
    counted = in_means(outcomes)
    means = {m: Series({name: values[name][m] for name in counted}).mean for m in METHODS}
    return {**means, "per_sequence": values}


def to_dict(outcomes: Mapping[str, UwbOutcome]) -> dict[str, Any]:
    """Return the figures for JSON; there has to be one recording at least."""

    def group(note: str, keys: Iterable[tuple[str, str]]) -> dict[str, Any]:
        return {"note": NOTES[note], **{name: by_method(outcomes, key) for name, key in keys}}

    robust = (
        ("median_abs_error_m_with_outliers", "median_abs_error_m"),
        ("p95_abs_error_m_with_outliers", "p95_abs_error_m"),
    )
    coverage = ("within_1_sigma", "within_2_sigma", "normalised_squared_error")
    plain = (
        ("position_rmse_m", "multilateration_rmse_m"),
        ("lost_share", "multilateration_lost_share"),
    )
    return {
        "range_rmse_m": by_method(outcomes, "range_rmse_m"),
        "position_rmse_m": by_method(outcomes, "rmse_m"),
        "position_p95_m": by_method(outcomes, "p95_m"),
        "normalised_innovation": by_method(outcomes, "nis"),
        "position_lost_share": by_method(outcomes, "lost_share"),
        "ranges_used_share": by_method(outcomes, "used_share"),
        "robust": group("ranges", robust),
        "coverage": group("ranges", ((key, key) for key in coverage)),
        "multilateration": group("loop", plain),
        "in_means": in_means(outcomes),
        "trained_on": {name: o.trained for name, o in outcomes.items()},
        "outliers": {name: int(o.sequence.outlier.sum()) for name, o in outcomes.items()},
        "position_error": {
            name: "horizontal" if o.sequence.planar else "3-D" for name, o in outcomes.items()
        },
        "geometry_problem": {name: o.geometry for name, o in outcomes.items() if o.geometry},
        "rows_left_out": {name: o.rows_left_out for name, o in outcomes.items() if o.rows_left_out},
    }


def _training_of(sequence: UwbSequence, bundle: Bundle) -> tuple[Trained, float]:
    """Return whether the bundle saw the recording, and the time up to which, if partly."""
    data = bundle.config.training.get("data", {})
    if sequence.name not in data.get("train_names", ()):
        return False, -np.inf
    until = float(data.get("until", {}).get(sequence.name, 1.0))
    if until >= 1.0:
        return True, -np.inf
    return PARTLY, float(sequence.time_s[0]) + until * sequence.duration_s
