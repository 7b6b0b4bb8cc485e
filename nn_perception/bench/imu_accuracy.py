"""Figures of the inertial tasks on recordings that were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.trained import trained
from nn_perception.datasets.imu_data import load_imu_data
from nn_perception.datasets.imu_files import BROAD_FOLDS, broad_trial, select
from nn_perception.errors import DatasetError
from nn_perception.evaluation.attitude import AttitudeEvaluation
from nn_perception.evaluation.gyro import GyroEvaluation
from nn_perception.evaluation.imu_outcome import Outcome
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.run import resolve_config

INCLINATION_GOAL_DEG, WORSE_THAN_VQF_DEG = 0.60, 0.3
OPEN_LOOP_GOALS_DEG = {"euroc_V1_01_easy": 1.1, "euroc_V2_02_medium": 2.5}
_INCLINATION = "inclination_rms_deg"


def attitude(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Cross-validate on BROAD: six trainings, each judged on the trials it never saw."""
    data = _folder(settings.data, "attitude")
    trials = {broad_trial(s.name): s for s in load_imu_data(data)}
    found: dict[str, Outcome] = {}
    for fold, numbers in enumerate(BROAD_FOLDS):
        pipeline: Any = open_pipeline(_trained(fold, settings, say), device="cpu")
        left_out = [trials[number] for number in numbers]
        outcomes = AttitudeEvaluation(pipeline).evaluate_sequences(left_out)
        for name, outcome in outcomes.items():
            ours, vqf = (f[_INCLINATION] for f in (outcome.figures, outcome.baselines["vqf"]))
            say(f"fold {fold}: {name}: {ours:.3f} deg, VQF {vqf:.3f}")
        found.update(outcomes)
    return _attitude_rows(list(found.values()))


def _trained(fold: int, settings: BenchSettings, say: Callable[[str], None]) -> Path:
    arguments: dict[str, Any] = {"fold": fold}
    config = resolve_config("attitude", {}, {"task_arguments": arguments})
    out = settings.work / f"attitude-fold{fold}"
    return trained("attitude", config, settings.data, out, say, f"fold {fold}")


def _attitude_rows(outcomes: list[Outcome]) -> list[Measurement]:
    def mean(figures: Callable[[Outcome], dict[str, float] | None]) -> float:
        return float(np.mean([(figures(o) or {}).get(_INCLINATION, np.nan) for o in outcomes]))

    def normalised(kind: str) -> float:
        return float(np.mean([outcome.normalised[kind] for outcome in outcomes]))

    ours = mean(lambda o: o.figures)
    rivals = ", ".join(
        f"{words} {mean(lambda o, name=name: o.baselines[name]):.3f}"  # type: ignore[misc]
        for name, words in (("vqf", "VQF"), ("vqf_with_delay", "VQF told it"), ("riann", "RIANN"))
    )
    worse = max(o.figures[_INCLINATION] - o.baselines["vqf"][_INCLINATION] for o in outcomes)
    inclination, heading = normalised("inclination"), normalised("heading")
    return [
        Measurement(
            "BROAD, inclination RMS in motion, mean over left-out trials",
            round(ours, 4),
            "deg",
            f"≤ {INCLINATION_GOAL_DEG}",
            ours <= INCLINATION_GOAL_DEG,
            f"6-fold over {len(outcomes)} trials, told the recordings' 4.1 ms delay; not told: "
            f"{mean(lambda o: o.without_delay):.3f}; in the same run {rivals}",
        ),
        Measurement(
            "the same, worst trial beside VQF",
            round(worse, 4),
            "deg",
            f"≤ {WORSE_THAN_VQF_DEG} worse",
            worse <= WORSE_THAN_VQF_DEG,
            "difference of the RMS of one trial; below 0: better on every trial",
        ),
        Measurement(
            "the same, squared inclination error over its stated variance",
            round(inclination, 3),
            "",
            "0.8 to 1.2",
            0.8 <= inclination <= 1.2,
            f"mean over trials; 1: calibrated; heading: {heading:.2f}",
        ),
    ]


def gyro(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Integrate the corrected rate of EuRoC's test sequences with the shipped bundle."""
    data = _folder(settings.data, "imu")
    sequences = select(load_imu_data(data), tuple(OPEN_LOOP_GOALS_DEG))
    bundle = settings.model or shipped_model("gyro")
    pipeline: Any = open_pipeline(bundle, device="cpu")
    rows = []
    for name, outcome in GyroEvaluation(pipeline).evaluate_sequences(sequences).items():
        goal, figure = OPEN_LOOP_GOALS_DEG[name], outcome.figures["orientation_rms_deg"]
        rivals = ", ".join(
            f"{rival} {figures['orientation_rms_deg']:.2f}"
            for rival, figures in outcome.baselines.items()
        )
        rows.append(
            Measurement(
                f"{name}, open-loop orientation RMS",
                round(figure, 3),
                "deg",
                f"≤ {goal}",
                figure <= goal,
                f"corrected rate integrated from the first true orientation; {rivals}",
            )
        )
    return rows


def _folder(data: Path | None, name: str) -> Path:
    if data is None:
        raise DatasetError(f"this benchmark needs recordings: give --data DIR, with {name}/ in it")
    return data / name if (data / name).is_dir() else data
