"""Real recordings against the figures that are stated beside them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_files import load_uwb_file
from nn_perception.rotations import quat_multiply

# Rows, outliers, RMSE and mean of the error without outliers in m, tags, anchors, segments.
FIGURES = {
    "drone_seq1": (3364, 31, 0.319, 0.283, 1, 4, 1),
    "drone_seq2": (3884, 27, 0.222, 0.209, 1, 4, 1),
    "drone_seq3": (3840, 12, 0.257, 0.228, 1, 4, 8),
    "drone_seq4": (2123, 6, 0.290, 0.275, 1, 4, 1),
    "drone_seq5": (5630, 1, 0.230, 0.225, 1, 4, 1),
    "rig_loop2dfast_s1": (7602, 152, 0.288, 0.234, 2, 8, 1),
    "rig_loop2d_s5": (2680, 13, 0.109, -0.091, 1, 4, 1),
    "rig_loop2dv2_s5": (3340, 10, 0.102, -0.085, 1, 4, 1),
    "rig_loop3d_s5": (1404, 6, 0.115, -0.091, 1, 4, 1),
    "trolley_mid": (55128, 1, 0.202, 0.179, 3, 8, 1),
    "trolley_static": (28797, 9, 0.209, 0.186, 3, 8, 30),
}


@lru_cache(maxsize=1)
def recording(name: str) -> UwbSequence:
    """A recording, or a visible skip."""
    variable = os.environ.get("NN_PERCEPTION_DATA")
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for root in ([Path(variable)] if variable else []) + [beside]:
        for directory in (root / "uwb", root):
            if (directory / f"{name}.csv.gz").is_file():
                return load_uwb_file(directory / f"{name}.csv.gz")
    pytest.skip(f"no {name}.csv.gz in $NN_PERCEPTION_DATA or ../shared/data/uwb")


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_are_those_written_down(name):
    given = recording(name)
    rows, outliers, rmse_m, mean_m, tags, anchors, segments = FIGURES[name]
    assert (len(given), given.outlier.sum()) == (rows, outliers)
    assert (len(given.tags), len(given.anchors)) == (tags, anchors)
    assert np.unique(given.segment).tolist() == list(range(segments))
    error_m = given.error_m[~given.outlier]
    assert np.sqrt(np.mean(error_m**2)) == pytest.approx(rmse_m, abs=1e-3)
    assert error_m.mean() == pytest.approx(mean_m, abs=1e-3)
    assert given.has_truth.all()
    assert given.source == name.split("_")[0]
    assert given.planar == (given.source == "trolley")
    assert (given.rx_power_dbm is None) == (given.source != "drone")
    oriented = [anchor.orientation_xyzw is not None for anchor in given.anchors.values()]
    assert oriented == [given.source == "drone"] * anchors


@pytest.mark.parametrize("name", ["drone_seq2", "rig_loop2dfast_s1", "trolley_static"])
def test_outliers_by_rule_are_those_of_the_file(name):
    given = recording(name)
    fields = {key: getattr(given, key) for key in given.__dataclass_fields__ if key != "outlier"}
    np.testing.assert_array_equal(UwbSequence(**fields).outlier, given.outlier)


@pytest.mark.parametrize(
    ("name", "levers"),
    [
        ("rig_loop2dfast_s1", {"tag2": (0.0, 0.207, 0.0)}),
        ("trolley_mid", {"tag1": (-0.006, 0.2825, 0.0), "tag2": (0.272, 0.287, -0.002)}),
        ("trolley_static", {"tag1": (-0.006, 0.2825, 0.0), "tag2": (0.272, 0.287, -0.002)}),
    ],
)
def test_tags_sit_on_one_rigid_body(name, levers):
    given = recording(name)
    first, *_ = given.tags.values()
    assert first == (0.0, 0.0, 0.0)
    for tag, lever in levers.items():
        assert given.tags[tag] == pytest.approx(lever, abs=1e-3)
    # Neighbouring rows of different tags agree about the place of the body.
    other = np.flatnonzero((np.diff(given.tag) != 0) & (np.diff(given.time_s) < 0.01))
    step_m = np.linalg.norm(np.diff(given.position_m, axis=0)[other], axis=1)
    assert np.median(step_m) < 0.005


def test_the_standing_trolley_stands_in_each_segment():
    given = recording("trolley_static")
    for segment in range(30):
        part = given.select(given.segment == segment)
        assert np.ptp(part.position_m, axis=0).max() < 0.01
        assert (np.diff(part.time_s) >= 0.0).all()


@pytest.mark.parametrize("name", [name for name in FIGURES if name.startswith("drone")])
def test_anchors_of_the_drone_stand_upright(name):
    """A wrong order of the columns would turn them over."""
    given = recording(name)
    assert -75.0 < np.median(given.rx_power_dbm) < -55.0
    for anchor in given.anchors.values():
        x, y, _, _ = anchor.orientation_xyzw
        tilt_deg = np.degrees(np.arccos(1.0 - 2.0 * (x * x + y * y)))  # of its z axis from up
        assert tilt_deg < 15.0


def test_these_checks_find_a_wrong_convention():
    given = recording("rig_loop2dfast_s1")
    turned = quat_multiply(given.orientation_xyzw, np.array([0.0, 0.0, 1.0, 0.0]))
    fields = {key: getattr(given, key) for key in given.__dataclass_fields__ if key != "outlier"}
    wrong = UwbSequence(**{**fields, "orientation_xyzw": turned})
    second = given.tag == 1
    assert abs(wrong.range_true_m - given.range_true_m)[second].max() > 0.3
