from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.errors import DatasetError
from nn_perception.evaluation import imu_evaluation
from nn_perception.evaluation.attitude import AttitudeEvaluation
from nn_perception.evaluation.gyro import GyroEvaluation
from nn_perception.evaluation.imu_baselines import vqf_orientation


@pytest.fixture
def delayed(perfect):
    """The truth of 10 ms earlier belongs to the readings."""
    kept = perfect.slice(2, len(perfect))
    truth = perfect.orientation_xyzw[:-2]
    return replace(
        kept, name="late", orientation_xyzw=perfect.orientation_xyzw[2:], sensor_delay_s=0.01,
        gyro_rad_s=perfect.gyro_rad_s[:-2], accel_m_s2=perfect.accel_m_s2[:-2],
    ), truth  # fmt: skip


def test_an_attitude_is_judged_beside_the_baselines(perfect, strapdown):
    pytest.importorskip("vqf")
    start = Rotation.from_rotvec([0, 0, 1.0]) * Rotation.from_quat(perfect.orientation_xyzw[0])
    evaluation = AttitudeEvaluation(strapdown(start.as_quat()))
    progress = []
    evaluation.evaluate_sequences([perfect, replace(perfect, name="again")], progress.append)
    assert progress == [len(perfect)] * 2
    figures = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert figures["recordings"] == 2
    for name in ("inclination_rms_deg", "heading_rms_deg", "total_rms_deg"):
        assert set(figures[name]["per_sequence"]) == {perfect.name, "again"}
        assert figures[name]["mean"] < 0.7
        assert 0.01 < figures["baselines"]["vqf"][name]["mean"] < 5.0
    assert "without_delay" not in figures
    assert "vqf_with_delay" not in figures["baselines"]
    expected = figures["inclination_rms_deg"]["mean"] ** 2 * math.radians(1) ** 2 / 2e-4
    assert figures["normalised_error"]["inclination"]["mean"] == pytest.approx(expected)
    rows = dict(evaluation.summary())
    assert rows["recordings"] == f"2, {2 * len(perfect):,} samples"
    assert rows["this model"].startswith(f"{figures['inclination_rms_deg']['mean']:.3g} / ")


def test_the_headline_knows_the_delay_and_the_other_figure_does_not(delayed, strapdown):
    pytest.importorskip("vqf")
    sequence, start = delayed
    evaluation = AttitudeEvaluation(strapdown(start[0]))
    evaluation.evaluate_sequences([sequence])
    figures = evaluation.to_dict()
    told, untold = figures["total_rms_deg"]["mean"], figures["without_delay"]["total_rms_deg"]
    assert told < untold["mean"] / 2.0
    vqf = figures["baselines"]["vqf"]["inclination_rms_deg"]["mean"]
    assert figures["baselines"]["vqf_with_delay"]["inclination_rms_deg"]["mean"] < vqf
    assert "this model, not told the delay" in dict(evaluation.summary())


def test_a_gyroscope_is_judged_by_where_its_rate_leads(perfect, strapdown):
    bias = np.array([0.01, 0.02, -0.03])
    biased = replace(perfect, gyro_rad_s=perfect.gyro_rad_s + bias)
    pipeline = strapdown(bias_rad_s=bias)
    pipeline.bundle.config.calibration["constant_gyro_bias_rad_s"] = (bias * 0.9).tolist()
    evaluation = GyroEvaluation(pipeline)
    evaluation.evaluate_sequences([biased])
    figures = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    means = {name: figures[name]["mean"] for name in evaluation.names}
    assert set(means) == {"orientation_rms_deg", "relative_1s_rms_deg", "relative_10s_rms_deg"}
    others = {
        name: figures["baselines"][name]["orientation_rms_deg"]["mean"]
        for name in ("constant_bias", "gyro_integration")
    }
    assert means["orientation_rms_deg"] < others["constant_bias"] < others["gyro_integration"] / 5.0
    assert "normalised_error" not in figures
    pipeline.bundle.config.calibration.clear()
    evaluation.evaluate_sequences([biased])
    assert "constant_bias" not in evaluation.to_dict()["baselines"]
    assert "constant_bias" in evaluation.to_dict()["baselines_left_out"]


def test_the_corrector_runs_from_the_first_sample_also_before_the_truth(perfect, strapdown):
    truth = perfect.orientation_xyzw.copy()
    truth[:700] = np.nan
    seen = []

    class Watched(strapdown):
        def correct(self, sequence):
            seen.append(len(sequence))
            return super().correct(sequence)

    evaluation = GyroEvaluation(Watched())
    evaluation.evaluate_sequences([replace(perfect, orientation_xyzw=truth)])
    assert seen == [len(perfect)]
    outcome = evaluation.outcomes[perfect.name]
    assert np.isnan(outcome.orientation_xyzw[:700]).all()


def test_data_come_from_a_directory_and_unreadable_ones_are_named(tmp_path, perfect, strapdown):
    pytest.importorskip("rosbags")
    write_imu_bag(perfect, tmp_path / "data" / "flight")
    evaluation = AttitudeEvaluation(strapdown(perfect.orientation_xyzw[0]))
    evaluation.evaluate_data(tmp_path / "data")
    assert set(evaluation.outcomes) == {"flight"}
    assert evaluation.source == "data"
    (tmp_path / "data" / "broken.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"broken\.npz"):
        evaluation.evaluate_data(tmp_path / "data")


def test_without_truth_there_is_an_error_that_names_the_recording(perfect, strapdown):
    evaluation = AttitudeEvaluation(strapdown())
    with pytest.raises(DatasetError, match=f"{perfect.name}: no true orientation"):
        evaluation.evaluate_sequences([replace(perfect, orientation_xyzw=None)])
    assert dict(evaluation.summary())["inclination"].startswith("unknown")
    assert evaluation.to_dict()["inclination_rms_deg"] is None
    for write in (
        evaluation.write_tum,
        lambda path: evaluation.write_report(path, title="", facts={}),
    ):
        with pytest.raises(DatasetError, match="nothing has a true orientation"):
            write(None)


def test_the_page_and_the_trajectories(tmp_path, perfect, strapdown, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("vqf")
    vqf = lambda: ({"vqf": vqf_orientation}, {})  # noqa: E731
    monkeypatch.setattr(AttitudeEvaluation, "baselines", lambda self: vqf())
    evaluation = AttitudeEvaluation(strapdown(perfect.orientation_xyzw[0]))
    sequences = [
        replace(perfect, name=name, gyro_rad_s=perfect.gyro_rad_s + bias)
        for name, bias in (("a<b>", 0.0), ("b", 0.002), ("c", 0.004), ("d", 0.006))
    ]
    evaluation.evaluate_sequences(sequences)
    page = evaluation.write_report(tmp_path, title="Test", facts={"bundle": "x"})
    text = page.read_text(encoding="utf-8")
    assert "a&lt;b&gt;" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "error_over_time.png", "shares_of_errors.png", "up_in_the_sensor_s_frame.png",
    }  # fmt: skip
    figures = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert figures["inclination_rms_deg"] == evaluation.to_dict()["inclination_rms_deg"]
    monkeypatch.setattr(imu_evaluation, "write_tum", lambda path, *_: path)
    names = {path.name for path in evaluation.write_tum(tmp_path)}
    assert {"b_estimate.tum", "b_truth.tum"} <= names
    assert len(names) == 8
