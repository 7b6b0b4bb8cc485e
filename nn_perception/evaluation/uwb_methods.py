"""Corrections of ranges that an evaluation compares: none, a constant for each pair, learned."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from nn_perception.bundle import Bundle
from nn_perception.datasets.uwb import BoolArray, Float64Array, UwbSequence
from nn_perception.errors import BundleError
from nn_perception.localisation.track import Correct
from nn_perception.rotations import quat_to_matrix
from nn_perception.tasks.uwb.features import (
    AnchorFrame,
    anchor_rotations,
    body_rows,
    feature_rows,
    range_features,
    turned,
)
from nn_perception.tasks.uwb.model import ANY, Prediction, RangeModel

RAW, CONSTANT, LEARNED = "raw", "constant", "learned"
METHODS = (RAW, CONSTANT, LEARNED)


class ConstantModel:
    """What a range is too long by on average, by tag and anchor: the plain calibration.

    It is the rival of a network, and not a part of it: a bundle's own constants are what its
    network leaves over.

    Attributes:
        sigma_m: standard deviation of what it leaves over in training.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Read the means of a bundle of the task ``uwb``.

        Raises:
            BundleError: there are none, or they are no finite numbers.
        """
        calibration = bundle.config.calibration
        try:
            self.sigma_m = float(calibration["constant_sigma_m"])
            self._means = {
                (str(tag), str(anchor)): float(mean) for tag, anchor, mean in calibration["means"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{bundle.name}: its calibration lacks or garbles {error}; expected means as rows "
                "[tag, anchor, mean_m]: train it again with this version"
            ) from None
        wrong = [pair for pair, mean in self._means.items() if not math.isfinite(mean)]
        if wrong:
            raise BundleError(
                f"{bundle.name}: the mean of {wrong[0]} is not finite, expected metres; train it "
                "again"
            )

    def mean_m(self, tag: str, anchor: str) -> float | None:
        """Return the mean error of a tag and an anchor; None: nothing is known of them."""
        for pair in ((tag, anchor), (ANY, anchor), (ANY, ANY)):
            if pair in self._means:
                return self._means[pair]
        return None

    def bias_m(self, sequence: UwbSequence) -> Float64Array:
        """Return the mean error of each row's pair (N,), NaN where nothing is known of it."""
        table = np.array(
            [
                [_or_nan(self.mean_m(tag, anchor)) for anchor in sequence.anchors]
                for tag in sequence.tags
            ]
        )
        means: Float64Array = table[sequence.tag, sequence.anchor]
        return means


class Method(Protocol):
    """A correction of the ranges of one recording."""

    def predict(self) -> Prediction:
        """Return what the N ranges are expected to be wrong by, as seen from the true poses."""
        ...

    def correct(self) -> Correct:
        """Return what corrects a row as seen from an estimated position."""
        ...


class Offsets:
    """Corrections that do not depend on where the body is."""

    def __init__(self, sequence: UwbSequence, bias_m: Float64Array, sigma_m: Float64Array) -> None:
        """Take bias (N,) and standard deviation (N,) of each row."""
        self._told = Prediction(bias_m, sigma_m)
        self._range_m = sequence.range_m

    def predict(self) -> Prediction:
        """See `Method`."""
        return self._told

    def correct(self) -> Correct:
        """See `Method`."""
        corrected = (self._range_m - self._told.bias_m).tolist()
        sigma = self._told.sigma_m.tolist()
        return lambda row, position_m: (corrected[row], sigma[row])


class Learned:
    """A bundle's correction. Every row's pair is known to it."""

    def __init__(self, sequence: UwbSequence, model: RangeModel) -> None:
        self._sequence, self._model = sequence, model
        found = [[model.pair(tag, anchor) for anchor in sequence.anchors] for tag in sequence.tags]
        self._pairs = [found[tag][anchor] for tag, anchor in _links(sequence)]

    def predict(self) -> Prediction:
        """See `Method`."""
        pairs = [pair for pair in self._pairs if pair is not None]
        traits = np.array([pair.traits for pair in pairs]).reshape(len(pairs), -1)
        rows = np.concatenate([true_features(self._sequence), traits], axis=1)
        return self._model.predict(rows, np.array([pair.constant_m for pair in pairs]))

    def correct(self) -> Correct:
        """See `Method`; the position that is given is all that is known of the body's place."""
        sequence, model, pairs = self._sequence, self._model, self._pairs
        frames = [AnchorFrame(anchor) for anchor in sequence.anchors.values()]
        levers = list(sequence.tags.values())
        links, quats = _links(sequence), sequence.orientation_xyzw.tolist()
        ranges = sequence.range_m.tolist()

        def corrected(row: int, position_m: Float64Array) -> tuple[float, float] | None:
            pair = pairs[row]
            if pair is None:
                return None
            tag, anchor = links[row]
            body = body_rows(quats[row])
            x, y, z = turned(body, levers[tag])
            tag_m = (position_m[0] + x, position_m[1] + y, position_m[2] + z)
            bias, sigma = model.predict_one(range_features(tag_m, body, frames[anchor]), pair)
            return ranges[row] - bias, sigma

        return corrected


def methods_of(
    sequence: UwbSequence,
    model: RangeModel,
    constants: ConstantModel,
    answers: Prediction | None = None,
) -> dict[str, Method]:
    """Return the methods by name. Every row's pair must be known, see `known_rows`.

    Args:
        sequence: the recording.
        model: the learned correction.
        constants: its rival.
        answers: (N,) what a pipeline said in a replay, in place of the learned correction.

    Raises:
        BundleError: the constants lack a pair that the model has.
    """
    count = len(sequence)
    means = constants.bias_m(sequence)
    lacking = np.flatnonzero(np.isnan(means))
    if len(lacking):
        tag, anchor = _links(sequence)[lacking[0]]
        raise BundleError(
            f"no mean error of {list(sequence.tags)[tag]} and {list(sequence.anchors)[anchor]}, "
            "whose pair the bundle has; train it again with this version"
        )
    return {
        RAW: Offsets(sequence, np.zeros(count), np.full(count, model.raw_sigma_m)),
        CONSTANT: Offsets(sequence, means, np.full(count, constants.sigma_m)),
        LEARNED: Learned(sequence, model) if answers is None else Offsets(sequence, *answers),
    }


def known_rows(sequence: UwbSequence, model: RangeModel) -> BoolArray:
    """Return (N,) True where the model knows the row's tag and anchor."""
    table = np.array(
        [
            [model.pair(tag, anchor) is not None for anchor in sequence.anchors]
            for tag in sequence.tags
        ]
    )
    known: BoolArray = table[sequence.tag, sequence.anchor]
    return known


def true_features(sequence: UwbSequence) -> Float64Array:
    """Return the features (N, 14) as seen from the true poses."""
    return feature_rows(
        sequence.tag_position_m,
        quat_to_matrix(sequence.orientation_xyzw),
        sequence.anchor_position_m,
        anchor_rotations(tuple(sequence.anchors.values()))[sequence.anchor],
    )


def _links(sequence: UwbSequence) -> list[tuple[int, int]]:
    return list(zip(sequence.tag.tolist(), sequence.anchor.tolist(), strict=True))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
