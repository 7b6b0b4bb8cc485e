"""Learning the error of ranges: from a Gaussian process to a network small enough for a robot."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nn_perception.bundle import ArraySpec, Bundle
from nn_perception.config import from_mapping
from nn_perception.datasets.kept import kept
from nn_perception.datasets.uwb_text import format_anchors, format_tags
from nn_perception.engine import create_engine
from nn_perception.errors import ConfigError
from nn_perception.networks import build_network
from nn_perception.tasks.uwb.constants import new_constants, updated_constants
from nn_perception.tasks.uwb.data import BLOCKS, RangeRows, load_ranges
from nn_perception.tasks.uwb.features import DIRECTIONS, FEATURES, Float64Array
from nn_perception.tasks.uwb.kernel import Kernel
from nn_perception.tasks.uwb.lessons import Lessons, make_lessons
from nn_perception.tasks.uwb.model import RangeModel
from nn_perception.training.config import TrainingConfig
from nn_perception.training.folds import fold_of
from nn_perception.training.learning import Export, Predict
from nn_perception.training.recipes import load_recipe

_SCALE_M = 0.05
"""Errors of this size cost about 1."""
_MOST_SIGMAS = 25.0
"""A squared error over its variance counts no more: outliers must not drive the variance."""
_PROBES = 64
_LIMIT = 1.25
"""The answer may be larger than the largest one in training by this factor, and no more."""


@dataclass(frozen=True)
class UwbTraining:
    """What only this task's training knows: ``task_arguments`` of the configuration.

    Attributes:
        site: only recordings whose source is so called; needed where there are several radios.
        leave_out: names of recordings not to be used.
        until: recording -> fraction of its duration that may be used, for a test on the rest.
        fold: piece of time of each recording, 0 to 4, not to be used; -1: all are.
        bin_s: ranges of a tag and an anchor within this time are averaged.
        rows: most rows that the Gaussian process holds; its cost grows with the cube.
        made_up: poses that the network is taught beside the recorded ones.
        likelihood: weight of the standard deviation's likelihood.
    """

    site: str = ""
    leave_out: tuple[str, ...] = ()
    until: dict[str, float] = field(default_factory=dict)
    fold: int = -1
    bin_s: float = 0.1
    rows: int = 3500
    made_up: int = 40_000
    likelihood: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if not -1 <= self.fold < BLOCKS:
            raise ConfigError(
                f"fold {self.fold}: expected 0 to {BLOCKS - 1}, or -1 to leave out none"
            )
        if not (0.0 < self.bin_s <= 10.0 and self.rows >= 10 and self.made_up >= 0):
            raise ConfigError(
                f"bin_s {self.bin_s}, rows {self.rows}, made_up {self.made_up}: expected 0 to "
                "10 s, 10 rows or more, and no negative number"
            )


class UwbLearning:
    """Data, network and loss of the range correction."""

    task = "uwb"
    metric = "range_rmse_m"
    higher_is_better = False
    half_weights = False
    arguments_type = UwbTraining

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load the ranges; without a path they are simulated."""
        self.config = config
        self.settings = settings = from_mapping(UwbTraining, config.task_arguments)
        self.data = load_ranges(
            data,
            settings.site,
            settings.leave_out,
            settings.until,
            settings.bin_s,
            settings.fold,
            fold_of(config),
        )
        self._constants = new_constants(self.data)
        self._before: RangeModel | None = None
        self._init: Bundle | None = None
        hashes = "".join(s.sha256 for s in self.data.sequences)
        self.data_id = hashlib.sha256(hashes.encode()).hexdigest()
        # Not the number of lessons, which is known only when the process was asked.
        self.train_size = settings.made_up + min(settings.rows, len(self.data.rows))
        self._lessons: dict[str, Tensor] = {}

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """See `Learning.recipe`."""
        return load_recipe(cls.task, network or "range_bias")

    def start_from(self, bundle: Bundle) -> None:
        """Adapt a bundle to these ranges: its shape is what is expected, its constants move.

        Call before training. With ranges of one room the result is for that room.

        Raises:
            BundleError: it is of another kind.
        """
        self._init = bundle
        self._before = RangeModel(bundle, create_engine(bundle, "cpu"))
        self._constants = updated_constants(self.data, self._before)

    def build_network(self) -> nn.Module:
        """Build the network; its inputs are normalised by the lessons."""
        return build_network(self.config.network, self.network_arguments())

    def network_arguments(self) -> dict[str, Any]:
        """Return the configured arguments, with mean and spread of the inputs."""
        if self._init is not None:
            return dict(self._init.config.network.arguments)
        rows = self._inputs(self._recorded)
        mean, std = rows.mean(0), rows.std(0)
        mean[DIRECTIONS], std[DIRECTIONS] = 0.0, 0.5
        mean[FEATURES:], std[FEATURES:] = 0.0, 1.0
        decided = {
            "inputs": rows.shape[1],
            "input_mean": tuple(np.round(mean, 6).tolist()),
            "input_std": tuple(np.round(np.maximum(std, 0.1), 6).tolist()),
        }
        return {**decided, **self.config.network_arguments}

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """Return the whole network."""
        return network

    def move_to(self, device: torch.device) -> None:
        """Let the process learn, and keep what it teaches on the device."""
        if not self._lessons:
            self._prepare()
        self._lessons = {name: part.to(device) for name, part in self._lessons.items()}

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return inputs, and (target, standard deviation) as targets."""
        # There may be a few lessons fewer than `train_size`.
        mine = indices[share] % len(self._lessons["inputs"])
        return (self._lessons["inputs"][mine],), self._lessons["targets"][mine]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared distance to the process, and how well the standard deviation tells errors."""
        bias, log_sigma = outputs[:, 0], outputs[:, 1]
        square = ((bias - targets[:, 0]) / _SCALE_M) ** 2
        off = 0.5 * (targets[:, 1] / torch.exp(log_sigma)) ** 2
        return (square + self.settings.likelihood * (off + log_sigma)).mean()

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return figures over the rows that a data set keeps for validation.

        Where there are none, over the recorded ones: they were trained on, see `export` for others.
        """
        held = self.data.validation
        rows = self._recorded if held is None else held
        inputs = self._lessons["recorded" if held is None else "validation"]
        outputs = predict(inputs).double().cpu()
        constants = torch.from_numpy(self._constant_of(rows))
        error = outputs[:, 0] + constants - torch.from_numpy(rows.error_m)
        device = self._lessons["inputs"].device
        return {
            "loss": float(self.loss(predict(self._lessons["inputs"]), self._lessons["targets"])),
            "range_rmse_m": float(torch.sqrt((error**2).mean().to(device))),
        }

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`."""
        recorded = self._lessons["recorded"]
        sigma = torch.exp(predict(recorded)[:, 1]).double().cpu().numpy()
        ratio = np.minimum((self._left / sigma) ** 2, _MOST_SIGMAS)
        errors = self.data.rows.error_m
        means = self._constants.means
        constant_left = errors - means.of(self.data, self.data.rows)
        every = max(1, len(recorded) // _PROBES)
        rooms = self.data.rooms
        return Export(
            inputs=(
                ArraySpec(
                    "rows", (None, recorded.shape[1]), "float32", "see tasks/uwb/features.py"
                ),
            ),
            outputs=(ArraySpec("bias", (None, 2), "float32", "m, log m"),),
            probe=(recorded[::every][:_PROBES].cpu(),),
            preprocessing={
                "site": self.data.site,
                **({} if rooms > 1 else self._place()),
            },
            labels=(),
            calibration={
                "limit_m": float(_LIMIT * np.abs(self._targets_m).max()),
                "raw_sigma_m": float(np.sqrt((errors**2).mean())),
                "constant_sigma_m": float(np.sqrt((constant_left**2).mean())),
                "sigma_scale": float(np.sqrt(ratio.mean())),
                "pairs": self._constants.pairs.entries(),
                "means": means.plain_entries(),
            },
            metrics={
                **self.validate(predict),
                "cross_validated_rmse_m": float(np.sqrt((self._left**2).mean())),
                "constant_rmse_m": float(np.sqrt((constant_left**2).mean())),
            },
            data={
                "unit": "ranges",
                "source": self.data.site,
                "sha256": self.data_id,
                "train": len(errors),
                "validation": 0 if self.data.validation is None else len(self.data.validation),
                "rooms": rooms,
                "train_names": [s.name for s in self.data.sequences],
                "until": dict(self.data.until),
                "fold": self.settings.fold,
                "kernel": {k: round(v, 4) for k, v in asdict(self._kernel).items()},
                **({"init": self._init.id} if self._init else {}),
            },
        )

    def _prepare(self) -> None:
        settings = self.settings
        numbers = (settings.fold, settings.bin_s, settings.made_up, settings.rows, self.config.seed)
        init = self._init.id if self._init is not None else ""
        lessons, self._left, self._kernel = kept(
            ("lessons", self.data_id, self.data.rooms, *numbers, init), self._make_lessons
        )
        self._recorded = lessons.rows.take(np.arange(len(self._left)))
        self._targets_m = lessons.target_m
        inputs = torch.from_numpy(self._inputs(lessons.rows).astype(np.float32))
        target = lessons.target_m - self._constant_of(lessons.rows)
        self._lessons = {
            "inputs": inputs,
            "targets": torch.from_numpy(np.stack([target, lessons.sigma_m], 1).astype(np.float32)),
            "recorded": inputs[: len(self._left)].clone(),
        }
        if self.data.validation is not None:
            held = self._inputs(self.data.validation).astype(np.float32)
            self._lessons["validation"] = torch.from_numpy(held)

    def _make_lessons(self) -> tuple[Lessons, Float64Array, Kernel]:
        return make_lessons(
            self.data,
            self._expected,
            made_up=self.settings.made_up,
            most=self.settings.rows,
            new_room=self.data.rooms > 1,
            seed=self.config.seed,
        )

    def _expected(self, rows: RangeRows) -> Float64Array:
        """Return the errors that are expected before anything is learned."""
        constants = self._constant_of(rows)
        if self._before is None:
            return constants
        zeros = np.zeros(len(rows))
        shape: Float64Array = constants + self._before.predict(self._inputs(rows), zeros).bias_m
        return shape

    def _constant_of(self, rows: RangeRows) -> Float64Array:
        return self._constants.pairs.of(self.data, rows)

    def _inputs(self, rows: RangeRows) -> Float64Array:
        return np.concatenate([rows.features, self._constants.pairs.traits(self.data, rows)], 1)

    def _place(self) -> dict[str, str]:
        """Return where anchors and tags are, for a node that is told nothing else."""
        anchors = {k: v for s in self.data.sequences for k, v in s.anchors.items()}
        tags = {k: v for s in self.data.sequences for k, v in s.tags.items()}
        return {"anchors": format_anchors(anchors), "tags": format_tags(tags)}
