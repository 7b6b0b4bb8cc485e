"""From a trained network to a bundle: safetensors, ONNX, parity of the two, provenance."""

from __future__ import annotations

import copy
import inspect
import logging
import platform
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import safetensors.torch
import torch
from onnxscript import optimizer
from torch import nn

import nn_perception
from nn_perception.bundle import FORMAT_VERSION, Bundle, BundleConfig, NetworkSpec
from nn_perception.bundle_writer import save_bundle
from nn_perception.config import to_mapping
from nn_perception.errors import EngineError
from nn_perception.networks import resolve_arguments
from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Export

OPSET = 18
IR_VERSION = 9
"""Old enough for the ONNX Runtime of a robot that is not updated every month (1.15 and later)."""

MAX_PARITY_ERROR = 1e-3


def export_bundle(
    path: Path,
    *,
    task: str,
    network: nn.Module,
    arguments: dict[str, Any],
    config: TrainingConfig,
    export: Export,
    card: str = "",
    extra: dict[str, bytes] | None = None,
) -> Bundle:
    """Write a trained network as a bundle and load it back.

    The bundle holds no time and no path, so that the same seed gives the same bundle.

    Args:
        path: the bundle's directory.
        task: name of the task.
        network: in evaluation mode, on any device.
        arguments: the arguments that built it.
        config: the run's configuration.
        export: the task's part of the description.
        card: text of the bundle's README.md.
        extra: further files (relative name -> content) that travel with the bundle, unverified.

    Raises:
        EngineError: torch and ONNX Runtime disagree by more than `MAX_PARITY_ERROR`.
        BundleError: the bundle cannot be written.
    """
    network = copy.deepcopy(network).to("cpu").eval()
    onnx_bytes = to_onnx(network, export)
    parity = parity_error(network, onnx_bytes, export)
    if not parity <= MAX_PARITY_ERROR:
        raise EngineError(
            f"torch and ONNX Runtime differ by {parity:.2g} on the same input, more than "
            f"{MAX_PARITY_ERROR:g}: the export is wrong; please report it with the configuration"
        )
    tensors = {name: _smallest(tensor) for name, tensor in network.state_dict().items()}
    description = BundleConfig(
        format=FORMAT_VERSION,
        task=task,
        network=NetworkSpec(
            config.network,
            resolve_arguments(config.network, arguments),
            sum(parameter.numel() for parameter in network.parameters()),
        ),
        inputs=export.inputs,
        outputs=export.outputs,
        preprocessing=export.preprocessing,
        labels=export.labels,
        calibration=export.calibration,
        training=provenance(config, export),
        metrics={"validation": export.metrics},
        parity=float(f"{parity:.1e}"),
        files={},
    )
    return save_bundle(
        path, description, safetensors.torch.save(tensors), onnx_bytes, card=card, extra=extra
    )


def to_onnx(network: nn.Module, export: Export) -> bytes:
    """Export to ONNX, stripped of source paths.

    The first axis is the batch; a further axis without a size is time. Both may have any length.
    """
    names = list(inspect.signature(network.forward).parameters)
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=1)
    shapes = {
        name: {i: time if i else batch for i, size in enumerate(spec.shape) if size is None}
        for name, spec in zip(names, export.inputs, strict=True)
    }
    probe = tuple(tensor[:2] for tensor in export.probe)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            probe,
            input_names=[spec.name for spec in export.inputs],
            output_names=[spec.name for spec in export.outputs],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=shapes,
            verbose=False,
            optimize=False,
        )
    if program is None:
        raise EngineError("torch.onnx.export gave nothing; update torch")
    # The exporter's own optimisation would fold batch normalisation into the weights, which then
    # are no half-precision numbers any more; ONNX Runtime folds it when it loads the model.
    optimizer.inline(program.model)
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    _strip(model)
    _store_half(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@torch.no_grad()
def round_to_half(network: nn.Module) -> None:
    """Round the weights of linear and convolution layers to what float16 can hold.

    They stay float32 and everything is computed in float32, but a bundle can store them in half
    the bytes without a further loss. Biases and normalisation layers are left alone.
    """
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half().float())


def parity_error(network: nn.Module, onnx_bytes: bytes, export: Export) -> float:
    """Return the largest absolute difference of torch and ONNX Runtime on the probe inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    feed = {
        spec.name: tensor.numpy() for spec, tensor in zip(export.inputs, export.probe, strict=True)
    }
    with torch.inference_mode():
        expected = network(*export.probe)
    outputs = expected if isinstance(expected, tuple) else (expected,)
    got = session.run(None, feed)
    return max(float(np.abs(a.numpy() - b).max()) for a, b in zip(outputs, got, strict=True))


def provenance(config: TrainingConfig, export: Export) -> dict[str, Any]:
    """Return what the bundle was trained on, how, and with what."""
    return {
        "data": export.data,
        "configuration": to_mapping(config),
        "git_revision": git_revision(),
        # Sums of floats depend on how many threads share them.
        "cpu_threads": torch.get_num_threads(),
        "versions": {
            "nn_perception": nn_perception.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def git_revision() -> str:
    """Return the revision that holds this package, ``-dirty`` when it was changed since.

    ``"unknown"`` where the package does not lie in a git repository.
    """
    here = Path(nn_perception.__file__).parent
    try:
        revision = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", str(here))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{revision}-dirty" if changed else revision


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix of float16 numbers as float16, anything else as it is."""
    half = tensor.half()
    exact = tensor.dtype == torch.float32 and tensor.ndim > 1 and torch.equal(half.float(), tensor)
    return (half if exact else tensor).contiguous()


def _store_half(model: onnx.ModelProto) -> None:
    """Store what float16 can hold exactly as float16, cast back when the model is loaded."""
    graph = model.graph
    casts = []
    for stored in list(graph.initializer):
        values = onnx.numpy_helper.to_array(stored)
        if values.dtype != np.float32 or values.size < 256:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = f"{stored.name}_float16"
        casts.append(
            onnx.helper.make_node("Cast", [name], [stored.name], to=onnx.TensorProto.FLOAT)
        )
        graph.initializer.remove(stored)
        graph.initializer.append(onnx.numpy_helper.from_array(half, name))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _git(directory: Path, *words: str) -> str:
    command = ["git", "-C", str(directory), *words]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return answer.stdout.strip()


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about source files: paths of this machine, and size."""
    model.ir_version = min(model.ir_version, IR_VERSION)
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    for item in (
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.value_info[:]
