from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn_perception.datasets.uwb_text import (
    Anchor,
    format_anchors,
    format_tags,
    geometry_problem,
    parse_anchors,
    parse_tags,
)
from nn_perception.errors import ConfigError, DatasetError

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6)
PLACES = st.tuples(NUMBERS, NUMBERS, NUMBERS)
PARTS = st.floats(-1.0, 1.0)


@st.composite
def unit_quaternions(draw):
    quat = np.array(draw(st.tuples(PARTS, PARTS, PARTS, PARTS).filter(lambda q: any(q))))
    norm = np.linalg.norm(quat / abs(quat).max())
    return tuple(quat / abs(quat).max() / norm)


def test_the_examples_of_the_grammar():
    anchors = parse_anchors("anchor1: 0.1 -2 1.5; anchor2: 1 2 3 0 0 0.7071 0.7071")
    assert list(anchors) == ["anchor1", "anchor2"]
    assert anchors["anchor1"] == Anchor((0.1, -2.0, 1.5))
    assert anchors["anchor2"].orientation_xyzw == pytest.approx((0.0, 0.0, 0.5**0.5, 0.5**0.5))
    assert parse_tags("tag0: 0 0 0; tag1: 0.2 0 0.1") == {"tag0": (0, 0, 0), "tag1": (0.2, 0, 0.1)}
    assert format_anchors(anchors).startswith("anchor1: 0.1 -2 1.5; anchor2: 1 2 3 0 0 0.70710678")


def test_blanks_and_line_breaks_count_the_same_and_empty_is_none():
    assert parse_tags("\n  tag1 :\t1  2\n 3 ;\n tag0: 4 5 6;\n") == {
        "tag1": (1.0, 2.0, 3.0),
        "tag0": (4.0, 5.0, 6.0),
    }
    assert parse_anchors("") == parse_tags(" ; \n") == {}
    assert format_anchors({}) == format_tags({}) == ""


@given(st.dictionaries(NAMES, st.tuples(PLACES, st.none() | unit_quaternions()), max_size=5))
def test_anchors_survive_the_text(rows):
    anchors = {name: Anchor(*row) for name, row in rows.items()}
    found = parse_anchors(format_anchors(anchors))
    assert list(found) == list(anchors)
    for name, anchor in anchors.items():
        assert found[name].position_m == anchor.position_m
        if anchor.orientation_xyzw is None:
            assert found[name].orientation_xyzw is None
        else:
            off = np.subtract(found[name].orientation_xyzw, anchor.orientation_xyzw)
            assert abs(off).max() < 1e-9


@given(st.dictionaries(NAMES, PLACES, max_size=5))
def test_tags_survive_the_text(tags):
    found = parse_tags(format_tags(tags))
    assert found == tags
    assert list(found) == list(tags)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1 2 x", r"'a: 1 2 x': 'x' is no number, expected metres"),
        ("a: 1, 2, 3", r"'1,' is no number"),
        ("a: 1 2", r"has 2 numbers, expected 3 or 7"),
        ("a: 1 2 3 0 0 1", r"has 6 numbers, expected 3 or 7"),
        ("a: 1 2 3 0 0 0 1 5", r"has 8 numbers"),
        ("a: 1 2 inf", r"'inf' is not finite"),
        ("a: nan 2 3", r"'nan' is not finite"),
        ("a: 1 2 3; a: 4 5 6", r"'a' is named twice"),
        (": 1 2 3", r"name '', expected letters"),
        ("1a: 1 2 3", r"name '1a', expected letters, digits and _"),
        ("a-b: 1 2 3", r"name 'a-b'"),
        ("a/b: 1 2 3", r"name 'a/b'"),
        ("a 1 2 3", r"has no colon"),
        ("a: 1 2 3 0 0 0 1.1", r"norm 1.1, expected a unit quaternion"),
        ("a: 1 2 3 0 0 0 0", r"norm 0, expected a unit quaternion"),
    ],
)
def test_damage_is_named(text, message):
    with pytest.raises(ConfigError, match=f"^anchors: .*{message}"):
        parse_anchors(text)


def test_a_tag_has_no_orientation():
    with pytest.raises(ConfigError, match=r"^tags: 't: 1 2 3 0 0 0 1' has 7 numbers, expected 3;"):
        parse_tags("t: 1 2 3 0 0 0 1")


def test_an_anchor_is_checked_and_made_unit():
    assert Anchor((1, 2, 3), (0.0, 0.0, 0.0, 1.0005)).orientation_xyzw == (0.0, 0.0, 0.0, 1.0)
    for wrong in [(1.0, 2.0), (1.0, np.nan, 3.0)]:
        with pytest.raises(DatasetError, match="expected finite x, y, z"):
            Anchor(wrong)
    for wrong in [(0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.002), (np.nan, 0.0, 0.0, 1.0)]:
        with pytest.raises(DatasetError, match="expected a unit quaternion"):
            Anchor((0.0, 0.0, 0.0), wrong)


def test_which_anchors_define_a_position():
    corner = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    assert geometry_problem(corner) == ""
    assert geometry_problem(np.vstack([corner, [4.0, 3.0, 1.0]])) == ""  # in one plane
    assert geometry_problem([]).startswith("0 anchors, expected 3 or more")
    assert geometry_problem(corner[:2]).startswith("2 anchors, expected 3 or more")
    twice = np.vstack([corner, corner[1] + [0.0, 0.006, 0.0]])
    assert geometry_problem(twice).startswith("anchors 1 and 3 (counted from 0) are 6.0 mm apart")
    line = np.linspace(0.0, 1.0, 5)[:, np.newaxis] * [5.0, 3.0, 1.0]
    assert geometry_problem(line).startswith("all anchors lie on one line within 0.000 m")
    assert geometry_problem(line + [[0.0, 0.0, 0.02 * i % 3] for i in range(5)]) != ""
    line[2, 2] += 0.1
    assert geometry_problem(line) == ""
