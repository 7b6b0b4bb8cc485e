"""The one figure by which two bundles of a task are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nn_perception.errors import TaskError


@dataclass(frozen=True)
class Score:
    """Where an evaluation's ``to_dict()`` has the figure that decides, and which way is better.

    Attributes:
        key: path of the figure, its parts separated by dots, such as ``"range_rmse_m.learned"``.
        higher_is_better: its sense.
        unit: of the figure; ``"1"`` for a share.
        count: key of the number of samples that it is over.
    """

    key: str
    higher_is_better: bool
    unit: str
    count: str

    def gain(self, new: float, old: float) -> float:
        """Return by how much ``new`` is better than ``old``; negative when it is worse."""
        return new - old if self.higher_is_better else old - new


@dataclass(frozen=True)
class Scored:
    """The figure of one bundle.

    Attributes:
        value: NaN when nothing could be compared with a truth.
        count: number of samples that it is over.
    """

    value: float
    count: int


def score_of(evaluation: Any) -> Score:
    """Return what an evaluation is compared by: its attribute ``score``.

    Raises:
        TaskError: the task's evaluation declares none.
    """
    score = getattr(evaluation, "score", None)
    if not isinstance(score, Score):
        raise TaskError(
            f"{type(evaluation).__name__} declares no score, expected an attribute 'score' "
            "(nn_perception.evaluation.score.Score): bundles of this task cannot be compared"
        )
    return score


def take_score(evaluation: Any) -> Scored:
    """Return the figure of an evaluation that is done.

    Raises:
        TaskError: see `score_of`, or its figures lack the key.
    """
    score, figures = score_of(evaluation), evaluation.to_dict()
    value, count = _find(figures, score.key), _find(figures, score.count)
    return Scored(math.nan if value is None else float(value), int(count or 0))


def _find(figures: Mapping[str, Any], key: str) -> Any:
    found: Any = figures
    for part in key.split("."):
        if found is None:  # without a truth a whole group of figures is null
            return None
        if not isinstance(found, Mapping) or part not in found:
            raise TaskError(f"the evaluation's figures have no '{key}': there is no '{part}'")
        found = found[part]
    return found
