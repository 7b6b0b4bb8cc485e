"""Devices, mixed precision and determinism of a training run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from nn_perception.errors import ConfigError, DeviceError


def select_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is the first GPU when there is one, else the CPU.

    Raises:
        DeviceError: a device asked for by name is not there.
        ConfigError: an unknown name.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if name == "auto":
        available = torch.cuda.is_available()
        return torch.device("cuda", local_rank) if available else torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ConfigError(f"unknown device '{name}'; expected auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number) if number else local_rank
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device '{name}' was asked for, there are {torch.cuda.device_count()} CUDA devices: "
            "use device=auto or device=cpu, or install a CUDA build of torch"
        )
    return torch.device("cuda", index)


def autocast(mode: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the bfloat16 autocast context of a mode (``auto``, ``on``, ``off``)."""
    enabled = mode == "on" or (
        mode == "auto" and (device.type == "cuda" or _cpu_has_matrix_units())
    )
    if not enabled:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _cpu_has_matrix_units() -> bool:
    """Tell whether the CPU multiplies bfloat16 matrices in hardware; elsewhere it is slower."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


@contextlib.contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Use only algorithms that repeat exactly, as far as torch has them."""
    before = torch.are_deterministic_algorithms_enabled()
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=True)
