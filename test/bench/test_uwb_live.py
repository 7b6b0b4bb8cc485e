"""Which radios the benchmark takes, and how a stream is judged."""

import numpy as np

from nn_perception.bench.imu_live import Run
from nn_perception.bench.uwb_live import _live, _many, _one, radios
from nn_perception.engine import create_engine
from nn_perception.tasks.uwb.model import RangeModel


def stream(received=100, cpu=0.08):
    latency = np.full(received, 0.001)
    return Run(100, received, latency, latency, cpu)


def verdicts(even, rounds, tags=3, anchors=8):
    return [row.passed for row in _live(even, rounds, stream(), tags, anchors)]


def test_goals_are_for_all_radios_and_without_loss():
    assert verdicts(stream(), stream()) == [True, True]
    assert verdicts(stream(), stream(received=99)) == [False, False]
    assert verdicts(stream(cpu=0.11), stream()) == [True, False]
    assert verdicts(stream(), stream(), anchors=6) == [True, None]


def test_radios_are_those_that_the_bundle_knows(make_uwb_bundle):
    tags, anchors = radios(make_uwb_bundle())
    assert (tags, len(anchors)) == (["left", "right", "top"], 8)
    pairs = [[tag, anchor, 0.1, []] for tag in ("a", "b") for anchor in ("x", "y", "z")]
    tags, anchors = radios(make_uwb_bundle(pairs=pairs))
    assert (tags, list(anchors)) == (["a", "b"], ["x", "y", "z"])
    tags, anchors = radios(make_uwb_bundle(pairs=[["*", "*", 0.1, []]]))
    assert (len(tags), list(anchors)) == (3, [f"anchor{n}" for n in range(8)])
    assert len({anchor.position_m for anchor in anchors.values()}) == 8


def test_the_model_alone_is_measured(make_uwb_bundle):
    bundle = make_uwb_bundle()
    model = RangeModel(bundle, create_engine(bundle, "cpu"))
    pair = model.pair("left", "anchor1")
    assert 1.0 < _one(model, pair, quick=True).value < 10_000.0
    assert _many(model, pair, quick=True).value > 1000.0
