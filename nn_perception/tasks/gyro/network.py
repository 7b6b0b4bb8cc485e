"""The whole gyroscope correction as a network that is trained end to end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nn_perception.inertial.rest import SMOOTHING_S, first_state, remember

_MATRIX_STEP, _RATE_STEP = 0.1, math.radians(2.0)
"""What a change of 1 of a parameter does: rates in rad/s are small numbers beside weights."""
_FIRST_THRESHOLDS = (0.2, math.radians(2.0), 0.4, math.radians(0.7))


class Window(NamedTuple):
    """Truncated back-propagation through time: pieces of a recording that run side by side.

    Attributes:
        samples: of a piece, 1 or more.
        warm_up: samples before it from which its state comes, beginning with a past of nothing.
    """

    samples: int
    warm_up: int


class GyroNetwork(nn.Module):
    """Calibration, bias remembered from rest, and a causal network.

    corrected = matrix rate - expected bias - remembered bias + offset + correction, where the
    offset is what motion adds to the bias (vibration does), and the correction comes from the
    network: convolutions, or recurrent layers.

    Args:
        causal: the part that goes into the bundle as a graph; takes samples and its cache, gives
            corrections and the next cache (see `GyroTcn`), and has a ``cache_size``.
        expected_bias_rad_s: (3,) where training starts.
        rate_hz: sample rate.
        window: pieces in which ``causal`` sees a recording in training; None: it sees it whole.
    """

    def __init__(
        self,
        causal: nn.Module,
        expected_bias_rad_s: Sequence[float],
        rate_hz: float,
        window: Window | None = None,
    ) -> None:
        super().__init__()
        self.causal, self.window = causal, window
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
        if self.window is not None and self.training:
            correction = in_windows(self.causal, samples, self.window)
        else:
            correction = from_nothing(self.causal, samples)
        corrected: Tensor = rate - seen.bias_rad_s + offset + correction
        return corrected


def from_nothing(causal: Any, samples: Tensor) -> Tensor:
    """Return a causal network's corrections (B, T, 3) of (B, T, 6) without a past."""
    correction: Tensor = causal(samples, samples.new_zeros(len(samples), causal.cache_size))[0]
    return correction


def in_windows(causal: Any, samples: Tensor, window: Window) -> Tensor:
    """Return the same from pieces that know nothing before their warm-up, as rows of one batch.

    The steps of a recurrent network follow each other: there are so many fewer of them, and no
    gradient comes from further than a piece and its warm-up. The first row counts from its first
    sample, as a stream does.
    """
    size, warm_up = window
    batch, length, _ = samples.shape
    count = max(1, -(-(length - warm_up) // size))
    behind = samples[:, -1:].expand(-1, warm_up + count * size - length, -1)
    rows = torch.cat([samples, behind], 1).unfold(1, warm_up + size, size).transpose(2, 3)
    found = from_nothing(causal, rows.flatten(0, 1)).reshape(batch, count, warm_up + size, 3)
    pieces = [found[:, 0, :warm_up], found[:, :, warm_up:].flatten(1, 2)]
    return torch.cat(pieces, 1)[:, :length]
