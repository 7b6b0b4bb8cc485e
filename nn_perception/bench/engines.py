"""Time of one call of each engine on the shipped digit model."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bundle import load_bundle
from nn_perception.engine import create_engine, probe_inputs
from nn_perception.share import shipped_model


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure ONNX Runtime against eager torch, batch 1, one thread, calls interleaved."""
    bundle = load_bundle(settings.model or shipped_model("digits"))
    inputs = probe_inputs(bundle)
    onnx = create_engine(bundle, "cpu", backend="onnxruntime")
    torch_engine = create_engine(bundle, "cpu", backend="torch")
    calls = 300 if settings.quick else 3000
    times = interleaved(
        {"onnx": lambda: onnx(*inputs), "torch": lambda: torch_engine(*inputs)}, calls
    )
    onnx_us, torch_us = times["onnx"] * 1e6, times["torch"] * 1e6
    return [
        Measurement(
            "ONNX Runtime call, eager torch = 1",
            onnx_us / torch_us,
            goal="≤ 1",
            passed=onnx_us <= torch_us,
            detail=f"{bundle.config.network.name}, batch 1, one thread, p50: "
            f"{onnx_us:.0f} against {torch_us:.0f} µs",
        )
    ]


def interleaved(functions: dict[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """Return the median seconds of each; calls alternate, so that all see the same load."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(calls):
        for name, function in functions.items():
            start = perf_counter()
            function()
            times[name].append(perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}
