"""Devices, mixed precision and determinism of a training run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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


MAX_THREADS = torch.get_num_threads()
"""What torch would take by itself: all cores, or ``OMP_NUM_THREADS``."""

_LIMITS: list[int] = []
"""What `one_thread` allows while it holds."""

SMALL_FLOP = 1e9
"""Forward operations of a batch below which one thread is as fast as several."""


def choose_threads(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """Return how many CPU threads suit a network: one for a small one, else `MAX_THREADS`.

    Several threads wait for each other, spinning, many times in a step. A small network gains
    nothing by them, and as soon as anything else runs they stall it: beside two busy processes on
    two cores the digits' mlp took 2.3 ms a step with one thread and 68 ms with two. The choice
    depends on the network and the batch only, so that a run repeats exactly. A recurrence is many
    small products, one after the other, and has one thread whatever their sum.

    Args:
        network: on its device.
        inputs: one batch.
    """
    if any(isinstance(module, nn.RNNBase) for module in network.modules()):
        return 1
    was_training = network.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*inputs)
    network.train(was_training)
    small = counter.get_total_flops() < SMALL_FLOP
    return min([1 if small else MAX_THREADS, *_LIMITS])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread, whatever the network: several trainings share the cores.

    Sums of several threads are rounded in another order: figures would depend on the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    _LIMITS.append(1)
    try:
        yield
    finally:
        _LIMITS.pop()
        torch.set_num_threads(before)


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generator that dropout draws from.

    `torch.manual_seed` does it for every kind of device: where CUDA is not in use, it notes each
    call with a formatted stack trace for later, which took a third of a small network's step.
    """
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def autocast(mode: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the bfloat16 autocast context of a mode (``auto``, ``on``, ``off``)."""
    enabled = mode == "on" or (mode == "auto" and (device.type == "cuda" or _cpu_has_bfloat16()))
    if not enabled:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _cpu_has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 in hardware; elsewhere it is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


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
