"""How the benchmark of the task `objects` counts, and that it finds its data."""

import numpy as np
import pytest

from nn_perception.bench.objects import Outcome, accuracies, find_road4, judge
from nn_perception.datasets.arrays import ImageSet
from nn_perception.errors import DatasetError


class Answers:
    """Gives class 0 to everything, until told otherwise."""

    def __init__(self, labels):
        self.labels = labels

    def classify(self, images):
        return np.eye(2)[self.labels]


def test_accuracy_is_counted_by_class_and_by_source():
    data = ImageSet.create(
        np.zeros((5, 8, 8, 3), np.uint8),
        np.array([0, 0, 0, 1, 1]),
        ("car", "truck"),
        "made up",
        sources=np.array(["here", "here", "there", "there", "there"]),
    )
    outcome = judge(Answers([0, 0, 1, 1, 0]), data)
    assert outcome.accuracy == pytest.approx(3 / 5)
    assert outcome.by_class == pytest.approx({"car": 2 / 3, "truck": 1 / 2})
    assert outcome.by_source == pytest.approx({"here": 1.0, "there": 1 / 3})
    assert outcome.shifts["mean"] == pytest.approx(3 / 5)


def test_figures_are_means_over_seeds_and_the_worst_class_is_named():
    outcomes = [
        Outcome(0.98, {"car": 1.0, "truck": 0.97}, {"here": 0.9}, {"darker": 0.9, "mean": 0.9}),
        Outcome(1.00, {"car": 0.94, "truck": 0.99}, {"here": 1.0}, {"darker": 1.0, "mean": 1.0}),
    ]
    every, worst, shifts = accuracies(outcomes)
    assert (every.value, every.passed) == (99.0, True)
    assert "98.00%, 100.00%" in every.detail
    assert "here 95.0%" in every.detail
    assert (worst.value, worst.passed) == (97.0, True)
    assert "(car)" in worst.what
    assert (shifts.value, shifts.passed) == (95.0, True)
    assert not accuracies(outcomes[:1])[0].passed


def test_data_is_found_as_file_beside_and_below(tmp_path, monkeypatch):
    path = tmp_path / "objects" / "road4.npz"
    path.parent.mkdir()
    path.touch()
    for given in (path, path.parent, tmp_path):
        assert find_road4(given) == path
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path))
    assert find_road4(None) == path
    monkeypatch.delenv("NN_PERCEPTION_DATA")
    with pytest.raises(DatasetError, match=r"objects/road4.npz.*--data"):
        find_road4(None)
