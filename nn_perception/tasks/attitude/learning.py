"""Learning to trust: the noise network inside the attitude filter, by back-propagation in time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nn_perception.bundle import ArraySpec
from nn_perception.config import from_mapping
from nn_perception.errors import ConfigError
from nn_perception.inertial.blocks import BLOCK_S
from nn_perception.inertial.filter import FEATURES, NOISES
from nn_perception.networks import build_network
from nn_perception.rotations import attitude_rms_deg, quat_exp, quat_multiply
from nn_perception.tasks.attitude.data import gather, load_tracks
from nn_perception.tasks.attitude.network import FIRST_SIGMAS, FilterNetwork
from nn_perception.training.config import TrainingConfig
from nn_perception.training.folds import fold_of
from nn_perception.training.learning import Export, Predict
from nn_perception.training.recipes import load_recipe

PROBES = 16
_PASSES = 3
"""An epoch sees three times as much time as there is: to validate takes as long as to train."""


@dataclass(frozen=True)
class AttitudeTraining:
    """What only this task's training knows: ``task_arguments`` of the configuration.

    Attributes:
        fold: which trials of BROAD are left out for the test, 0 to 5 (`BROAD_FOLDS`); -1: none.
        chunk_s: length of the pieces of recordings that one step trains on.
        warm_up_s: first part of a piece, which counts little: the filter has to settle.
        tilt_scale_rad: errors above count by their size, below by their square.
        bias_rad_s: lowest and highest spread of the biases that are added.
        likelihood: weight of the negative log likelihood of the inclination.
        heading_likelihood: weight of that of the heading.
    """

    fold: int = -1
    chunk_s: float = 24.0
    warm_up_s: float = 8.0
    tilt_scale_rad: float = 0.02
    bias_rad_s: tuple[float, float] = (2e-4, 5e-3)
    likelihood: float = 3e-3
    heading_likelihood: float = 3e-4

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if not -1 <= self.fold <= 5:
            raise ConfigError(f"'fold' is {self.fold}; expected -1 (no trial left out) to 5")
        if not 1.0 <= self.chunk_s <= 600.0:
            raise ConfigError(f"'chunk_s' is {self.chunk_s}; expected 1 to 600 seconds")
        low, high = self.bias_rad_s
        if not 0.0 < low <= high < 1.0:
            raise ConfigError(
                f"'bias_rad_s' is {list(self.bias_rad_s)}; expected a lowest and a highest spread "
                "above 0 and below 1 rad/s, such as [1.0e-6, 1.0e-6] for next to none"
            )


class AttitudeLearning:
    """Data, network and loss of the attitude filter."""

    task = "attitude"
    metric = "inclination_rms_deg"
    higher_is_better = False
    half_weights = False
    arguments_type = AttitudeTraining

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load and split the recordings; without a path they are simulated."""
        self.config = config
        self.settings = from_mapping(AttitudeTraining, config.task_arguments)
        self.data = load_tracks(data, self.settings.fold, fold_of(config))
        train = self.data.train
        self._length = round(self.settings.chunk_s / BLOCK_S)
        self._train = gather(train)
        self._validation = gather(self.data.validation)
        seconds = sum(float(track.arrays["duration"].sum()) for track in train)
        self.train_size = max(1, round(_PASSES * seconds / self.settings.chunk_s))
        digest = hashlib.sha256("".join(t.sha256 for t in (*train, *self.data.validation)).encode())
        self.data_id = digest.hexdigest()

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """See `Learning.recipe`."""
        return load_recipe(cls.task, network or "imu_noise")

    def build_network(self) -> nn.Module:
        """Build the filter around the noise network, which goes into the bundle."""
        noise = build_network(self.config.network, self.network_arguments())
        self._network = FilterNetwork(noise)  # type: ignore[arg-type]
        return self._network

    def network_arguments(self) -> dict[str, Any]:
        """Return the configured arguments."""
        return dict(self.config.network_arguments)

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """Return the part that a robot runs."""
        noise: nn.Module = network.recurrent.noise  # type: ignore[union-attr, assignment]
        return noise

    def move_to(self, device: torch.device) -> None:
        """See `Learning.move_to`."""
        self._train = {key: value.to(device) for key, value in self._train.items()}
        self._validation = {key: value.to(device) for key, value in self._validation.items()}

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Draw pieces of recordings, each with a gyroscope bias of its own.

        Four in ten begin where the recording begins, mostly at rest. No mounting is drawn: the
        filter is equivariant to it, exactly.
        """
        data, count = self._train, len(indices)
        lengths = data["length"].cpu()
        chosen = torch.multinomial(lengths.double(), count, replacement=True, generator=generator)
        room = (lengths[chosen] - self._length).clamp(min=0)
        start = (torch.rand(count, generator=generator) * (room + 1)).long()
        start[torch.rand(count, generator=generator) < 0.4] = 0
        low, high = np.log(self.settings.bias_rad_s)
        spread = torch.exp(low + (high - low) * torch.rand(count, 1, generator=generator))
        bias = spread * torch.randn(count, 3, generator=generator)
        device = data["turn"].device
        chosen, start, bias = (x[share].to(device) for x in (chosen, start, bias))
        rows = (start[:, None] + torch.arange(self._length, device=device)).clamp(
            max=data["turn"].shape[1] - 1
        )
        pick = {key: data[key][chosen[:, None], rows] for key in data if key != "length"}
        turn, rate = add_bias(pick["turn"], pick["rate"], pick["duration"], bias[:, None])
        weight = pick["weight"].clone()
        weight[:, : round(self.settings.warm_up_s / BLOCK_S)] *= 0.1
        # In mid-motion a level start is off by tens of degrees, which would outweigh all the rest.
        before = (start - 1).clamp(min=0)
        first = data["truth"][chosen, before] * (data["weight"][chosen, before] > 0)[:, None]
        first = first * (start > 0)[:, None]
        inputs = (turn, pick["velocity"], rate, pick["duration"], first)
        return inputs, torch.cat([pick["truth"], weight[..., None]], -1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Robust inclination error, and how well the variances tell it and that of the heading."""
        truth, weight = targets[..., :4], targets[..., 4]
        settings = self.settings
        tilt, heading = world_errors(outputs[..., :4], truth)
        heading = drift(heading, weight > 0)
        square = (tilt**2).sum(-1)
        scale = settings.tilt_scale_rad
        size = torch.sqrt(1.0 + square / scale**2) - 1.0
        variance, heading_variance = outputs[..., 4], outputs[..., 5]
        # Outliers of the truth must not drive the variance: it would cover them all.
        likelihood = (0.5 * square / variance).clamp(max=30.0) + torch.log(variance)
        heading_likelihood = (0.5 * heading**2 / heading_variance).clamp(max=30.0)
        heading_likelihood = heading_likelihood + 0.5 * torch.log(heading_variance)
        total = (
            size
            + settings.likelihood * likelihood
            + settings.heading_likelihood * heading_likelihood
        )
        return (total * weight).sum() / weight.sum()

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return errors over whole recordings, and how calibrated the variances are."""
        data = self._validation
        outputs = predict(*_inputs(data))
        targets = torch.cat([data["truth"], data["weight"][..., None]], -1)
        counted = data["moving"]
        ratio, heading_ratio = normalised_errors(outputs, data["truth"], counted)
        rms = [
            attitude_rms_deg(
                outputs[i, counted[i], :4].double(), data["truth"][i, counted[i]].double()
            ).inclination_deg
            for i in range(len(outputs))
        ]
        return {
            "loss": float(self.loss(outputs, targets)),
            "inclination_rms_deg": float(torch.stack(rms).mean()),
            "worst_inclination_rms_deg": float(torch.stack(rms).max()),
            "normalised_inclination_error": float(ratio),
            "normalised_heading_error": float(heading_ratio),
        }

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`."""
        network = self._network
        hidden = network.noise.hidden
        generator = torch.Generator().manual_seed(0)
        probe = (
            torch.randn(PROBES, FEATURES, generator=generator),
            torch.randn(PROBES, hidden, generator=generator).clamp(-1, 1),
        )
        floors = torch.exp(network.log_floors.detach()).tolist()
        figures = self.validate(predict)
        scales = self._variance_scales(predict)
        return Export(
            inputs=(
                ArraySpec("features", (None, FEATURES), "float32", "see inertial/filter.py"),
                ArraySpec("memory", (None, hidden), "float32"),
            ),
            outputs=(
                ArraySpec("noise", (None, len(NOISES)), "float32", ", ".join(NOISES)),
                ArraySpec("next_memory", (None, hidden), "float32"),
            ),
            probe=probe,
            preprocessing={"block_s": BLOCK_S},
            labels=(),
            calibration={
                "first_sigmas": list(FIRST_SIGMAS),
                "floors_rad": floors,
                "variance_scales": scales,
            },
            metrics=figures,
            data={
                "unit": "recordings",
                "source": self.data.source,
                "sha256": self.data_id,
                "train": len(self.data.train),
                "validation": len(self.data.validation),
                "train_names": [track.name for track in self.data.train],
                "validation_names": [track.name for track in self.data.validation],
                "left_out": list(self.data.left_out),
            },
        )

    def _variance_scales(self, predict: Predict) -> list[float]:
        """Return the factors that make the mean normalised errors of whole recordings 1.

        Pieces of recordings with added biases are harder than whole ones, so that a variance fit
        for those is too large for these. Inclination and heading, over all recordings at their own
        rate whose truth owes nothing to the sensor (over all, where there are none such).
        """
        tracks = [t for t in (*self.data.train, *self.data.validation) if t.own_rate]
        trusted = [t for t in tracks if t.arrays["weight"].max() >= 1.0] or tracks
        # In groups as large as those of the validation: another size would be compiled anew.
        size = len(self.data.validation)
        ratios = []
        for at in range(0, len(trusted), size):
            group = trusted[at : at + size]
            padded = gather([*group, *[group[-1]] * (size - len(group))])
            data = {key: value.to(self._train["turn"].device) for key, value in padded.items()}
            outputs = predict(*_inputs(data))
            for row in range(len(group)):
                one = (part[row : row + 1] for part in (outputs, data["truth"], data["moving"]))
                ratios.append(torch.stack(normalised_errors(*one)))
        return [float(value) for value in torch.stack(ratios).mean(0)]


def _inputs(data: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the network's inputs for whole recordings, which start level."""
    arrays = [data[key] for key in ("turn", "velocity", "rate", "duration")]
    return (*arrays, torch.zeros_like(arrays[0][:, 0]))


def normalised_errors(outputs: Tensor, truth: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared errors over their variances, of inclination and heading."""
    tilt, heading = world_errors(outputs[..., :4], truth)
    ratio = (tilt**2).sum(-1) / (2.0 * outputs[..., 4])
    heading_ratio = drift(heading, counted) ** 2 / outputs[..., 5]
    return ratio[counted].mean(), heading_ratio[counted].mean()


def world_errors(estimate: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotation errors about the earth's horizontal axes (..., 2) and the vertical (...).

    Of the small rotation estimate * inv(truth), in rad; the horizontal ones to first order.
    """
    x, y, z, w = estimate.unbind(-1)
    a, b, c, d = truth.unbind(-1)
    scalar = w * d + x * a + y * b + z * c
    first = -w * a + x * d - y * c + z * b
    second = -w * b + y * d - z * a + x * c
    third = -w * c + z * d - x * b + y * a
    # Split off the heading: what is left of the error's length is its inclination.
    length = torch.sqrt(scalar**2 + third**2 + 1e-12)
    tilt = 2.0 * torch.stack([first, second], -1) / length[..., None].clamp(min=0.1)
    return tilt, 2.0 * torch.atan2(third * scalar.sign(), scalar.abs() + 1e-9)


def drift(heading: Tensor, known: Tensor) -> Tensor:
    """Return headings (B, T) relative to the first known one of each row, within -pi to pi."""
    first = known.to(torch.int8).argmax(1)
    offset = heading.gather(1, first[:, None])
    return torch.remainder(heading - offset + torch.pi, 2.0 * torch.pi) - torch.pi


def add_bias(turn: Tensor, rate: Tensor, duration: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return turns (..., 4) and rates (..., 3) as a gyroscope with a further bias shows them."""
    half = quat_exp(0.5 * bias * duration)
    return quat_multiply(half, quat_multiply(turn, half)), rate + bias
