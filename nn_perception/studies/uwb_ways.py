"""Ways to correct the ranges of a new site, trained on few minutes of it and judged on the rest."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench.trained import is_trained
from nn_perception.bundle import Bundle, load_bundle
from nn_perception.datasets.uwb import Float64Array, UwbSequence
from nn_perception.engine import create_engine
from nn_perception.errors import DatasetError
from nn_perception.evaluation.uwb_methods import ConstantModel, Learned, known_rows
from nn_perception.studies import Say
from nn_perception.studies.uwb_curves import (
    ADAPTED,
    CONSTANTS,
    LEAST_JUDGED_S,
    MINUTE_S,
    OTHERS,
    SCRATCH,
    FlightCurve,
    Point,
    judged_from_s,
)
from nn_perception.tasks.uwb.model import RangeModel
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config, train_task


@dataclass(frozen=True)
class Workshop:
    """Trains models on parts of the flights, and takes again what lies in its directory.

    Attributes:
        flights: all of the site, in the order of the data.
        data: where training reads them.
        work: directory of the bundles; names are those of ``bench uwb-accuracy``.
        overrides: keys of the training's configuration that differ from the recipe.
        say: takes lines for the one who waits.
    """

    flights: Sequence[UwbSequence]
    data: Path
    work: Path
    overrides: Mapping[str, Any]
    say: Say

    def without(self, flight: UwbSequence) -> Bundle:
        """Return a model of all flights but one."""
        others = [other for other in self.flights if other.name != flight.name]
        return self._bundle(f"without-{flight.name}", {"leave_out": [flight.name]}, others)

    def minutes_of(self, flight: UwbSequence, minutes: float, init: Bundle | None = None) -> Bundle:
        """Return a model of the first minutes of a flight alone; ``init`` is adapted to them."""
        share = MINUTE_S * minutes / flight.duration_s
        begun = flight.time_s <= flight.time_s[0] + share * flight.duration_s
        arguments = {
            "leave_out": [other.name for other in self.flights if other.name != flight.name],
            "until": {flight.name: share},
        }
        many = "minute" if minutes == 1.0 else f"{minutes:g}-minutes"
        name = f"{many}-of-{flight.name}" if init else f"only-{many}-of-{flight.name}"
        return self._bundle(name, arguments, [flight.select(begun)], init)

    def _bundle(
        self,
        name: str,
        arguments: Mapping[str, Any],
        used: Sequence[UwbSequence],
        init: Bundle | None = None,
    ) -> Bundle:
        given = {"site": self.flights[0].source, **self.overrides.get("task_arguments", {})}
        changes = {**self.overrides, "task_arguments": {**given, **arguments}}
        config = resolve_config("uwb", {}, changes)
        out = self.work / f"uwb-{name}"
        if _is_trained(out, config, used, init):
            self.say(f"{name}: trained already")
        else:
            self.say(name)
            start = None if init is None else init.path
            train_task("uwb", config, data=self.data, out=out, init=start)
        return load_bundle(out, task="uwb")


def learning_curve(
    workshop: Workshop, flight: UwbSequence, minutes: Sequence[float]
) -> FlightCurve | None:
    """Leave a flight out, then give its first minutes to each way, and judge all on its rest.

    Args:
        workshop: trains the models.
        flight: one of its flights.
        minutes: how many are tried; those that leave too little of the flight are not.

    Returns:
        The curve; None where the flight is too short to judge anything.

    Raises:
        DatasetError: no range is left to judge, or the other flights tell nothing of a pair.
        TrainingError: a loss is not finite.
    """
    start_s = judged_from_s(flight.duration_s, minutes)
    if flight.duration_s - start_s < LEAST_JUDGED_S:
        return None
    part = judged_part(flight, start_s)
    others = workshop.without(flight)
    points = []
    for each in minutes:
        if MINUTE_S * each <= start_s:
            points.append(Point(each, _errors(workshop, flight, part, others, each)))
            errors = points[-1].rmse_m.items()
            told = ", ".join(f"{way} {rmse:.4f}" for way, rmse in errors if rmse is not None)
            workshop.say(f"{flight.name}, {each:g} min: RMSE in m: {told}")
    raw = rmse_m(part, np.zeros(len(part)))
    return FlightCurve(flight.name, flight.duration_s, start_s, len(part), raw, tuple(points))


def judged_part(flight: UwbSequence, start_s: float) -> UwbSequence:
    """Return the ranges later than ``start_s`` that have a truth and are no outliers.

    Raises:
        DatasetError: there is none.
    """
    late = flight.time_s > flight.time_s[0] + start_s
    return flight.select(late & flight.has_truth & ~flight.outlier)


def rmse_m(part: UwbSequence, bias_m: Float64Array) -> float:
    """Return the root mean square of what a correction (N,) leaves of the errors, in metres."""
    return math.sqrt(float(np.mean((part.error_m - bias_m) ** 2)))


def constant_bias_m(part: UwbSequence, bundle: Bundle) -> Float64Array:
    """Return the mean error in a bundle's training of each row's pair (N,), in metres.

    A pair that training did not have gets the mean of all where the bundle has one.

    Raises:
        DatasetError: the bundle knows nothing of a pair.
    """
    bias = ConstantModel(bundle).bias_m(part)
    if np.isnan(bias).any():
        raise DatasetError(
            f"{part.name}: the other flights have no constant for one of its pairs of tag and "
            "anchor, expected the same names of anchors in all flights, or three flights with "
            "constellations of their own; add flights"
        )
    return bias


def learned_bias_m(part: UwbSequence, bundle: Bundle, otherwise_m: Float64Array) -> Float64Array:
    """Return what a bundle's network tells (N,), in metres; for pairs it does not know another."""
    model = RangeModel(bundle, create_engine(bundle, "cpu"))
    known, bias = known_rows(part, model), otherwise_m.copy()
    if known.any():
        bias[known] = Learned(part.select(known), model).predict().bias_m
    return bias


def _errors(
    workshop: Workshop, flight: UwbSequence, part: UwbSequence, others: Bundle, minutes: float
) -> dict[str, float | None]:
    from_others = constant_bias_m(part, others)
    found = {OTHERS: rmse_m(part, from_others)}
    if minutes == 0.0:
        found[ADAPTED] = rmse_m(part, learned_bias_m(part, others, from_others))
        return {**found, SCRATCH: None, CONSTANTS: None}
    adapted = workshop.minutes_of(flight, minutes, others)
    constants = constant_bias_m(part, adapted)
    scratch = workshop.minutes_of(flight, minutes)
    return {
        **found,
        ADAPTED: rmse_m(part, learned_bias_m(part, adapted, constants)),
        SCRATCH: rmse_m(part, learned_bias_m(part, scratch, constants)),
        CONSTANTS: rmse_m(part, constants),
    }


def _is_trained(
    out: Path, config: TrainingConfig, used: Sequence[UwbSequence], init: Bundle | None
) -> bool:
    """Tell whether a bundle of this configuration, data and start is there."""
    if init is not None:  # as `train_task` does
        arguments = dict(init.config.network.arguments)
        config = dataclasses.replace(
            config, network=init.config.network.name, network_arguments=arguments
        )
    if not is_trained(out, config):
        return False
    data = load_bundle(out).config.training.get("data", {})
    hashes = "".join(sequence.sha256 for sequence in used)
    digest = hashlib.sha256(hashes.encode()).hexdigest()
    same_data: bool = data.get("sha256") == digest
    return same_data and bool(data.get("init") == (init.id if init else None))
