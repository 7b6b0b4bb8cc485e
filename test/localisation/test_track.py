"""Recordings followed with the correction in the loop: starts, restarts, bias, figures."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.errors import DatasetError
from nn_perception.localisation.range_filter import FilterSettings
from nn_perception.localisation.track import HEIGHT_SIGMA_M, Ranging, Track, fixes, follow
from nn_perception.localisation.track_figures import position_figures

ANCHORS = np.array([[x, y, z] for x in (0.0, 8.0) for y in (0.0, 6.0) for z in (0.2, 2.8)])
LEVERS = np.array([[0.2, 0.0, 0.1], [-0.2, 0.1, 0.1]])
SIGMA = 0.05


def biases(position_m, ranging):
    """A bias by the direction in which the anchor is seen from the body."""
    offset = ANCHORS[ranging.anchor] - position_m
    seen = Rotation.from_quat(ranging.orientation_xyzw).inv().apply(offset)
    return 0.2 + 0.15 * np.cos(np.arctan2(seen[:, 1], seen[:, 0]))


def recording(seed=0, seconds=20.0, rate_hz=200.0, planar=False, biased=False):
    """Return ranges of two tags and eight anchors in turn, and the body's positions."""
    draw = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    row = np.arange(len(time_s))
    up = 0.0 if planar else 0.5 * np.sin(0.6 * time_s)
    truth = np.stack(
        [4 + 2 * np.cos(0.5 * time_s), 3 + 1.5 * np.sin(0.7 * time_s), 1.2 + up + 0.0 * time_s], -1
    )
    turn = Rotation.from_rotvec(0.4 * time_s[:, None] * [0.0, 0.0, 1.0])
    tag, anchor = row % 2, (row // 2) % 8
    range_m = np.linalg.norm(truth + turn.apply(LEVERS[tag]) - ANCHORS[anchor], axis=-1)
    range_m += SIGMA * draw.standard_normal(len(row))
    ranging = Ranging(
        time_s, tag, anchor, range_m, 0 * row, ANCHORS, LEVERS, turn.as_quat()
    )  # fmt: skip
    if biased:
        ranging = ranging._replace(range_m=range_m + biases(truth, ranging))
    return ranging, truth


def as_measured(ranging):
    return lambda row, position_m: (float(ranging.range_m[row]), SIGMA)


def settings(planar=False, **others):
    return FilterSettings(height_m=1.2 if planar else None, **others)


@pytest.mark.parametrize("planar", [False, True])
def test_a_room_is_followed(planar):
    ranging, truth = recording(planar=planar)
    track = follow(ranging, as_measured(ranging), settings(planar))
    first = int(np.flatnonzero(~np.isnan(track.position_m[:, 0]))[0])
    assert ranging.time_s[first] == pytest.approx(0.5)
    assert not track.used[: first + 1].any()
    assert np.isfinite(track.position_m[first:]).all()
    figures = position_figures(track, truth, 2.0)
    assert figures["rmse_m"] < (0.04 if planar else 0.06)
    assert 0.85 < figures["nis"] < 1.05
    assert figures["used_share"] > 0.99
    assert figures["lost_share"] == 0.0
    windows = fixes(ranging, as_measured(ranging), height_m=1.2 if planar else None)
    assert figures["rmse_m"] < position_figures(windows, truth, 2.0)["rmse_m"] < 0.25


@pytest.mark.parametrize("planar", [False, True])
def test_a_correction_in_the_loop(planar):
    """The bias depends on the position: known from the filter's, it goes as if never there."""
    clean, truth = recording(planar=planar)
    biased, _ = recording(planar=planar, biased=True)
    asked = np.full((len(truth), 3), math.nan)

    def correct(row, position_m):
        asked[row] = position_m
        one = biased._replace(
            anchor=biased.anchor[row : row + 1],
            orientation_xyzw=biased.orientation_xyzw[row : row + 1],
        )
        position_m[:] = math.nan  # what is handed out is nobody else's
        return float(biased.range_m[row] - biases(asked[row], one)[0]), SIGMA

    tracks = {
        "clean": follow(clean, as_measured(clean), settings(planar)),
        "raw": follow(biased, as_measured(biased), settings(planar)),
        "corrected": follow(biased, correct, settings(planar)),
    }
    figures = {name: position_figures(each, truth, 1.0) for name, each in tracks.items()}
    assert figures["raw"]["rmse_m"] > 2.0 * figures["clean"]["rmse_m"]
    assert figures["corrected"]["rmse_m"] < 1.05 * figures["clean"]["rmse_m"]
    assert figures["corrected"]["nis"] == pytest.approx(figures["clean"]["nis"], rel=0.02)
    # It was asked with the filter's position: the last one moved on by a step, and not the truth.
    position = tracks["corrected"].position_m
    later = slice(200, None)
    assert abs(asked[later][1:] - position[later][:-1]).max() < 0.02
    assert abs(asked[later] - truth[later]).max() > 0.02
    assert abs(asked[:100] - truth[:100]).max() < 0.5  # the start's rows: with that of the fix
    windows = position_figures(fixes(biased, correct, height_m=settings(planar).height_m), truth, 1)
    plain = position_figures(fixes(clean, as_measured(clean), height_m=settings(planar).height_m),
                             truth, 1.0)  # fmt: skip
    assert windows["rmse_m"] < 1.1 * plain["rmse_m"]


def test_rows_can_be_left_out():
    ranging, truth = recording()

    def correct(row, position_m):
        return None if row % 3 == 0 else (float(ranging.range_m[row]), SIGMA)

    track = follow(ranging, correct, settings())
    assert not track.used[::3].any()
    assert np.isnan(track.residual_m[::3]).all()
    assert position_figures(track, truth, 1.0)["rmse_m"] < 0.08
    windows = fixes(ranging, correct)
    np.testing.assert_array_equal(windows.used, np.arange(len(truth)) % 3 != 0)
    nothing = follow(ranging, lambda row, position_m: None, settings())
    assert np.isnan(nothing.position_m).all()
    figures = position_figures(nothing, truth, 0.0)
    assert figures["lost_share"] == 1.0
    assert math.isnan(figures["rmse_m"])
    assert np.isnan(fixes(ranging, lambda row, position_m: None).position_m).all()


@pytest.mark.parametrize("method", [follow, fixes])
def test_segments_start_anew(method):
    """The clock may go back, and the body be elsewhere, where a new segment begins."""
    ranging, truth = recording(seconds=6.0)
    half = len(truth) // 2
    order = np.r_[half : 2 * half, 0:half]
    rows = {
        name: getattr(ranging, name)[order]
        for name in ("time_s", "tag", "anchor", "range_m", "orientation_xyzw")
    }
    joined = ranging._replace(**rows, segment=np.repeat([7, 3], half))
    track = method(joined, as_measured(joined))
    known = ~np.isnan(track.position_m[:, 0])
    if method is follow:
        assert not known[[0, 99, half, half + 99]].any()
    assert known[120:half].all()
    assert known[half + 120 :].all()
    error = np.linalg.norm(track.position_m - truth[order], axis=-1)
    assert error[known].max() < 0.6
    with pytest.raises(DatasetError, match="begin a new segment"):
        method(joined._replace(segment=0 * joined.segment), as_measured(joined))


def test_a_gap_is_a_new_start():
    ranging, truth = recording(seconds=10.0)
    keep = (ranging.time_s < 3.0) | (ranging.time_s > 6.0)
    cut = ranging._replace(
        **{
            name: getattr(ranging, name)[keep]
            for name in ("time_s", "tag", "anchor", "range_m", "orientation_xyzw", "segment")
        }
    )
    track = follow(cut, as_measured(cut), settings(max_gap_s=1.0))
    lost = np.isnan(track.position_m[:, 0]) & (cut.time_s > 3.0)
    assert cut.time_s[lost].min() == pytest.approx(6.005)
    assert cut.time_s[lost].max() == pytest.approx(6.5)
    figures = position_figures(track, truth[keep], 1.0)
    assert figures["rmse_m"] < 0.1
    assert figures["lost_share"] == pytest.approx(0.5 / (6.0 + 1.0), abs=0.01)


def test_too_few_anchors_wait():
    """Three anchors start no filter in space, where a fourth comes after 2 s it starts then."""
    ranging, _ = recording()
    few = (ranging.anchor < 3) | (ranging.time_s > 2.0)

    def correct(row, position_m):
        return float(ranging.range_m[row]), SIGMA

    cut = ranging._replace(anchor=np.where(few, ranging.anchor, ranging.anchor % 3),
                           range_m=np.where(few, ranging.range_m, math.nan))  # fmt: skip
    track = follow(cut, correct, settings())
    first = int(np.flatnonzero(~np.isnan(track.position_m[:, 0]))[0])
    assert 2.0 < cut.time_s[first] < 2.7


def test_figures():
    time_s = np.array([0.0, 1.0, 2.0, 3.0, 3.5])
    position = np.array([[math.nan] * 3, [9.0, 0, 0], [3, 0, 4], [0, 0, 0], [math.nan] * 3])
    track = Track(time_s, position, np.array([0, 0, 1, 1, 0], bool),
                  np.array([math.nan, 9.0, 0.2, 0.1, 5.0]), np.full(5, 0.1), False)  # fmt: skip
    figures = position_figures(track, np.zeros((5, 3)), 2.0)
    assert figures["rmse_m"] == pytest.approx(math.sqrt(12.5))
    assert figures["max_m"] == 5.0
    assert figures["p95_m"] == pytest.approx(4.75)
    assert figures["nis"] == pytest.approx(2.5)
    assert figures["used_share"] == pytest.approx(2 / 3)
    assert figures["lost_share"] == 0.0
    planar = position_figures(track._replace(planar=True), np.zeros((5, 3)), 2.0)
    assert planar["max_m"] == 3.0
    assert position_figures(track, np.zeros((5, 3)), 0.0)["lost_share"] == pytest.approx(1 / 3.5)


def test_recordings_are_checked():
    ranging, _ = recording(seconds=1.0)
    correct = as_measured(ranging)
    for wrong, words in (
        (ranging._replace(tag=ranging.tag[1:]), "tag has 199 rows"),
        (ranging._replace(tag=ranging.tag + 1), "expected 0 to 1"),
        (ranging._replace(anchor=ranging.anchor - 1), "anchor goes from -1 to 6"),
        (ranging._replace(time_s=ranging.time_s * math.nan), "not finite"),
    ):
        with pytest.raises(DatasetError, match=words):
            follow(wrong, correct)


def test_nothing_recorded_is_nowhere():
    ranging, _ = recording(seconds=0.0)
    for method in (follow, fixes):
        track = method(ranging, as_measured(ranging))
        assert track.position_m.shape == (0, 3)
        figures = position_figures(track, np.empty((0, 3)), 0.0)
        assert all(math.isnan(value) for value in figures.values())


def along_a_line(seconds=20.0):
    """Return ranges to anchors on one line, with heights at 20 Hz, and the body's positions."""
    ranging, truth = recording(seconds=seconds)
    draw = np.random.default_rng(5)
    anchors = np.array([[x, 0.0, 1.0] for x in np.linspace(0.0, 8.0, 8)])
    # Without levers: a tag aside makes an anchor another one.
    range_m = np.linalg.norm(truth - anchors[ranging.anchor], axis=-1)
    range_m += SIGMA * draw.standard_normal(len(truth))
    heights = truth[:, 2] + HEIGHT_SIGMA_M * draw.standard_normal(len(truth))
    heights[np.arange(len(truth)) % 10 != 0] = math.nan
    line = ranging._replace(
        anchors_m=anchors, levers_m=0.0 * LEVERS, range_m=range_m, height_m=heights
    )
    return line, truth


def test_anchors_on_a_line_take_a_height_and_a_start():
    ranging, truth = along_a_line()
    correct = as_measured(ranging)
    nowhere = follow(ranging, correct, settings(), start_m=truth[0])
    assert np.isnan(nowhere.position_m).all()
    start = truth[0] + [0.1, -0.1, 0.1]
    track = follow(ranging, correct, settings(), start_m=start, start_sigma_m=0.2)
    figures = position_figures(track, truth, 2.0)
    assert figures["rmse_m"] < 0.12
    blind = follow(
        ranging._replace(height_m=None), correct, settings(), start_m=start, start_sigma_m=0.2
    )
    assert position_figures(blind, truth, 2.0)["rmse_m"] > 2.0 * figures["rmse_m"]


def test_a_start_that_is_worse_than_a_fix_is_not_taken():
    ranging, truth = recording()
    far = truth[0] + [3.0, 2.0, 0.0]
    track = follow(ranging, as_measured(ranging), settings(), start_m=far, start_sigma_m=5.0)
    first = int(np.flatnonzero(~np.isnan(track.position_m[:, 0]))[0])
    assert np.linalg.norm(track.position_m[first] - truth[first]) < 0.8
    sure = follow(ranging, as_measured(ranging), settings(), start_m=far, start_sigma_m=1e-3,
                  start_window_s=0.001)  # fmt: skip
    np.testing.assert_array_equal(sure.position_m[1], far)


def test_a_height_makes_three_anchors_enough():
    ranging, truth = recording()
    three = ranging._replace(anchors_m=ANCHORS[[0, 2, 5]], anchor=ranging.anchor % 3)
    levers = Rotation.from_quat(ranging.orientation_xyzw).apply(LEVERS[ranging.tag])
    exact = np.linalg.norm(truth + levers - three.anchors_m[three.anchor], axis=-1)
    three = three._replace(range_m=exact, height_m=truth[:, 2].copy())
    for method in (follow, fixes):
        track = method(three, as_measured(three))
        figures = position_figures(track, truth, 1.0)
        # What is held is as old as a window's half.
        assert figures["rmse_m"] < (0.02 if method is follow else 0.5)
        assert figures["lost_share"] == 0.0
        assert not track.planar


def test_heights_are_checked():
    ranging, truth = recording(seconds=1.0)
    with pytest.raises(DatasetError, match="height_m has 3 rows"):
        follow(ranging._replace(height_m=truth[:3, 2]), as_measured(ranging))
