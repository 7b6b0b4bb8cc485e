import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from nn_perception.bundle import load_bundle
from nn_perception.engine import OnnxEngine, create_engine, probe_inputs, warm_up
from nn_perception.errors import BundleError, ConfigError, DeviceError, EngineError
from nn_perception.share import shipped_model


@pytest.mark.parametrize("network", ["mlp", "lecture_cnn", "digit_cnn"])
@pytest.mark.parametrize("batch", [1, 7])
def test_onnx_and_torch_agree(make_bundle, network, batch):
    bundle = make_bundle(network=network, seed=3)
    (image,) = probe_inputs(bundle, seed=5, batch=batch)
    a = create_engine(bundle, "cpu", backend="onnxruntime")(image)[0]
    b = create_engine(bundle, "cpu", backend="torch")(image)[0]
    assert a.shape == (batch, 10)
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_cpu_takes_onnx_runtime_and_says_so(tiny_bundle):
    engine = create_engine(tiny_bundle, "cpu")
    assert (engine.backend, engine.device) == ("onnxruntime", "cpu")


def test_torch_engine_takes_the_threads_it_is_given(tiny_bundle):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            create_engine(tiny_bundle, "cpu", threads, "torch")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_torch_is_not_imported_for_onnx(tiny_bundle):
    code = (
        "import sys; from nn_perception.tasks.loading import open_pipeline; import numpy as np;"
        f"p = open_pipeline({str(tiny_bundle.path)!r}, device='cpu');"
        "p.classify(np.zeros((1, 28, 28), np.uint8));"
        "assert 'torch' not in sys.modules and 'onnxruntime' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_explicit_gpu_that_is_not_there_is_an_error(tiny_bundle):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="cuda"):
        create_engine(tiny_bundle, "cuda")
    assert create_engine(tiny_bundle, "auto").device == "cpu"


@pytest.mark.parametrize(
    "arguments",
    [("tpu",), ("cpu", 0), ("cpu", 1, "tensorrt"), ("cuda", 1, "onnxruntime")],
)
def test_wrong_engine_arguments(tiny_bundle, arguments):
    with pytest.raises(ConfigError):
        create_engine(tiny_bundle, *arguments)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_wrong_input_is_an_engine_error(tiny_bundle, backend):
    engine = create_engine(tiny_bundle, "cpu", backend=backend)
    with pytest.raises(EngineError):
        engine(np.zeros((1, 1, 27, 28), np.uint8))


def test_warm_up_refuses_weights_that_are_not_finite(make_bundle, tmp_path):
    class Broken:
        def __init__(self, engine):
            self.engine = engine

        def __call__(self, *inputs):
            return tuple(output * np.nan for output in self.engine(*inputs))

    bundle = make_bundle(tmp_path / "m")
    warm_up(OnnxEngine(bundle), bundle)
    with pytest.raises(EngineError, match="not finite"):
        warm_up(Broken(OnnxEngine(bundle)), bundle)


def test_warm_up_refuses_other_shapes_than_the_config_says(tiny_bundle):
    spec = dataclasses.replace(tiny_bundle.config.outputs[0], shape=(None, 11))
    config = dataclasses.replace(tiny_bundle.config, outputs=(spec,))
    with pytest.raises(EngineError, match="shape"):
        warm_up(OnnxEngine(tiny_bundle), dataclasses.replace(tiny_bundle, config=config))


def test_onnx_that_is_damaged_or_has_other_inputs(tiny_bundle):
    with pytest.raises(BundleError, match="cannot load"):
        OnnxEngine(dataclasses.replace(tiny_bundle, onnx=tiny_bundle.onnx[:1000]))
    spec = dataclasses.replace(tiny_bundle.config.inputs[0], name="picture")
    config = dataclasses.replace(tiny_bundle.config, inputs=(spec,))
    with pytest.raises(BundleError, match="picture"):
        OnnxEngine(dataclasses.replace(tiny_bundle, config=config))


def test_torch_engine_refuses_tensors_of_another_network(make_bundle, tiny_bundle):
    other = make_bundle(network="lecture_cnn")
    with pytest.raises(BundleError, match="do not fit"):
        create_engine(
            dataclasses.replace(tiny_bundle, tensors=other.tensors), "cpu", backend="torch"
        )


def test_arguments_that_need_more_memory_than_there_is_allocate_nothing():
    """Planned on torch's meta device first: the sizes disagree before anything is built."""
    pytest.importorskip("torch")
    bundle = load_bundle(shipped_model("digits"))
    arguments = {**bundle.config.network.arguments, "channels": [65_536] * 5}  # 600 GB
    network = dataclasses.replace(bundle.config.network, arguments=arguments)
    config = dataclasses.replace(bundle.config, network=network)
    with pytest.raises(BundleError, match="size mismatch"):
        create_engine(dataclasses.replace(bundle, config=config), "cpu", backend="torch")


def test_half_precision_is_for_a_gpu(tiny_bundle):
    for backend in ("auto", "onnxruntime", "torch"):
        with pytest.raises(DeviceError, match="half"):
            create_engine(tiny_bundle, "cpu", backend=backend, precision="half")
    assert create_engine(tiny_bundle, "cpu", precision="auto").device == "cpu"
    with pytest.raises(ConfigError, match="int8"):
        create_engine(tiny_bundle, "cpu", precision="int8")


@pytest.mark.parametrize("network", ["mlp", "lecture_cnn", "digit_cnn"])
def test_half_precision_changes_little_and_gives_float32(make_bundle, network):
    """On a CPU, where torch can do it, too, if slowly."""
    torch = pytest.importorskip("torch")
    from nn_perception.engine_torch import HalfPrecision, network_from_bundle

    bundle = make_bundle(network=network, seed=3)
    images = torch.from_numpy(probe_inputs(bundle, seed=5, batch=7)[0])
    with torch.inference_mode():
        expected = network_from_bundle(bundle)(images)
        (found,) = HalfPrecision(network_from_bundle(bundle), "cpu")(images)
    assert found.dtype == torch.float32
    assert 0.0 < (found - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.fixture
def graph_engine(tiny_bundle):
    """A torch engine as it calls its graphs on a GPU; eager calls of a fixed size stand in."""
    torch = pytest.importorskip("torch")
    from nn_perception.engine_torch import TorchEngine

    class Graphs(TorchEngine):
        captured = ()

        def _capture(self, size, inputs):
            self.captured += (size,)
            static = np.zeros((size, *inputs[0].shape[1:]), inputs[0].dtype)

            def run(rows):
                static[: len(rows[0])] = rows[0]
                return (self._network(torch.from_numpy(static)).numpy()[: len(rows[0])],)

            return run

        @torch.inference_mode()
        def __call__(self, *inputs):
            return self._run_graph(inputs)

    return Graphs(tiny_bundle)


def test_batches_of_any_size_share_a_few_graphs(graph_engine, tiny_bundle):
    plain = create_engine(tiny_bundle, "cpu", backend="torch")
    draws = np.random.default_rng(0)
    for count in [1, 128, 3, *draws.integers(1, 129, 60).tolist()]:
        (images,) = probe_inputs(tiny_bundle, seed=count, batch=count)
        found, expected = graph_engine(images)[0], plain(images)[0]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(graph_engine.captured) == len(set(graph_engine.captured)) <= 8
    assert all(size & (size - 1) == 0 for size in graph_engine.captured)


def test_the_graph_that_was_not_used_for_the_longest_time_goes(graph_engine, tiny_bundle):
    graph_engine.max_graphs = 2
    for count in (1, 2, 1, 4, 1, 2):
        graph_engine(*probe_inputs(tiny_bundle, batch=count))
    assert graph_engine.captured == (1, 2, 4, 2)


def test_sizes_of_batches():
    pytest.importorskip("torch")
    from nn_perception.engine_torch import filled_up

    assert [filled_up(n) for n in (0, 1, 2, 3, 4, 5, 127, 128, 129)] == [
        1, 1, 2, 4, 4, 8, 128, 128, 256,
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "half"])
def test_a_gpu_gives_what_the_cpu_gives(make_bundle, precision):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    bundle = make_bundle(network="digit_cnn", seed=3)
    ours = create_engine(bundle, "cuda", precision=precision)
    plain = create_engine(bundle, "cpu")
    for count in (5, 1, 64, 3, 7):
        (images,) = probe_inputs(bundle, seed=count, batch=count)
        expected = plain(images)[0]
        tolerance = (1e-3 if precision == "float32" else 2e-2) * np.abs(expected).max()
        np.testing.assert_allclose(ours(images)[0], expected, atol=tolerance)
