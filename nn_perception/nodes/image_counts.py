"""What became of frames and regions, for ``/diagnostics``."""

from __future__ import annotations

import threading
from collections import Counter

from nn_perception.tasks.image_results import ClassificationResult, RegionsResult


class ImageCounts:
    """Counts results; the worker's thread counts and any thread reads."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, result: ClassificationResult | RegionsResult) -> None:
        """Count one published result."""
        with self._lock:
            if isinstance(result, ClassificationResult):
                self._counts["frames_not_known"] += not result.accepted
                return
            self._counts["regions"] += len(result.boxes_xywh)
            self._counts["regions_not_known"] += result.rejected
            for reason, count in result.refused.items():
                self._counts[f"regions_refused.{reason}"] += count

    def rows(self) -> dict[str, str]:
        """Return the counts by key; what cannot occur in a node's mode is left out."""
        with self._lock:
            return {key: str(count) for key, count in sorted(self._counts.items())}
