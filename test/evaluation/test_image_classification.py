"""Pictures that a classifier does not answer, and accuracy by source: answers are given by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.bags import classification_message, image_message
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.evaluation.per_source import accuracy_per_source
from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.classifier import Judged
from nn_perception.tasks.image_results import ClassificationResult

NAMES = ("cat", "dog", "cow")


class Answers:
    """A pipeline whose answers are given: a class and how known it looks, for each picture."""

    threshold = 0.5
    preprocessing = ImagePreprocessing(1, 8, 8, "stretch", "as_is")

    def __init__(self, answers, known):
        self.bundle = SimpleNamespace(labels=NAMES)
        self.scores = np.full((len(answers), 3), 0.1)
        self.scores[np.arange(len(answers)), answers] = 0.8
        self.known = np.asarray(known, float)

    def judge(self, images, on_progress):
        on_progress(len(images))
        return Judged(self.scores, self.known)


def pictures(labels, sources=None):
    images = np.zeros((len(labels), 8, 8), np.uint8)
    given = None if sources is None else np.array(sources)
    return ImageSet.create(images, np.array(labels), NAMES, "made up", sources=given)


def test_accuracy_of_all_and_of_the_answered():
    # Right, wrong, right, wrong; the last two look like nothing that is known.
    evaluation = ClassificationEvaluation(Answers([0, 1, 2, 2], [0.9, 0.5, 0.4, 0.1]))
    metrics = evaluation.evaluate_images(pictures([0, 0, 2, 1]))
    assert metrics.accuracy == evaluation.metrics().accuracy == 0.5
    assert (evaluation.not_answered, evaluation.answered_metrics().n) == (2, 2)
    rows = dict(evaluation.summary())
    assert rows["accuracy"] == "50.00% of 4"
    assert rows["accuracy, answered"] == "50.00% of 2"
    assert rows["not answered"] == "2 of 4"
    figures = evaluation.to_dict()
    assert (figures["not_answered"], figures["n_answered"]) == (2, 2)
    assert figures["accuracy_answered"] == 0.5


def test_nothing_is_said_of_rejection_where_all_is_answered():
    evaluation = ClassificationEvaluation(Answers([0, 1], [0.5, 0.6]))
    evaluation.evaluate_images(pictures([0, 0]))
    assert not {"not answered", "accuracy, answered"} & set(dict(evaluation.summary()))
    assert evaluation.to_dict()["accuracy_answered"] == 0.5


def test_a_model_that_answers_nothing():
    evaluation = ClassificationEvaluation(Answers([0, 1], [0.0, 0.0]))
    evaluation.evaluate_images(pictures([0, 0]))
    assert evaluation.answered_metrics() is None
    assert dict(evaluation.summary())["not answered"] == "2 of 2"
    figures = evaluation.to_dict()
    assert (figures["n_answered"], figures["accuracy_answered"]) == (0, None)


def test_frames_that_are_not_answered_are_counted():
    pytest.importorskip("rosbags")
    evaluation = ClassificationEvaluation(Answers([], []))
    for stamp, (answer, accepted, label) in enumerate(
        [(0, True, "cat"), (1, True, "cat"), (1, False, "cow"), (2, False, None), (2, True, "cow")]
    ):
        scores = np.full(3, 0.1)
        scores[answer] = 0.8
        result = ClassificationResult(stamp, "camera", NAMES, scores, {}, accepted)
        message = image_message(np.zeros((8, 8), np.uint8), "mono8", stamp)
        evaluation.add_result(message, result, stamp)
        if label:
            evaluation.add_truth("label", classification_message([label], [1.0], stamp), stamp)
    assert evaluation.metrics().accuracy == pytest.approx(2 / 4)
    assert evaluation.answered_metrics().accuracy == pytest.approx(2 / 3)
    rows = dict(evaluation.summary())
    assert rows["accuracy, answered"] == "66.67% of 3"
    assert rows["not answered"] == "2 of 5"


def test_results_of_before_there_was_rejection_count_as_answered():
    evaluation = ClassificationEvaluation(Answers([], []))
    result = SimpleNamespace(stamp_ns=1, scores=np.array([0.8, 0.1, 0.1]))
    evaluation.add_result(None, result, 1)
    assert evaluation.not_answered == 0


SOURCES = ["b/1", "a", "b/1", "a", "a"]


def test_accuracy_per_source_by_hand():
    figures = accuracy_per_source(
        np.array(SOURCES), np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), NAMES
    )
    assert list(figures) == ["a", "b/1"]
    assert (figures["a"].n, figures["a"].right) == (3, 1)
    assert figures["a"].per_class == {"cat": (1, 0), "cow": (2, 1)}
    assert figures["b/1"].accuracy == 1.0
    assert figures["a"].to_dict() == {
        "n": 3,
        "accuracy": pytest.approx(1 / 3),
        "per_class": {
            "cat": {"n": 1, "accuracy": 0.0},
            "cow": {"n": 2, "accuracy": 0.5},
        },
    }


def test_sources_of_a_set_are_told(tmp_path):
    evaluation = ClassificationEvaluation(Answers([0, 1, 1, 2, 0], np.ones(5)))
    evaluation.evaluate_images(pictures([0, 0, 1, 2, 2], SOURCES))
    rows = dict(evaluation.summary())
    assert rows["accuracy, a"] == "33.33% of 3"
    assert rows["accuracy, b/1"] == "100.00% of 2"
    assert evaluation.to_dict()["per_source"]["a"]["n"] == 3
    pytest.importorskip("matplotlib")
    page = evaluation.write_report(tmp_path / "report", title="x", facts={})
    text = page.read_text(encoding="utf-8")
    assert "Sources" in text
    assert "b/1" in text
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["per_source"]["b/1"]["accuracy"] == 1.0


def test_a_set_without_sources_has_no_such_rows(tmp_path):
    evaluation = ClassificationEvaluation(Answers([0, 1], np.ones(2)))
    evaluation.evaluate_images(pictures([0, 0]))
    assert evaluation.to_dict()["per_source"] == {}
    assert not [name for name, _ in evaluation.summary() if name.startswith("accuracy, ")]
