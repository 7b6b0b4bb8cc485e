"""What a search does: the same for every process and machine that takes part."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from nn_perception.config import to_mapping
from nn_perception.errors import ConfigError
from nn_perception.training.config import TrainingConfig
from nn_perception.tuning.space import Space

SamplerName = Literal["grid", "random", "tpe"]
PrunerName = Literal["median", "none"]

WHO = "a search of configurations"
"""For whom test parts are locked."""
DEFAULT_TRIALS = 30
"""Where the sampler is no grid, whose points are all tried."""


@dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
        task: name of the task.
        base: the configuration of all trials.
        space: which keys are varied, their values as the configuration reads them.
        sampler: how values are chosen.
        pruner: ``median`` ends trials that are worse than the median of others so far.
        trials: how many in all, by all processes and machines.
        folds: of the cross-validation of each.
        metric: which validation figure; its mean over the folds decides.
        maximise: whether more is better.
        seed: of the sampler.
        data: path of the data; None: the task's default.
        storage: journal file or database URL.
        study: name of the search in there.
    """

    task: str
    base: TrainingConfig
    space: Space
    sampler: SamplerName
    pruner: PrunerName
    trials: int
    folds: int
    metric: str
    maximise: bool
    seed: int
    data: Path | None
    storage: str
    study: str

    @property
    def judges_epochs(self) -> bool:
        """Whether epochs of different trials can be compared: not where their number varies."""
        return "epochs" not in self.space.parameters

    def identity(self, data_id: str) -> dict[str, Any]:
        """Return what must be the same for a search to go on: not how many trials, nor where.

        Args:
            data_id: hash of the data.
        """
        config = to_mapping(self.base)
        del config["device"]
        return {
            "task": self.task,
            "space": self.space.describe(),
            "configuration": config,
            "data": data_id,
            "folds": self.folds,
            "metric": self.metric,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
        }

    def trial_seed(self, index: int) -> int:
        """Return the seed of one trial's sampling, whichever process draws it."""
        return int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])


def differences(known: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return what differs of two identities, such as ``folds: 5 there, 3 here``."""
    found: list[str] = []
    for key in dict.fromkeys((*known, *wanted)):
        there, here = known.get(key), wanted.get(key)
        if there == here:
            continue
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            found += differences(there, here, f"{prefix}{key}: ")
        elif key == "data":
            found.append("data: others, by their hash")
        else:
            found.append(f"{prefix}{key}: {_short(there)} there, {_short(here)} here")
    return found


def require_optuna() -> ModuleType:
    """Import Optuna.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigError(
            f"a search needs Optuna ({error}): pip install 'nn-perception[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _short(value: Any) -> str:
    return "nothing" if value is None else str(value)
