"""Recurrent cells in NumPy with back-propagation through time (Werbos 1990).

A cell is the same function at every step. Unrolled, a sequence is a network with one layer a step,
which all share their weights: the derivative by a weight is the sum over the steps, and that by a
state has two parts, from the step's own output and from the step after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from nn_perception.networks.reference_activations import Array, sigmoid
from nn_perception.networks.reference_layers import Gradients, Result

Step: TypeAlias = Callable[[Array, Array], Result]
"""A cell's next state (N, H) of input (N, F) and state; its ``back`` gives ``"x"``, ``"h"`` and the
derivatives by the weights."""


def elman_step(x: Array, h: Array, w_x: Array, w_h: Array, b_h: Array) -> Result:
    """Return h_t = tanh(a), a = W_x x_t + W_h h_{t-1} + b_h (Elman 1990; lecture eq. 63).

    dE/da = dE/dh_t (1 - h_t^2); dE/dW_x = sum_n dE/da_n x_n^T, dE/dW_h = sum_n dE/da_n h_n^T.

    Args:
        x: (N, F).
        h: (N, H) state before this step.
        w_x: (H, F).
        w_h: (H, H).
        b_h: (H,).
    """
    after = np.tanh(x @ w_x.T + h @ w_h.T + b_h)

    def back(change: Array) -> Gradients:
        inner = change * (1.0 - after**2)
        return {
            "x": inner @ w_x,
            "h": inner @ w_h,
            "w_x": inner.T @ x,
            "w_h": inner.T @ h,
            "b_h": inner.sum(0),
        }

    return after, back


def gru_step(x: Array, h: Array, w_x: Array, w_h: Array, b_x: Array, b_h: Array) -> Result:
    """Return h_t = (1 - z) n + z h_{t-1} of a gated recurrent unit (Cho et al. 2014).

    With u = W_x x + b_x and v = W_h h + b_h, each in three parts: r = sigmoid(u_r + v_r),
    z = sigmoid(u_z + v_z), n = tanh(u_n + r v_n). Backwards:

        dE/dz = dE/dh_t (h - n),  dE/dn = dE/dh_t (1 - z)
        dE/da_n = dE/dn (1 - n^2),  dE/dr = dE/da_n v_n
        dE/da_r = dE/dr r (1 - r),  dE/da_z = dE/dz z (1 - z)

    where v_n gets dE/da_n r, and h_{t-1} also gets dE/dh_t z directly.

    Args:
        x: (N, F).
        h: (N, H) state before this step.
        w_x: (3H, F), rows of r, z, n.
        w_h: (3H, H), likewise.
        b_x: (3H,), likewise.
        b_h: (3H,), likewise.
    """
    u_r, u_z, u_n = np.split(x @ w_x.T + b_x, 3, 1)
    v_r, v_z, v_n = np.split(h @ w_h.T + b_h, 3, 1)
    r, z = sigmoid(u_r + v_r), sigmoid(u_z + v_z)
    n = np.tanh(u_n + r * v_n)

    def back(change: Array) -> Gradients:
        a_n = change * (1.0 - z) * (1.0 - n**2)
        a_r = a_n * v_n * r * (1.0 - r)
        a_z = change * (h - n) * z * (1.0 - z)
        by_u = np.concatenate([a_r, a_z, a_n], 1)
        by_v = np.concatenate([a_r, a_z, a_n * r], 1)
        return {
            "x": by_u @ w_x,
            "h": by_v @ w_h + change * z,
            "w_x": by_u.T @ x,
            "w_h": by_v.T @ h,
            "b_x": by_u.sum(0),
            "b_h": by_v.sum(0),
        }

    return (1.0 - z) * n + z * h, back


def unroll(x: Array, h: Array, step: Step) -> Result:
    """Return the states (N, T, H) after each step of a sequence, and their derivatives.

    ``back`` takes the derivatives by all states (those by the last one hold what comes from a next
    sequence) and goes from the last step to the first: dE/dh_t is what is given for it and what
    step t + 1 hands back.

    Args:
        x: (N, T, F).
        h: (N, H) before the sequence.
        step: the cell with its weights.
    """
    backs = []
    states = []
    for t in range(x.shape[1]):
        h, back = step(x[:, t], h)
        states.append(h)
        backs.append(back)

    def back_through_time(change: Array) -> Gradients:
        found: Gradients = {}
        by_inputs = []
        later = np.zeros(h.shape)
        for t in reversed(range(len(backs))):
            gradients = backs[t](change[:, t] + later)
            later = gradients.pop("h")
            by_inputs.append(gradients.pop("x"))
            for name, value in gradients.items():
                found[name] = found.get(name, 0.0) + value
        return {"x": np.stack(by_inputs[::-1], 1), "h": later, **found}

    return np.stack(states, 1), back_through_time


def stacked(x: Array, starts: Sequence[Array], steps: Sequence[Step]) -> Result:
    """Return the states (N, T, H) of the last of several layers, each over the states before it.

    The gradient of a layer's weight is called ``"layer.weight"``, that of its first state
    ``"layer.h"``.

    Args:
        x: (N, T, F).
        starts: first state (N, H) of each layer.
        steps: the cell of each layer.
    """
    backs = []
    for start, step in zip(starts, steps, strict=True):
        x, back = unroll(x, start, step)
        backs.append(back)

    def back_through_layers(change: Array) -> Gradients:
        found: Gradients = {}
        for layer in reversed(range(len(backs))):
            gradients = backs[layer](change)
            change = gradients.pop("x")
            found.update({f"{layer}.{name}": value for name, value in gradients.items()})
        return {**found, "x": change}

    return x, back_through_layers
