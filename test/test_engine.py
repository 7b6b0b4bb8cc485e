import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from nn_perception.engine import OnnxEngine, create_engine, probe_inputs, warm_up
from nn_perception.errors import BundleError, ConfigError, DeviceError, EngineError


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
