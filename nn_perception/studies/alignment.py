"""Point-cloud alignment by a network: its two encoders are one, its last layer the head compared.

The network of Y. Zhou et al., "On the Continuity of Rotation Representations in Neural Networks",
CVPR 2019: per point 3-64-128-1024, the maximum over the points, both clouds' features side by side
into 2048-512-D, leaky ReLU. The widths are arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn_perception.datasets.point_clouds import PointClouds, RotatedPairs, sample_pairs
from nn_perception.errors import TrainingError
from nn_perception.networks.heads import (
    GramSchmidtHead,
    QuaternionHead,
    SvdHead,
    frobenius_loss,
    geodesic_loss,
)
from nn_perception.rotations import so3_distance
from nn_perception.studies.protocol import Protocol
from nn_perception.training.config import TrainingConfig
from nn_perception.training.optimisers import make_optimizer, rate_factor, set_rate

HEAD_CLASSES: dict[str, type[nn.Module]] = {
    "quaternion": QuaternionHead,
    "6d": GramSchmidtHead,
    "svd": SvdHead,
}
LOSS_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "frobenius": frobenius_loss,
    "geodesic": geodesic_loss,
}
CHECKS = 20
"""How often in a run the validation shapes are looked at."""

_CHUNK = 50
"""Pairs that are predicted at once: 0.4 GB a layer with the published widths and points."""

Float64Array = npt.NDArray[np.float64]


class AlignmentNetwork(nn.Module):
    """Predicts the rotation R of ``target = R source`` from the two clouds.

    The head is made last, so that the same seed gives all heads the same layers before it.

    Args:
        head: one of `nn_perception.studies.protocol.HEADS`.
        protocol: its widths and scale.
    """

    def __init__(self, head: str, protocol: Protocol) -> None:
        super().__init__()
        self.scale, widths, hidden = protocol.scale, protocol.widths, protocol.hidden
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths), widths, strict=False):
            layers += [nn.Linear(before, after), nn.LeakyReLU()]
        # As published, nothing bends the last layer before the maximum.
        self.encoder = nn.Sequential(*layers[:-1])
        self.mixer = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.LeakyReLU())
        self.head = HEAD_CLASSES[head](hidden)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return rotation matrices (B, 3, 3) for two clouds (B, K, 3); their order is free."""
        # max and not amax: its gradient is one scatter, 15 % of a step faster on a CPU.
        features = self.encoder(self.scale * torch.cat([source, target])).max(1).values
        matrices: Tensor = self.head(self.mixer(torch.cat(features.chunk(2), -1)))
        return matrices


@dataclass(frozen=True)
class Trained:
    """A trained network, and what was seen on the way.

    Attributes:
        network: in evaluation mode.
        curve: (step, mean validation error in degrees) at each check; step 0 is untrained.
        seconds: wall-clock time of training, checks included.
    """

    network: AlignmentNetwork
    curve: list[tuple[int, float]]
    seconds: float


def train(
    head: str,
    protocol: Protocol,
    seed: int,
    clouds: PointClouds,
    validation: RotatedPairs,
    on_step: Callable[[], object] = lambda: None,
) -> Trained:
    """Train one head.

    Shapes, points and rotations of a step come from (seed, step) alone: all heads see the same.

    Args:
        head: one of `nn_perception.studies.protocol.HEADS`.
        protocol: the same for all heads.
        seed: of weights and batches.
        clouds: training shapes.
        validation: pairs of other shapes, for the curve; nothing is chosen by them.
        on_step: called after each step.

    Raises:
        TrainingError: the loss is not finite.
        DatasetError: the clouds have fewer points than asked for.
    """
    start = time.perf_counter()
    torch.manual_seed(seed)
    network = AlignmentNetwork(head, protocol)
    config = TrainingConfig(
        network=head, learning_rate=protocol.learning_rate, schedule="cosine", warmup_fraction=0.02
    )
    optimizer = make_optimizer(network, config)
    curve = [(0, float(errors_deg(network, validation).mean()))]
    for step in range(protocol.steps):
        set_rate(optimizer, config.learning_rate * rate_factor(config, step, protocol.steps, 1))
        loss = _loss(network, protocol, batch(clouds, protocol, seed, step))
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of head '{head}' is not finite at step {step}: lower the learning rate "
                f"(now {config.learning_rate:g})"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        done = step + 1
        if done % max(1, protocol.steps // CHECKS) == 0 or done == protocol.steps:
            curve.append((done, float(errors_deg(network, validation).mean())))
        on_step()
    return Trained(network.eval(), curve, time.perf_counter() - start)


def batch(clouds: PointClouds, protocol: Protocol, seed: int, step: int) -> RotatedPairs:
    """Return the pairs of one training step."""
    return sample_pairs(clouds, protocol.batch_size, protocol.points, (seed, step))


@torch.no_grad()
def errors_deg(network: nn.Module, pairs: RotatedPairs) -> Float64Array:
    """Return the angle in degrees between predicted and true rotation of each pair, (B,)."""
    parts = []
    for first in range(0, len(pairs.rotation), _CHUNK):
        part = slice(first, first + _CHUNK)
        source, target, truth = _tensors(pairs, part)
        parts.append(torch.as_tensor(so3_distance(network(source, target), truth)))
    return np.degrees(torch.cat(parts).numpy().astype(np.float64))


def _loss(network: nn.Module, protocol: Protocol, pairs: RotatedPairs) -> Tensor:
    source, target, truth = _tensors(pairs, slice(None))
    return LOSS_FUNCTIONS[protocol.loss](network(source, target), truth)


def _tensors(pairs: RotatedPairs, part: slice) -> tuple[Tensor, ...]:
    arrays = (pairs.source, pairs.target, pairs.rotation)
    return tuple(torch.from_numpy(array[part]) for array in arrays)
