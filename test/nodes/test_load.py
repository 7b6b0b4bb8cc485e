"""All nodes in processes of their own, at full rate and with swaps: the benchmarks, in short.

Nothing about times is asserted here: `nn-perception bench swap-load`, `soak` and `fuzz` do that.
"""

import os

import pytest

from nn_perception.bench import BenchSettings, fuzz_live, soak
from nn_perception.bench.attribution import Kept
from nn_perception.bench.mixed_load import mixed_load
from nn_perception.bench.mixed_sources import ECHO, OUTPUTS, SHIPPED
from nn_perception.bench.swap_load import added_gaps, attribute


@pytest.fixture(scope="module")
def bench(tmp_path_factory, domain_id):
    """Settings of a short run; what the benchmark sets for its processes is undone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in os.environ.items():
            if name.startswith(("ROS_", "FAST")):
                patch.setenv(name, value)
        yield BenchSettings(work=tmp_path_factory.mktemp("load"), domain_id=domain_id, quick=True)


@pytest.fixture(scope="module")
def load(bench):
    """The running nodes."""
    with mixed_load(bench) as running:
        yield running


def test_swaps_lose_double_and_mix_nothing(load):
    kept = {topic: [] for topic in (*OUTPUTS, ECHO)}

    def keeper(topic):
        return lambda *parts: kept[topic].append(Kept(*parts))

    swaps = load.run(2.0, 8, {topic: keeper(topic) for topic in kept})
    assert [(swap.node, swap.reason) for swap in swaps] == [(node, "") for node in SHIPPED] * 2
    for topic, ledger in load.ledgers.items():
        assert (topic, ledger.missing, ledger.twice, ledger.strays) == (topic, 0, 0, 0)
        assert ledger.answered == ledger.sent == len(kept[topic]) > 50
    owners = attribute(load, kept)
    assert {node: (found.mixed, found.turns) for node, found in owners.items()} == dict.fromkeys(
        SHIPPED, (0, 2)
    )
    gaps = added_gaps(kept["uwb/range_corrected"], swaps)
    assert len(gaps.swaps) == len(gaps.controls) == 8


def test_soak(load, monkeypatch):
    """Loss and plumbing."""
    monkeypatch.setattr(soak, "PERIODS", 3)
    lost, growth, latency = soak.soak(load, minutes=4.5 / 60.0)
    assert (lost.value, lost.passed) == (0, True)
    assert all(node in growth.detail for node in SHIPPED)
    assert all(topic in latency.detail for topic in OUTPUTS)
    assert latency.value > 0.0


def test_nodes_outlive_damaged_messages(load, monkeypatch):
    monkeypatch.setattr(fuzz_live, "VALID_S", 1.0)
    live = fuzz_live.Live()
    fuzz_live.fuzz_load(live, load, seed=1, count=150)
    assert live.problems == []
    assert (live.sent, live.topics, live.nodes) == (600, 4, 4)
    assert live.bad > 100
    assert live.internal == live.lost == 0
    assert live.valid > 1000


def test_pictures_and_boxes_likewise(bench):
    live = fuzz_live.Live()
    fuzz_live.fuzz_boxes(live, bench, seed=1, count=150)
    assert live.problems == []
    assert (live.sent, live.topics, live.nodes, live.internal) == (300, 2, 1, 0)
    assert live.bad > 50
