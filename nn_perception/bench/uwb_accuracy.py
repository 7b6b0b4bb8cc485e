"""Figures of the task `uwb` on ranges that were not trained on, and on positions they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.trained import trained
from nn_perception.datasets.uwb import Float64Array, UwbSequence
from nn_perception.datasets.uwb_data import load_uwb_data
from nn_perception.errors import DatasetError
from nn_perception.evaluation.uwb import UwbEvaluation
from nn_perception.evaluation.uwb_methods import CONSTANT, LEARNED, RAW, ConstantModel, methods_of
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.uwb.data import BLOCKS, piece_of_time
from nn_perception.tasks.uwb.model import RangeModel
from nn_perception.training.run import resolve_config

TROLLEY_GOAL_M = 0.058
WITHIN_GOALS_M = {"drone_seq1": 0.075, "drone_seq5": 0.026}
UNSEEN_GOAL, MINUTE_GOAL = 0.92, 0.75
MINUTE_S = 60.0
POSITION_GOALS = {RAW: 0.60, CONSTANT: 0.90}
"""Position error with learned corrections over that with others."""


class Errors(NamedTuple):
    """Root mean squares by method, of ranges and of positions, in metres."""

    range_m: Mapping[str, float]
    position_m: Mapping[str, float]

    def ratio(self, method: str, *, position: bool) -> float:
        """Return the learned error over that of another method."""
        values = self.position_m if position else self.range_m
        return values[LEARNED] / values[method]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Evaluate the trolley's model, and train and evaluate on the drone's flights."""
    data = _folder(settings.data)
    flights = {s.name: s for s in load_uwb_data(data) if s.source == "drone"}
    if len(flights) < 2:
        raise DatasetError(f"{data}: holds {len(flights)} drone flights, expected 2 or more")
    rows = [*_trolley(data, say)]
    for name, goal in WITHIN_GOALS_M.items():
        if name in flights:
            rows.append(_within(flights[name], goal, list(flights), settings, say))
    return [*rows, *_unseen(flights, settings, say)]


def _trained(
    name: str,
    arguments: Mapping[str, Any],
    settings: BenchSettings,
    say: Callable[[str], None],
    init: Path | None = None,
) -> Path:
    """Train with these ``task_arguments``, or take what an interrupted run has left."""
    config = resolve_config("uwb", {}, {"task_arguments": dict(arguments)})
    out = settings.work / f"uwb-{name}"
    return trained("uwb", config, settings.data, out, say, name, init)


def judged(bundle: Path, sequence: UwbSequence) -> Errors:
    """Evaluate a bundle on what of a recording it was not trained on."""
    evaluation = UwbEvaluation(open_pipeline(bundle, device="cpu", for_data=True))
    evaluation.evaluate_sequences([sequence])
    found = evaluation.to_dict()
    return Errors(
        *(
            {method: float(found[key][method]) for method in (RAW, CONSTANT, LEARNED)}
            for key in ("range_rmse_m", "position_rmse_m")
        )
    )


def _trolley(data: Path, say: Callable[[str], None]) -> list[Measurement]:
    mid = next((s for s in load_uwb_data(data) if s.name == "trolley_mid"), None)
    bundle = shipped_model("uwb_trolley")
    if mid is None or not bundle.is_dir():
        say("trolley: no recording trolley_mid, or no model uwb_trolley")
        return []
    found = judged(bundle, mid)
    ranges = Measurement(
        "trolley, range RMSE, last 30 % of mid",
        round(found.range_m[LEARNED], 4),
        "m",
        f"≤ {TROLLEY_GOAL_M}",
        found.range_m[LEARNED] <= TROLLEY_GOAL_M,
        f"models/uwb_trolley, trained on the rest and on static; raw {found.range_m[RAW]:.3f}, "
        f"constant of each pair {found.range_m[CONSTANT]:.3f}",
    )
    return [ranges, *_positions("trolley, last 30 % of mid", [found])]


def _positions(what: str, found: list[Errors]) -> list[Measurement]:
    rows = []
    means = {
        method: float(np.mean([each.position_m[method] for each in found]))
        for method in (RAW, CONSTANT, LEARNED)
    }
    for rival, goal in POSITION_GOALS.items():
        ratio = means[LEARNED] / means[rival]
        each = ", ".join(f"{one.ratio(rival, position=True) - 1:+.0%}" for one in found)
        rows.append(
            Measurement(
                f"position error in the loop against {rival} ranges, {what}",
                round(100.0 * (ratio - 1.0), 1),
                "%",
                f"≤ {100 * (goal - 1):.0f} %",
                ratio <= goal,
                f"RMSE, mean of recordings: raw {means[RAW]:.3f}, constant {means[CONSTANT]:.3f}, "
                f"learned {means[LEARNED]:.3f} m" + (f"; each {each}" if len(found) > 1 else ""),
            )
        )
    return rows


def _within(
    flight: UwbSequence,
    goal: float,
    names: list[str],
    settings: BenchSettings,
    say: Callable[[str], None],
) -> Measurement:
    """Train on four fifths of a flight's time, judge on the fifth, five times."""
    others = [name for name in names if name != flight.name]
    squares = {LEARNED: 0.0, CONSTANT: 0.0, RAW: 0.0}
    counted = flight.has_truth & ~flight.outlier
    for fold in range(BLOCKS):
        arguments = {"site": "drone", "leave_out": others, "fold": fold}
        bundle = _trained(f"{flight.name}-fold{fold}", arguments, settings, say)
        part = flight.select(counted & (piece_of_time(flight) == fold))
        for method, error in _range_errors(bundle, part).items():
            squares[method] += float((error**2).sum())
    rmse = {method: float(np.sqrt(total / counted.sum())) for method, total in squares.items()}
    return Measurement(
        f"{flight.name}, range RMSE within the flight",
        round(rmse[LEARNED], 4),
        "m",
        f"≤ {goal}",
        rmse[LEARNED] <= goal,
        f"5 folds by time; raw {rmse[RAW]:.3f}, constant of each pair {rmse[CONSTANT]:.3f}",
    )


def _range_errors(bundle: Path, part: UwbSequence) -> dict[str, Float64Array]:
    pipeline: Any = open_pipeline(bundle, device="cpu", for_data=True)
    model = RangeModel(pipeline.bundle, pipeline.engine)
    methods = methods_of(part, model, ConstantModel(pipeline.bundle))
    return {name: part.error_m - method.predict().bias_m for name, method in methods.items()}


def _unseen(
    flights: Mapping[str, UwbSequence], settings: BenchSettings, say: Callable[[str], None]
) -> list[Measurement]:
    """Leave one flight out, each with its own constellation; then adapt to its first minute."""
    before, after = [], []
    for name, flight in flights.items():
        bundle = _trained(f"without-{name}", {"site": "drone", "leave_out": [name]}, settings, say)
        before.append(judged(bundle, flight))
        others = [other for other in flights if other != name]
        arguments = {
            "site": "drone",
            "leave_out": others,
            "until": {name: MINUTE_S / flight.duration_s},
        }
        adapted = _trained(f"minute-of-{name}", arguments, settings, say, init=bundle)
        rest = flight.select(flight.time_s > flight.time_s[0] + MINUTE_S)
        # The constant of the training flights, on the same rows: what there is without a minute.
        plain = judged(bundle, rest)
        with_minute = judged(adapted, flight)
        after.append((with_minute, plain))
        say(
            f"{name}: learned over constant {before[-1].ratio(CONSTANT, position=False):.3f}, with "
            f"a minute {with_minute.range_m[LEARNED] / plain.range_m[CONSTANT]:.3f}"
        )
    unseen = [each.ratio(CONSTANT, position=False) for each in before]
    minute = [new.range_m[LEARNED] / plain.range_m[CONSTANT] for new, plain in after]
    own = [new.ratio(CONSTANT, position=False) for new, _ in after]
    return [
        Measurement(
            "drone, unseen constellation, range RMSE over the constant's",
            round(float(np.mean(unseen)), 3),
            "",
            f"≤ {UNSEEN_GOAL}",
            float(np.mean(unseen)) <= UNSEEN_GOAL,
            f"one flight left out, {len(unseen)} folds; each {_each(unseen)}",
        ),
        Measurement(
            "drone, the same with one minute of the new flight",
            round(float(np.mean(minute)), 3),
            "",
            f"≤ {MINUTE_GOAL}",
            float(np.mean(minute)) <= MINUTE_GOAL,
            f"on the rest of the flight; each {_each(minute)}; over the constants of that minute "
            f"{np.mean(own):.3f}",
        ),
        *_positions("drone, unseen constellation", before),
        *_positions("drone, with one minute of it", [new for new, _ in after]),
    ]


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _folder(data: Path | None) -> Path:
    if data is None:
        raise DatasetError("the UWB recordings are needed; give --data DIR")
    below = data / "uwb"
    return below if below.is_dir() else data
