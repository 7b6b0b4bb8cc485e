"""What a trainer tells about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IDLE, PREPARING, TRAINING, EVALUATING = "idle", "preparing", "training", "evaluating"
DEPLOYING, DONE, FAILED = "deploying", "done", "failed"
CANCELLED, INTERRUPTED = "cancelled", "interrupted"
RUNNING = (PREPARING, TRAINING, EVALUATING, DEPLOYING)


@dataclass(frozen=True)
class Status:
    """A moment of a trainer.

    Attributes:
        state: one of the words above.
        message: what is to be said about it, one line.
        epoch: epochs done; 0 before the first.
        epochs: of the whole training; 0: not known yet.
        loss: of the training, in the last epoch.
        metric: name of the figure by which weights are chosen.
        value: of that figure on the validation split.
        eta_s: seconds to the end of the training.
        score: key of the figure by which bundles are compared.
        new: that figure of the new bundle.
        active: that figure, or why there is none, by the node that runs the bundle.
        decision: ``deployed``, ``kept``, ``refused``; empty before.
        reason: of the decision.
        bundle: name of the new bundle.
        bundle_id: its identity.
    """

    state: str = IDLE
    message: str = ""
    epoch: int = 0
    epochs: int = 0
    loss: float = math.nan
    metric: str = ""
    value: float = math.nan
    eta_s: float = math.nan
    score: str = ""
    new: float = math.nan
    active: Mapping[str, str] = field(default_factory=dict)
    decision: str = ""
    reason: str = ""
    bundle: str = ""
    bundle_id: str = ""

    @property
    def running(self) -> bool:
        """Whether a training goes on."""
        return self.state in RUNNING

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        if not self.epochs:
            return self.state
        return f"{self.state}, epoch {self.epoch} of {self.epochs}"

    def rows(self) -> dict[str, str]:
        """Return everything as text, for a message; what is not known is empty."""
        return {
            "state": self.state,
            "epoch": str(self.epoch),
            "epochs": str(self.epochs),
            "loss": _number(self.loss),
            "validation_metric": self.metric,
            "validation": _number(self.value),
            "eta_s": _number(self.eta_s),
            "score": self.score,
            "score.new": _number(self.new),
            **{f"score.{node}": text for node, text in self.active.items()},
            "decision": self.decision,
            "reason": self.reason,
            "bundle": self.bundle,
            "bundle_id": self.bundle_id,
        }


def epoch_fields(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Status` that a child's line about an epoch holds."""

    def number(name: str) -> float:
        value = line.get(name)
        return float(value) if isinstance(value, (int, float)) else math.nan

    return {
        "epoch": int(line.get("epoch", 0)),
        "epochs": int(line.get("epochs", 0)),
        "loss": number("loss"),
        "metric": str(line.get("metric", "")),
        "value": number("value"),
        "eta_s": number("eta_s"),
    }


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
