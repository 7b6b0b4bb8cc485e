"""Data-parallel training when started by ``torchrun``; a single process otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from nn_perception.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among all of a run.

    Attributes:
        rank: its number, 0 for the one that writes files.
        size: how many there are.
        local_rank: its number on this machine, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """Return this process's part of a batch.

        Raises:
            ConfigError: the batch cannot be divided evenly.
        """
        if batch_size % self.size:
            raise ConfigError(
                f"batch_size {batch_size} cannot be divided among {self.size} processes; choose a "
                f"multiple of {self.size}"
            )
        return slice(self.rank, None, self.size)


def join(device: torch.device) -> Ranks:
    """Join the process group that ``torchrun`` describes; without it, return a single rank."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return Ranks()
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(
        distributed.get_rank(), distributed.get_world_size(), int(os.environ.get("LOCAL_RANK", 0))
    )


def leave() -> None:
    """Leave the process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def wrap(network: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """Average the gradients over all processes; a single process is returned as it is."""
    if ranks.size == 1:
        return network
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=ids)
