"""`nn-perception train attitude` and `gyro` without data: from the simulator to a live bundle."""

import numpy as np
import pytest

from nn_perception.bundle import load_bundle
from nn_perception.cli.main import main
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.tasks.loading import open_pipeline

pytest.importorskip("torch")

SETTINGS = {
    "attitude": ["network_arguments.hidden=4", "task_arguments.chunk_s=1.0", "batch_size=4"],
    "gyro": [
        "network_arguments={channels: [4, 4], dilations: [1, 4], kernel: 3}",
        "task_arguments.increments=[16, 32]",
    ],
}


@pytest.fixture
def short(monkeypatch):
    """Let the simulator give a few seconds."""
    from nn_perception.datasets import imu_data

    def few(seeds):
        return [simulate_imu(200.0, seed, Motion(2.0)) for seed in list(seeds)[:2]]

    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr(imu_data, "simulated_recordings", few)


@pytest.mark.parametrize("task", ["attitude", "gyro"])
def test_train_without_data(short, tmp_path, task):
    """That the same seed gives the same weights is tested with each task's learning."""
    out = tmp_path / task
    words = ["train", task, "epochs=1", "compile=off", "--device", "cpu", "--out", str(out)]
    assert main([*words, *SETTINGS[task]]) == 0
    bundle = load_bundle(out, task=task)
    assert (out / "training" / "metrics.jsonl").is_file()
    pipeline = open_pipeline(bundle, device="cpu")
    sequence = simulate_imu(200.0, 9, Motion(3.0))
    if task == "attitude":
        track = pipeline.estimate(sequence)
        assert np.isfinite(track.variance_rad2).all()
        np.testing.assert_allclose(np.linalg.norm(track.orientation_xyzw, axis=1), 1.0, atol=1e-9)
        names = bundle.config.training["data"]
        assert len(names["validation_names"]) == 1
        assert not set(names["validation_names"]) & set(names["train_names"])
    else:
        assert np.isfinite(pipeline.correct(sequence).gyro_rad_s).all()
    assert bundle.config.training["data"]["source"].startswith("simulat")
