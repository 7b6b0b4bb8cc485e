"""Does a classifier know when not to answer? It is shown pictures of nothing that it knows.

The sets are of another origin than the negatives of training (`nn_perception.datasets.negatives`):
printed typefaces and not Hershey strokes, parts of photographs and not computed textures, or
another data set. `noise` is the exception: noise is noise, and training has seen its like, so that
it only shows that nothing is broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.images import load_image_set
from nn_perception.errors import ConfigError, nearest
from nn_perception.evaluation.foreign_letters import letters
from nn_perception.evaluation.foreign_textures import ink_of, noise, textures
from nn_perception.evaluation.rejection import auroc, fpr_at_tpr
from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.rejection import KEEP_FRAMES_PERCENT, read_rejection

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

COUNT = 2000
"""Pictures of a set that is made; the standard error of a share of 5 % is then 0.5 %."""
SEED = 20_000
"""Of the sets that are made: far from the small seeds that training runs have."""
TPR = 0.95
"""Share of known pictures that is answered where the share of foreign ones is counted."""

NAMES = ("letters", "noise", "textures:DIR")


class KnownScorer(Protocol):
    """The part of a classifier's pipeline that is needed here."""

    bundle: Bundle
    preprocessing: ImagePreprocessing

    def known_scores(self, images: Sequence[Image] | Image) -> Floats:
        """Return (N,) how much each picture looks like a known class; higher is more."""
        ...


@dataclass(frozen=True, eq=False)
class ForeignFigures:
    """How one foreign set is told from the known pictures.

    Attributes:
        scores: of its pictures, (N,).
        auroc: chance that a known picture scores higher than one of these, 0.5 to 1 as a rule.
        fpr95: share of these that is answered where 95 % of the known ones are, 0 to 1.
        answered_percent: of these, at the bundle's own threshold for whole frames; None where it
            has none.
    """

    scores: Floats
    auroc: float
    fpr95: float
    answered_percent: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "auroc": self.auroc,
            "fpr95": self.fpr95,
            "n": len(self.scores),
            "answered_percent": self.answered_percent,
        }


@dataclass(frozen=True, eq=False)
class ForeignEvaluation:
    """The figures of several foreign sets against the same known pictures.

    Attributes:
        known_scores: of the known pictures, (N,).
        threshold: the bundle's own for whole frames, at which `KEEP_FRAMES_PERCENT` of validation
            pictures were answered; None where it has none.
        sets: figures by the set's name.
    """

    known_scores: Floats
    threshold: float | None
    sets: dict[str, ForeignFigures]

    @property
    def known_answered_percent(self) -> float | None:
        """Share of the known pictures that the bundle's own threshold lets through."""
        return _answered_percent(self.known_scores, self.threshold)

    @property
    def mean_auroc(self) -> float:
        """Mean over the sets, each counted once."""
        return float(np.mean([figures.auroc for figures in self.sets.values()]))

    @property
    def mean_fpr95(self) -> float:
        """Mean over the sets, each counted once."""
        return float(np.mean([figures.fpr95 for figures in self.sets.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "known": len(self.known_scores),
            "known_answered_percent": self.known_answered_percent,
            "threshold": self.threshold,
            "sets": {name: figures.to_dict() for name, figures in self.sets.items()},
            "mean": {"auroc": self.mean_auroc, "fpr95": self.mean_fpr95},
        }


def evaluate_foreign(
    pipeline: KnownScorer, known: ImageSet, sets: Mapping[str, Sequence[Image] | Image]
) -> ForeignEvaluation:
    """Score known and foreign pictures through the pipeline's own pre-processing.

    Args:
        pipeline: the classifier.
        known: pictures of its classes that it was not trained on.
        sets: foreign pictures by name, each (H, W), (H, W, 1) or (H, W, 3) RGB uint8; see
            `foreign_set`.

    Raises:
        ConfigError: no set is given.
        DatasetError: a set is empty, or a score is NaN.
    """
    if not sets:
        raise ConfigError(f"no foreign set is given, expected some of {', '.join(NAMES)}, or paths")
    rejection = read_rejection(pipeline.bundle)
    threshold = None if rejection is None else rejection.threshold(KEEP_FRAMES_PERCENT)
    known_scores = pipeline.known_scores(known.images)
    figures = {}
    for name, images in sets.items():
        scores = pipeline.known_scores(images)
        figures[name] = ForeignFigures(
            scores,
            auroc(known_scores, scores),
            fpr_at_tpr(known_scores, scores, TPR),
            _answered_percent(scores, threshold),
        )
    return ForeignEvaluation(known_scores, threshold, figures)


def foreign_set(
    text: str, preprocessing: ImagePreprocessing, count: int = COUNT, seed: int = SEED
) -> tuple[str, Sequence[Image] | Image]:
    """Return a foreign set by its name or path.

    Args:
        text: ``letters``; ``noise``; ``textures:DIR`` with a folder of photographs that show
            none of the classes, or of the project's own (see `foreign_textures.BACKGROUNDS`); or
            the path of labelled pictures, of which the test split is taken where there is one
            (see `load_image_set`).
        preprocessing: of the classifier. For a reader of digits half of the textures are cut as a
            finder of digits would cut them.
        count: pictures of a set that is made.
        seed: of a set that is made.

    Returns:
        A short name, and the pictures.

    Raises:
        ConfigError: there is no set of that name, and no such path.
        DatasetError: the data cannot be read.
    """
    size = (preprocessing.height, preprocessing.width, preprocessing.channels)
    if text == "letters":
        return text, letters(count, seed)
    if text == "noise":
        return text, noise(count, seed, *size)
    kind, colon, directory = text.partition(":")
    if kind == "textures" and colon:
        return kind, _textures(Path(directory), preprocessing, count, seed)
    if not Path(text).exists():
        raise ConfigError(
            f"there is no foreign set '{text}'{nearest(text, NAMES)}, and no such path; expected "
            f"{', '.join(NAMES)}, or the path of a data set"
        )
    data = load_image_set(Path(text), size=size[:2], channels=size[2])
    return data.source, data.images


def foreign_sets(
    texts: Sequence[str], preprocessing: ImagePreprocessing
) -> dict[str, Sequence[Image] | Image]:
    """Return several sets by name; sets of the same short name are numbered.

    Raises:
        ConfigError: see `foreign_set`.
        DatasetError: see `foreign_set`.
    """
    sets: dict[str, Sequence[Image] | Image] = {}
    for text in dict.fromkeys(texts):
        name, images = foreign_set(text, preprocessing)
        number, unique = 2, name
        while unique in sets:
            number, unique = number + 1, f"{name} {number}"
        sets[unique] = images
    return sets


def _textures(
    directory: Path, preprocessing: ImagePreprocessing, count: int, seed: int
) -> list[Image]:
    patches = textures(directory, count, seed)
    if preprocessing.channels == 3:
        return patches
    pieces = ink_of(patches, count // 2, seed)
    return [*patches[: count - len(pieces)], *pieces]


def _answered_percent(scores: Floats, threshold: float | None) -> float | None:
    return None if threshold is None else float(100.0 * np.mean(scores >= threshold))
