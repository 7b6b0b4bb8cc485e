"""Recordings to rows: bins, rooms, what is left out, and thinning."""

import dataclasses

import numpy as np
import pytest

from nn_perception.datasets.uwb import Anchor, UwbSequence
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.tasks.uwb.data import gather_ranges, load_ranges, piece_of_time, thin

FAR = (10.0, 0.0, 0.0)


def recording(time_s, anchor, error_m, name="hand", **changes):
    """A body that moves along x, with anchors at its ends."""
    x = 1.0 + np.asarray(time_s)
    true = np.where(np.asarray(anchor) == 0, x, 10.0 - x)
    given = {
        "name": name,
        "time_s": time_s,
        "tag": np.zeros(len(x), int),
        "anchor": anchor,
        "range_m": true + error_m,
        "anchors": {"a": Anchor((0.0, 0.0, 0.0)), "b": Anchor(FAR)},
        "tags": {"tag0": (0.0, 0.0, 0.0)},
        "position_m": np.column_stack([x, 0.0 * x, 0.0 * x]),
        "orientation_xyzw": np.tile([0.0, 0.0, 0.0, 1.0], (len(x), 1)),
        "source": "test",
    }
    return UwbSequence(**{**given, **changes})


def times_of(rows, sequence):
    """When the rows were measured: a flight is at no place twice."""
    when = {tuple(p): t for p, t in zip(sequence.tag_position_m, sequence.time_s, strict=True)}
    return np.array([when[tuple(place)] for place in rows.tag_m])


def test_a_bin_is_the_mean_of_a_pairs_errors():
    time_s = [0.0, 0.03, 0.06, 0.09, 0.11, 0.16]
    found = gather_ranges(
        [recording(time_s, [0, 0, 1, 0, 0, 1], [0.1, 0.2, -0.4, 0.6, 0.5, 0.7])], 0.1, {}
    )
    rows = found.rows
    order = np.lexsort([rows.tag_m[:, 0], rows.anchor])
    rows = rows.take(order)
    np.testing.assert_array_equal(rows.anchor, [0, 0, 1, 1])
    np.testing.assert_allclose(rows.error_m, [0.3, 0.5, -0.4, 0.7], atol=1e-12)
    np.testing.assert_array_equal(rows.count, [3, 1, 1, 1])
    np.testing.assert_allclose(rows.tag_m[:, 0], [1.03, 1.11, 1.06, 1.16])
    np.testing.assert_array_equal(rows.anchor_m, [[0, 0, 0]] * 2 + [FAR] * 2)
    assert (found.site, found.tags, found.anchors, found.rooms) == (
        "test",
        ("tag0",),
        ("a", "b"),
        1,
    )


def test_outliers_and_rows_without_truth_are_left_out():
    time_s = np.arange(6) * 0.01
    given = recording(time_s, [0] * 6, [0.1, 0.2, 5.0, 0.3, 0.4, 0.0])
    position, turn, measured = (
        getattr(given, name).copy() for name in ("position_m", "orientation_xyzw", "range_m")
    )
    position[3], turn[3], measured[4] = np.nan, np.nan, np.nan
    given = dataclasses.replace(
        given, position_m=position, orientation_xyzw=turn, range_m=measured, outlier=None
    )
    given = dataclasses.replace(given, outlier=given.outlier | (time_s == 0.05))
    rows = gather_ranges([given], 1.0, {}).rows
    np.testing.assert_allclose(rows.error_m, [0.15], atol=1e-12)
    np.testing.assert_array_equal(rows.count, [2])


def test_without_any_truth_there_is_nothing():
    blind = recording([0.0, 0.1], [0, 1], 0.0, position_m=np.full((2, 3), np.nan),
                      orientation_xyzw=np.full((2, 4), np.nan))  # fmt: skip
    with pytest.raises(DatasetError, match=r"hand has a true pose.*truth/pose"):
        gather_ranges([blind], 0.1, {})


def at(*moved):
    """A recording whose second anchor stands elsewhere."""
    return recording([0.0, 1.0], [0, 0], 0.0, anchors={"a": Anchor((0.0, 0.0, 0.0)),
                     "b": Anchor(tuple(np.add(FAR, moved)))})  # fmt: skip


def test_rooms_are_known_by_their_anchors():
    alone = {"c": Anchor((0.0, 0.0, 0.0)), "d": Anchor(FAR)}
    found = gather_ranges(
        [
            at(0.0, 0.0, 0.0),
            at(0.0, 0.04, 0.0),
            at(0.0, 0.06, 0.0),
            recording([0.0, 1.0], [0, 0], 0.0, anchors=alone),
            at(0.0, 0.0, -0.02),
        ],
        0.1,
        {},
    )
    assert found.rooms == 3
    np.testing.assert_array_equal(found.rows.room, [0, 0, 0, 0, 1, 1, 2, 2, 0, 0])
    assert found.anchors == ("a", "b", "c", "d")
    np.testing.assert_array_equal(found.rows.anchor, [0] * 6 + [2] * 2 + [0] * 2)


def test_anchors_of_a_room_may_be_added():
    """The third recording shares an anchor with the second only."""
    places = {"a": Anchor((0.0, 0.0, 0.0)), "b": Anchor(FAR), "c": Anchor((0.0, 5.0, 0.0))}
    found = gather_ranges(
        [
            recording([0.0], [0], 0.0, anchors={name: places[name] for name in names})
            for names in ("ab", "bc", "ca")
        ],
        0.1,
        {},
    )
    assert found.rooms == 1


def test_a_recording_without_truth_adds_no_room():
    blind = recording([0.0], [0], 0.0, position_m=np.full((1, 3), np.nan),
                      orientation_xyzw=np.full((1, 4), np.nan),
                      anchors={"c": Anchor(FAR)})  # fmt: skip
    found = gather_ranges([blind, recording([0.0], [0], 0.0, name="seen")], 0.1, {})
    assert found.rooms == 1
    np.testing.assert_array_equal(found.rows.room, [0])


@pytest.fixture
def flights(recordings):
    """Two recordings of one room; with their times, odd beside bins and fifths."""
    found = [simulate_uwb(seed, site=5, duration_s=11.03, anchors=3) for seed in (5, 6)]
    recordings(*found)
    return found


def load(leave_out=(), until=None, fold=-1, bin_s=0.1, site=""):
    return load_ranges(None, site, leave_out, until or {}, bin_s, fold)


def test_all_is_loaded(flights):
    found = load()
    counted = sum((~flight.outlier).sum() for flight in flights)
    assert found.rows.count.sum() == counted
    assert found.rooms == 1
    assert [s.name for s in found.sequences] == ["simulated_5", "simulated_6"]


def test_what_is_left_out_is_left_out(flights):
    found = load(leave_out=["simulated_5"])
    assert [s.name for s in found.sequences] == ["simulated_6"]
    assert found.rows.count.sum() == (~flights[1].outlier).sum()
    times_of(found.rows, flights[1])  # a KeyError where a row is of another flight


def test_nothing_after_the_end_is_used(flights):
    found = load(leave_out=["simulated_5"], until={"simulated_6": 0.37})
    times = times_of(found.rows, flights[1])
    end = 0.37 * flights[1].duration_s
    assert end - 0.2 < times.max() <= end
    early = flights[1].time_s <= end
    assert found.rows.count.sum() == (early & ~flights[1].outlier).sum()
    assert found.until == {"simulated_6": 0.37}


@pytest.mark.parametrize("bin_s", [0.1, 0.7])
@pytest.mark.parametrize("fold", range(5))
def test_nothing_of_a_fold_is_used(flights, fold, bin_s):
    flight = flights[1]
    share = flight.time_s / flight.duration_s
    away = (share > 0.2 * fold) & (share <= 0.2 * (fold + 1)) | (share == 0.0) & (fold == 0)
    assert 0.15 < away.mean() < 0.25
    np.testing.assert_array_equal(away, piece_of_time(flight) == fold)
    found = load(leave_out=["simulated_5"], fold=fold, bin_s=bin_s)
    assert not np.isin(times_of(found.rows, flight), flight.time_s[away]).any()
    assert found.rows.count.sum() == (~away & ~flight.outlier).sum()
    assert fold not in found.rows.block


@pytest.mark.parametrize("fold", range(5))
def test_errors_of_a_fold_change_nothing(recordings, fold):
    """Not even those in a bin that lies across the border."""
    flight = simulate_uwb(5, duration_s=11.03, anchors=3)
    away = piece_of_time(flight) == fold
    other = dataclasses.replace(flight, range_m=flight.range_m + np.where(away, 0.2, 0.0))
    found = []
    for each in (flight, other):
        recordings(dataclasses.replace(each, outlier=flight.outlier))
        found.append(load(fold=fold, bin_s=0.5).rows)
    np.testing.assert_allclose(found[0].error_m, found[1].error_m, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"leave_out": ["simulated_55"]}, "no recording 'simulated_55'.*did you mean 'simulated_"),
        ({"until": {"simulate_6": 0.5}}, "no recording 'simulate_6'.*did you mean 'simulated_6'"),
        ({"until": {"simulated_6": 0.0}}, "simulated_6: until is 0.0, expected above 0 to 1"),
        ({"until": {"simulated_6": 1.1}}, "until is 1.1"),
        ({"leave_out": ["simulated_5", "simulated_6"]}, "every recording is left out"),
        ({"site": "moon"}, "no recording comes from .moon."),
    ],
)
def test_wrong_choices_are_refused(flights, arguments, said):
    with pytest.raises(DatasetError, match=said):
        load(**arguments)


@pytest.mark.parametrize("fold", [-2, 5, 7])
def test_a_fold_that_is_none_is_refused(fold):
    """It would remove nothing, and a test on it would be on what was trained on."""
    pytest.importorskip("torch")
    from nn_perception.tasks.uwb.learning import UwbTraining

    with pytest.raises(ConfigError, match=f"fold {fold}"):
        UwbTraining(fold=fold)


def test_one_site_of_several_has_to_be_chosen(recordings):
    drone = dataclasses.replace(simulate_uwb(1, duration_s=2.0), source="drone")
    recordings(drone, simulate_uwb(2, duration_s=2.0))
    with pytest.raises(DatasetError, match=r"2 sites \(drone, simulated\).*site=NAME"):
        load()
    found = load(site="drone")
    assert (found.site, [s.name for s in found.sequences]) == ("drone", ["simulated_1"])


def groups(rows):
    """Measurements and sum of errors by room, block, tag and anchor."""
    found = {}
    columns = (rows.room, rows.block, rows.tag, rows.anchor)
    for *key, count, error in zip(*columns, rows.count, rows.error_m, strict=True):
        total = found.setdefault(tuple(map(int, key)), np.zeros(2))
        total += count, count * error
    return found


def test_thinning_averages_rows_of_one_pair(make_rows):
    rows = make_rows(40, rooms=2)
    again = rows.take(np.repeat(np.arange(40), 50))
    draw = np.random.default_rng(1)
    # A body that stands sees several anchors from one place.
    standing = dataclasses.replace(
        again,
        tag=draw.integers(2, size=2000),
        anchor=draw.integers(4, size=2000),
        count=draw.integers(1, 7, 2000).astype(float),
        tag_m=again.tag_m + draw.uniform(0.0, 1e-3, (2000, 3)),
        error_m=again.error_m + draw.normal(0.0, 0.05, 2000),
    )
    found = thin(standing, 800)
    assert 300 <= len(found) <= 800
    assert found.count.sum() == standing.count.sum()
    before, after = groups(standing), groups(found)
    assert before.keys() == after.keys()
    for key, total in before.items():
        np.testing.assert_allclose(after[key], total, atol=1e-9)
    # The pose that stands for a cell is one of its rows'.
    nearest = np.linalg.norm(found.tag_m[:, None] - rows.tag_m[None], axis=2).min(1)
    assert nearest.max() < 2e-3


def test_thinning_goes_below_the_limit_whatever_the_poses(make_rows):
    found = thin(make_rows(500), 37)
    assert len(found) == 37
    assert len(np.unique(found.tag_m, axis=0)) == 37


def test_a_wrong_site_is_named_with_the_nearest(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    with pytest.raises(DatasetError, match="simulated"):
        load_ranges(None, "simulate", (), {}, 0.1)
