"""The study ``batch-size``: stochastic, mini-batch and full-batch gradient descent.

The lecture's figure 10: loss and accuracy of an MLP on MNIST with different batch sizes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from torch import Tensor

    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

DESCRIPTION = """Train the lecture's 784-128-10 on digits by plain gradient descent with one picture
in a step (stochastic), some (mini-batch) and all (full batch), everything else being equal, the
learning rate too. Compared are accuracy over epochs, steps and seconds, and the noise of the
gradient. Accuracy is that of pictures held out of MNIST's training data.
"""

NAME = "batch-size"
DEFAULTS = lab.Defaults(epochs=10, samples=10_000)
FULL = "full"
SIZES = ("1", "10", "32", "128", "512", FULL)
LEARNING_RATE = 0.03
"""The largest of the usual ones that a step with a single picture bears."""

DRAWS = 64
"""Batches of which the gradient's noise is taken."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--sizes", nargs="+", default=list(SIZES), metavar="N",
        help=f"pictures in a step, or '{FULL}', default: {' '.join(SIZES)}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train with all batch sizes and seeds, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    sizes = checked_sizes(arguments.sizes)
    from nn_perception.studies.batch_size_figures import BatchSizes
    from nn_perception.studies.batch_size_report import build
    from nn_perception.studies.sweep import train_all

    jobs = [
        lab.digits_job(
            _config(size, arguments.epochs),
            arguments,
            gradient_noise,
            training_figures=True,
            batch_size=size,
            seed=seed,
        )
        for size in sizes
        for seed in arguments.seeds
    ]
    data = lab.digits(arguments.data)
    say(f"{data.source}: {len(sizes)} batch sizes, {len(arguments.seeds)} seeds")
    result = BatchSizes.of(train_all(jobs, arguments.workers, NAME))
    return lab.finish(
        arguments,
        NAME,
        "Batch sizes",
        f"plain gradient descent with one learning rate; {data.source}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )


def checked_sizes(texts: list[str]) -> list[int]:
    """Return the batch sizes in rising order; the full batch, 0, is the last.

    Raises:
        ConfigError: one is neither a positive number nor the word, or there twice.
    """
    whole = all(text == FULL or (text.isdecimal() and int(text) > 0) for text in texts)
    sizes = [0 if text == FULL else int(text) for text in texts] if whole else []
    if not sizes or len(set(sizes)) != len(sizes):
        raise ConfigError(
            f"--sizes: got {' '.join(texts)}, expected different whole numbers above 0, or '{FULL}'"
        )
    return sorted(sizes, key=lambda size: (size == 0, size))


def _config(size: int, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        epochs=epochs,
        batch_size=size,
        optimizer="sgd",
        learning_rate=LEARNING_RATE,
        schedule="constant",
        keep="last",
    )


def gradient_noise(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return how far gradients of single batches are from that of all, at the first weights.

    That is sqrt(mean of |g_B - g|^2) / |g| over some batches that are drawn like the training's;
    with g_B of B different ones of N pictures it is that of a single one times
    sqrt((N - B) / (B (N - 1))). All sizes are looked at with the same weights.
    """
    import torch

    from nn_perception.studies.probing import starting_network

    network, count = starting_network(learning), learning.train_size
    batch = min(learning.config.batch_size or count, count)
    whole = _gradient(learning, network, torch.arange(count))
    draw = torch.Generator().manual_seed(learning.config.seed)
    squares = 0.0
    for _ in range(DRAWS):
        chosen = torch.randperm(count, generator=draw)[:batch]
        # The full batch is the whole in another order: what is left is rounding.
        gap = _gradient(learning, network, chosen) - whole if batch < count else whole * 0.0
        squares += float(gap.square().sum())
    return {
        "batch": batch,
        "train_size": count,
        "steps_per_epoch": count // batch,
        "gradient_noise": float((squares / DRAWS) ** 0.5 / whole.norm()),
    }


def _gradient(learning: Learning, network: Any, chosen: Tensor) -> Tensor:
    import torch

    inputs, targets = learning.batch(chosen, torch.Generator(), slice(None))
    loss = learning.loss(network(*inputs).float(), targets)
    parts = torch.autograd.grad(loss, [p for p in network.parameters() if p.requires_grad])
    return torch.cat([part.flatten() for part in parts]).double()
