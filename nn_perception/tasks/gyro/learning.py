"""Learning to correct a gyroscope: what it integrates to must be what truly turned."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nn_perception.bundle import ArraySpec
from nn_perception.config import from_mapping
from nn_perception.errors import ConfigError
from nn_perception.networks import build_network
from nn_perception.networks.gyro_rnn import GyroRnn
from nn_perception.networks.gyro_tcn import SAMPLE
from nn_perception.rotations import (
    integrate_gyro,
    quat_conjugate,
    quat_distance,
    quat_log,
    quat_multiply,
)
from nn_perception.tasks.gyro.data import load_recordings, pack
from nn_perception.tasks.gyro.network import GyroNetwork, Window
from nn_perception.training.config import TrainingConfig
from nn_perception.training.folds import fold_of
from nn_perception.training.increments import rate_increments, relative_turns
from nn_perception.training.learning import Export, Predict
from nn_perception.training.recipes import load_recipe

_PROBES = (4, 50)


@dataclass(frozen=True)
class GyroTraining:
    """What only this task's training knows: ``task_arguments`` of the configuration.

    Attributes:
        prefix: only recordings whose name starts so; needed where there are several sensors.
        leave_out: names of recordings that validate and are not trained on.
        increments: lengths in samples, powers of two, over which rotations are compared: 16 and 32
            as in Brossard 2020, and long ones, in which the bias shows.
        scale_rad: error over 16 samples above which it counts by its size, not its square; grows
            with the root of the length.
        noise_rad_s: largest standard deviation of the noise that is added to the rate.
        noise_m_s2: that of the noise added to the specific force.
        bias_rad_s: standard deviation of the bias that is added, so that none is learned by heart.
        left_bias_rad_s: what the correction may leave of the bias, for gravity to find in motion;
            0: gravity is not asked. Not trained.
        window_s: a network with a recurrence sees recordings in pieces of so many seconds, side by
            side; 0: whole, as convolutions should.
        warm_up_s: what a piece's state comes from: so many seconds before it.
    """

    prefix: str = ""
    leave_out: tuple[str, ...] = ()
    increments: tuple[int, ...] = (16, 32, 256, 2048)
    scale_rad: float = 0.005
    noise_rad_s: float = 0.0175
    noise_m_s2: float = 0.1
    bias_rad_s: float = 0.0018
    left_bias_rad_s: float = 8.7e-4
    window_s: float = 0.0
    warm_up_s: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if any(n < 2 or n & (n - 1) for n in self.increments) or not self.increments:
            raise ConfigError(
                f"'increments' is {list(self.increments)}; expected powers of two, such as 16"
            )
        for name in ("window_s", "warm_up_s"):
            if not 0.0 <= getattr(self, name) <= 3600.0:
                raise ConfigError(f"'{name}' is {getattr(self, name)}; expected 0 to 3600 seconds")


class GyroLearning:
    """Data, network and loss of the gyroscope correction."""

    task = "gyro"
    metric = "orientation_rms_deg"
    higher_is_better = False
    half_weights = False
    arguments_type = GyroTraining

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load and split the recordings; without a path they are simulated."""
        self.config = config
        self.settings = settings = from_mapping(GyroTraining, config.task_arguments)
        if config.folds and settings.leave_out:
            raise ConfigError(
                f"'leave_out' names {', '.join(settings.leave_out)} and 'folds' is {config.folds}: "
                "both say which recordings validate; give one of them"
            )
        cross = fold_of(config)
        self.data = load_recordings(data, settings.prefix, settings.leave_out, cross)
        self.rate_hz = self.data.rate_hz
        self._train = pack(self.data.train)
        self._validation = pack(self.data.validation or self.data.train)
        self.train_size = len(self.data.train)
        recordings = (*self.data.train, *self.data.validation)
        self.data_id = hashlib.sha256("".join(s.sha256 for s in recordings).encode()).hexdigest()

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """See `Learning.recipe`."""
        return load_recipe(cls.task, network or "gyro_tcn")

    def build_network(self) -> nn.Module:
        """Build the correction around the causal network, which goes into the bundle."""
        causal = build_network(self.config.network, self.network_arguments())
        self._network = GyroNetwork(causal, self.data.mean_bias_rad_s, self.rate_hz, self._window())
        return self._network

    def _window(self) -> Window | None:
        settings = self.settings
        if not settings.window_s:
            return None
        samples, warm_up = (
            round(seconds * self.rate_hz) for seconds in (settings.window_s, settings.warm_up_s)
        )
        return Window(max(1, samples), warm_up)

    def network_arguments(self) -> dict[str, Any]:
        """Return the configured arguments, and mean and spread of the training samples."""
        samples = self._train["samples"][self._train["there"]].double()
        decided = {
            "input_mean": tuple(samples.mean(0).tolist()),
            "input_std": tuple(samples.std(0).tolist()),
        }
        return {**decided, **self.config.network_arguments}

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """Return the causal network; the rest of the correction is the bundle's calibration."""
        causal: nn.Module = network.causal  # type: ignore[assignment]
        return causal

    def move_to(self, device: torch.device) -> None:
        """See `Learning.move_to`."""
        self._train = {key: value.to(device) for key, value in self._train.items()}
        self._validation = {key: value.to(device) for key, value in self._validation.items()}

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return whole recordings with further noise and bias; their truth as target."""
        settings, samples = self.settings, self._train["samples"]
        count, device = len(indices), samples.device
        draw = torch.rand(count, 1, 2, generator=generator)
        bias = settings.bias_rad_s * torch.randn(count, 1, 3, generator=generator)
        noise = torch.randn(count, samples.shape[1], SAMPLE, generator=generator)
        largest = torch.tensor([settings.noise_rad_s] * 3 + [settings.noise_m_s2] * 3)
        noise *= largest * draw.repeat_interleave(3, -1)
        mine = indices[share]
        chosen = samples.index_select(0, mine) + noise[share].to(device)
        chosen[..., :3] += bias[share].to(device)
        inputs = (chosen, self._train["dt"].index_select(0, mine))
        return inputs, self._train["target"].index_select(0, mine)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Robust mean of log(turned as measured, inverse, times truth) over several lengths."""
        settings = self.settings
        total = outputs.new_zeros(())
        turns = rate_increments(outputs, targets[..., 5:6], settings.increments)
        for length, measured in turns.items():
            truth, known = relative_turns(targets[..., :4], targets[..., 4] > 0, length)
            error = quat_log(_between(measured[:, : truth.shape[1]], truth))
            error = error / (settings.scale_rad * math.sqrt(length / 16))
            each = F.huber_loss(error, torch.zeros_like(error), reduction="none").mean(-1)
            total = total + (each * known).sum() / known.sum().clamp(min=1)
        return total

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return the loss, and the error of the whole integrated recordings in degrees."""
        data = self._validation
        corrected = predict(data["samples"], data["dt"])
        errors = [open_loop_rms_deg(corrected[i], data["target"][i]) for i in range(len(corrected))]
        return {
            "loss": float(self.loss(corrected, data["target"])),
            "orientation_rms_deg": float(np.mean(errors)),
            "worst_orientation_rms_deg": float(np.max(errors)),
        }

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`."""
        network = self._network
        cache: int = network.causal.cache_size  # type: ignore[assignment]
        generator = torch.Generator().manual_seed(0)
        whole = self._validation["samples"]
        start = max(0, min(1000, whole.shape[1] - _PROBES[1]))
        samples = whole[:1, start : start + _PROBES[1]].cpu()
        probe = (
            samples.repeat(_PROBES[0], 1, 1),
            torch.randn(_PROBES[0], cache, generator=generator).clamp(-1, 1),
        )
        thresholds = torch.exp(network.log_thresholds.detach())
        recurrent = {"recurrent": True} if isinstance(network.causal, GyroRnn) else {}
        return Export(
            inputs=(
                ArraySpec("samples", (None, None, SAMPLE), "float32", "rad/s, m/s2"),
                ArraySpec("cache", (None, cache), "float32"),
            ),
            outputs=(
                ArraySpec("correction", (None, None, 3), "float32", "rad/s"),
                ArraySpec("next_cache", (None, cache), "float32"),
            ),
            probe=probe,
            preprocessing={"rate_hz": self.rate_hz},
            labels=(),
            calibration={
                "matrix": network.matrix.detach().double().tolist(),
                "expected_bias_rad_s": network.expected_bias_rad_s.detach().double().tolist(),
                "motion_offset_rad_s": network.motion_offset_rad_s.detach().double().tolist(),
                "rest_thresholds": thresholds.double().tolist(),
                "left_bias_rad_s": self.settings.left_bias_rad_s,
                "constant_gyro_bias_rad_s": list(self.data.mean_bias_rad_s),
                **recurrent,
            },
            metrics=self.validate(predict),
            data={
                "unit": "recordings",
                "source": self.data.source,
                "sha256": self.data_id,
                "train": len(self.data.train),
                "validation": len(self.data.validation),
                "train_names": [s.name for s in self.data.train],
                "validation_names": [s.name for s in self.data.validation],
            },
        )


def open_loop_rms_deg(rate_rad_s: Tensor, target: Tensor) -> float:
    """Return the RMS angle between the truth and the rates integrated from its first sample.

    Args:
        rate_rad_s: (T, 3).
        target: (T, 6) truth, whether it is known, time since the sample before.
    """
    known = (target[:, 4] > 0).cpu().numpy()
    first, last = np.flatnonzero(known)[[0, -1]]
    truth = target[first : last + 1, :4].double().cpu().numpy()
    rate = rate_rad_s[first : last + 1].double().cpu().numpy()
    dt = target[first + 1 : last + 1, 5].double().cpu().numpy()
    turned = integrate_gyro(0.5 * (rate[1:] + rate[:-1]), dt, truth[0])
    angle = quat_distance(turned, truth)[known[first : last + 1]]
    return math.degrees(float(np.sqrt((angle**2).mean())))


def _between(a: Tensor, b: Tensor) -> Tensor:
    turned: Tensor = quat_multiply(quat_conjugate(a), b)
    return turned
