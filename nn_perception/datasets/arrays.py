"""Labelled images as arrays, and how they are divided."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError

UInt8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with one class label each.

    Attributes:
        images: (N, H, W, C) uint8, C is 1 (grey) or 3 (RGB).
        labels: (N,) int64, index into ``class_names``.
        class_names: one name for each label.
        source: where it comes from, in words; no path of the machine, so that it may be published.
        sha256: hash of pixels, labels and class names, see :func:`content_sha256`.
        skipped: files that could not be read and are not in ``images``.
        sources: (N,) text: where each image is from, such as the collection it was taken out of;
            None where that is not known. The hash does not count it.
        validation: (N,) True where the data say that an image is for validation, and not to train
            on; None where they do not say. The hash does not count it.

    Raises:
        DatasetError: shapes, types, counts or labels do not fit together.
    """

    images: UInt8Array
    labels: Int64Array
    class_names: tuple[str, ...]
    source: str
    sha256: str
    skipped: tuple[str, ...] = ()
    sources: NDArray[np.str_] | None = None
    validation: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        check_images(self.images, self.source)
        check_labels(self.labels, len(self.images), len(self.class_names), self.source)
        if self.sources is not None:
            check_sources(self.sources, len(self.images), self.source)
        if self.validation is not None and self.validation.shape != (len(self.images),):
            raise DatasetError(
                f"{self.source}: validation has the shape {self.validation.shape}, expected "
                f"({len(self.images)},); say it for each image, or leave it out"
            )
        if len(set(self.class_names)) != len(self.class_names):
            raise DatasetError(
                f"{self.source}: class names {list(self.class_names)} are not unique; "
                "give each class a name of its own"
            )
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise DatasetError(
                f"{self.source}: sha256 is {self.sha256!r}, expected 64 lower-case hex digits; "
                "use ImageSet.create, which computes it"
            )

    @classmethod
    def create(
        cls,
        images: NDArray[Any],
        labels: NDArray[Any],
        class_names: Sequence[str],
        source: str,
        skipped: Sequence[str] = (),
        sources: NDArray[Any] | None = None,
        validation: NDArray[np.bool_] | None = None,
    ) -> ImageSet:
        """Make a set from plain arrays: adds a channel axis, widens labels, computes the hash.

        Args:
            images: (N, H, W) or (N, H, W, C) uint8.
            labels: (N,) any integer type.
            class_names: one name for each label.
            source: where it comes from, in words.
            skipped: files that could not be read.
            sources: (N,) text, where each image is from.
            validation: (N,) whether each is for validation.

        Raises:
            DatasetError: the arrays are not of that shape or type.
        """
        images_nhwc = images[..., np.newaxis] if images.ndim == 3 else images
        check_images(images_nhwc, source)
        if labels.dtype.kind not in "iu":
            raise DatasetError(
                f"{source}: labels are {labels.dtype}, expected integers; "
                "store the index of the class, for example labels.astype(np.int64)"
            )
        contiguous = np.ascontiguousarray(images_nhwc)
        wide = labels.astype(np.int64)
        names = tuple(str(name) for name in class_names)
        digest = content_sha256(contiguous, wide, names)
        return cls(contiguous, wide, names, source, digest, tuple(skipped), sources, validation)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape_hwc(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of images of each class."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def subset(self, indices: NDArray[np.integer[Any]], source: str | None = None) -> ImageSet:
        """Return the images at ``indices`` (copied), with the same class names."""
        return ImageSet.create(
            self.images[indices],
            self.labels[indices],
            self.class_names,
            source or self.source,
            sources=None if self.sources is None else self.sources[indices],
            validation=None if self.validation is None else self.validation[indices],
        )

    def sample(self, count: int, seed: int) -> ImageSet:
        """Return ``count`` images with the same share of every class; all, where there are no more.

        Args:
            count: how many; the share of small classes is rounded.
            seed: same seed, same images.
        """
        if count >= len(self):
            return self
        _, chosen = stratified_split(self.labels, count / len(self), seed)
        return self.subset(chosen, f"{self.source}, {len(chosen)} of {len(self)}")

    def split(self, fraction: float, seed: int) -> tuple[Int64Array, Int64Array]:
        """Return indices to train on and to validate with: as the data say, else at random.

        See `stratified_split` for arguments and errors.
        """
        if self.validation is None:
            return stratified_split(self.labels, fraction, seed)
        return np.flatnonzero(~self.validation), np.flatnonzero(self.validation)


def check_images(images: NDArray[Any], source: str) -> None:
    """Raise DatasetError unless ``images`` is (N, H, W, C) uint8, not empty, C 1 or 3."""
    if images.dtype != np.uint8:
        raise DatasetError(
            f"{source}: images are {images.dtype}, expected uint8 from 0 to 255; "
            "scale them and convert with images.round().astype(np.uint8)"
        )
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise DatasetError(
            f"{source}: images have the shape {images.shape}, expected (N, H, W), "
            "(N, H, W, 1) or (N, H, W, 3); store them in this order of axes"
        )
    if 0 in images.shape:
        raise DatasetError(
            f"{source}: images have the shape {images.shape}: nothing in it; "
            "give a set with at least one image"
        )


def check_labels(labels: NDArray[Any], images: int, classes: int, source: str) -> None:
    """Raise DatasetError unless ``labels`` is (images,) int64 with values in [0, classes)."""
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise DatasetError(
            f"{source}: labels are {labels.dtype} of shape {labels.shape}, expected int64 (N,); "
            "give one class index per image"
        )
    if len(labels) != images:
        raise DatasetError(
            f"{source}: {images} images but {len(labels)} labels, expected as many of both; "
            "the files do not belong together, or one is incomplete: get both again"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DatasetError(
            f"{source}: labels run from {low} to {high}, expected 0 to {classes - 1} "
            f"({classes} classes); correct the labels or name every class"
        )


def check_sources(sources: NDArray[Any], images: int, source: str) -> None:
    """Raise DatasetError unless ``sources`` is (images,) text."""
    if sources.dtype.kind != "U" or sources.shape != (images,):
        raise DatasetError(
            f"{source}: the sources are {sources.dtype} of shape {sources.shape}, expected text "
            f"({images},); give one for each image, or leave them out"
        )


def content_sha256(images: UInt8Array, labels: Int64Array, class_names: Sequence[str]) -> str:
    """Hash pixels, shape, labels and class names: equal for equal content, whatever the file."""
    digest = hashlib.sha256()
    digest.update(repr((images.shape, tuple(class_names))).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


def stratified_split(
    labels: NDArray[np.integer[Any]], fraction: float, seed: int
) -> tuple[Int64Array, Int64Array]:
    """Divide indices into a large and a small part with the same share of every class.

    ``numpy.random.RandomState`` draws, as its stream is frozen (NEP 19): a seed means the same
    split with every version of NumPy.

    Args:
        labels: (N,) class of each item.
        fraction: share of the small part, above 0 and below 1.
        seed: same seed, same split.

    Returns:
        Sorted indices of the large part (training) and of the small part (validation). A class
        with two items or more is in both; a single item is in the large part.

    Raises:
        DatasetError: the fraction is out of range, or there is nothing to put in one part.
    """
    if not 0.0 < fraction < 1.0:
        raise DatasetError(
            f"split fraction is {fraction}, expected above 0 and below 1; 0.1 keeps a tenth back"
        )
    draw = np.random.RandomState(seed)
    small = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            continue
        taken = min(max(round(fraction * len(members)), 1), len(members) - 1)
        small[draw.permutation(members)[:taken]] = True
    if not small.any():
        raise DatasetError(
            f"{len(labels)} items cannot be split: no class has two of them; give more data"
        )
    return np.flatnonzero(~small).astype(np.int64), np.flatnonzero(small).astype(np.int64)
