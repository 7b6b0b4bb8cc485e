"""Shipped classifiers: are their probabilities true, and do they know when not to answer?

Looks at the test splits of MNIST and of the road objects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.environment import CAMERA, DIGITS, ROAD4, data_from_environment
from nn_perception.datasets.images import load_image_set
from nn_perception.errors import DatasetError
from nn_perception.evaluation.classification import classification_metrics
from nn_perception.evaluation.foreign import ForeignEvaluation, evaluate_foreign, foreign_sets
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline

ECE_GOAL = 0.008
FPR95_GOAL = 0.05

MODELS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "digits": (DIGITS, ("letters", f"textures:{CAMERA}", "noise", str(ROAD4))),
    "objects": (ROAD4, ("letters", f"textures:{CAMERA}", "noise", str(DIGITS))),
}
"""Model -> its own data, and the foreign sets; each is foreign to the other."""

QUICK = 500
"""Known pictures of a short run."""


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure calibration and rejection of both shipped classifiers of pictures.

    Raises:
        DatasetError: the data of one of them is not there.
    """
    root = _data_root(settings)
    measurements = []
    for name, (data, texts) in MODELS.items():
        pipeline: Any = open_pipeline(shipped_model(name), device="cpu")
        say(f"{name}: calibration")
        known = load_image_set(root / data, class_names=pipeline.bundle.labels)
        if settings.quick:
            known = known.subset(np.arange(min(QUICK, len(known))))
        measurements += calibration(name, pipeline, known)
        say(f"{name}: foreign pictures")
        sets = foreign_sets([_below(root, text) for text in texts], pipeline.preprocessing)
        measurements += rejection(name, evaluate_foreign(pipeline, known, sets))
    return measurements


def calibration(name: str, pipeline: Any, known: ImageSet) -> list[Measurement]:
    """Return the calibration error (ECE) on known pictures, with and without the temperature."""
    labels = pipeline.bundle.labels
    temperature = float(pipeline.bundle.config.calibration["temperature"])
    scores = pipeline.classify(known.images)
    after = classification_metrics(scores, known.labels, labels)
    before = classification_metrics(uncalibrated(scores, temperature), known.labels, labels)
    return [
        Measurement(
            f"calibration error (ECE), {name}",
            round(100 * after.ece, 3),
            "%",
            f"≤ {ECE_GOAL:.1%}",
            after.ece <= ECE_GOAL,
            f"test split, {after.n:,} pictures, 15 bins; T = {temperature:g}; {before.ece:.2%} at "
            f"T = 1; accuracy {after.accuracy:.2%}",
        )
    ]


def uncalibrated(scores: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """Return the probabilities (N, K) at temperature 1, from those at another.

    softmax(z / T) ** T is softmax(z), but for a factor of each row.
    """
    logs = temperature * np.log(np.maximum(scores, np.finfo(np.float64).tiny))
    powers: npt.NDArray[np.float64] = np.exp(logs - logs.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def rejection(name: str, result: ForeignEvaluation) -> list[Measurement]:
    """Return FPR95 of each set, with AUROC beside, and the mean over the sets against the goal."""
    rows = [
        Measurement(
            f"FPR95, {name} against {text}",
            round(100 * figures.fpr95, 3),
            "%",
            detail=f"AUROC {figures.auroc:.2%}; {len(figures.scores):,} foreign pictures, "
            f"{_answered(figures.answered_percent)}",
        )
        for text, figures in result.sets.items()
    ]
    mean = Measurement(
        f"FPR95, {name}, mean of {len(result.sets)} sets",
        round(100 * result.mean_fpr95, 3),
        "%",
        f"≤ {FPR95_GOAL:.0%}",
        result.mean_fpr95 <= FPR95_GOAL,
        f"mean AUROC {result.mean_auroc:.2%}; {len(result.known_scores):,} known pictures, "
        f"{_answered(result.known_answered_percent)}",
    )
    return [*rows, mean]


def _answered(percent: float | None) -> str:
    if percent is None:
        return "and the bundle has no threshold"
    return f"{percent:.1f} % of them answered at the bundle's own threshold"


def _data_root(settings: BenchSettings) -> Path:
    """Return the directory that holds all data sets; one of them may have been named instead."""
    named = [settings.data, settings.data.parent] if settings.data else [data_from_environment()]
    needed = (DIGITS, ROAD4, CAMERA)
    for root in named:
        if root is not None and all((root / part).exists() for part in needed):
            return root
    raise DatasetError(
        f"this benchmark needs {', '.join(map(str, needed))} in one directory, got "
        f"{settings.data or 'no --data'}; give --data DIR"
    )


def _below(root: Path, text: str) -> str:
    """Put the directory before the path in the text of a foreign set, where it has one."""
    if text in ("letters", "noise"):
        return text
    kind, colon, path = text.rpartition(":")
    return f"{kind}{colon}{root / path}"
