"""Engines: run a bundle's network on NumPy arrays, on a CPU or a GPU, behind one call.

Engines of one process that were made from the same bytes in the same way share what is heavy: the
session of ONNX Runtime, or the torch module on its device. It goes with the last of them.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nn_perception.bundle import ArraySpec, Bundle
from nn_perception.errors import BundleError, ConfigError, DeviceError, EngineError
from nn_perception.weak_cache import WeakCache

Array = npt.NDArray[Any]

BACKENDS = ("auto", "onnxruntime", "torch")
PRECISIONS = ("float32", "half", "auto")

NETWORKS: WeakCache[Any] = WeakCache()
"""Sessions and modules of this process. A key holds the hash of the network's bytes, made anew, so
that no two are ever taken for one another, whatever their bundles say."""


class Engine(Protocol):
    """Runs one network.

    Not safe for several threads at a time: one worker owns it. Outputs are valid until the next
    call.

    Attributes:
        device: where it runs: ``"cpu"`` or ``"cuda:N"``.
        backend: what runs it: ``"onnxruntime"`` or ``"torch"``.
        precision: of its numbers within: ``"float32"`` or ``"half"``.
    """

    device: str
    backend: str
    precision: str

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Run the network on its inputs, each with the batch as the first axis."""
        ...


class OnnxEngine:
    """ONNX Runtime on the CPU.

    One thread by default: for networks of this size it is the fastest, and leaves the other cores
    to the rest of the robot.
    """

    backend = "onnxruntime"
    device = "cpu"
    precision = "float32"

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        # Shared: `run` of a session may be called by several threads at a time.
        key = (self.backend, digest(bundle.onnx), threads)
        self._session = NETWORKS.get(key, lambda: _create_session(bundle, threads))
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._outputs = [node.name for node in self._session.get_outputs()]
        expected = [spec.name for spec in bundle.config.inputs]
        if self._inputs != expected:
            raise BundleError(
                f"the ONNX graph of {bundle.name} has the inputs {self._inputs}, its config.json "
                f"names {expected}"
            )

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """See `Engine`."""
        try:
            return tuple(
                self._session.run(self._outputs, dict(zip(self._inputs, inputs, strict=True)))
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime refused the input: {_first_line(error)}") from None


def digest(data: bytes) -> bytes:
    """Return the sha256 of a network's bytes. Unlike `hash`, it leaves the GIL to other threads."""
    return hashlib.sha256(data).digest()


def _create_session(bundle: Bundle, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning worker threads would burn a core of a small robot between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            bundle.onnx, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise BundleError(f"ONNX Runtime cannot load {bundle.name}: {_first_line(error)}") from None


def cuda_is_likely() -> bool:
    """Tell cheaply whether a CUDA device may be there, so that torch is imported only then."""
    return (
        Path("/dev/nvidia0").exists()
        or Path("/dev/nvhost-gpu").exists()  # Jetson
        or shutil.which("nvidia-smi") is not None
    )


def create_engine(
    bundle: Bundle,
    device: str = "auto",
    threads: int = 1,
    backend: str = "auto",
    precision: str = "float32",
) -> Engine:
    """Build the engine for a bundle, on a network that other engines may share (see above).

    Args:
        bundle: a verified bundle.
        device: ``"auto"`` (a GPU when there is one, else the CPU), ``"cpu"``, ``"cuda"`` or
            ``"cuda:N"``.
        threads: CPU threads of one call.
        backend: ``"auto"`` (ONNX Runtime on a CPU, torch on a GPU), ``"onnxruntime"``, ``"torch"``.
        precision: ``"float32"``, ``"half"`` (on a GPU only) or ``"auto"`` (half where there is a
            GPU). Outputs are float32 in any case.

    Raises:
        DeviceError: a device asked for by name is not there, or half precision without a GPU.
        BundleError: the network cannot be built from the bundle.
        ConfigError: an unknown device, backend or precision.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"unknown engine backend '{backend}'; expected one of {BACKENDS}")
    if precision not in PRECISIONS:
        raise ConfigError(f"unknown precision '{precision}'; expected one of {PRECISIONS}")
    if threads < 1:
        raise ConfigError(f"an engine needs at least 1 thread, got {threads}")
    kind = device.partition(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device '{device}'; expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and backend == "onnxruntime":
        raise ConfigError("the onnxruntime backend runs on the CPU; choose backend torch for cuda")
    if kind == "cuda" or (kind == "auto" and backend != "onnxruntime" and cuda_is_likely()):
        engine = _cuda_engine(bundle, device, half=precision != "float32")
        if engine is not None:
            return engine
    if precision == "half":
        raise DeviceError(
            "precision 'half' was asked for, and the network would run on the CPU, which is slower "
            "with it: choose precision auto or float32, or a GPU"
        )
    if backend == "torch":
        from nn_perception.engine_torch import TorchEngine

        return TorchEngine(bundle, "cpu", threads)
    return OnnxEngine(bundle, threads)


def warm_up(engine: Engine, bundle: Bundle, calls: int = 3) -> None:
    """Run the engine on probe inputs and check the outputs.

    Raises:
        EngineError: an output is not finite, or not of the shape that the bundle's config names.
    """
    for inputs in (probe_inputs(bundle, seed) for seed in range(calls)):
        outputs = engine(*inputs)
        if len(outputs) != len(bundle.config.outputs):
            raise EngineError(
                f"{bundle.name} gives {len(outputs)} outputs, its config.json names "
                f"{len(bundle.config.outputs)}"
            )
        for spec, output in zip(bundle.config.outputs, outputs, strict=True):
            expected = tuple(1 if size is None else size for size in spec.shape)
            if output.shape != expected:
                raise EngineError(
                    f"output '{spec.name}' of {bundle.name} has shape {output.shape}, its "
                    f"config.json says {expected}"
                )
            if not np.isfinite(output).all():
                raise EngineError(
                    f"output '{spec.name}' of {bundle.name} is not finite on a probe input: the "
                    "network is damaged or did not train"
                )


def probe_inputs(bundle: Bundle, seed: int = 0, batch: int = 1) -> tuple[Array, ...]:
    """Return inputs of the bundle's shapes and types, filled from a seeded generator."""
    generator = np.random.default_rng(seed)
    return tuple(_probe(spec, generator, batch) for spec in bundle.config.inputs)


def _probe(spec: ArraySpec, generator: np.random.Generator, batch: int) -> Array:
    shape = tuple(batch if size is None else size for size in spec.shape)
    if spec.dtype == "uint8":
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.standard_normal(shape).astype(spec.dtype)


def _cuda_engine(bundle: Bundle, device: str, half: bool) -> Engine | None:
    """Return a GPU engine; None when ``device`` is auto and there is no GPU after all."""
    try:
        import torch

        available = torch.cuda.is_available()
    except ImportError:
        available = False
    if not available:
        if device == "auto":
            return None
        raise DeviceError(
            f"device '{device}' was asked for, but torch with CUDA is not there: install a CUDA "
            "build of torch, or use device auto or cpu"
        )
    from nn_perception.engine_torch import TorchEngine

    return TorchEngine(bundle, "cuda:0" if device == "auto" else device, half=half)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
