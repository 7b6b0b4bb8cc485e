"""The layers of our networks in NumPy, each with its derivative: what torch is compared with.

A layer is a function that returns its output and a second function, ``back``. That one takes the
derivative of a loss by the output, and returns the derivatives of the loss by input (``"x"``) and
parameters, by name: the chain rule, one link at a time (`chain`). Shapes and parameters are those
of torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from nn_perception.networks.reference_activations import Array, activate, activate_back

Gradients: TypeAlias = dict[str, Array]
Back: TypeAlias = Callable[[Array], Gradients]
Result: TypeAlias = tuple[Array, Back]


def linear(x: Array, weight: Array, bias: Array | None = None) -> Result:
    """Return y = x W^T + b, (..., outputs), for x (..., inputs) and W (outputs, inputs).

    dE/dx = dE/dy W, dE/dW = sum_n dE/dy_n x_n^T, dE/db = sum_n dE/dy_n.
    """
    y = x @ weight.T + (0.0 if bias is None else bias)

    def back(change: Array) -> Gradients:
        rows, inputs = change.reshape(-1, len(weight)), x.reshape(-1, x.shape[-1])
        found = {"x": change @ weight, "weight": rows.T @ inputs}
        return found if bias is None else {**found, "bias": rows.sum(0)}

    return y, back


def activation(name: str, x: Array) -> Result:
    """Return sigma(x) of one of `reference_activations.ACTIVATIONS`: dE/dx = dE/dy sigma'(x)."""
    return activate(name, x), lambda change: {"x": activate_back(name, change, x)}


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Result:
    """Return a convolution as networks have it (a cross-correlation) over any number of axes.

    y[n, o, p] = b[o] + sum_c sum_k W[o, c, k] x[n, c, stride p + dilation k - padding], so that
    dE/dW[o, c, k] = sum_n sum_p dE/dy[n, o, p] x[n, c, ...], and dE/dx takes from each output what
    its weight gave there.

    Args:
        x: (N, C, *sizes).
        weight: (O, C / groups, *kernel).
        bias: (O,) or None.
        stride: of each axis.
        padding: zeros before and behind each axis.
        dilation: of each axis.
        groups: parts of the channels that see nothing of each other.
    """
    count, outputs = len(x), len(weight)
    padded = _pad(x, padding, 0.0)
    sizes = _output_sizes(padded.shape[2:], weight.shape[2:], stride, dilation)
    kernel = weight.reshape(groups, outputs // groups, weight.shape[1], -1)
    places = list(_places(weight.shape[2:], sizes, stride, dilation))
    y = np.zeros((count, groups, outputs // groups, *sizes))

    def window(values: Array, at: tuple[slice, ...]) -> Array:
        return values[at].reshape(count, groups, -1, *sizes)

    for k, at in enumerate(places):
        y += np.einsum("goc,ngc...->ngo...", kernel[..., k], window(padded, at))
    shift = 0.0 if bias is None else bias.reshape(-1, *[1] * len(sizes))

    def back(change: Array) -> Gradients:
        grouped = change.reshape(y.shape)
        by_weight, by_padded = np.zeros(kernel.shape), np.zeros(padded.shape)
        flat = grouped.reshape(*grouped.shape[:3], -1)
        for k, at in enumerate(places):
            seen = window(padded, at)
            by_weight[..., k] = np.einsum("ngop,ngcp->goc", flat, seen.reshape(*seen.shape[:3], -1))
            given = np.einsum("goc,ngo...->ngc...", kernel[..., k], grouped)
            by_padded[at] += given.reshape(count, -1, *sizes)
        found = {"x": _cut(by_padded, padding), "weight": by_weight.reshape(weight.shape)}
        if bias is not None:
            found["bias"] = change.sum((0, *range(2, change.ndim)))
        return found

    return y.reshape(count, outputs, *sizes) + shift, back


def max_pool(
    x: Array, *, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Result:
    """Return the largest value of each window; the derivative goes to where it was found.

    Args:
        x: (N, C, *sizes).
        kernel: size of a window.
        stride: of each axis.
        padding: values that are never the largest, before and behind each axis.
    """
    padded = _pad(x, padding, -np.inf)
    ones = [1] * len(kernel)
    sizes = _output_sizes(padded.shape[2:], kernel, stride, ones)
    places = list(_places(kernel, sizes, stride, ones))
    windows = np.stack([padded[at] for at in places])
    largest = windows.argmax(0)

    def back(change: Array) -> Gradients:
        by_padded = np.zeros(padded.shape)
        for k, at in enumerate(places):
            by_padded[at] += change * (largest == k)
        return {"x": _cut(by_padded, padding)}

    return windows.max(0), back


def average_pool(x: Array, *, kernel: Sequence[int], stride: Sequence[int]) -> Result:
    """Return the mean of each window; each of its values gets an equal share of the derivative.

    Args:
        x: (N, C, *sizes).
        kernel: size of a window.
        stride: of each axis.
    """
    ones = [1] * len(kernel)
    sizes = _output_sizes(x.shape[2:], kernel, stride, ones)
    places = list(_places(kernel, sizes, stride, ones))

    def back(change: Array) -> Gradients:
        by_x = np.zeros(x.shape)
        for at in places:
            by_x[at] += change / len(places)
        return {"x": by_x}

    return np.mean([x[at] for at in places], axis=0), back


def global_average_pool(x: Array) -> Result:
    """Return the mean over all positions, (N, C, *ones), of x (N, C, *sizes)."""
    axes = tuple(range(2, x.ndim))
    share = 1.0 / np.prod(x.shape[2:])
    return x.mean(axes, keepdims=True), lambda change: {
        "x": np.broadcast_to(change * share, x.shape)
    }


def flatten(x: Array) -> Result:
    """Return all values of a sample in one row, (N, values)."""
    return x.reshape(len(x), -1), lambda change: {"x": change.reshape(x.shape)}


def normalise(x: Array, mean: Array, std: Array) -> Result:
    """Return (x - mean) / std; mean and std are constants that broadcast."""
    return (x - mean) / std, lambda change: {"x": change / std}


def batch_norm(
    x: Array, weight: Array, bias: Array, epsilon: float, running: tuple[Array, Array] | None = None
) -> Result:
    """Return gamma (x - mean) / sqrt(variance + epsilon) + beta for each channel.

    Ioffe and Szegedy, "Batch normalization", 2015. In training (``running`` None) mean and variance
    are those of the batch, of M values a channel, and depend on x:

        dE/dx = gamma / s (dE/dy - mean(dE/dy) - xhat mean(dE/dy xhat)),  xhat = (x - mean) / s

    In evaluation they are constants, and dE/dx = gamma / s dE/dy.

    Args:
        x: (N, C) or (N, C, *sizes).
        weight: gamma (C,).
        bias: beta (C,).
        epsilon: keeps s from 0.
        running: mean and variance (C,) of evaluation mode; None: training mode.
    """
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = (x.mean(axes), x.var(axes)) if running is None else running
    deviation = np.sqrt(variance + epsilon).reshape(shape)
    scaled = (x - mean.reshape(shape)) / deviation

    def back(change: Array) -> Gradients:
        found = {"weight": (change * scaled).sum(axes), "bias": change.sum(axes)}
        inner = change
        if running is None:
            along = scaled * (change * scaled).mean(axes, keepdims=True)
            inner = change - change.mean(axes, keepdims=True) - along
        return {"x": inner * weight.reshape(shape) / deviation, **found}

    return scaled * weight.reshape(shape) + bias.reshape(shape), back


def running_statistics(
    x: Array, mean: Array, variance: Array, momentum: float
) -> tuple[Array, Array]:
    """Return batch normalisation's running mean and variance (C,) after a training batch x.

    (1 - momentum) old + momentum new; the new variance divides by M - 1.
    """
    axes = (0, *range(2, x.ndim))
    new_mean: Array = (1 - momentum) * mean + momentum * x.mean(axes)
    new_variance: Array = (1 - momentum) * variance + momentum * x.var(axes, ddof=1)
    return new_mean, new_variance


def dropout(x: Array, kept: Array, rate: float) -> Result:
    """Return x where it is kept, divided by the probability p = 1 - rate of being kept.

    Srivastava et al. 2014, in the inverted form: the expectation of each value stays what it was,
    so that evaluation does nothing. ``kept`` (0 or 1) has the shape of x.
    """
    scale = kept / (1.0 - rate)
    return x * scale, lambda change: {"x": change * scale}


def chain(x: Array, layers: Mapping[str, Callable[[Array], Result]]) -> Result:
    """Return what layers make of x, one after the other.

    ``back`` goes through them in reverse; the gradient of a parameter is called
    ``"layer.parameter"``, that of the input ``"x"``.
    """
    backs: list[tuple[str, Back]] = []
    for name, layer in layers.items():
        x, back = layer(x)
        backs.append((name, back))

    def back_through(change: Array) -> Gradients:
        found: Gradients = {}
        for name, step in reversed(backs):
            gradients = step(change)
            change = gradients.pop("x")
            found.update({f"{name}.{key}": value for key, value in gradients.items()})
        return {**found, "x": change}

    return x, back_through


def _pad(x: Array, padding: Sequence[int], value: float) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=value)


def _cut(padded: Array, padding: Sequence[int]) -> Array:
    """Take the padding off again."""
    inner = (slice(p, size - p) for p, size in zip(padding, padded.shape[2:], strict=True))
    cut: Array = padded[(slice(None), slice(None), *inner)]
    return cut


def _output_sizes(
    sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    each = zip(sizes, kernel, stride, dilation, strict=True)
    return tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in each)


def _places(
    kernel: Sequence[int], sizes: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[slice, ...]]:
    """Yield for each place in the kernel which values lie there below it, for all outputs."""
    for k in itertools.product(*(range(size) for size in kernel)):
        starts = [d * i for d, i in zip(dilation, k, strict=True)]
        each = zip(starts, sizes, stride, strict=True)
        inner = (slice(at, at + s * (size - 1) + 1, s) for at, size, s in each)
        yield (slice(None), slice(None), *inner)
