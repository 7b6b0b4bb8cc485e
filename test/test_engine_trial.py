"""A network runs in a child first: what crashes, hangs or swells there does not here."""

import os
import subprocess

import pytest

from nn_perception import engine_trial
from nn_perception.bundle import ArraySpec, Bundle, load_bundle
from nn_perception.engine_trial import try_network
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model

onnx = pytest.importorskip("onnx")
helper = pytest.importorskip("onnx.helper")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Let no test profit from another's trial."""
    monkeypatch.setattr(engine_trial, "_passed", {})


@pytest.fixture
def with_graph():
    """Return a function that puts other nodes into a shipped bundle (input x, output y)."""
    base = load_bundle(shipped_model("uwb_drone"))

    def make(nodes):
        value = helper.make_tensor_value_info
        shape = ["n", 14]
        graph = helper.make_graph(
            nodes,
            "g",
            [value("x", onnx.TensorProto.FLOAT, shape)],
            [value("y", onnx.TensorProto.FLOAT, ["n", 2])],
        )
        opsets = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        changed = {"inputs": (ArraySpec("x", (None, 14), "float32"),)}
        changed["outputs"] = (ArraySpec("y", (None, 2), "float32"),)
        config = type(base.config)(**{**vars(base.config), **changed})
        return Bundle(base.path, "0" * 12, config, b"", model.SerializeToString())

    return make


def test_nothing_is_imported_from_the_working_directory(tmp_path, monkeypatch):
    for name in ("json", "safetensors", "resource"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    try_network(load_bundle(shipped_model("uwb_drone")))


def doubled(times):
    """Nodes that double an array again and again, from sizes that no file names."""
    nodes, name = [], "x"
    for turn in range(times):
        nodes.append(helper.make_node("Concat", [name, name], [f"x{turn}"], axis=0))
        name = f"x{turn}"
    return nodes, name


@pytest.mark.parametrize("name", ["uwb_drone", "attitude"])
def test_a_sound_network_passes_once(name, monkeypatch):
    bundle = load_bundle(shipped_model(name))
    try_network(bundle)

    def no_more(*_, **__):
        raise AssertionError("it was tried already")

    monkeypatch.setattr(subprocess, "run", no_more)
    try_network(bundle)


def test_memory_that_only_the_run_needs(with_graph):
    """2^34 rows from 35 nodes: no constant in the file is larger than 2."""
    nodes, name = doubled(34)
    nodes.append(helper.make_node("ReduceSum", [name], ["y"], keepdims=1))
    with pytest.raises(BundleError, match=r"uwb_drone failed its trial run: .*allocat"):
        try_network(with_graph(nodes), memory_bytes=256 << 20)


def test_time_that_only_the_run_needs(with_graph):
    nodes, name = doubled(12)
    nodes.append(helper.make_node("Transpose", [name], ["t"], perm=[1, 0]))
    for turn in range(3000):
        nodes.append(helper.make_node("MatMul", [name, "t"], [f"p{turn}"]))
        nodes.append(helper.make_node("MatMul", [f"p{turn}", name], [f"q{turn}"]))
        name = f"q{turn}"
    nodes.append(helper.make_node("Identity", [name], ["y"]))
    with pytest.raises(BundleError, match=r"trial run (within|by SIG)"):
        try_network(with_graph(nodes), timeout_s=2.0)


def test_wrong_outputs_are_refused_with_the_reason(with_graph):
    with pytest.raises(BundleError, match=r"output 'y' of uwb_drone has shape \(1, 14\)"):
        try_network(with_graph([helper.make_node("Neg", ["x"], ["y"])]))


def test_a_crash_of_the_runtime_is_a_refusal(with_graph, monkeypatch):
    """As ONNX Runtime might: the child ends by a signal, here by its own hand."""
    real = subprocess.run

    def crash(words, **arguments):
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        return real([words[0], "-c", code], **arguments)

    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(BundleError, match="by SIGSEGV"):
        try_network(load_bundle(shipped_model("uwb_drone")))
    assert engine_trial._passed == {}


def test_a_child_that_cannot_be_started_is_a_refusal(monkeypatch):
    monkeypatch.setattr("sys.executable", os.devnull)
    with pytest.raises(BundleError, match="cannot be started"):
        try_network(load_bundle(shipped_model("uwb_drone")))
