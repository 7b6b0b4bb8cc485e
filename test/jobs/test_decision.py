"""Whether a new bundle is deployed."""

import math

import pytest

from nn_perception.evaluation.score import Score
from nn_perception.jobs.decision import Compared, decide

ACCURACY = Score("accuracy", higher_is_better=True, unit="1", count="n")
ERROR = Score("rms", higher_is_better=False, unit="deg", count="n")


def of(value, identity="old", count=100, error=""):
    return Compared(identity, value, count, error)


def judged(new, *active, score=ACCURACY, policy="if_better", margin=0.0):
    nodes = {f"/n{number}": each for number, each in enumerate(active)}
    return decide(policy, margin, score, of(new, "new"), nodes)


@pytest.mark.parametrize(
    ("score", "new", "old", "margin", "deploy"),
    [
        (ACCURACY, 0.9, 0.8, 0.0, True),
        (ACCURACY, 0.9, 0.8, 0.125, False),
        (ACCURACY, 0.875, 0.75, 0.125, True),
        (ACCURACY, 0.8, 0.9, 0.0, False),
        (ACCURACY, 0.8, 0.8, 0.0, False),  # equal is not better
        (ERROR, 1.0, 2.0, 0.5, True),
        (ERROR, 2.0, 1.0, 0.0, False),
        (ERROR, 1.0, 1.0, 0.0, False),
        (ERROR, 1.75, 2.0, 0.5, False),
    ],
)
def test_better_by_the_margin(score, new, old, margin, deploy):
    decision = judged(new, of(old), score=score, margin=margin)
    assert decision.deploy is deploy
    assert f"{new:.6g}" in decision.reason
    assert f"{old:.6g}" in decision.reason


def test_it_must_be_better_than_every_one():
    assert judged(0.9, of(0.8), of(0.85, "b")).deploy
    decision = judged(0.9, of(0.8), of(0.95, "b"))
    assert not decision.deploy
    assert decision.reason.startswith("/n1:")


@pytest.mark.parametrize(
    ("active", "said"),
    [
        ([of(math.nan)], "no figure"),
        ([of(math.nan, error="its classes are others")], "its classes are others"),
        ([of(0.1, count=99)], "99 samples"),
        ([of(0.1, identity="new")], "runs already"),
        ([], "no target_nodes"),
    ],
)
def test_what_cannot_be_compared_is_kept(active, said):
    decision = judged(0.9, *active)
    assert not decision.deploy
    assert said in decision.reason


def test_a_new_one_without_a_figure_is_kept():
    assert not judged(math.nan, of(0.1)).deploy
    assert not decide("if_better", 0.0, None, Compared("new"), {"/a": of(0.1)}).deploy


def test_where_nothing_ran_it_is_better():
    assert judged(0.1, None).deploy
    assert not judged(math.nan, None).deploy


def test_a_deployment_that_was_cut_short_is_completed():
    """One of two targets runs the new one already."""
    assert judged(0.9, of(0.9, "new"), of(0.8)).deploy
    assert not judged(0.9, of(0.9, "new"), of(0.95)).deploy


def test_policies():
    assert not judged(0.9, of(0.1), policy="never").deploy
    assert judged(0.1, of(0.9), policy="always").deploy
    assert judged(math.nan, of(0.9), policy="always").deploy
    assert not judged(0.1, of(0.1, "new"), policy="always").deploy
