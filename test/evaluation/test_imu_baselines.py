"""Baselines on simulated data, and on the recordings whose figures are published beside them."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.imu_files import EUROC_TRAIN, load_broad, load_euroc_tumvi
from nn_perception.datasets.imu_simulator import simulate_imu
from nn_perception.errors import ConfigError
from nn_perception.evaluation.imu_baselines import (
    attitude_baselines,
    bias_at_rest,
    gyro_baselines,
    vqf_told_delay,
)
from nn_perception.evaluation.imu_metrics import align_heading, attitude_figures, rotation_figures

EUROC_BIAS = [-0.00227, 0.02232, 0.07834]  # stated beside the recordings


def recording(folder: str, name: str) -> Path:
    """A shared recording, or a visible skip."""
    variable = os.environ.get("NN_PERCEPTION_DATA")
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for root in ([Path(variable)] if variable else []) + [beside]:
        for path in (root / folder / f"{name}.npz", root / f"{name}.npz"):
            if path.is_file():
                return path
    pytest.skip(f"no {name}.npz in $NN_PERCEPTION_DATA or ../shared/data/{folder}")


def inclination(method, sequence) -> float:
    aligned = align_heading(method(sequence), sequence)
    return attitude_figures(aligned, sequence)["inclination_rms_deg"]


@pytest.mark.parametrize(
    ("trial", "vqf", "riann", "total"),
    [
        ("02_undisturbed_slow_rotation_B", 0.43, 0.63, 4.13),
        ("32_disturbed_attached_magnet_1cm", 0.56, 0.63, 4.17),
    ],
)
def test_broad_gives_the_published_figures(trial, vqf, riann, total):
    pytest.importorskip("vqf")
    pytest.importorskip("riann")
    sequence = load_broad(recording("attitude", trial))
    found, left_out = attitude_baselines()
    assert not left_out
    assert inclination(found["vqf"], sequence) == pytest.approx(vqf, abs=0.006)
    assert inclination(found["riann"], sequence) == pytest.approx(riann, abs=0.006)
    aligned = align_heading(found["constant_bias"](sequence), sequence)
    assert attitude_figures(aligned, sequence)["total_rms_deg"] == pytest.approx(total, rel=0.05)
    assert inclination(vqf_told_delay, sequence) < vqf + 0.006


@pytest.mark.parametrize(
    ("name", "raw", "corrected"),
    [("euroc_MH_01_easy", 117.1, 8.26), ("euroc_V2_03_difficult", 100.9, 3.05)],
)
def test_euroc_gives_the_published_open_loop_errors(name, raw, corrected):
    assert name in EUROC_TRAIN
    sequence = load_euroc_tumvi(recording("imu", name))
    found, _ = gyro_baselines(EUROC_BIAS)
    for method, expected in (("gyro_integration", raw), ("constant_bias", corrected)):
        figures = rotation_figures(found[method](sequence), sequence)
        assert figures["orientation_rms_deg"] == pytest.approx(expected, rel=0.01)


def test_published_filters_follow_a_simulated_sensor():
    pytest.importorskip("vqf")
    pytest.importorskip("riann")
    sequence = simulate_imu(200.0, seed=5)
    found, _ = attitude_baselines()
    assert inclination(found["vqf"], sequence) < 1.5
    assert inclination(found["riann"], sequence) < 4.0


def test_a_missing_package_is_left_out_with_its_reason(monkeypatch):
    real = importlib.import_module

    def missing(name, *rest):
        if name.startswith("vqf"):
            raise ImportError(f"No module named '{name}'")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    found, left_out = attitude_baselines()
    assert "vqf" not in found
    assert {"gyro_integration", "constant_bias"} <= set(found)
    assert "pip install vqf" in left_out["vqf"]


def test_without_a_constant_bias_that_baseline_is_left_out(perfect):
    found, left_out = gyro_baselines(None)
    assert "constant_bias" not in found
    assert "constant_gyro_bias_rad_s" in left_out["constant_bias"]
    for wrong in ([0.1, 0.2], ["a", "b", "c"], [0.1, 0.2, float("nan")]):
        with pytest.raises(ConfigError, match="expected three numbers"):
            gyro_baselines(wrong)


def test_the_bias_is_taken_at_rest_only(perfect):
    bias = np.array([0.01, -0.02, 0.03])
    rests = replace(perfect, gyro_rad_s=perfect.gyro_rad_s + bias)
    np.testing.assert_allclose(bias_at_rest(rests), bias, atol=1e-12)
    first = int(np.argmax(perfect.movement))
    assert not bias_at_rest(rests.slice(first + 200, len(rests))).any()
    found, _ = attitude_baselines()
    assert (
        inclination(found["constant_bias"], rests)
        < 1.0
        < 5.0 * inclination(found["gyro_integration"], rests)
    )


def test_vqf_for_a_gyroscope_gets_the_rate_after_the_constant_bias(perfect):
    pytest.importorskip("vqf")
    bias = np.deg2rad([3.0, -4.0, 5.0])  # more than VQF takes off by itself
    wrong = replace(perfect, gyro_rad_s=perfect.gyro_rad_s + bias)
    told, _ = gyro_baselines(bias)
    np.testing.assert_allclose(
        told["vqf"](wrong), gyro_baselines([0.0, 0.0, 0.0])[0]["vqf"](perfect), atol=1e-9
    )
