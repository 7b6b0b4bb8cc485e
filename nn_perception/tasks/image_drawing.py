"""An image classifier's answer drawn into its picture."""

from __future__ import annotations

from nn_perception.regions.drawing import Image, Marked, draw
from nn_perception.tasks.image_results import ClassificationResult, Result


def draw_result(image: Image, result: Result, rate: str = "") -> Image:
    """Return a copy of a picture with boxes, classes, lines of text, counts and time.

    Args:
        image: (H, W, 3) RGB, or (H, W) grey.
        result: the answer to it.
        rate: how many answers there are, in words; empty: nothing is said.
    """
    elapsed = f"{sum(result.stage_s.values()) * 1e3:.1f} ms"
    foot = ", ".join(filter(None, (rate, elapsed)))
    if isinstance(result, ClassificationResult):
        label, score = result.best
        head = f"{label} {score * 100:.0f}%" if result.accepted else "not known"
        return draw(image, (), (head,), (foot,))
    marked = [
        Marked(box, result.labels[best], float(scores[best]), best)
        for box, scores, best in zip(
            result.boxes_xywh.tolist(), result.scores, result.scores.argmax(axis=1), strict=True
        )
    ]
    refused = [f"{count} {reason.replace('_', ' ')}" for reason, count in result.refused.items()]
    counts = [f"{result.rejected} not known"] if result.rejected else []
    # Only classes of one letter make a text.
    texts = result.texts if max(map(len, result.labels)) == 1 else ()
    return draw(image, marked, texts, (*counts, *refused, foot))
