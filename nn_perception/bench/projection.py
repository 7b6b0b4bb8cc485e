"""Projection onto SO(3) against the formula with `torch.linalg.svd` and against roma."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.engines import interleaved
from nn_perception.networks.so3_projection import project_to_so3

BATCH = 4096
GOAL = 10.0

Projection = Callable[[Tensor], Tensor]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure forward alone, backward alone and both; all candidates take turns, call by call."""
    say(f"batch {BATCH}, {torch.get_num_threads()} threads")
    rows = _measure("cpu", settings.quick)
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
    calls = 20 if quick else 200
    return [
        _row(what, device, f"float64 differs from SVD by {error:.0e}", interleaved(timed, calls))
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


def _row(what: str, device: str, accuracy: str, times: dict[str, float]) -> Measurement:
    ours, svd, roma = (times[name] * 1e3 for name in ("ours", "svd", "roma"))
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else device
    return Measurement(
        f"SO(3) projection, {what}, {device}: speed-up over torch.linalg.svd",
        svd / ours,
        "x",
        f"≥ {GOAL:g}",
        svd / ours >= GOAL,
        f"batch {BATCH}, float32, {threads}, p50: {ours:.2f} ms against {svd:.2f} ms; "
        f"roma.special_procrustes {roma:.2f} ms; {accuracy}",
    )
