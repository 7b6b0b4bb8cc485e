"""Every kind of bad bundle is refused for its own reason, by the loader and by a serving node."""

import os
import pickle
import zipfile

import pytest

pytest.importorskip("onnx")
pytest.importorskip("cryptography")

from nn_perception.bench import BenchSettings
from nn_perception.bench.bad_bundles import GOOD, KINDS, PICKLE, write_bad_bundles
from nn_perception.bench.refusals import Refusal, run
from nn_perception.bundle import ONNX_FILE, load_bundle, resolve_model
from nn_perception.engine_trial import try_network
from nn_perception.errors import NnPerceptionError
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_bad_bundles(shipped_model("digit_reader"), tmp_path_factory.mktemp("bad"))


def open_as_a_node_does(name, written):
    root, key = written
    path = resolve_model(name, root)
    bundle = load_bundle(path, task="digits", trusted_keys=key, model_root=root)
    try_network(bundle)
    return open_pipeline(bundle)


def test_the_good_one_is_good(written):
    assert open_as_a_node_does(GOOD, written).bundle.signer


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.slow])
def test_each_kind_is_refused_for_its_own_reason(name, written):
    with pytest.raises(NnPerceptionError) as error:
        open_as_a_node_does(name, written)
    refusal = Refusal(name, True, KINDS[name].reason, str(error.value))
    assert refusal.right, refusal.reason


def test_there_are_many_kinds_and_none_is_another_one_in_disguise(written):
    root, _ = written
    assert len(KINDS) >= 40
    assert pickle.loads(PICKLE) == {"w": 1}
    assert zipfile.is_zipfile(root / "zip_as_graph" / ONNX_FILE)


def test_a_name_is_no_reason():
    assert not Refusal("pickle", True, "pickle", "/models/pickle/model.onnx: rubbish").right
    assert not Refusal("x", False, "rubbish", "rubbish").right
    assert Refusal("x", True, "rubbish", "/models/x: rubbish").right


@pytest.mark.ros
def test_a_serving_node_refuses_all_and_loses_nothing(tmp_path, monkeypatch):
    pytest.importorskip("rclpy")
    pytest.importorskip("vision_msgs.msg")
    some = dict(list(KINDS.items())[::2])  # the test above has all of them
    monkeypatch.setattr("nn_perception.bench.refusals.KINDS", some)
    settings = BenchSettings(tmp_path, domain_id=1 + os.getpid() % 100, quick=True)
    refused, lost, gap = run(settings, print)
    assert refused.passed, refused.detail
    assert refused.value >= 24
    assert lost.passed, lost.detail
    assert gap.value > 0.0
