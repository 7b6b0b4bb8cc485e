"""Folds of the tasks: whole recordings, each held out once, and nothing else of them learnt."""

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from pathlib import Path

from nn_perception.datasets import imu_data, recorded
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.errors import DatasetError
from nn_perception.tasks.attitude.data import load_tracks
from nn_perception.tasks.digits import learning as digits
from nn_perception.tasks.uwb import data as uwb
from nn_perception.training.config import TrainingConfig
from nn_perception.training.folds import Fold


def test_attitude_holds_out_whole_trials(monkeypatch, tmp_path):
    names = ["07_slow", "07_again", "08_fast", "09_long", "walk.000", "walk.001"]
    motion = Motion(3.0, rest_s=(0.5, 1.0), move_s=(1.0, 2.0))
    found = [
        dataclasses.replace(simulate_imu(100.0, seed, motion), name=name)
        for seed, name in enumerate(names)
    ]
    monkeypatch.setattr(imu_data, "read_recordings", lambda path: found)
    held = []
    for fold in range(3):
        data = load_tracks(tmp_path, -1, Fold(3, fold, 0))
        own = {track.name for track in data.validation}
        assert not own & {track.name for track in data.train}
        assert own | {track.name for track in data.train} == set(names)
        assert ("07_slow" in own) == ("07_again" in own)
        assert ("walk.000" in own) == ("walk.001" in own)
        held += own
    assert sorted(held) == sorted(names)
    left = load_tracks(tmp_path, 0, Fold(2, 0, 0))  # trial 8 is kept for the test
    assert left.left_out == ("08_fast",)
    assert "08_fast" not in {track.name for track in (*left.train, *left.validation)}
    with pytest.raises(DatasetError, match="ask for 4 folds"):
        load_tracks(tmp_path, -1, Fold(5, 0, 0))


def test_uwb_holds_out_whole_flights(monkeypatch):
    flights = [
        dataclasses.replace(simulate_uwb(seed, duration_s=4.0), name=f"flight{seed}")
        for seed in range(4)
    ]
    monkeypatch.setattr(uwb, "training_uwb", lambda data: flights)
    whole = uwb.load_ranges(None, "", (), {}, 0.1)
    assert whole.validation is None
    learned: set[str] = set()
    for fold in range(2):
        data = uwb.load_ranges(None, "", (), {}, 0.1, cross=Fold(2, fold, 0))
        assert len(data.sequences) == 2
        assert len(data.rows) + len(data.validation) == len(whole.rows)
        own = {s.name for s in data.sequences}
        assert not own & learned
        learned |= own
    assert learned == {f.name for f in flights}


def test_pictures_of_a_recording_stay_together(monkeypatch, tmp_path):
    """Of a data set from bags; a set that only says where pictures are from is stratified."""
    draw = np.random.RandomState(0)
    labels = np.arange(60) % 10
    sources = np.array([f"bag{i // 20}" for i in range(60)])
    images = draw.randint(0, 100, (60, 28, 28, 1)).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    data = ImageSet.create(images, labels, names, "made up", sources=sources)
    monkeypatch.setattr(digits, "load_training_digits", lambda path: data)

    def held_out(path, fold, folds=3):
        config = TrainingConfig(network="mlp", folds=folds, fold=fold)
        learning = digits.DigitLearning(config, path)
        pictures = learning._validation[0].numpy()[:, 0]
        found = [np.flatnonzero((images[..., 0] == one).all((1, 2)))[0] for one in pictures]
        return sorted(found)

    (tmp_path / recorded.DATASET_FILE).write_text(json.dumps({}))
    held = [held_out(tmp_path, fold) for fold in range(3)]
    assert sorted(i for part in held for i in part) == list(range(60))
    assert all(len({sources[i] for i in part}) == 1 for part in held)
    mixed = held_out(Path("x.npz"), 0)
    assert len({sources[i] for i in mixed}) == 3
    assert sorted(np.bincount(labels[mixed])) == [2] * 10
    with pytest.raises(DatasetError, match="ask for 3 folds"):
        held_out(tmp_path, 0, folds=4)
