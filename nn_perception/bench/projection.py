"""Projection onto SO(3) against the formula with `torch.linalg.svd` and against roma."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.networks.so3_projection import project_to_so3

BATCH = 4096
TURN = 10
GOAL = 10.0

Projection = Callable[[Tensor], Tensor]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure forward alone, backward alone and both; candidates take turns of ten calls.

    The median over all calls counts. The first call of a turn finds the caches full of another
    candidate's code and data, as a call within a training step does: it is reported too. On the CPU
    all run on one thread: the projection uses no more.
    """
    say(f"batch {BATCH}, one thread")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = _measure("cpu", settings.quick)
    finally:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        rows += _measure("cuda", settings.quick)
    return rows


def svd_formula(matrix: Tensor) -> Tensor:
    """Return U diag(1, 1, det(U V^T)) V^T (Levinson et al. 2020), (..., 3, 3) -> (..., 3, 3)."""
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.det(u @ vt)[..., None, None]
    rotation: Tensor = torch.cat([u[..., :2], u[..., 2:] * sign], -1) @ vt
    return rotation


def _measure(device: str, quick: bool) -> list[Measurement]:
    generator = torch.Generator().manual_seed(0)
    matrix, gradient = torch.randn(2, BATCH, 3, 3, generator=generator).to(device)
    candidates: dict[str, Projection] = {
        "ours": project_to_so3,
        "svd": svd_formula,
        "roma": importlib.import_module("roma").special_procrustes,
    }
    error = float((project_to_so3(matrix.double()) - svd_formula(matrix.double())).abs().max())
    turns = 5 if quick else 40
    return [
        _row(what, device, f"float64 differs from SVD by {error:.0e}", _take_turns(timed, turns))
        for what, timed in _timed(candidates, matrix, gradient).items()
    ]


def _timed(
    candidates: dict[str, Projection], matrix: Tensor, gradient: Tensor
) -> dict[str, dict[str, Callable[[], Any]]]:
    leaf = matrix.clone().requires_grad_()

    def backward(result: Tensor) -> None:
        torch.autograd.grad(result, leaf, gradient, retain_graph=True)
        _wait(leaf)

    def forward(project: Projection) -> None:
        project(matrix)
        _wait(matrix)

    results = {name: project(leaf) for name, project in candidates.items()}
    return {
        "forward": {name: partial(forward, project) for name, project in candidates.items()},
        "backward": {name: partial(backward, result) for name, result in results.items()},
        "forward and backward": {
            name: partial(_both, project, leaf, backward) for name, project in candidates.items()
        },
    }


def _both(project: Projection, leaf: Tensor, backward: Callable[[Tensor], None]) -> None:
    backward(project(leaf))


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def _take_turns(
    functions: dict[str, Callable[[], Any]], turns: int
) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of each: of all calls, and of the first ones of its turns."""
    times: dict[str, list[list[float]]] = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            stamps = [perf_counter()]
            for _ in range(TURN):
                function()
                stamps.append(perf_counter())
            times[name].append([after - before for before, after in itertools.pairwise(stamps)])
    made = {name: np.array(found) * 1e3 for name, found in times.items()}
    return {name: (float(np.median(ms)), float(np.median(ms[:, 0]))) for name, ms in made.items()}


def _row(
    what: str, device: str, accuracy: str, times: dict[str, tuple[float, float]]
) -> Measurement:
    (ours, ours_first), (svd, svd_first), (roma, roma_first) = (
        times[key] for key in ("ours", "svd", "roma")
    )
    where = "1 thread" if device == "cpu" else device
    return Measurement(
        f"SO(3) projection, {what}, {device}: speed-up over torch.linalg.svd",
        svd / ours,
        "x",
        f"≥ {GOAL:g}",
        svd / ours >= GOAL,
        f"batch {BATCH}, float32, {where}, p50: {ours:.2f} ms against {svd:.2f} ms, "
        f"roma.special_procrustes {roma:.2f} ms ({roma / ours:.1f}x); first call of a turn: "
        f"{ours_first:.2f} ms against {svd_first:.2f} ms ({svd_first / ours_first:.1f}x), roma "
        f"{roma_first:.2f} ms; {accuracy}",
    )
