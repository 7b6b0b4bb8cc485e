"""Whether a new bundle is to replace those that run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nn_perception.evaluation.score import Score

NEVER, IF_BETTER, ALWAYS = "never", "if_better", "always"
POLICIES = (NEVER, IF_BETTER, ALWAYS)


@dataclass(frozen=True)
class Compared:
    """How one bundle did on the held-out data.

    Attributes:
        id: of the bundle.
        value: the figure that decides; NaN: there is none.
        count: number of samples that it is over.
        error: why it could not be evaluated, or empty.
    """

    id: str
    value: float = math.nan
    count: int = 0
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"{self.value:.6g}"


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    deploy: bool
    reason: str


def decide(
    policy: str,
    margin: float,
    score: Score | None,
    new: Compared,
    active: Mapping[str, Compared | None],
) -> Decision:
    """Decide about a new bundle.

    Args:
        policy: one of `POLICIES`.
        margin: by how much it must be better, in the unit of the score; 0: at all.
        score: what is compared; None where nothing could be.
        new: the new bundle.
        active: what runs, by node; None for a node on which nothing does.
    """
    if policy == NEVER:
        return Decision(False, "deploy is 'never'")
    if not active:
        return Decision(False, "there are no target_nodes")
    if all(each is not None and each.id == new.id for each in active.values()):
        return Decision(False, "the new network is the one that runs already")
    if policy == ALWAYS:
        return Decision(True, "deploy is 'always'")
    if score is None or math.isnan(new.value):
        why = new.error or "the held-out data has no truth"
        return Decision(False, f"the new network has no figure to compare: {why}")
    reasons = []
    for node, old in active.items():
        if old is not None and old.id == new.id:
            continue  # such as a target of a deployment that was cut short
        better, text = _against(margin, score, new, old)
        if not better:
            return Decision(False, f"{node}: {text}")
        reasons.append(f"{node}: {text}")
    return Decision(True, "; ".join(reasons))


def _against(margin: float, score: Score, new: Compared, old: Compared | None) -> tuple[bool, str]:
    """Return whether the new one is better than an old one, and both figures in words."""
    if old is None:
        return True, f"nothing ran there, {score.key} {new.value:.6g}"
    if old.error or math.isnan(old.value):
        why = old.error or "it has no figure"
        return False, f"what runs there cannot be compared: {why}"
    if old.count != new.count:
        return False, (
            f"not the same data: the figure of what runs is over {old.count} samples, the new one "
            f"over {new.count}"
        )
    gain = score.gain(new.value, old.value)
    enough = gain > 0.0 and gain >= margin
    text = (
        f"{score.key} {new.value:.6g} against {old.value:.6g}, better by {gain:.4g}"
        f"{'' if enough else f', less than the margin of {margin:.4g}'}"
    )
    if gain <= 0.0:
        text = f"{score.key} {new.value:.6g} against {old.value:.6g} is not better"
    return enough, text
