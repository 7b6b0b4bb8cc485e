"""What a node refuses to run, and who may change what it runs."""

import shutil

import pytest
from lifecycle_msgs.msg import Transition

from nn_perception.bundle import ONNX_FILE
from nn_perception.bundle_signature import new_key, sign_bundle
from nn_perception.nodes.model import MODEL_PARAMETERS


@pytest.fixture
def signed_root(model_root, tmp_path):
    """``three`` is signed by a trusted key, ``seven`` by nobody, ``letters`` by a foreign key."""
    pytest.importorskip("cryptography")
    for name in ("ours", "foreign"):
        new_key(tmp_path / name)
    for name, key in (("three", "ours"), ("seven", None), ("letters", "foreign")):
        path = shutil.copytree(model_root / name, tmp_path / "models" / name)
        if key:
            sign_bundle(path, tmp_path / key)
    return tmp_path / "models"


def test_only_signed_models_are_served(start, connect, frame, ask, signed_root, tmp_path):
    node = start(
        model="three",
        model_root=str(signed_root),
        require_signature=True,
        trusted_keys=str(tmp_path / "ours.pub"),
    )
    client = connect(node)
    for name, expected in (("seven", "not signed"), ("letters", "foreign key")):
        successful, reason = client.remote.set_parameter("model", name)
        assert not successful
        assert expected in reason
        assert ask(client, frame()).results[0].class_id == "3"
    sign_bundle(signed_root / "seven", tmp_path / "ours")
    assert client.remote.set_parameter("model", "seven") == (True, "")
    assert ask(client, frame()).results[0].class_id == "7"


@pytest.mark.parametrize(
    ("model", "keys", "reason"),
    [
        ("seven", "ours.pub", "not signed"),
        ("three", "", "trusted_keys names no key"),
        ("three", "absent.pub", "cannot read the key"),
    ],
)
def test_a_node_without_a_signed_model_is_not_configured_and_says_why(
    start, connect, signed_root, tmp_path, model, keys, reason
):
    node = start(
        model=model,
        model_root=str(signed_root),
        require_signature=True,
        trusted_keys=str(tmp_path / keys) if keys else "",
    )
    client = connect(node, connected=False)
    values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert reason in values["message"]
    assert client.remote.state() == "unconfigured"


def test_keys_have_no_effect_while_no_signature_is_required(start, connect, signed_root):
    client = connect(start(model="seven", model_root=str(signed_root), trusted_keys="/absent"))
    assert client.remote.set_parameter("model", "three") == (True, "")


CHANGES = {"model": "seven", "device": "cpu", "backend": "onnxruntime", "threads": 2}
CHANGES |= {"precision": "float32", "keep_percent": 90.0}


def test_a_node_that_allows_no_changes_keeps_its_model_in_every_state(
    start, connect, frame, ask, model_root
):
    node = start(model="three", allow_model_changes=False)
    client = connect(node)
    assert set(CHANGES) >= MODEL_PARAMETERS

    def refused():
        for name, value in CHANGES.items():
            successful, reason = client.remote.set_parameter(name, value)
            assert not successful
            assert f"{name} cannot be set: this node was started with allow_model" in reason

    refused()
    assert client.remote.set_parameter("allow_model_changes", True)[0] is False
    assert client.remote.set_parameter("warn_after_s", 3.0) == (True, "")  # changes no model
    assert ask(client, frame()).results[0].class_id == "3"
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert client.remote.change_state(transition)
        refused()
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert client.remote.change_state(transition)
    assert ask(client, frame()).results[0].class_id == "3"
    client.wait_for_diagnostics(lambda d: d["model"] == "three" and d["swaps"] == "0")


@pytest.fixture
def swelling_root(tmp_path, save_model):
    """``three``, and ``swelling``, whose arrays grow while it runs."""
    pytest.importorskip("onnx")
    from nn_perception.bench import bad_graphs
    from nn_perception.bench.bad_bundles import forge

    save_model(tmp_path / "three", answer=3)
    swelling = save_model(tmp_path / "swelling").path / ONNX_FILE
    forge(swelling.parent, ONNX_FILE, bad_graphs.change(swelling, bad_graphs.swelling))
    return str(tmp_path)


def test_a_network_that_swells_while_it_runs_is_refused_and_the_old_one_serves(
    start, connect, frame, ask, swelling_root
):
    client = connect(start(model="three", model_root=swelling_root))
    successful, reason = client.remote.set_parameter("model", "swelling")
    assert not successful
    assert "trial run" in reason
    assert ask(client, frame()).results[0].class_id == "3"


@pytest.mark.parametrize("autostart", [True, False])
def test_a_network_that_swells_is_not_configured_either(start, connect, swelling_root, autostart):
    """Other nodes of the process may serve while this one has no model."""
    node = start(model="three", model_root=swelling_root, autostart=autostart)
    client = connect(node, connected=False)
    if autostart:
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            assert client.remote.change_state(transition)
    assert client.remote.set_parameter("model", "swelling") == (True, "")
    assert not client.remote.change_state(Transition.TRANSITION_CONFIGURE)
    assert "trial run" in node._problem
