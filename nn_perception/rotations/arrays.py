"""What all rotation functions share: checks, components, and roots with finite gradients.

A function here takes NumPy arrays or torch tensors and speaks to both through the Python array API.
Values are guarded before a division or a root, not after it: torch multiplies the gradient of the
branch that `where` did not take by zero, and zero times infinity is NaN.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import array_api_compat
import array_api_compat.numpy as numpy_namespace
import numpy as np

from nn_perception.errors import NnPerceptionError

Array: TypeAlias = Any
"""A NumPy array or a torch tensor of real floating type."""

Components: TypeAlias = tuple[Array, ...]
"""The parts of a vector or quaternion along its last axis, one array each."""

NUMBER = (int, float, np.number)
"""What counts as a plain number; an array or tensor without axes is none of these."""

SMALL = 1e-4
"""Square of an angle in rad^2 below which a series replaces a quotient such as sin(a) / a.

Four terms of each series are exact to 1e-16 here, and above it the quotient's own derivative has
lost no more than eps / angle to cancellation.
"""


class RotationError(NnPerceptionError, ValueError):
    """Arrays that are no rotations: a wrong type, a wrong shape, or two that do not fit."""


def checked(*trailing: int, **arrays: Array) -> Any:
    """Return the array namespace of ``arrays`` after checking type and last axes.

    Args:
        *trailing: lengths that the last axes of every array must have.
        **arrays: the arrays by the name that an error should call them.

    Raises:
        RotationError: no array, not of floating type, or other last axes; NumPy and torch mixed;
            leading axes that do not broadcast.
    """
    depth = len(trailing)
    leading: tuple[int, ...] | None = None
    for name, array in arrays.items():
        shape = _shape(name, array)
        if shape[len(shape) - depth :] != trailing or len(shape) < depth:
            expected = ", ".join(map(str, trailing))
            raise RotationError(
                f"{name} has the shape {shape}, expected (..., {expected}); "
                "the components lie along the last axes: move or reshape them there"
            )
        before = shape[: len(shape) - depth]
        if leading is not None:
            fit(" and ".join(arrays), leading, before)
        leading = before
    return namespace(*arrays.values())


def _shape(name: str, array: Array) -> tuple[int, ...]:
    dtype = getattr(array, "dtype", None)
    if dtype is None or not hasattr(array, "shape"):
        raise RotationError(
            f"{name} is a {type(array).__name__}, expected a NumPy array or a torch tensor; "
            "convert it with np.asarray(..., dtype=np.float64)"
        )
    kind = getattr(dtype, "kind", None)
    floating = kind == "f" if kind is not None else getattr(dtype, "is_floating_point", False)
    if not floating:
        raise RotationError(
            f"{name} is of type {dtype}, expected a floating type; convert it to float64 or float32"
        )
    return tuple(array.shape)


def namespace(*arrays: Array) -> Any:
    """Return the functions (array API) that work on these arrays.

    Raises:
        RotationError: NumPy arrays and torch tensors together, or another kind of array.
    """
    if all(type(array) is np.ndarray for array in arrays):
        return numpy_namespace
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(sorted({type(array).__name__ for array in arrays}))
        raise RotationError(
            f"got arrays of the types {kinds}, expected all NumPy or all torch; "
            "convert one side, with torch.from_numpy or Tensor.numpy"
        ) from error


def fit(names: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Check that two groups of leading axes broadcast; costs nothing where they are equal.

    Raises:
        RotationError: they do not.
    """
    if first != second:
        broadcast_shape(names, first, second)


def broadcast_shape(names: str, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common shape of two groups of leading axes.

    Raises:
        RotationError: they do not broadcast.
    """
    length = max(len(first), len(second))
    padded = [(1,) * (length - len(shape)) + shape for shape in (first, second)]
    common = []
    for one, other in zip(*padded, strict=True):
        if one != other and 1 not in (one, other):
            raise RotationError(
                f"{names} have the leading axes {first} and {second}, expected equal ones or 1s; "
                "insert axes so that they broadcast"
            )
        common.append(other if one == 1 else one)
    return tuple(common)


def split(array: Array) -> Components:
    """Return the components along the last axis; each keeps that axis, with length 1.

    They keep it because a NumPy array without axes turns into a scalar, which before NumPy 2
    promotes float32 to float64.
    """
    return tuple(array[..., i : i + 1] for i in range(array.shape[-1]))


def dot(first: Components, second: Components) -> Array:
    """Return the sum of products of components."""
    total = first[0] * second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        total = total + one * other
    return total


def cross(first: Components, second: Components) -> Components:
    """Return the components of the vector product."""
    ax, ay, az = first
    bx, by, bz = second
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def root(xp: Any, square: Array) -> Array:
    """Return the square root, with the gradient 0 instead of infinity at 0."""
    zero = square == 0
    return xp.where(zero, square, xp.sqrt(xp.where(zero, 1.0, square)))


def norm(xp: Any, parts: Components) -> Array:
    """Return the Euclidean norm of components, with the gradient 0 at 0."""
    return root(xp, dot(parts, parts))


def atan2(xp: Any, y: Array, x: Array) -> Array:
    """Return atan2, with finite gradients where both are 0 (the angle is 0 there)."""
    return xp.atan2(y, xp.where((y == 0) & (x == 0), 1.0, x))
