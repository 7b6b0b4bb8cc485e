"""Projection onto SO(3): the rotation nearest to a 3x3 matrix, without an SVD.

The formulas stand in `so3_projection_formulas`. Here they are applied: on a CPU to NumPy views of
the tensors' memory, since NumPy calls a function in a third of the time that torch takes, which for
a batch of thousands is most of the time; on other devices, in an export or under a transformation
of torch to tensors.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from nn_perception.errors import ConfigError
from nn_perception.networks.so3_projection_formulas import (
    NUMPY,
    TORCH,
    Solution,
    gradient,
    inverse,
    rotate,
    solve,
)

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_BLOCK = 4096
"""Matrices that NumPy takes at once: fewer cost more calls, many more do not fit the cache."""

_DIVISIBLE = 1e-3
"""In float32, R is zeta R / zeta where zeta is above this: then its error, 1e-15 / zeta^2, is below
a rounding. The few others take the way of the quaternion and of Newton's step, as in float64."""

_GRADIENT_DAMPING = {torch.float64: 1e-8}
_GRADIENT_DAMPING_DEFAULT = 1e-6
"""1 / zeta in the gradient becomes zeta / (zeta^2 + damping^2): finite where the rotation is not
unique, and right to one part in a million where zeta is above a thousand times the damping."""


def project_to_so3(matrix: Tensor) -> Tensor:
    """Return the rotation nearest to each matrix, in the Frobenius norm.

    Agrees with U diag(1, 1, det(U V^T)) V^T of an SVD in float64 to 1e-6 wherever the answer is
    well enough defined: (s2 + s3) / s1 > 1e-6, or 1e-3 where also s1 + s3 is that small. Without
    Newton's step, that is in float32 on a GPU or exported, the limits are 1e-4 and 2e-3; at 1e-6
    the error was up to 2e-3. Where the nearest rotation is not unique (s2 + s3 = 0: rank 1,
    reflections) it is one of the nearest ones; for the zero matrix it is the identity. Gradients
    are analytic, finite everywhere, and right where the answer is unique; there is no second
    derivative. ``torch.export`` and ``torch.onnx.export`` record plain operators only (no SVD). On
    a CPU one thread does it all.

    Args:
        matrix: (..., 3, 3), floating point, entries 0 or between 1e-90 and 1e90 in size. A matrix
            that is not finite gives NaN.

    Returns:
        Rotation matrices (..., 3, 3), same dtype and device.

    Raises:
        ConfigError: wrong shape or dtype.
    """
    if matrix.ndim < 2 or tuple(matrix.shape[-2:]) != (3, 3) or not matrix.is_floating_point():
        raise ConfigError(
            f"matrix: got {matrix.dtype} of shape {tuple(matrix.shape)}, "
            "expected floating point numbers of shape (..., 3, 3)"
        )
    if matrix.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_exporting():
        return cast(Tensor, _Projection.apply(matrix))  # type: ignore[no-untyped-call]
    return _project(matrix, with_inverse=False)[0]


class _Projection(torch.autograd.Function):
    """The projection with its analytic gradient; autograd would go through every step of it."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        result, saved = _project(matrix, with_inverse=True)
        ctx.save_for_backward(*saved)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, change: Tensor) -> Tensor:
        rotation, inverted = ctx.saved_tensors
        rows = change.reshape(-1, 9).to(rotation.dtype)
        memory = _memory(rows)
        if memory is None:
            columns = rows.t().reshape(3, 3, rows.shape[0])
            result: Tensor = gradient(TORCH, rotation, columns, inverted).t()
        else:
            arrays = rotation.numpy(), inverted.numpy()
            result = torch.from_numpy(_gradient_of_blocks(memory, *arrays))
        return result.to(change.dtype).reshape(change.shape)


def _memory(tensor: Tensor) -> Numbers | None:
    """Return the tensor's memory; None where the operators have to be those of torch."""
    if tensor.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return None
    try:
        return tensor.detach().numpy()
    except RuntimeError:  # within torch.func.vmap, or without data
        return None


def _project(matrix: Tensor, with_inverse: bool) -> tuple[Tensor, list[Tensor]]:
    """Return the rotations like ``matrix``, and, if asked for, what the gradient needs.

    That is R and `inverse` / |M|, both (3, 3, N).
    """
    dtype = torch.float64 if matrix.dtype == torch.float64 else torch.float32
    rows = matrix.reshape(-1, 9)
    memory = _memory(rows if rows.dtype in (torch.float32, torch.float64) else rows.to(dtype))
    if memory is None:
        result, saved = _project_tensor(rows, dtype, with_inverse)
    else:
        arrays = _project_blocks(memory, with_inverse)
        result, *saved = [torch.from_numpy(part) for part in arrays]
    return result.to(matrix.dtype).reshape(matrix.shape), saved


def _project_tensor(
    rows: Tensor, dtype: torch.dtype, with_inverse: bool
) -> tuple[Tensor, list[Tensor]]:
    entries = rows.t().to(torch.float64, copy=True, memory_format=torch.contiguous_format)
    found = solve(TORCH, entries)
    rotation, kappa, zeta = rotate(TORCH, found, dtype == torch.float64)
    result = rotation.flatten(0, 1).t()
    if not with_inverse:
        return result, []
    damping = _GRADIENT_DAMPING.get(dtype, _GRADIENT_DAMPING_DEFAULT)
    limit = torch.finfo(dtype).max ** 0.75
    factor = found.factor.clamp_max(limit)
    return result, [rotation, inverse(found.gram, kappa, zeta, damping, factor).to(dtype)]


def _project_blocks(rows: Numbers, with_inverse: bool) -> list[Numbers]:
    """Return as `_project_tensor` does, one list, for rows (N, 9) of float32 or float64."""
    count, dtype = len(rows), rows.dtype
    precise = dtype == np.float64
    result = np.empty((count, 9), dtype)
    saved = [np.empty((3, 3, count), dtype) for _ in range(2 if with_inverse else 0)]
    damping = _GRADIENT_DAMPING[torch.float64] if precise else _GRADIENT_DAMPING_DEFAULT
    limit = float(np.finfo(dtype).max) ** 0.75
    with np.errstate(all="ignore"):  # what is not finite becomes NaN, as in torch
        for start in range(0, count, _BLOCK):
            block = slice(start, start + _BLOCK)
            found = solve(NUMPY, rows[block].T.astype(np.float64, order="C"))
            rotation, kappa, zeta = rotate(NUMPY, found, True) if precise else _divide(found)
            result[block] = rotation.reshape(9, -1).T
            if with_inverse:
                factor = np.minimum(found.factor, limit)
                saved[0][..., block] = rotation
                saved[1][..., block] = inverse(found.gram, kappa, zeta, damping, factor)
    return [result, *saved]


def _divide(found: Solution) -> tuple[Numbers, Numbers, Numbers]:
    """Return rotations, kappa and zeta as `rotate` does for float32, in less time."""
    rare = np.flatnonzero(found.zeta < _DIVISIBLE)
    others = found.at(rare) if rare.size else None
    rotation = found.scaled
    rotation /= found.zeta
    if others is not None:
        rotation[..., rare] = rotate(NUMPY, others, True)[0]
    return rotation, found.kappa, found.zeta


def _gradient_of_blocks(change: Numbers, rotation: Numbers, inverted: Numbers) -> Numbers:
    result = np.empty_like(change, order="C")
    with np.errstate(all="ignore"):
        for start in range(0, len(change), _BLOCK):
            block = slice(start, start + _BLOCK)
            columns = np.ascontiguousarray(change[block].T).reshape(3, 3, -1)
            part = gradient(NUMPY, rotation[..., block], columns, inverted[..., block])
            result[block] = part.T
    return result


# glibc gives freed memory back to the system, and takes it anew page by page at every call, above a
# threshold that grows with the largest block freed so far. This block, never touched, makes it grow
# to 8 MiB, as loading any data set would; without, page faults take more time than the arithmetic.
torch.empty(4 * 2**20, dtype=torch.uint8)
