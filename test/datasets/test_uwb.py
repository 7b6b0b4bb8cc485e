from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.uwb import Anchor, UwbSequence
from nn_perception.errors import DatasetError

QUARTER = [0.0, 0.0, 0.5**0.5, 0.5**0.5]  # about z, to the left
FIELDS = {
    "name": "walk",
    "source": "rig",
    "time_s": [0.0, 0.0, 0.1, 0.2],
    "tag": [0, 1, 0, 1],
    "anchor": [0, 1, 1, 0],
    "range_m": [3.1, 4.0, 2.5, 0.0],
    "anchors": {"a": Anchor((4.0, 2.0, 1.0)), "b": Anchor((1.0, 6.0, 1.0))},
    "tags": {"front": (1.0, 0.0, 0.0), "back": (-1.0, 0.0, 0.5)},
    "position_m": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [np.nan] * 3],
    "orientation_xyzw": [QUARTER, QUARTER, [0.0, 0.0, 0.0, 1.0], [np.nan] * 4],
}


def sequence(**changes) -> UwbSequence:
    return UwbSequence(**{**FIELDS, **changes})


def test_a_lever_arm_turns_with_the_body():
    walk = sequence()
    expected = [[1.0, 2.0, 1.0], [1.0, 0.0, 1.5], [2.0, 2.0, 1.0]]
    np.testing.assert_allclose(walk.tag_position_m[:3], expected, atol=1e-12)
    np.testing.assert_array_equal(walk.anchor_position_m[:2], [[4.0, 2.0, 1.0], [1.0, 6.0, 1.0]])
    np.testing.assert_allclose(walk.range_true_m[:3], [3.0, 36.25**0.5, 17.0**0.5])
    np.testing.assert_allclose(walk.error_m[0], 0.1)
    assert walk.has_truth.tolist() == [True, True, True, False]
    assert np.isnan(walk.range_true_m[3])


def test_outliers_by_rule_unless_they_are_given():
    walk = sequence()
    assert walk.outlier.tolist() == [False, True, True, True]  # wrong by 2 m, by 1.6 m; 0
    assert sequence(range_m=[np.nan, 6.0, np.inf, 5.0]).outlier.tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert sequence(outlier=[0, 1, 0, 0]).outlier.tolist() == [False, True, False, False]


def test_selected_rows_keep_their_anchors_and_times():
    walk = sequence(rx_power_dbm=[-60.0, -61.0, -62.0, np.nan], segment=[0, 0, 2, 2], start_ns=5)
    part = walk.select(walk.tag == 1)
    assert part.time_s.tolist() == [0.0, 0.2]
    assert part.anchor.tolist() == [1, 0]
    assert part.segment.tolist() == [0, 2]
    assert part.outlier.tolist() == walk.outlier[[1, 3]].tolist()
    assert part.rx_power_dbm[0] == -61.0
    assert (part.anchors, part.tags, part.start_ns) == (walk.anchors, walk.tags, 5)
    for wrong in [np.zeros(4, bool), np.ones(3, bool), [0, 1, 1, 0]]:
        with pytest.raises(DatasetError, match=r"walk: a mask .* expected bool of \(4,\)"):
            walk.select(wrong)


def test_the_hash_follows_the_content():
    walk = sequence()
    assert sequence(name="other", start_ns=3).sha256 == walk.sha256
    moved = {**FIELDS["anchors"], "b": Anchor((1.0, 6.0, 1.001))}
    for changes in [
        {"range_m": [3.1, 4.0, 2.5, 0.001]},
        {"anchors": moved},
        {"tags": {"front": (1.0, 0.0, 0.0), "rear": (-1.0, 0.0, 0.5)}},
        {"segment": [0, 0, 0, 1]},
        {"rx_power_dbm": [0.0] * 4},
    ]:
        assert sequence(**changes).sha256 != walk.sha256


def test_planar_where_tags_and_anchors_are_at_one_height():
    assert not sequence().planar  # a tag is 0.5 m higher
    flat = {"front": (1.0, 0.0, 0.0), "back": (-1.0, 0.0, 0.25)}
    assert sequence(tags=flat).planar
    assert not sequence(tags=flat, anchors={**FIELDS["anchors"], "c": Anchor((0, 0, 1.4))}).planar
    unknown = {"position_m": np.full((4, 3), np.nan), "orientation_xyzw": np.full((4, 4), np.nan)}
    assert sequence(**unknown).planar


def test_it_does_not_change_with_what_it_was_made_from():
    anchors = dict(FIELDS["anchors"])
    walk = sequence(anchors=anchors)
    anchors.clear()
    assert list(walk.anchors) == ["a", "b"]
    assert walk.anchors_text == "a: 4 2 1; b: 1 6 1"
    assert walk.tags_text == "front: 1 0 0; back: -1 0 0.5"
    assert (len(walk), walk.duration_s) == (4, 0.2)
    assert replace(walk, name="b").segment.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_s": [0.0, 0.1, 0.05, 0.2]}, r"time 0.05 s of row 2 comes before"),
        ({"time_s": [0.0, np.nan, 0.05, 0.2]}, r"of row 1 comes before the one before or is not"),
        ({"time_s": []}, r"times have the shape \(0,\)"),
        ({"range_m": [1.0]}, r"range_m has the shape \(1,\), expected \(4,\)"),
        ({"position_m": np.zeros((4, 2))}, r"position_m has the shape \(4, 2\), expected \(4, 3\)"),
        ({"tag": [0, 1, 2, 0]}, r"tag of row 2 is 2, expected 0 to 1"),
        ({"anchor": [0, -1, 0, 0]}, r"anchor of row 1 is -1, expected 0 to 1"),
        ({"position_m": np.zeros((4, 3))}, r"pose of row 3 is .* whole row of NaN"),
        ({"orientation_xyzw": np.full((4, 4), 0.6)}, r"pose of row 3"),
        ({"segment": [0, 1, 0, 1]}, r"segment decreases"),
        ({"outlier": [True]}, r"outlier has the shape \(1,\)"),
        ({"rx_power_dbm": [1.0]}, r"rx_power_dbm has the shape"),
        ({"tags": {"a b": (0, 0, 0), "c": (0, 0, 0)}}, r"name 'a b', expected letters"),
        ({"tags": {"a": (0, 0, np.inf), "b": (0, 0, 0)}}, r"tag a is .* expected finite x, y, z"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(DatasetError, match=f"^rig/walk: .*{message}"):
        sequence(**changes)


def test_quaternions_have_to_be_unit_and_are_made_so():
    known = {"position_m": np.zeros((4, 3))}
    quats = np.tile([0.0, 0.0, 0.0, 1.0005], (4, 1))
    assert sequence(**known, orientation_xyzw=quats).orientation_xyzw[0].tolist() == [0, 0, 0, 1]
    with pytest.raises(DatasetError, match=r"orientation of row 0 has the norm 1.1, expected unit"):
        sequence(**known, orientation_xyzw=quats * 1.1 / 1.0005)
