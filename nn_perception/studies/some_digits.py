"""A training's pictures: fewer of them, moved, or with their pixels in another order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from nn_perception.datasets.arrays import stratified_split

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Job
    from nn_perception.training.learning import Learning, Predict


class ChangedPictures:
    """A `Learning` whose pictures are changed; all else is that of another one.

    Args:
        learning: whose training and validation pictures are taken.
        pictures: so many of those are trained on, with the same share of every class (rounded),
            and fewer ones are among more; 0, or more than there are: all. Validation keeps its
            pictures.
        scrambled: the pixels of all pictures are put into one order, drawn by the seed.
    """

    def __init__(self, learning: Learning, pictures: int = 0, scrambled: bool = False) -> None:
        self._learning = learning
        every = torch.arange(learning.train_size)
        inputs, targets = learning.batch(every, torch.Generator(), slice(None))
        self._chosen = every
        seed = learning.config.seed
        if 0 < pictures < len(every):
            share = pictures / len(every)
            self._chosen = torch.from_numpy(stratified_split(targets.numpy(), share, seed)[1])
        self.train_size = len(self._chosen)
        self._order: Tensor | None = None
        if scrambled:
            height, width = inputs[0].shape[-2:]
            draw = torch.Generator().manual_seed(seed)
            self._order = torch.randperm(height * width, generator=draw)

    def __getattr__(self, name: str) -> Any:
        """Return what is not changed."""
        return getattr(self._learning, name)

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `Learning.batch`."""
        (images, *others), targets = self._learning.batch(self._chosen[indices], generator, share)
        return (self._changed(images), *others), targets

    def validate(self, predict: Predict) -> dict[str, float]:
        """See `Learning.validate`."""
        return self._learning.validate(lambda images: predict(self._changed(images)))

    def _changed(self, images: Tensor) -> Tensor:
        if self._order is None:
            return images
        return images.flatten(2)[:, :, self._order].reshape(images.shape)


def with_changed_pictures(job: Job, pictures: int = 0, scrambled: bool = False) -> Job:
    """Return a job on changed pictures, see `ChangedPictures`; both are parts of its key."""
    key = (*job.key, ("pictures", pictures), ("scrambled", scrambled))
    return dataclasses.replace(job, key=key, make=partial(_make, job.make, pictures, scrambled))


def _make(make: Callable[[], Learning], pictures: int, scrambled: bool) -> Learning:
    return cast("Learning", ChangedPictures(make(), pictures, scrambled))


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Move pictures (N, C, H, W) by whole pixels; black comes in, what leaves is lost.

    Args:
        images: any type.
        down: pixels, negative: up.
        right: pixels, negative: left.
    """
    return F.pad(images, (right, -right, down, -down))
