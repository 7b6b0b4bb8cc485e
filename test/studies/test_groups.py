import json
import math

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.evaluation.html_page import plain
from nn_perception.evaluation.plot_style import Canvas
from nn_perception.studies.groups import (
    chosen,
    decade,
    draw_curves,
    grouped,
    percent,
    rounded,
    significant,
)
from nn_perception.studies.sweep import Outcome


def outcome(name, seed, values, diverged="", **found):
    history = [{"epoch": n, "figure": v, "seconds": 0.5} for n, v in enumerate(values, 1)]
    return Outcome((("network", name), ("seed", seed)), history, diverged, found)


@pytest.fixture
def groups():
    outcomes = [
        outcome("a", 0, [0.1, 0.4], share=[0.0, 1.0]),
        outcome("b", 0, [0.3], "not finite"),
        outcome("a", 1, [0.2, 0.8, 0.6], share=[0.5, 0.0]),
        outcome("a", 2, [0.9], "not finite"),
    ]
    return grouped(outcomes, "network")


def test_seeds_are_taken_together_without_those_that_diverged(groups):
    assert list(groups) == ["a", "b"]
    group = groups["a"]
    assert (group.diverged, len(group.outcomes)) == (1, 3)
    assert group.last("figure") == pytest.approx(0.5)
    assert group.spread("figure") == (0.4, 0.6)
    assert group.found("share").tolist() == [0.25, 0.5]
    curves = group.curves("figure")
    assert np.array_equal(curves, [[0.1, 0.4, math.nan], [0.2, 0.8, 0.6]], equal_nan=True)


def test_nothing_is_said_where_all_diverged(groups):
    group = groups["b"]
    assert group.diverged == 1
    assert math.isnan(group.last("figure"))
    assert all(map(math.isnan, group.spread("figure")))
    assert group.found("share").size == 0
    assert group.curves("figure").shape == (0, 0)


def test_json_tells_what_diverged_and_no_times(groups):
    figures = json.loads(json.dumps(plain(groups["a"].to_dict()), allow_nan=False))
    assert figures["diverged"] == {"2": "not finite"}
    assert figures["seeds"]["1"]["epochs"][2] == {"epoch": 3, "figure": 0.6}
    assert figures["seeds"]["0"]["share"] == [0.0, 1.0]
    assert "seconds" not in json.dumps(figures)


def test_curves_of_unequal_length_and_none_are_drawn(groups):
    with Canvas(2.0) as canvas:
        axes = canvas.figure.add_subplot()
        draw_curves(axes, groups, "figure", 100.0)
        middle = axes.lines[0].get_ydata()
        assert middle.tolist() == pytest.approx([15.0, 60.0, 60.0])
        assert [text.get_text() for text in axes.texts] == ["diverged: b"]
        assert [line.get_label() for line in axes.lines] == ["a", "b"]
        assert canvas.png(None).startswith(b"\x89PNG")


def test_parts_of_a_key_give_tuples():
    outcomes = [outcome("a", 0, [1.0]), outcome("a", 1, [1.0])]
    assert list(grouped(outcomes, "network", "seed")) == [("a", 0), ("a", 1)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["tanh", "rellu"], "got 'rellu'; did you mean 'relu'"),
        (["tanh", "tanh"], "each once"),
        ([], "got 0 names, expected 1 to 2"),
        (["tanh", "relu", "gelu"], "got 3 names, expected 1 to 2"),
    ],
)
def test_names_that_cannot_be_meant_are_refused(names, words):
    with pytest.raises(ConfigError, match=words):
        chosen("--names", names, ("tanh", "relu", "gelu"), 2)
    assert chosen("--names", ["relu", "tanh"], ("tanh", "relu")) == ("relu", "tanh")


def test_figures_as_text():
    assert (percent(0.5), percent(math.nan)) == ("50.0 %", "\N{EN DASH}")
    assert (rounded(1.006), rounded(math.nan), rounded(math.inf)) == (1.01, None, None)
    assert (significant(0.0012345), significant(math.nan)) == (0.00123, None)
    assert [decade(10.0**n) for n in (-5, -3, 0, 3, 4)] == ["1e-5", "0.001", "1", "1,000", "1e4"]
