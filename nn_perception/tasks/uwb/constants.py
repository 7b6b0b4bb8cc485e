"""Constants of tags and anchors: most of a range's error, and what moves to another site least.

In one room each pair of a tag and an anchor has a constant of its own, and the network is told
which pair it is. From several rooms, where the same radios had other constants each time, one
constant for all is learned: it is what can be said about a further room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn_perception.tasks.uwb.data import RangeData, RangeRows
from nn_perception.tasks.uwb.features import Float64Array
from nn_perception.tasks.uwb.model import ANY, Pair, RangeModel

_ENOUGH = 20.0
"""Measurements, below which a pair has no constant of its own."""


@dataclass(frozen=True)
class Table:
    """Constants and traits by pair of names; see `Pair`."""

    rows: Mapping[tuple[str, str], Pair]

    def entries(self) -> list[Any]:
        """Return [tag, anchor, constant_m, traits] of each pair, for a bundle."""
        return [
            [tag, anchor, round(pair.constant_m, 6), list(pair.traits)]
            for (tag, anchor), pair in self.rows.items()
        ]

    def plain_entries(self) -> list[Any]:
        """Return [tag, anchor, constant_m] of each pair, for a bundle."""
        return [entry[:3] for entry in self.entries()]

    def of(self, data: RangeData, rows: RangeRows) -> Float64Array:
        """Return the constants (N,) of rows."""
        table = np.array([[p.constant_m for p in of_tag] for of_tag in self._grid(data)])
        found: Float64Array = table[rows.tag, rows.anchor]
        return found

    def traits(self, data: RangeData, rows: RangeRows) -> Float64Array:
        """Return the traits (N, E) of rows."""
        table = np.array([[p.traits for p in of_tag] for of_tag in self._grid(data)], np.float64)
        found: Float64Array = table[rows.tag, rows.anchor]
        return found

    def _grid(self, data: RangeData) -> list[list[Pair]]:
        rows = self.rows
        anything = rows.get((ANY, ANY)) or _blank(next(iter(rows.values())))
        return [[rows.get((tag, anchor), anything) for anchor in data.anchors] for tag in data.tags]


@dataclass(frozen=True)
class Constants:
    """What a bundle knows of pairs.

    Attributes:
        pairs: what the network's answer is added to.
        means: the best constants alone, to compare with.
    """

    pairs: Table
    means: Table


def new_constants(data: RangeData) -> Constants:
    """Return the constants of ranges of which nothing is known before."""
    errors = data.rows.error_m
    if data.rooms > 1:
        table = Table({(ANY, ANY): Pair(_mean(errors, data.rows.count), ())})
        return Constants(table, table)
    traits = _one_hot(data)
    table = _by_pair(data, errors, lambda tag, anchor: traits(tag, anchor), None)
    return Constants(table, _without_traits(table))


def updated_constants(data: RangeData, before: RangeModel) -> Constants:
    """Return the constants of a new site, given the shape that a model tells."""
    known = [
        [before.pair(tag, anchor) or _nothing(before) for anchor in data.anchors]
        for tag in data.tags
    ]
    rows = data.rows
    traits = np.array([[pair.traits for pair in of_tag] for of_tag in known], np.float64)
    inputs = np.concatenate([rows.features, traits[rows.tag, rows.anchor]], 1)
    shape = before.predict(inputs, np.zeros(len(rows))).bias_m

    def traits_of(tag: int, anchor: int) -> tuple[float, ...]:
        return known[tag][anchor].traits

    anything = Pair(_mean(rows.error_m - shape, rows.count), _nothing(before).traits)
    pairs = _by_pair(data, rows.error_m - shape, traits_of, anything)
    means = _by_pair(data, rows.error_m, traits_of, Pair(_mean(rows.error_m, rows.count), ()))
    return Constants(pairs, _without_traits(means))


def _by_pair(data: RangeData, values: Float64Array, traits: Any, anything: Pair | None) -> Table:
    rows, found = data.rows, {}
    for t, tag in enumerate(data.tags):
        for a, anchor in enumerate(data.anchors):
            mine = (rows.tag == t) & (rows.anchor == a)
            if rows.count[mine].sum() >= _ENOUGH:
                constant = _mean(values[mine], rows.count[mine])
                found[tag, anchor] = Pair(constant, traits(t, a))
    if anything is not None:
        found[ANY, ANY] = anything
    if not found:  # a few ranges only
        found[ANY, ANY] = Pair(_mean(values, rows.count), traits(0, 0))
    return Table(found)


def _mean(values: Float64Array, count: Float64Array) -> float:
    return float(np.average(values, weights=count))


def _one_hot(data: RangeData) -> Any:
    """Return (tag, anchor) -> which they are, as numbers; none for one that is alone."""
    tags = np.eye(len(data.tags)) if len(data.tags) > 1 else np.zeros((1, 0))
    anchors = np.eye(len(data.anchors)) if len(data.anchors) > 1 else np.zeros((1, 0))
    return lambda tag, anchor: (*tags[tag].tolist(), *anchors[anchor].tolist())


def _without_traits(table: Table) -> Table:
    return Table({names: Pair(pair.constant_m, ()) for names, pair in table.rows.items()})


def _blank(like: Pair) -> Pair:
    return Pair(0.0, (0.0,) * len(like.traits))


def _nothing(before: RangeModel) -> Pair:
    return Pair(0.0, (0.0,) * before.traits)
