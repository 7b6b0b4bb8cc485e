"""Networks that divide a plane: trainings on points, what they answer everywhere, truth tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nn_perception.datasets.points_2d import Points, draw_points
from nn_perception.studies.sweep import Job
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Predict
from nn_perception.training.losses import LossName

if TYPE_CHECKING:
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

EXTENT = 1.2
"""Pictures show the plane from minus this to this, in both directions."""

SIDE = 90
"""Points of a picture's side at which the network is asked."""

HELD_OUT = 1000
"""Points of each kind that are not trained on."""

TABLES: dict[str, tuple[int, int, int, int]] = {
    "AND": (0, 0, 0, 1),
    "OR": (0, 1, 1, 1),
    "XOR": (0, 1, 1, 0),
}
"""Values at (0, 0), (0, 1), (1, 0), (1, 1)."""

TABLE_LOW, TABLE_HIGH = -0.5, 1.5
"""Ends of the plane around the rows of a truth table."""

CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

_OTHER_DRAW = 2**31
"""Seeds of held-out points are those of the training points, and this: no option reaches it."""

FloatArray = npt.NDArray[np.float64]


class PlaneLearning(ArrayLearning):
    """Two classes of points by one output, looked at on the way.

    Attributes:
        seen: epoch -> probability of class 1 over the plane, (SIDE, SIDE), row 0 at the bottom.

    Args:
        config: see `ArrayLearning`.
        train: to train on.
        held_out: to validate with; nothing is chosen by them.
        watch: epochs after which the whole plane is asked.
        loss: see `ArrayLearning`.
        low: left and lower end of the plane that is asked.
        high: right and upper end.
    """

    def __init__(
        self,
        config: TrainingConfig,
        train: Examples,
        held_out: Examples,
        watch: Sequence[int] = (),
        loss: LossName = "cross_entropy",
        low: float = -EXTENT,
        high: float = EXTENT,
    ) -> None:
        super().__init__(config, train, held_out, loss, one_output=True)
        self.seen: dict[int, FloatArray] = {}
        self._watch, self._epoch = frozenset(watch), 0
        self._low, self._high = low, high

    def validate(self, predict: Predict) -> dict[str, float]:
        """See `ArrayLearning.validate`; asks the whole plane where the epoch is watched."""
        self._epoch += 1
        if self._epoch in self._watch:
            self.seen[self._epoch] = self.plane(predict)
        return super().validate(predict)

    def plane(self, predict: Predict) -> FloatArray:
        """Return the probability of class 1 over the plane, (SIDE, SIDE), row 0 at the bottom."""
        axis = torch.linspace(self._low, self._high, SIDE)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        outputs = predict(torch.stack((x.flatten(), y.flatten()), 1)[:, :, None, None])
        probability = torch.sigmoid(outputs).reshape(SIDE, SIDE)
        return np.asarray(probability.double().numpy(), dtype=np.float64)


def plane_job(
    config: TrainingConfig, kind: str, count: int, noise: float, watch: Sequence[int], **key: Any
) -> Job:
    """Return a training on points of a kind.

    Args:
        config: with the seed, of the points too.
        kind: see `nn_perception.datasets.points_2d`.
        count: points to train on.
        noise: see `draw_points`.
        watch: see `PlaneLearning`.
        key: what distinguishes it.
    """
    make = partial(_on_points, config, kind, count, noise, tuple(watch))
    return Job(tuple(key.items()), make, config.epochs, look)


def _on_points(
    config: TrainingConfig, kind: str, count: int, noise: float, watch: tuple[int, ...]
) -> Learning:
    train = draw_points(kind, count, noise, config.seed)
    held_out = held_out_points(kind, noise, config.seed)
    learning: Any = PlaneLearning(config, _examples(train), _examples(held_out), watch)
    return cast("Learning", learning)


def held_out_points(kind: str, noise: float, seed: int) -> Points:
    """Return the points with which the training of a seed is judged."""
    return draw_points(kind, HELD_OUT, noise, seed + _OTHER_DRAW)


def _examples(points: Points) -> Examples:
    return Examples(points.points, points.classes)


def table_job(config: TrainingConfig, table: str, loss: LossName, **key: Any) -> Job:
    """Return a training on the four rows of a truth table, which are all that there is to know.

    Args:
        config: with the seed.
        table: one of ``TABLES``.
        loss: see `ArrayLearning`.
        key: what distinguishes it.
    """
    make = partial(_on_table, config, table, loss)
    return Job(tuple(key.items()), make, config.epochs, look)


def _on_table(config: TrainingConfig, table: str, loss: LossName) -> Learning:
    rows = Examples(CORNERS, np.array(TABLES[table]))
    learning: Any = PlaneLearning(config, rows, rows, (), loss, TABLE_LOW, TABLE_HIGH)
    return cast("Learning", learning)


def look(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return what a picture needs of a trained network.

    ``train_accuracy`` and ``train_loss``; ``plane`` and ``planes`` as `PlaneLearning` has them;
    ``weights`` and ``biases`` of the first layer, (units, 2) and (units,).
    """
    assert isinstance(learning, PlaneLearning)

    @torch.inference_mode()
    def predict(*inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = fit.network(*inputs)
        return outputs

    figures = learning.training_figures(predict)
    first = next(layer for layer in fit.network.modules() if isinstance(layer, nn.Linear))
    return {
        "train_accuracy": figures["accuracy"],
        "train_loss": figures["loss"],
        "plane": learning.plane(predict),
        "planes": learning.seen,
        "weights": first.weight.detach().double().numpy(),
        "biases": first.bias.detach().double().numpy(),
    }
