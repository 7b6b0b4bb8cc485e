"""Engines of one process share the network, and nothing that a call writes to."""

import dataclasses
import gc
import shutil
import threading
import weakref

import numpy as np
import pytest

from nn_perception import engine as engines
from nn_perception.bundle import ONNX_FILE, load_bundle
from nn_perception.engine import NETWORKS, create_engine, probe_inputs, warm_up
from nn_perception.errors import BundleError

BACKENDS = {"onnxruntime": "_session", "torch": "_network"}


@pytest.fixture(scope="module")
def paths(make_bundle, tmp_path_factory):
    """Two bundles of other weights, and a copy of the first. Paths: nothing of them is held."""
    root = tmp_path_factory.mktemp("sharing")
    for name, seed in (("ours", 1), ("other", 2)):
        make_bundle(root / name, seed=seed)
    shutil.copytree(root / "ours", root / "copy")
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def load(paths):
    """Return a function that loads a bundle by its name."""
    return lambda name: load_bundle(paths[name])


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return request.param


def network_of(engine):
    return getattr(engine, BACKENDS[engine.backend])


def build(bundle, backend, threads=1):
    return create_engine(bundle, "cpu", threads, backend)


def test_equal_bundles_share_the_network(load, backend):
    first, second = (build(load("ours"), backend) for _ in range(2))
    assert first is not second
    assert network_of(first) is network_of(second)


def test_copies_of_a_bundle_share_the_network_and_their_bytes(load, backend):
    ours, copy = load("ours"), load("copy")
    assert copy.path != ours.path
    assert copy.onnx is ours.onnx
    assert copy.tensors is ours.tensors
    assert network_of(build(ours, backend)) is network_of(build(copy, backend))


def test_what_differs_is_not_shared(load, backend):
    bundle, other = load("ours"), load("other")
    engine = build(bundle, backend)
    assert network_of(engine) is not network_of(build(other, backend))
    (image,) = probe_inputs(bundle)
    assert not np.allclose(engine(image)[0], build(other, backend)(image)[0])


def test_threads_and_backends_are_different(load):
    pytest.importorskip("torch")
    bundle = load("ours")
    one, two = build(bundle, "onnxruntime"), build(bundle, "onnxruntime", 2)
    assert network_of(one) is not network_of(two)
    assert network_of(one) is not network_of(build(bundle, "torch"))


def test_a_forged_identity_gets_no_other_network(load, backend):
    """The key is what the network was made from, and nothing that a file says about itself."""
    ours, other = load("ours"), load("other")
    forged = dataclasses.replace(
        other, path=ours.path, id=ours.id, config=ours.config, _held=ours._held
    )
    first, second = build(ours, backend), build(forged, backend)
    assert network_of(first) is not network_of(second)


def test_the_same_tensors_in_another_architecture_are_another_network(load):
    pytest.importorskip("torch")
    bundle = load("ours")
    spec = bundle.config.network
    arguments = {**spec.arguments, "activation": "tanh"}
    assert arguments != spec.arguments
    changed = dataclasses.replace(
        bundle.config, network=dataclasses.replace(spec, arguments=arguments)
    )
    first = build(bundle, "torch")
    second = build(dataclasses.replace(bundle, config=changed), "torch")
    assert network_of(first) is not network_of(second)


def test_memory_goes_with_the_last_engine(load, backend):
    """At once, without the collector: a robot's process keeps what it began with out of that."""
    gc.collect()
    gc.disable()
    try:
        bundle = load("ours")
        before = len(NETWORKS)
        first, second = build(bundle, backend), build(bundle, backend)
        assert len(NETWORKS) == before + 1
        network, held = weakref.ref(network_of(first)), weakref.ref(bundle._held)
        del first
        assert network() is not None
        warm_up(second, bundle)
        del second, bundle
        assert network() is None
        assert held() is None
        assert len(NETWORKS) == before
    finally:
        gc.enable()


def test_concurrent_calls_give_what_single_ones_give(load, backend):
    """Two threads, each with an engine of its own on the one network."""
    bundle = load("ours")
    alone = build(bundle, backend)
    inputs = [probe_inputs(bundle, seed, batch=1 + seed % 5) for seed in range(200)]
    expected = [alone(*each)[0].copy() for each in inputs]
    together, failures = threading.Barrier(2, timeout=10.0), []

    def run(order):
        engine = build(bundle, backend)
        assert network_of(engine) is network_of(alone)
        together.wait()
        for number in order:
            found = engine(*inputs[number])[0]
            if not np.array_equal(found, expected[number]):
                failures.append(number)

    orders = (range(200), range(199, -1, -1))
    threads = [threading.Thread(target=run, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    assert failures == []


def test_two_threads_that_build_at_the_same_moment_make_one_session(load, monkeypatch):
    gc.collect()
    bundle = load("ours")
    create, made, together = engines._create_session, [], threading.Barrier(2, timeout=10.0)

    def counted(*arguments):
        made.append(1)
        return create(*arguments)

    monkeypatch.setattr(engines, "_create_session", counted)
    found = []

    def run():
        together.wait()
        found.append(build(bundle, "onnxruntime"))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert network_of(found[0]) is network_of(found[1])
    assert len(made) == 1


def test_files_are_verified_although_a_copy_is_held(load, paths, tmp_path):
    held = load("ours")
    damaged = shutil.copytree(paths["ours"], tmp_path / "damaged")
    data = bytearray(held.onnx)
    data[-1] ^= 1
    (damaged / ONNX_FILE).write_bytes(data)
    with pytest.raises(BundleError, match="sha256"):
        load_bundle(damaged)


def test_on_a_gpu_the_module_is_shared_and_graphs_are_not(make_bundle):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    bundle = make_bundle(network="digit_cnn", seed=3)
    first, second = (create_engine(bundle, "cuda") for _ in range(2))
    assert network_of(first) is network_of(second)
    (a,), (b,) = probe_inputs(bundle, 1), probe_inputs(bundle, 2)
    answer = first(a)[0]
    kept = answer.copy()
    assert not np.array_equal(second(b)[0], kept)
    np.testing.assert_array_equal(answer, kept)  # another engine's call left it alone
    assert first.bare_graph() is not second.bare_graph()
