"""What a training run does: the one place of its keys, defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from nn_perception.errors import ConfigError
from nn_perception.training.augment import AugmentConfig

OptimizerName = Literal["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "closed_form"]

CLOSED_FORM = "closed_form"
"""Value of ``optimizer`` that takes no steps, see `nn_perception.training.closed_form`."""


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of one training run.

    Attributes:
        network: registered name of the architecture.
        network_arguments: its constructor's arguments.
        epochs: passes over the training data.
        batch_size: samples of one step, over all processes; 0: all there are (full batch).
        optimizer: ``sgd``, ``momentum`` (heavy ball), ``nesterov``, ``rmsprop``, ``adam`` or
            ``adamw``; ``closed_form``: linear regression without steps, in one epoch, see
            `nn_perception.training.closed_form`.
        learning_rate: peak learning rate.
        momentum: of ``momentum``, ``nesterov`` and ``rmsprop``; beta1 of ``adam`` and ``adamw``.
        weight_decay: L2 penalty on weights, not on biases (decoupled for ``adamw``).
        l1: L1 penalty on weights, not on biases; it makes weights exactly 0, and how many, the
            record of each epoch says as ``zero_weights``. See `optimisers.shrink`.
        initialisation: of the weights of linear and convolution layers, see
            `nn_perception.training.initialisation`; ``default``: as the network makes them.
        schedule: ``constant``, ``step`` (times ``step_factor`` every ``step_epochs``), ``cosine``
            (warm-up, then a half cosine to zero), ``one_cycle`` (cosine up, cosine down).
        warmup_fraction: part of all steps in which the rate rises (``cosine``, ``one_cycle``).
        step_epochs: epochs between two drops of ``step``.
        step_factor: factor of each drop of ``step``.
        label_smoothing: probability mass spread over the other classes.
        gradient_clip: largest norm of the gradient; 0 turns it off.
        ema_decay: decay of the averaged weights, which are then what is validated and kept; 0 off.
        early_stopping_patience: epochs without improvement before training stops; 0 turns it off.
        keep: which weights become the bundle: ``best`` on the validation split, or ``last``.
        validation_fraction: part of the training data held out for validation.
        folds: parts of a cross-validation, of which one validates; 0: none, and
            ``validation_fraction`` holds. See `nn_perception.training.folds`.
        fold: which part validates, from 0.
        augment: random distortions of the training inputs.
        task_arguments: what only this task's training knows; each task checks its own.
        mixed_precision: ``auto`` (bfloat16 on a GPU, and on a CPU that multiplies it in
            hardware), ``on``, ``off``.
        compile: ``torch.compile``: ``auto`` (on a GPU), ``on``, ``off``.
        deterministic: only algorithms that repeat exactly; the same seed gives the same bundle.
        seed: of the split, the weights, the order and the augmentation.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    network: str
    network_arguments: dict[str, Any] = field(default_factory=dict)
    epochs: int = 10
    batch_size: int = 128
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    l1: float = 0.0
    initialisation: Literal["default", "zeros", "normal", "small_normal", "xavier", "he"] = (
        "default"
    )
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "one_cycle"
    warmup_fraction: float = 0.2
    step_epochs: int = 10
    step_factor: float = 0.1
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    ema_decay: float = 0.0
    early_stopping_patience: int = 0
    keep: Literal["best", "last"] = "best"
    validation_fraction: float = 0.1
    folds: int = 0
    fold: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    task_arguments: dict[str, Any] = field(default_factory=dict)
    mixed_precision: Literal["auto", "on", "off"] = "off"
    compile: Literal["auto", "on", "off"] = "auto"
    deterministic: bool = True
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"'{name}' is {value}; expected {low} to {high}")
        if self.folds == 1 or not 0 <= self.fold < max(1, self.folds):
            raise ConfigError(
                f"'fold' is {self.fold} of 'folds' {self.folds}; expected 2 folds or more, counted "
                "from 0, or 0 folds for no cross-validation"
            )


_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (0, 1_000_000),
    "learning_rate": (0.0, 1000.0),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "l1": (0.0, 10.0),
    "warmup_fraction": (0.0, 0.9),
    "step_epochs": (1, 100_000),
    "step_factor": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "gradient_clip": (0.0, 1e6),
    "ema_decay": (0.0, 0.99999),
    "early_stopping_patience": (0, 100_000),
    "validation_fraction": (0.01, 0.9),
    "folds": (0, 1000),
    "seed": (0, 2**31 - 1),
}
