"""Rotation heads: the last layer of a network that answers with a rotation, and their losses.

Every head takes features (..., F) through a linear layer, or, with ``features=None``, its raw
numbers (..., size) as they are. It answers with rotation matrices (..., 3, 3), unit quaternions
(..., 4) in x y z w order, or both, for any input: what names no rotation gives a valid one and a
finite gradient.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.checks import whole_number
from nn_perception.networks.so3_projection import project_to_so3
from nn_perception.rotations import quat_from_matrix, quat_normalise, quat_to_matrix, so3_distance

OUTPUTS = ("matrix", "quaternion", "both")

PARALLEL = 1e-6
"""Two columns count as parallel when the sine of their angle is below this."""


class _RotationHead(nn.Module):
    """What the heads share: the linear layer, and the form of the answer.

    Args:
        features: number of features F of the linear layer; None for raw numbers as input.
        output: ``"matrix"``, ``"quaternion"`` or ``"both"`` (a pair in this order).

    Raises:
        ConfigError: a value that is out of its range.
    """

    size: ClassVar[int]
    """How many raw numbers it takes."""

    def __init__(self, features: int | None = None, output: str = "matrix") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise ConfigError(
                f"output: got {output!r}{nearest(str(output), OUTPUTS)} "
                f"(expected one of: {', '.join(OUTPUTS)})"
            )
        self.output = output
        self.linear: nn.Module = (
            nn.Identity()
            if features is None
            else nn.Linear(whole_number("features", features), self.size)
        )

    def forward(self, features: Tensor) -> Any:
        """Return rotations for features (..., F), or raw numbers (..., size).

        Raises:
            ConfigError: raw numbers of another size.
        """
        raw = self.linear(features)
        if raw.shape[-1] != self.size:
            raise ConfigError(
                f"{type(self).__name__}: got shape {tuple(raw.shape)}, "
                f"expected (..., {self.size}); give `features` for a linear layer"
            )
        return self.rotations(raw)

    def rotations(self, raw: Tensor) -> Any:
        """Return rotations for raw numbers (..., size)."""
        matrix = self.matrices(raw)
        if self.output == "matrix":
            return matrix
        quaternion = quat_from_matrix(matrix)
        return quaternion if self.output == "quaternion" else (matrix, quaternion)

    def matrices(self, raw: Tensor) -> Tensor:
        """Return rotation matrices (..., 3, 3) for raw numbers (..., size)."""
        raise NotImplementedError


class QuaternionHead(_RotationHead):
    """Four numbers x y z w, normalised (lecture eq. 65-67); zero gives the identity, gradient 0.

    Args and errors as in the other heads: ``features`` or None, ``output``.
    """

    size = 4

    def rotations(self, raw: Tensor) -> Any:
        """Return rotations for raw numbers (..., 4)."""
        quaternion = quat_normalise(raw)
        if self.output == "quaternion":
            return quaternion
        matrix = quat_to_matrix(quaternion)
        return matrix if self.output == "matrix" else (matrix, quaternion)


class SvdHead(_RotationHead):
    """Nine numbers, row by row, projected onto SO(3) (Levinson et al. 2020; lecture eq. 68-71).

    See `project_to_so3`, which needs no SVD. Args and errors as in the other heads.
    """

    size = 9

    def matrices(self, raw: Tensor) -> Tensor:
        """Return rotation matrices (..., 3, 3) for raw numbers (..., 9)."""
        return project_to_so3(raw.reshape(*raw.shape[:-1], 3, 3))


class GramSchmidtHead(_RotationHead):
    """Six numbers: two columns made orthonormal, the third their vector product.

    Zhou et al., "On the continuity of rotation representations in neural networks", 2019, eq. 15.
    A first column 0 counts as the x axis; a second one that is 0 or parallel to the first is
    replaced by the y axis (z where the first is near y), with gradient 0. Args and errors as in the
    other heads.
    """

    size = 6

    def matrices(self, raw: Tensor) -> Tensor:
        """Return rotation matrices (..., 3, 3) for raw numbers (..., 6)."""
        axis_x, axis_y, axis_z = torch.eye(3, dtype=raw.dtype, device=raw.device)
        first = _unit(raw[..., :3], axis_x)
        second = _unit(raw[..., 3:], axis_y)
        rest = _orthogonal(second, first)
        parallel = rest.square().sum(-1, keepdim=True) < PARALLEL**2
        spare = torch.where(first[..., 1:2].abs() < 0.9, axis_y, axis_z)
        second = _unit(torch.where(parallel, _orthogonal(spare, first.detach()), rest), axis_y)
        # Once more: where the columns are nearly parallel, rounding left a part along the first.
        second = _unit(_orthogonal(second, first), axis_y)
        return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def geodesic_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean angle in rad between rotation matrices (..., 3, 3); gradient 0 at 0 and pi.

    Raises:
        RotationError: not (..., 3, 3), not floating, or leading axes that do not broadcast.
    """
    distance: Any = so3_distance(predicted, truth)
    mean: Tensor = distance.mean()
    return mean


def frobenius_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared Frobenius (chordal) distance of matrices (..., 3, 3), 0 to 8.

    |A - B|^2 = 8 sin^2(angle / 2) for rotations (Levinson et al. 2020).

    Raises:
        ConfigError: shapes that do not fit.
    """
    _same("matrices", predicted, truth, (3, 3))
    return (predicted - truth).square().sum((-2, -1)).mean()


def quaternion_loss(predicted_xyzw: Tensor, truth_xyzw: Tensor) -> Tensor:
    """Return the mean of min(|q - p|, |q + p|) of unit quaternions (..., 4); gradient 0 at 0.

    Huynh, "Metrics for 3D rotations", 2009, eq. 3: the same for q and -q.

    Raises:
        ConfigError: shapes that do not fit.
    """
    _same("quaternions", predicted_xyzw, truth_xyzw, (4,))
    opposite = (predicted_xyzw * truth_xyzw).sum(-1, keepdim=True) < 0
    nearer = torch.where(opposite, -truth_xyzw, truth_xyzw)
    square = (predicted_xyzw - nearer).square().sum(-1)
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt()).mean()


def _unit(vector: Tensor, spare: Tensor) -> Tensor:
    """Return vectors (..., 3) of length 1, ``spare`` where they are 0."""
    largest = vector.detach().abs().amax(-1, keepdim=True)
    zero = largest == 0
    safe = torch.where(zero, spare, vector / torch.where(zero, 1.0, largest))
    return safe / safe.square().sum(-1, keepdim=True).sqrt()


def _orthogonal(vector: Tensor, axis: Tensor) -> Tensor:
    """Return what of ``vector`` is orthogonal to the unit vector ``axis``."""
    return vector - (vector * axis).sum(-1, keepdim=True) * axis


def _same(what: str, first: Tensor, second: Tensor, last: tuple[int, ...]) -> None:
    shape = tuple(first.shape)
    if shape != tuple(second.shape) or shape[len(shape) - len(last) :] != last:
        raise ConfigError(
            f"{what}: got shapes {shape} and {tuple(second.shape)}, "
            f"expected two equal ones that end in {last}"
        )
