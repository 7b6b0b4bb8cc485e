"""Checkpoints for an exact resume: safetensors and JSON, nothing that could run code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch.optim import Optimizer

from nn_perception.config import to_mapping
from nn_perception.errors import TrainingError
from nn_perception.training.config import TrainingConfig

TENSORS_FILE = "checkpoint.safetensors"
STATE_FILE = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """A point from which training goes on exactly as if it had not been interrupted.

    Attributes:
        tensors: groups of tensors: network, best, average, optimizer.
        state: JSON-able rest: epoch, step, best metric, history, fingerprint of the run.
    """

    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]

    def save(self, directory: Path) -> None:
        """Write beside the present checkpoint, then replace it in one rename."""
        work = directory.with_name(f".{directory.name}.new")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        flat = {
            f"{group}/{name}": tensor.detach().cpu().contiguous()
            for group, members in self.tensors.items()
            for name, tensor in members.items()
        }
        safetensors.torch.save_file(flat, work / TENSORS_FILE)
        (work / STATE_FILE).write_text(json.dumps(self.state), encoding="utf-8")
        old = directory.with_name(f".{directory.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if directory.exists():
            os.rename(directory, old)
        os.rename(work, directory)
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(directory: Path) -> Checkpoint | None:
    """Read the newest whole checkpoint; None when there is none.

    A process killed between the two renames of `Checkpoint.save` leaves the previous checkpoint
    under its ``.old`` name, which is then taken.

    Raises:
        TrainingError: the checkpoint is damaged.
    """
    candidates = (directory, directory.with_name(f".{directory.name}.old"))
    found = next((path for path in candidates if (path / STATE_FILE).is_file()), None)
    if found is None:
        return None
    try:
        state = json.loads((found / STATE_FILE).read_text(encoding="utf-8"))
        flat = safetensors.torch.load_file(found / TENSORS_FILE)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise TrainingError(
            f"the checkpoint {found} is damaged ({error}); remove it to start anew"
        ) from None
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in flat.items():
        group, _, name = key.partition("/")
        tensors.setdefault(group, {})[name] = tensor
    return Checkpoint(tensors, state)


def fingerprint(config: TrainingConfig, data_id: str) -> str:
    """Identify a run: the same configuration on the same data; the device may change."""
    values = to_mapping(dataclasses.replace(config, device="auto"))
    text = json.dumps([values, data_id], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def optimizer_tensors(optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimiser's state as named tensors."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def load_optimizer(optimizer: Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put saved tensors back into an optimiser of the same kind and network."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
