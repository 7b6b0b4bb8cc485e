"""The pictures: that they draw what the figures say. Beauty was judged by eye."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from nn_perception.evaluation.classification import classification_metrics
from nn_perception.evaluation.classification_plots import (
    plot_class_accuracy,
    plot_confusion,
    plot_reliability,
    wilson_interval,
)
from nn_perception.evaluation.plot_style import shorten
from nn_perception.evaluation.plots import (
    duration_text,
    plot_latency,
    plot_learning_curve,
    plot_wrong,
)

pytest.importorskip("matplotlib")


def pixels(png: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1] <= 1600
    return image


def has_colour(image: np.ndarray, html_colour: str) -> bool:
    rgb = [int(html_colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(image[..., ::-1].astype(int) - rgb).max(axis=-1) < 6).any())


def metrics_of(names: list[str], n: int = 200):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, len(names), n)
    scores = rng.random((n, len(names)))
    scores[np.arange(n), labels] += 0.8
    return classification_metrics(scores / scores.sum(1, keepdims=True), labels, names)


def record(epoch: int, **changes: float) -> dict[str, float]:
    usual = {
        "train_loss": 1 / epoch,
        "validation_loss": 1.2 / epoch,
        "validation_accuracy": 1 - 0.1 / epoch,
        "learning_rate": 0.01 / epoch,
    }
    return {"epoch": epoch, **usual, **changes}


BLUE, RED = "#0072b2", "#d55e00"


def test_learning_curve_draws_both_losses_and_the_rate(tmp_path: Path) -> None:
    history = [record(epoch) for epoch in range(1, 9)]
    path = tmp_path / "curve.png"
    png = plot_learning_curve(history, path)
    assert path.read_bytes() == png
    image = pixels(png)
    assert has_colour(image, BLUE)
    assert has_colour(image, RED)
    constant = [record(epoch, learning_rate=0.1) for epoch in range(1, 9)]
    assert pixels(plot_learning_curve(constant)).shape[0] < image.shape[0]


@pytest.mark.parametrize(
    "history",
    [
        [],
        [record(1)],
        [{"epoch": 1}, {"epoch": 2, "train_loss": None}],
        [record(1, train_loss=float("nan"), validation_loss=float("inf")), record(2)],
        [record(1, validation_accuracy=1.0), record(2, validation_accuracy=1.0)],
        [record(1, train_loss=0.0), record(2, train_loss=-1.0)],
    ],
)
def test_learning_curve_takes_any_history(history: list[dict[str, float]]) -> None:
    pixels(plot_learning_curve(history))


@pytest.mark.parametrize(
    "names", [["a", "b"], [f"class {i}" for i in range(60)], ["$x", "<b>", "ü"]]
)
def test_classifier_pictures_take_any_labels(names: list[str]) -> None:
    metrics = metrics_of(names)
    pixels(plot_confusion(metrics))
    pixels(plot_class_accuracy(metrics))
    pixels(plot_reliability(metrics.reliability, metrics.ece))


def test_confusion_colours_errors_only() -> None:
    perfect = classification_metrics(np.eye(3), [0, 1, 2], ["a", "b", "c"])
    one_wrong = classification_metrics(np.eye(3), [0, 1, 1], ["a", "b", "c"])

    def saturated_orange(image: np.ndarray) -> int:
        blue, red = image[..., 0].astype(int), image[..., 2].astype(int)
        return int((red - blue > 120).sum())

    assert saturated_orange(pixels(plot_confusion(perfect))) == 0
    assert saturated_orange(pixels(plot_confusion(one_wrong))) > 1000


def test_a_class_without_images_is_left_out() -> None:
    metrics = classification_metrics([[1.0, 0.0], [0.9, 0.1]], [0, 0], ["seen", "unseen"])
    pixels(plot_class_accuracy(metrics))
    pixels(plot_confusion(metrics))


def test_latency_takes_empty_and_constant_stages() -> None:
    pixels(plot_latency({}))
    pixels(plot_latency({"none": [], "zero": [0.0]}))
    pixels(plot_latency({"constant": [0.001] * 5, "one": np.array([2.0])}))
    few = pixels(plot_latency({"a": [0.001, 0.002]}))
    assert has_colour(few, BLUE)
    assert has_colour(few, RED)
    more = pixels(plot_latency({name: [0.001, 0.002] for name in "abcd"}))
    assert more.shape[0] > few.shape[0]


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (32, 48, 3), (480, 640, 3)])
def test_wrong_pictures_of_every_shape(shape: tuple[int, ...]) -> None:
    entry = (np.full(shape, 130, np.uint8), "a $ and $ b", "b", 0.7)
    image = pixels(plot_wrong([entry]))
    assert has_colour(image, "#828282")
    assert pixels(plot_wrong([entry] * 13)).shape[0] > 0


def test_rgb_is_drawn_as_rgb() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert has_colour(pixels(plot_wrong([(red, "a", "b", 0.5)])), "#c80000")


def test_wilson_interval_by_hand() -> None:
    """8 of 10: Newcombe 1998 gives 0.4902 .. 0.9433."""
    low, high = wilson_interval(np.array([8, 0]), np.array([10, 10]))
    assert low == pytest.approx([0.4902, 0.0], abs=1e-4)
    assert high == pytest.approx([0.9433, 0.2775], abs=1e-4)


def test_durations_are_readable() -> None:
    texts = [duration_text(ms) for ms in (0.002, 0.0601, 1.5, 123.4, 2500.0)]
    assert texts == ["2 µs", "60.1 µs", "1.5 ms", "123 ms", "2.5 s"]


def test_long_names_keep_both_ends() -> None:
    assert shorten("short", 10) == "short"
    assert shorten("object class 17", 9) == "obje…s 17"


def test_drawing_needs_no_display_and_no_pyplot() -> None:
    code = (
        "import sys; from nn_perception.evaluation.plots import plot_latency;"
        "assert 'matplotlib' not in sys.modules;"
        "plot_latency({'a': [1.0]});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
