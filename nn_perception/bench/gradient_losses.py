"""The losses of our trainings, to be compared with their oracles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from nn_perception.bench.gradient_check import Arrays, Case, Tensors, spread
from nn_perception.networks import heads
from nn_perception.networks import reference_imu_losses as imu_losses
from nn_perception.networks import reference_losses as losses
from nn_perception.networks import reference_rotations as rotations
from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Gradients, Result
from nn_perception.tasks.attitude.learning import AttitudeLearning, AttitudeTraining
from nn_perception.tasks.gyro.learning import GyroLearning, GyroTraining
from nn_perception.tasks.uwb import kernel
from nn_perception.tasks.uwb import learning as uwb
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.losses import LossName, classification_loss

_CLASSES = np.array([0, 2, 1, 2, 3, 0])
_WEIGHTS = np.array([0.5, 2.0, 1.0, 1.5])
_SMOOTHING = 0.1


def loss_cases() -> Iterator[Case]:
    """Yield a case for each loss, with its options."""
    yield from _classifications()
    yield from _arrays()
    yield from _sensors()
    yield from _rotations()
    yield _penalty("L1", losses.l1_penalty, lambda w: 0.3 * w.abs().sum())
    yield _penalty("L2", losses.l2_penalty, lambda w: 0.15 * w.square().sum())
    yield _likelihood()


def _of_value(
    name: str,
    arrays: Arrays,
    torch_loss: Callable[..., Tensor],
    oracle: Callable[..., tuple[float, Any]],
) -> Case:
    """Return the case of a scalar of all arrays, which both functions take by position."""
    names = list(arrays)

    def run(tensors: Tensors) -> Tensor:
        return torch_loss(*(tensors[key] for key in names))

    def with_back(values: Arrays) -> Result:
        value, slope = oracle(*(values[key] for key in names))
        slopes = slope if isinstance(slope, dict) else {names[0]: slope}
        return np.array(value), lambda change: {key: change * slopes[key] for key in names}

    return Case(name, "loss", arrays, run, with_back)


def _classifications() -> Iterator[Case]:
    logits = {"logits": spread(_random(), len(_CLASSES), len(_WEIGHTS))}
    classes, weights = torch.from_numpy(_CLASSES), torch.from_numpy(_WEIGHTS)
    for name in get_args(LossName):
        for smoothing in (0.0,) if name == "perceptron" else (0.0, _SMOOTHING):
            for weighted in (False, True):
                parts = [name, "weighted" if weighted else "", "smoothed" if smoothing else ""]

                def run(
                    z: Tensor, name: Any = name, weighted: bool = weighted, s: float = smoothing
                ) -> Tensor:
                    return classification_loss(name, z, classes, weights if weighted else None, s)

                oracle = partial(
                    losses.classification,
                    name,
                    classes=_CLASSES,
                    weight=_WEIGHTS if weighted else None,
                    label_smoothing=smoothing,
                )
                title = " ".join(part for part in parts if part)
                yield _of_value(title, logits, run, lambda z, oracle=oracle: oracle(logits=z))


def _arrays() -> Iterator[Case]:
    """Regression, and two classes by one output, whose softmax with 0 is a sigmoid."""
    random = _random()
    outputs, values = spread(random, 5, 2), spread(random, 5, 2)
    regression = _array_learning(Examples(values, values))
    yield _of_value(
        "regression",
        {"outputs": outputs},
        lambda z: regression.loss(z, torch.from_numpy(values)),
        lambda z: losses.regression(z, values),
    )
    classes = np.array([0, 1, 1, 0, 1])
    binary = _array_learning(Examples(values, classes), one_output=True)
    yield _of_value(
        "two classes by one output",
        {"outputs": outputs[:, :1]},
        lambda z: binary.loss(z, torch.from_numpy(classes)),
        lambda z: losses.binary(z, classes[:, None]),
    )


def _array_learning(examples: Examples, one_output: bool = False) -> ArrayLearning:
    return ArrayLearning(ArrayLearning.recipe(), examples, examples, one_output=one_output)


def _sensors() -> Iterator[Case]:
    random = _random()
    yield _of_value(
        "Huber",
        {"error": spread(random, 4, 5)},
        lambda e: torch.nn.functional.huber_loss(e, torch.zeros_like(e), reduction="sum"),
        _huber_sum,
    )
    predicted = np.stack([0.1 * spread(random, 7), -3.0 + 0.5 * spread(random, 7)], 1)
    target = np.stack([0.1 * spread(random, 7), random.uniform(0.02, 0.1, 7)], 1)
    settings = uwb.UwbTraining()
    yield _of_value(
        "range with standard deviation",
        {"outputs": predicted},
        lambda z: uwb.UwbLearning.loss(_with(settings), z, torch.from_numpy(target)),
        lambda z: losses.range_likelihood(z, target, uwb._SCALE_M, settings.likelihood),
    )
    yield _gyro()
    yield _attitude()


def _huber_sum(error: Array) -> tuple[float, Array]:
    each, slope = losses.huber(error)
    return float(each.sum()), slope


def _gyro() -> Case:
    """Return the loss of integrated rates; errors of both sides of Huber's bend."""
    random = _random()
    settings = GyroTraining(increments=(2, 4, 16), scale_rad=0.1)
    rates = random.standard_normal((3, 37, 3))
    dt = random.uniform(0.08, 0.12, (3, 37, 1))
    noisy = rates + 0.5 * random.standard_normal(rates.shape)
    truth = np.zeros((3, 37, 4))
    truth[:, 0] = rotations.unit(random.standard_normal((3, 4)))[0]
    for k in range(1, 37):
        turn = rotations.exponential(0.5 * (noisy[:, k] + noisy[:, k - 1]) * dt[:, k])[0]
        truth[:, k] = rotations.product(truth[:, k - 1], turn)
    known = random.random((3, 37, 1)) < 0.8
    targets = np.concatenate([truth, known, dt], -1)
    return _of_value(
        "gyroscope's increments",
        {"rates": rates},
        lambda z: GyroLearning.loss(_with(settings), z, torch.from_numpy(targets)),
        lambda z: imu_losses.gyro_increments(z, targets, settings.increments, settings.scale_rad),
    )


def _attitude() -> Case:
    """Return the loss of orientations and variances; a few of the errors are outliers."""
    random = _random()
    settings = AttitudeTraining(tilt_scale_rad=0.05, likelihood=0.3, heading_likelihood=0.2)
    truth = rotations.unit(random.standard_normal((3, 8, 4)))[0]
    errors = 0.1 * random.standard_normal((3, 8, 3))
    errors[:, 3] *= 7.0
    error = rotations.exponential(errors)[0]
    variances = random.uniform(0.005, 0.02, (3, 8, 2))
    weight = random.uniform(0.5, 1.0, (3, 8, 1)) * (random.random((3, 8, 1)) < 0.8)
    targets = np.concatenate([truth, weight], -1)

    def run(orientation: Tensor, variance: Tensor) -> Tensor:
        outputs = torch.cat([orientation, variance], -1)
        return AttitudeLearning.loss(_with(settings), outputs, torch.from_numpy(targets))

    def oracle(orientation: Array, variance: Array) -> tuple[float, Gradients]:
        value, slope = imu_losses.attitude(
            np.concatenate([orientation, variance], -1),
            targets,
            settings.tilt_scale_rad,
            settings.likelihood,
            settings.heading_likelihood,
        )
        return value, {"orientation": slope[..., :4], "variance": slope[..., 4:]}

    arrays = {"orientation": rotations.product(error, truth), "variance": variances}
    return _of_value("attitude with variances", arrays, run, oracle)


def _with(settings: Any) -> Any:
    """Return what a loss asks of its task's learning, without data."""
    return SimpleNamespace(settings=settings)


def _rotations() -> Iterator[Case]:
    random = _random()
    first, second = (
        rotations.nearest_rotation(random.standard_normal((5, 3, 3)))[0] for _ in range(2)
    )
    pairs = {"a": first, "b": second}
    yield _of_value("angle of rotations", pairs, heads.geodesic_loss, rotations.geodesic)
    yield _of_value("chordal of matrices", pairs, heads.frobenius_loss, rotations.frobenius)
    a, b = rotations.unit(random.standard_normal((2, 5, 4)))[0]
    yield _of_value(
        "chordal of quaternions", {"a": a, "b": b}, heads.quaternion_loss, rotations.chordal
    )


def _penalty(
    name: str, oracle: Callable[[Array, float], Any], torch_loss: Callable[[Tensor], Tensor]
) -> Case:
    weights = {"weights": spread(_random(), 4, 5)}
    return _of_value(f"{name} penalty", weights, torch_loss, lambda w: oracle(w, 0.3))


def _likelihood() -> Case:
    """Return the likelihood of a Gaussian process' kernel; its covariance is B B^T."""
    random = _random()
    arrays = {
        "root": random.standard_normal((6, 6)),
        "noise": random.uniform(0.5, 1.0, 6),
        "target": random.standard_normal(6),
    }

    def run(root: Tensor, noise: Tensor, target: Tensor) -> Tensor:
        solved, log_determinant = kernel.solve(root @ root.T, noise, target)
        return 0.5 * (target * solved).sum() + log_determinant

    def oracle(root: Array, noise: Array, target: Array) -> tuple[float, Gradients]:
        value, slopes = losses.gaussian_process(root @ root.T, noise + kernel._JITTER, target)
        by_root = 2.0 * slopes.pop("covariance") @ root
        return value, {"root": by_root, **slopes}

    return _of_value("likelihood of a Gaussian process", arrays, run, oracle)


def _random() -> np.random.Generator:
    return np.random.default_rng(1)
