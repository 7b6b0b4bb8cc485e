from __future__ import annotations

import pytest

from nn_perception import bench
from nn_perception.bench import BenchSettings, imu_replaying
from nn_perception.datasets.imu_bags import read_imu_bag

pytest.importorskip("rosbags")


def test_it_is_listed():
    assert bench.load("imu-replay") is imu_replaying.run


def test_without_a_model_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(imu_replaying, "shipped_model", lambda name: tmp_path / name)
    said = []
    assert imu_replaying.run(BenchSettings(work=tmp_path), said.append) == []
    assert "--model" in said[0]


def test_the_bag_is_one_of_the_stated_rate(tmp_path):
    for _ in range(2):  # the second run replaces the first one's
        sequence = read_imu_bag(imu_replaying.record(tmp_path / "bag", 3.0))
    assert sequence.rate_hz == pytest.approx(200.0)
    assert sequence.duration_s == pytest.approx(3.0)
    assert sequence.has_truth.all()
