"""Random numbers by what they are for: no generator runs on from step to step."""

from __future__ import annotations

import hashlib

import torch


def mix(*numbers: int) -> int:
    """Hash numbers to one seed, so that neighbouring steps have unrelated random numbers."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*numbers: int) -> torch.Generator:
    """Return a generator of the CPU that is seeded by numbers, see `mix`."""
    return torch.Generator().manual_seed(mix(*numbers))
