"""Digits found and read in generated camera frames, whose truth is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.digit_frames import TEST_SEEDS, open_digit_frames
from nn_perception.evaluation.regions import RegionsEvaluation
from nn_perception.share import shipped_model
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline
from nn_perception.tasks.loading import open_pipeline

F1_GOAL, READING_GOAL = 0.98, 0.97
FRAMES, FEW_FRAMES = 1000, 20
SEED = TEST_SEEDS[-1]
"""No other code looks at frames of this seed."""


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Read test frames: digits of MNIST's test part, photographs that training never sees."""
    frames = open_digit_frames("test", SEED, settings.data)
    model = settings.model or shipped_model("digit_reader")
    pipeline = open_pipeline(model, device="cpu", settings={"regions": "digits"})
    evaluation = RegionsEvaluation(cast(ImageClassificationPipeline, pipeline))
    count = FEW_FRAMES if settings.quick else FRAMES
    say(f"{count} frames of {frames.digits.source}, {len(frames.backgrounds)} photographs")
    metrics = evaluation.evaluate_frames(frames, count)
    conditions = (
        f"{count} frames of 640x480 with {metrics.true} digits of {frames.digits.source}, "
        f"{len(frames.backgrounds)} photographs, seed {SEED}; IoU ≥ 0.5"
    )
    return [
        Measurement(
            "digits found in generated frames, F1",
            round(metrics.f1, 4),
            "",
            f"≥ {F1_GOAL}",
            metrics.f1 >= F1_GOAL,
            f"{conditions}; precision {metrics.precision:.2%}, recall {metrics.recall:.2%}",
        ),
        Measurement(
            "digits found and read rightly in generated frames",
            round(metrics.reading_accuracy, 4),
            "",
            f"≥ {READING_GOAL}",
            metrics.reading_accuracy >= READING_GOAL,
            f"of all true digits; of those found {metrics.label_accuracy:.2%}; lines read exactly "
            f"{metrics.lines_exact:.2%} of {metrics.lines}",
        ),
    ]
