"""The attitude filter as a network that is trained end to end: back-propagation through time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nn_perception.inertial.filter import Block, State, features, initial_state, predict, step
from nn_perception.networks.imu_noise import ImuNoise

OUTPUTS = 6
"""Orientation x, y, z, w, variance about a horizontal axis, variance about the vertical."""
FIRST_SIGMAS = (0.1, 0.3, 0.05)


class FilterStep(nn.Module):
    """One block through the filter; the part that is worth compiling."""

    def __init__(self, noise: ImuNoise) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, state: State, memory: Tensor, block: Block) -> tuple[State, Tensor]:
        """Return state and memory after a block."""
        motion = predict(state, block)
        noise, memory = self.noise(features(state, block, motion), memory)
        return step(state, block, motion, noise), memory


class FilterNetwork(nn.Module):
    """The filter over whole sequences of blocks.

    Attributes:
        noise: the network that goes into the bundle.
        first_sigmas: of the first state: tilt (rad), velocity (m/s), bias (rad/s). Not trained, and
            wide: the sensors of others begin with other biases.
        log_floors: errors (rad) that no filtering takes away, such as those of the accelerometer's
            own bias and of the mounting: of inclination (each axis) and heading.
        recurrent: compiled by the trainer when the configuration says so.
    """

    def __init__(self, noise: ImuNoise) -> None:
        super().__init__()
        self.recurrent = FilterStep(noise)
        self.register_buffer("first_sigmas", torch.tensor(FIRST_SIGMAS))
        self.log_floors = nn.Parameter(torch.tensor([math.log(v) for v in (3e-3, 5e-3)]))

    @property
    def noise(self) -> ImuNoise:
        """The network that goes into the bundle."""
        return self.recurrent.noise

    def forward(
        self, turn: Tensor, velocity: Tensor, rate: Tensor, duration: Tensor, first: Tensor
    ) -> Tensor:
        """Return (B, T, `OUTPUTS`) after each block.

        Args:
            turn: (B, T, 4), see `nn_perception.inertial.filter.Block`.
            velocity: (B, T, 3).
            rate: (B, T, 3).
            duration: (B, T, 1).
            first: (B, 4) orientation before the first block; zeros where it is to be levelled.
        """
        state = initial_state(velocity[:, 0], self.first_sigmas)
        known = (first**2).sum(-1, keepdim=True) > 0.5
        state = state._replace(orientation_xyzw=torch.where(known, first, state.orientation_xyzw))
        memory = turn.new_zeros(len(turn), self.noise.hidden)
        unknown = 0.0 * duration[:, 0]
        outputs = []
        for k in range(turn.shape[1]):
            block = Block(turn[:, k], velocity[:, k], rate[:, k], duration[:, k], unknown)
            state, memory = self.recurrent(state, memory, block)
            outputs.append((state.orientation_xyzw, state.covariance[:, :3, :3]))
        orientation = torch.stack([quat for quat, _ in outputs], 1)
        covariance = torch.stack([matrix for _, matrix in outputs], 1)
        variance = torch.diagonal(covariance, dim1=-2, dim2=-1)
        floors = torch.exp(2.0 * self.log_floors)
        inclination = 0.5 * (variance[..., :1] + variance[..., 1:2]) + floors[0]
        return torch.cat([orientation, inclination, variance[..., 2:] + floors[1]], -1)
