"""Studies: experiments on the parts of this package, repeated with one command each.

A study is a module with a ``DESCRIPTION``, ``configure(parser)``, which declares its options
(``--json`` among them), and ``run(arguments, say)``, which returns a `StudyResult`. It is imported
to parse a command line and therefore imports torch, matplotlib and the like only when it runs. Its
name goes into ``STUDIES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from nn_perception.errors import ConfigError, nearest

STUDIES: dict[str, tuple[str, str]] = {
    "decision-boundary": (
        "nn_perception.studies.decision_boundary",
        "what a single layer, hidden units and more layers can tell apart: circle, xor, spirals",
    ),
    "learning-rate": (
        "nn_perception.studies.learning_rate",
        "learning rates over many decades: too slow, good, unstable, diverged",
    ),
    "batch-size": (
        "nn_perception.studies.batch_size",
        "stochastic, mini-batch and full-batch descent: epochs, steps, time, noise",
    ),
    "epochs": (
        "nn_perception.studies.epochs",
        "training against validation over many epochs: over-fitting, early stopping",
    ),
    "optimisers": (
        "nn_perception.studies.optimisers",
        "sgd, momentum, Nesterov, RMSprop, Adam: paths on surfaces, and on digits",
    ),
    "activations": (
        "nn_perception.studies.activations",
        "sigmoid, tanh, ReLU, ... in a shallow and a deep network: gradients, dead units",
    ),
    "initialisation": (
        "nn_perception.studies.initialisation",
        "what weights begin with: zeros, N(0, 1), Xavier, He; spread of answers by layer",
    ),
    "regularisation": (
        "nn_perception.studies.regularisation",
        "over- and underfitting: polynomials, few digits; L2, L1, dropout and others; learning "
        "curves",
    ),
    "mlp-vs-cnn": (
        "nn_perception.studies.mlp_vs_cnn",
        "an MLP and convolutional networks: data, parameters, moved pictures",
    ),
    "features": (
        "nn_perception.studies.features",
        "what first layers see: weights, filters and their answers, kernels written by hand",
    ),
    "recurrence": (
        "nn_perception.studies.recurrence",
        "Elman's network and a GRU on rows of digits: memory, gradients through time",
    ),
    "rotation-heads": (
        "nn_perception.studies.rotation_heads",
        "quaternion, 6D and SVD as a network's last layer, on point-cloud alignment",
    ),
    "uwb-adaptation": (
        "nn_perception.studies.uwb_adaptation",
        "what minutes of a new site are worth to a correction of UWB ranges",
    ),
}
"""Name -> (module, what it compares), in the order of the lectures."""

Say = Callable[[str], None]
"""Takes a line of text for the one who waits."""


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        header: of the columns of the table.
        rows: of the table.
        figures: for JSON: protocol, data and all figures.
        page: the report.
    """

    header: tuple[str, ...]
    rows: list[tuple[object, ...]]
    figures: dict[str, Any]
    page: Path


def load(name: str) -> ModuleType:
    """Import a study.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in STUDIES:
        raise ConfigError(
            f"unknown study '{name}'{nearest(name, STUDIES)} (there are: {', '.join(STUDIES)})"
        )
    return importlib.import_module(STUDIES[name][0])
