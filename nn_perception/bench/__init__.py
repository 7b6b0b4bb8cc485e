"""Benchmarks: each writes what it measured beside the goal; speeds are ratios of one run."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nn_perception.errors import ConfigError, nearest


@dataclass(frozen=True)
class Measurement:
    """One measured figure.

    Attributes:
        what: what was measured, in words.
        value: the figure.
        unit: its unit; empty for a ratio.
        goal: the goal in words; empty when there is none.
        passed: whether the goal was met; None when there is none.
        detail: the conditions, and the parts of a ratio.
    """

    what: str
    value: float
    unit: str = ""
    goal: str = ""
    passed: bool | None = None
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a run: data, a model, work files, ROS domain, seeds, short or full.

    ``minutes`` is the length of a soak, where it is not the usual one.
    """

    work: Path
    data: Path | None = None
    model: Path | None = None
    domain_id: int = 78
    seeds: int = 3
    quick: bool = False
    minutes: float | None = None


Benchmark = Callable[[BenchSettings, Callable[[str], None]], list[Measurement]]

BENCHMARKS: dict[str, tuple[str, str]] = {
    "engines": ("nn_perception.bench.engines:run", "time of one call of each engine"),
    "replay": ("nn_perception.bench.replaying:run", "frames per second from MCAP to answers"),
    "latency": ("nn_perception.bench.live:latency", "live node against an echo node"),
    "swap": ("nn_perception.bench.live:swap", "frames lost while models are swapped"),
    "swap-load": ("nn_perception.bench.swap_load:run", "200 swaps with all nodes under load"),
    "soak": ("nn_perception.bench.soak:run", "ten minutes at full rate: memory, latency (long)"),
    "fuzz": ("nn_perception.bench.fuzz:run", "damaged messages and bundles (long)"),
    "kills": ("nn_perception.bench.kills:run", "kill -9 and full disks, robot trains (long)"),
    "refusals": ("nn_perception.bench.refusals:run", "bad bundles set on a serving node"),
    "memory": ("nn_perception.bench.live:memory", "resident memory of the node"),
    "digits-regions": ("nn_perception.bench.cameras:digits_regions", "digits in 30 frames/s, live"),
    "cameras": ("nn_perception.bench.cameras:cameras", "four cameras in one process"),
    "imu-node": ("nn_perception.bench.imu_live:run", "IMU node: CPU, latency, how many IMUs"),
    "imu-replay": ("nn_perception.bench.imu_replaying:run", "200 Hz IMU, MCAP to answers"),
    "uwb": ("nn_perception.bench.uwb_live:run", "UWB ranges: one, many, node with 24 pairs"),
    "one-process": ("nn_perception.bench.one_process:run", "nodes in one process and apart"),
    "lifecycle": ("nn_perception.bench.lifecycle:run", "every transition, every state (long)"),
    "gradients": ("nn_perception.bench.gradients:run", "gradients against a NumPy oracle"),
    "training": ("nn_perception.bench.training:run", "time to 98 % against the ordinary loop"),
    "tune": ("nn_perception.bench.tune:run", "search of 784-128-10, one and two workers (long)"),
    "dataset": ("nn_perception.bench.dataset_build:run", "data sets from bags, MB/s and memory"),
    "projection": ("nn_perception.bench.projection:run", "projection onto SO(3) against SVD"),
    "attitude": ("nn_perception.bench.imu_accuracy:attitude", "cross-validation on BROAD (long)"),
    "gyro": ("nn_perception.bench.imu_accuracy:gyro", "open-loop orientation on EuRoC's tests"),
    "uwb-accuracy": ("nn_perception.bench.uwb_accuracy:run", "range and position errors (long)"),
    "gpu": ("nn_perception.bench.gpu:run", "training and engine on a GPU"),
    "accuracy": ("nn_perception.bench.accuracy:run", "MNIST test accuracy of the recipes (long)"),
    "lecture": (
        "nn_perception.bench.lecture:run",
        "MNIST accuracy of the lectures' networks (long)",
    ),
    "digit-best": ("nn_perception.bench.accuracy:best", "the shipped model's recipe (long)"),
    "objects": ("nn_perception.bench.objects:run", "road objects, also under shifts (long)"),
    "digit-frames": ("nn_perception.bench.digit_frames:run", "digits found in generated frames"),
    "foreign": ("nn_perception.bench.foreign:run", "calibration, answers to foreign pictures"),
}
LONG = (
    "accuracy",
    "lecture",
    "digit-best",
    "objects",
    "digit-frames",
    "foreign",
    "attitude",
    "gyro",
    "uwb-accuracy",
    "soak",
    "fuzz",
    "lifecycle",
    "kills",
    "tune",
)
"""Run only when named: they take long, or look at test data."""


def load(name: str) -> Benchmark:
    """Import a benchmark.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in BENCHMARKS:
        raise ConfigError(
            f"unknown benchmark '{name}'{nearest(name, BENCHMARKS)} "
            f"(there are: {', '.join(BENCHMARKS)})"
        )
    module, _, attribute = BENCHMARKS[name][0].partition(":")
    benchmark: Benchmark = getattr(importlib.import_module(module), attribute)
    return benchmark


def environment() -> dict[str, str]:
    """Return hardware and versions, without the name of the machine."""
    packages = (
        "nn_perception",
        "torch",
        "onnxruntime",
        "numpy",
        "opencv-python-headless",
        "ros-rclpy",
        "rosbags",
    )
    found = {name: _version(name) for name in packages}
    return {
        "cpu": f"{os.cpu_count()} cores, {_cpu_name()}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "python": platform.python_version(),
        **{name: text for name, text in found.items() if text},
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results table of README from the JSON of a run."""
    lines = ["| what | measured | goal | conditions | command |", "|---|---|---|---|---|"]
    for name, entry in results["benchmarks"].items():
        for row in entry["measurements"]:
            mark = {True: " ✓", False: " ✗ missed", None: ""}[row["passed"]]
            figure = format_figure(row["value"], row["unit"])
            cells = (
                row["what"],
                f"**{figure}**{mark}",
                row["goal"] or "-",
                row["detail"],
                f"`nn-perception bench {name}`",
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    hardware = ", ".join(f"{key} {value}" for key, value in results["environment"].items())
    return "\n".join([*lines, "", f"Measured on: {hardware}."])


def format_figure(value: float, unit: str) -> str:
    """Return a figure with its unit; percentages to the hundredth."""
    return f"{value:.2f} %" if unit == "%" else f"{format_value(value)} {unit}".strip()


def format_value(value: float) -> str:
    """Return a figure with three to five significant digits."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    extras = [flag for flag in ("avx2", "avx512f", "amx_bf16") if any(flag in ln for ln in lines)]
    return f"{names[0] if names else platform.machine()} ({', '.join(extras) or 'no AVX'})"
