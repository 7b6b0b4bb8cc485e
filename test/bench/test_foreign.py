"""The benchmark of calibration and rejection, with stand-ins for models and data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.bench import BenchSettings
from nn_perception.bench import foreign as bench
from nn_perception.datasets.arrays import ImageSet
from nn_perception.errors import DatasetError
from nn_perception.evaluation.foreign import ForeignEvaluation, ForeignFigures
from nn_perception.tasks.classification import softmax


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_probabilities_at_temperature_one_come_back(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0.0, 9.0, (200, 10))
    back = bench.uncalibrated(softmax(logits, temperature), temperature)
    np.testing.assert_allclose(back, softmax(logits), rtol=1e-9, atol=1e-300)


def test_calibration_before_and_after() -> None:
    """Answers of 0.5 that are always right: an error of a half; at T = 1 they were surer."""
    scores = np.tile([0.5, 0.25, 0.25], (10, 1))
    pipeline = SimpleNamespace(
        bundle=SimpleNamespace(
            labels=("a", "b", "c"), config=SimpleNamespace(calibration={"temperature": 2.0})
        ),
        classify=lambda images: scores,
    )
    known = ImageSet.create(
        np.zeros((10, 4, 4), np.uint8), np.zeros(10, np.int64), ("a", "b", "c"), "x"
    )
    (row,) = bench.calibration("m", pipeline, known)
    assert row.value == pytest.approx(50.0)
    assert row.passed is False
    # 0.5 ** 2 : 0.25 ** 2 is 4 : 1 : 1, so that the answer had 2 / 3.
    assert "33.33% at T = 1" in row.detail


def test_rejection_is_judged_by_the_mean() -> None:
    sets = {
        "easy": ForeignFigures(np.zeros(3), 1.0, 0.0, 0.0),
        "hard": ForeignFigures(np.zeros(4), 0.9, 0.08, None),
    }
    rows = bench.rejection("m", ForeignEvaluation(np.ones(5), None, sets))
    assert [row.value for row in rows] == [0.0, 8.0, 4.0]
    assert [row.passed for row in rows] == [None, None, True]
    assert "AUROC 90.00%" in rows[1].detail


def test_data_must_be_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    with pytest.raises(DatasetError, match="got no --data"):
        bench.run(BenchSettings(work=tmp_path), lambda text: None)
    for part in (bench.DIGITS, bench.CAMERA, bench.ROAD4):
        with pytest.raises(DatasetError, match=r"needs digits, .*road4.npz, camera"):
            bench.run(BenchSettings(work=tmp_path, data=tmp_path), lambda text: None)
        (tmp_path / part).mkdir(parents=True)
    for named in (tmp_path, tmp_path / "digits"):
        assert bench._data_root(BenchSettings(work=tmp_path, data=named)) == tmp_path


def test_paths_of_sets_lie_below_the_data() -> None:
    root = Path("/data")
    texts = [bench._below(root, text) for text in ("letters", "textures:camera", "objects/a.npz")]
    assert texts == ["letters", "textures:/data/camera", "/data/objects/a.npz"]
