"""One recording, estimated and compared; figures of several by method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.evaluation.imu_metrics import Figures, collect

MODEL, UNTOLD = "this model", "this model, not told the delay"

MAX_SHOWN = 4000
"""Samples of each recording that pictures show."""


@dataclass(eq=False)
class Outcome:
    """One recording, estimated and compared with its truth.

    Attributes:
        sequence: the recording.
        orientation_xyzw: (N, 4) estimate, in the frame of the truth; NaN where there is none.
        figures: of the model.
        baselines: of each baseline.
        without_delay: the model's figures when nobody tells it the sensor's delay.
        normalised: squared error over stated variance.
        shown: rows (M,) that pictures show.
        errors_deg: (M,) error of the headline's kind, by method; `MODEL` is the model.
        baseline_xyzw: (M, 4) of each baseline.
    """

    sequence: ImuSequence
    orientation_xyzw: Float64Array
    figures: Figures
    baselines: dict[str, Figures] = field(default_factory=dict)
    without_delay: Figures = field(default_factory=dict)
    normalised: Figures = field(default_factory=dict)
    shown: Any = None
    errors_deg: dict[str, Float64Array] = field(default_factory=dict)
    baseline_xyzw: dict[str, Float64Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        every = -(-len(self.sequence) // MAX_SHOWN)
        self.shown = np.arange(0, len(self.sequence), every)


def figures_by_method(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Figures]]:
    """Return method -> recording -> figures: the model first, baselines after it."""
    found: dict[str, dict[str, Figures]] = {}
    for recording, outcome in outcomes.items():
        methods = {MODEL: outcome.figures, UNTOLD: outcome.without_delay, **outcome.baselines}
        for name, figures in methods.items():
            if figures:
                found.setdefault(name, {})[recording] = figures
    return found


def as_dict(figures: Mapping[str, Figures]) -> dict[str, Any]:
    """Return figure -> ``mean`` and ``per_sequence`` from figures by recording."""
    return {key: series.to_dict() for key, series in collect(figures).items()}
