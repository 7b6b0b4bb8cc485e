"""The whole gyroscope correction as a network that is trained end to end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nn_perception.inertial.rest import SMOOTHING_S, first_state, remember
from nn_perception.networks.gyro_tcn import GyroTcn

_MATRIX_STEP, _RATE_STEP = 0.1, math.radians(2.0)
"""What a change of 1 of a parameter does: rates in rad/s are small numbers beside weights."""
_FIRST_THRESHOLDS = (0.2, math.radians(2.0), 0.4, math.radians(0.7))


class GyroNetwork(nn.Module):
    """Calibration, bias remembered from rest, and convolutions.

    corrected = matrix rate - expected bias - remembered bias + offset + correction, where the
    offset is what motion adds to the bias (vibration does), and the correction comes from the
    convolutions.

    Args:
        tcn: the part that goes into the bundle as a graph.
        expected_bias_rad_s: (3,) where training starts.
        rate_hz: sample rate.
    """

    def __init__(self, tcn: GyroTcn, expected_bias_rad_s: Sequence[float], rate_hz: float) -> None:
        super().__init__()
        self.tcn = tcn
        self.decay = math.exp(-1.0 / (rate_hz * SMOOTHING_S))
        self.matrix_change = nn.Parameter(torch.zeros(3, 3))
        self.register_buffer("start", torch.tensor(expected_bias_rad_s, dtype=torch.float32))
        self.bias_change = nn.Parameter(torch.zeros(3))
        self.offset = nn.Parameter(torch.zeros(3))
        self.log_thresholds = nn.Parameter(torch.tensor([math.log(v) for v in _FIRST_THRESHOLDS]))

    @property
    def matrix(self) -> Tensor:
        """(3, 3) scale and misalignment, about the identity."""
        return torch.eye(3, device=self.offset.device) + _MATRIX_STEP * self.matrix_change

    @property
    def expected_bias_rad_s(self) -> Tensor:
        """(3,) bias before anything is remembered, of the calibrated rate."""
        start: Tensor = self.start  # type: ignore[assignment]
        return start + _RATE_STEP * self.bias_change

    @property
    def motion_offset_rad_s(self) -> Tensor:
        """(3,) to be added in motion once the bias at rest is known."""
        return _RATE_STEP * self.offset

    def forward(self, samples: Tensor, dt_s: Tensor) -> Tensor:
        """Return the corrected rate (B, T, 3), rad/s.

        Args:
            samples: (B, T, 6) rate and specific force, whole recordings.
            dt_s: (B, T, 1) time since the sample before.
        """
        rate = samples[..., :3] @ self.matrix.T - self.expected_bias_rad_s
        calibrated = torch.cat([rate, samples[..., 3:]], -1)
        thresholds = torch.exp(self.log_thresholds)
        seen, _ = remember(first_state(calibrated), calibrated, dt_s, self.decay, thresholds)
        offset = self.motion_offset_rad_s * seen.known * (1.0 - seen.at_rest)
        correction, _ = self.tcn(samples, samples.new_zeros(len(samples), self.tcn.cache_size))
        corrected: Tensor = rate - seen.bias_rad_s + offset + correction
        return corrected
