"""How the heads of the study are trained: the one place of names, defaults and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.checks import whole_number, whole_numbers

HEADS = ("quaternion", "6d", "svd")
LOSSES = ("frobenius", "geodesic")

T = TypeVar("T")


@dataclass(frozen=True)
class Protocol:
    """How each head is trained; the same for all of them. The defaults fit a CPU.

    Attributes:
        steps: optimiser steps.
        batch_size: pairs in a step.
        points: points of each cloud.
        scale: factor of the coordinates, whose radius in the files is about 0.4; with 1 (as
            published) a network needs more steps before it learns anything.
        widths: of the layers that every point passes; the last one is the feature's length.
        hidden: width of the layer between the features and the head.
        learning_rate: its peak (AdamW without decay, short warm-up, then half a cosine to zero).
        loss: ``frobenius`` (squared, as published) or ``geodesic``; both of the matrices.
    """

    steps: int = 6000
    batch_size: int = 16
    points: int = 64
    scale: float = 3.0
    widths: tuple[int, ...] = (64, 128, 512)
    hidden: int = 512
    learning_rate: float = 1e-3
    loss: Literal["frobenius", "geodesic"] = "frobenius"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        for name in ("steps", "batch_size", "points", "hidden"):
            whole_number(name, getattr(self, name))
        if not whole_numbers("widths", self.widths):
            raise ConfigError("widths: got none, expected at least one; give 64,128,512")
        for name, largest in (("learning_rate", 1.0), ("scale", 1e3)):
            value = getattr(self, name)
            if not 0.0 < value <= largest:
                raise ConfigError(
                    f"{name}: got {value}, expected a number above 0, up to {largest:g}"
                )
        if self.loss not in LOSSES:
            raise ConfigError(
                f"loss: got {self.loss!r}{nearest(self.loss, LOSSES)} "
                f"(expected one of: {', '.join(LOSSES)})"
            )


def checked_heads(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names when each is a head, and there once.

    Raises:
        ConfigError: an unknown name, a repeated one, or none at all.
    """
    for name in names:
        if name not in HEADS:
            raise ConfigError(
                f"unknown head '{name}'{nearest(name, HEADS)} (there are: {', '.join(HEADS)})"
            )
    return _distinct("heads", names)


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds when each is from 0 to 2^31 - 1, and there once.

    Raises:
        ConfigError: one out of range, a repeated one, or none at all.
    """
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise ConfigError(f"seeds: got {seed}, expected numbers from 0 to {2**31 - 1}")
    return _distinct("seeds", seeds)


def _distinct(what: str, values: Sequence[T]) -> tuple[T, ...]:
    if not values or len(set(values)) != len(values):
        raise ConfigError(
            f"{what}: got {' '.join(map(str, values)) or 'none'}, expected at least one, each once"
        )
    return tuple(values)
