"""Constants of tags and anchors."""

import dataclasses

import numpy as np
import pytest

from nn_perception.tasks.uwb.constants import new_constants, updated_constants
from nn_perception.tasks.uwb.model import Pair, Prediction


def by_hand(rows, tag, anchor):
    mine = (rows.tag == tag) & (rows.anchor == anchor)
    return (rows.error_m[mine] * rows.count[mine]).sum() / rows.count[mine].sum()


def test_each_pair_has_the_mean_of_its_measurements(make_rows, data_of):
    rows = make_rows(400)
    data = data_of(rows)
    found = new_constants(data)
    assert len(found.pairs.rows) == 8
    for t, tag in enumerate(data.tags):
        for a, anchor in enumerate(data.anchors):
            mean = by_hand(rows, t, a)
            assert found.pairs.rows[tag, anchor].constant_m == pytest.approx(mean, abs=1e-12)
            assert found.means.rows[tag, anchor] == Pair(pytest.approx(mean, abs=1e-12), ())
    expected = [by_hand(rows, t, a) for t, a in zip(rows.tag, rows.anchor, strict=True)]
    np.testing.assert_allclose(found.pairs.of(data, rows), expected, atol=1e-12)


def test_traits_tell_which_tag_and_anchor_it_is(make_rows, data_of):
    rows = make_rows(400)
    data = data_of(rows)
    table = new_constants(data).pairs
    traits = table.traits(data, rows)
    np.testing.assert_array_equal(traits[:, :2].argmax(1), rows.tag)
    np.testing.assert_array_equal(traits[:, 2:].argmax(1), rows.anchor)
    np.testing.assert_array_equal(np.sort(traits, axis=1)[:, -2:], 1.0)
    np.testing.assert_array_equal(traits.sum(1), 2.0)
    assert ["tag1", "anchor2", pytest.approx(by_hand(rows, 1, 2), abs=1e-6),
            [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]] in table.entries()  # fmt: skip
    assert all(len(entry) == 3 for entry in table.plain_entries())


@pytest.mark.parametrize(("tags", "anchors", "size"), [(1, 4, 4), (2, 1, 2), (1, 1, 0)])
def test_what_is_alone_needs_no_trait(make_rows, data_of, tags, anchors, size):
    rows = make_rows(200, tags=tags, anchors=anchors)
    data = data_of(rows, tags=tags, anchors=anchors)
    assert new_constants(data).pairs.traits(data, rows).shape == (200, size)


def test_several_rooms_have_one_constant(make_rows, data_of):
    rows = make_rows(100, rooms=3)
    data = data_of(rows, rooms=3)
    found = new_constants(data)
    mean = (rows.error_m * rows.count).sum() / rows.count.sum()
    assert found.pairs.rows == {("*", "*"): Pair(pytest.approx(mean), ())}
    assert found.means.rows == found.pairs.rows
    np.testing.assert_allclose(found.pairs.of(data, rows), mean)
    assert found.pairs.traits(data, rows).shape == (100, 0)


def few_of(rows, measurements):
    """The rows, with few measurements between tag 1 and anchor 3."""
    rare = (rows.tag == 1) & (rows.anchor == 3)
    count = np.where(rare, measurements / rare.sum(), rows.count)
    return dataclasses.replace(rows, count=count)


def test_a_pair_with_few_measurements_has_no_constant(make_rows, data_of):
    plenty, few = (few_of(make_rows(400), n) for n in (20.001, 19.9))
    assert ("tag1", "anchor3") in new_constants(data_of(plenty)).pairs.rows
    data = data_of(few)
    table = new_constants(data).pairs
    assert len(table.rows) == 7
    assert ("tag1", "anchor3") not in table.rows
    rare = few.take((few.tag == 1) & (few.anchor == 3))
    np.testing.assert_array_equal(table.of(data, rare), 0.0)
    np.testing.assert_array_equal(table.traits(data, rare), 0.0)


def test_a_few_ranges_share_one_constant(make_rows, data_of):
    rows = dataclasses.replace(make_rows(9), count=np.ones(9))
    found = new_constants(data_of(rows)).pairs
    assert list(found.rows) == [("*", "*")]
    assert found.rows["*", "*"].constant_m == pytest.approx(rows.error_m.mean())


class Before:
    """A model that knows two anchors; its shape changes with features and traits."""

    traits = 1
    known = {("*", "anchor0"): Pair(0.1, (1.0,)), ("*", "anchor1"): Pair(-0.2, (2.0,))}  # noqa: RUF012

    def pair(self, tag, anchor):
        return self.known.get(("*", anchor))

    def predict(self, rows, constants_m):
        bias = 0.1 * rows[:, 0] + 0.02 * rows[:, 12] + 0.3 * rows[:, 14] + constants_m
        return Prediction(bias, np.ones(len(rows)))

    def of(self, rows):
        """Its shape and the constants at rows."""
        pairs = [self.pair("", f"anchor{n}") or Pair(0.0, (0.0,)) for n in rows.anchor]
        inputs = np.column_stack([rows.features, [pair.traits for pair in pairs]])
        return self.predict(inputs, [pair.constant_m for pair in pairs]).bias_m


@pytest.mark.parametrize("offset_m", [0.0, 0.3, -0.7])
def test_a_new_sites_offset_goes_into_the_constants(make_rows, data_of, offset_m):
    rows, before = make_rows(400, anchors=3), Before()
    rows = dataclasses.replace(rows, error_m=before.of(rows) + offset_m)
    data = data_of(rows, anchors=3)
    found = updated_constants(data, before)
    for anchor, old in (("anchor0", 0.1), ("anchor1", -0.2), ("anchor2", 0.0)):
        traits = before.known.get(("*", anchor), Pair(0.0, (0.0,))).traits
        for tag in data.tags:
            expected = Pair(pytest.approx(old + offset_m, abs=1e-9), traits)
            assert found.pairs.rows[tag, anchor] == expected
    shape = before.of(rows) - [(0.1, -0.2, 0.0)[a] for a in rows.anchor]
    overall = np.average(rows.error_m - shape, weights=rows.count)
    assert found.pairs.rows["*", "*"] == Pair(pytest.approx(overall), (0.0,))
    assert found.means.rows["tag0", "anchor1"].constant_m == pytest.approx(by_hand(rows, 0, 1))


def test_a_rare_pair_of_a_new_site_gets_the_mean_of_all(make_rows, data_of):
    rows, before = make_rows(400), Before()
    rows = few_of(dataclasses.replace(rows, error_m=before.of(rows) + 0.3), 10.0)
    data = data_of(rows)
    table = updated_constants(data, before).pairs
    rare = rows.take((rows.tag == 1) & (rows.anchor == 3))
    np.testing.assert_array_equal(table.of(data, rare), table.rows["*", "*"].constant_m)
    assert 0.2 < table.rows["*", "*"].constant_m < 0.4
