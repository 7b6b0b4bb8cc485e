"""Pictures of nothing that a classifier knows, made without any data set, for its training.

A classifier that was shown its classes only gives every picture to one of them. These teach it a
further answer: none. The sets that this is tested against are of another origin
(`nn_perception.evaluation.foreign`).
"""

from __future__ import annotations

from nn_perception.datasets.negatives_digits import digit_negatives
from nn_perception.datasets.negatives_pictures import picture_negatives
from nn_perception.datasets.negatives_scrambled import scrambled

__all__ = ["digit_negatives", "picture_negatives", "scrambled"]
