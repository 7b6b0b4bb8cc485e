"""The torch engine: a CUDA graph on a GPU, eager calls on a CPU."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from nn_perception.bundle import Bundle
from nn_perception.engine import NETWORKS, digest
from nn_perception.errors import BundleError, DeviceError, EngineError, NnPerceptionError
from nn_perception.networks import build_network

Array = npt.NDArray[Any]

_CAPTURE = threading.Lock()


def network_from_bundle(bundle: Bundle) -> torch.nn.Module:
    """Build the bundle's network in evaluation mode, with the bundle's weights.

    Raises:
        BundleError: the architecture is unknown here, or the tensors do not fit it.
    """
    spec = bundle.config.network
    try:
        tensors = safetensors.torch.load(bundle.tensors)
        # Planned without memory first: arguments of a few bytes may name layers of many gigabytes.
        with torch.device("meta"):
            planned = build_network(spec.name, spec.arguments)
        planned.load_state_dict({name: t.to("meta") for name, t in tensors.items()}, strict=True)
        network = build_network(spec.name, spec.arguments)
        network.load_state_dict(tensors, strict=True)
    except (NnPerceptionError, RuntimeError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"the weights of {bundle.name} do not fit '{spec.name}': {error}"
        ) from None
    return network.eval()


def _shared_network(bundle: Bundle, device: torch.device, half: bool) -> torch.nn.Module:
    """Return the network on a device, from the engines of this process that have it already.

    In evaluation mode a network keeps no state between calls; graphs and their buffers, which do,
    belong to one engine each.
    """

    def build() -> torch.nn.Module:
        network = network_from_bundle(bundle).to(device)
        return HalfPrecision(network, device.type) if half else network

    spec = bundle.config.network
    arguments = json.dumps(spec.arguments, sort_keys=True)
    key = (TorchEngine.backend, digest(bundle.tensors), spec.name, arguments, str(device), half)
    network: torch.nn.Module = NETWORKS.get(key, build)
    return network


class TorchEngine:
    """Runs the network with torch.

    On a GPU, batches are captured as CUDA graphs over static buffers; a call then is one copy in,
    one launch, one copy out. A camera frame has another number of regions each time: batches are
    filled up to the next power of two, so that few graphs serve all sizes. The number of graphs is
    bounded.
    """

    backend = "torch"
    max_graphs = 16

    def __init__(
        self, bundle: Bundle, device: str = "cpu", threads: int = 1, half: bool = False
    ) -> None:
        """Build the network; ``half`` is for a GPU, and outputs are float32 all the same."""
        try:
            self._device = torch.device(device)
            self._network = _shared_network(bundle, self._device, half)
        except (RuntimeError, AssertionError) as error:
            raise DeviceError(f"cannot use device '{device}': {error}") from None
        self.device = str(self._device)
        self.precision = "half" if half else "float32"
        if self._device.type == "cpu":
            torch.set_num_threads(threads)  # torch has one number for the whole process
        self._graphs: dict[tuple[Any, ...], Any] = {}

    @torch.inference_mode()
    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """See `Engine`."""
        try:
            if self._device.type == "cuda":
                return self._run_graph(inputs)
            outputs = self._network(*(torch.from_numpy(_writable(array)) for array in inputs))
        except (RuntimeError, TypeError) as error:
            raise EngineError(f"torch refused the input: {error}") from None
        return tuple(output.numpy() for output in _as_tuple(outputs))

    def bare_graph(self) -> torch.cuda.CUDAGraph:
        """Return the graph captured last, for the benchmark to compare a call with."""
        graph: torch.cuda.CUDAGraph = next(reversed(self._graphs.values())).graph
        return graph

    def _run_graph(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run the graph of the batch's size class; each input has the batch as its first axis."""
        size = filled_up(len(inputs[0]))
        key = (size, *((array.shape[1:], array.dtype.str) for array in inputs))
        graph = self._graphs.pop(key, None)
        if graph is None:
            while len(self._graphs) >= self.max_graphs:
                self._graphs.pop(next(iter(self._graphs)))  # the one not used for the longest time
            graph = self._capture(size, inputs)
        self._graphs[key] = graph
        outputs: tuple[Array, ...] = graph(inputs)
        return outputs

    def _capture(self, size: int, inputs: tuple[Array, ...]) -> Callable[..., Any]:
        shapes = [(size, *array.shape[1:]) for array in inputs]
        static = [np.zeros(s, array.dtype) for s, array in zip(shapes, inputs, strict=True)]
        return _Graph(self._network, static, self._device)


def filled_up(count: int) -> int:
    """Return the next power of two, 1 at least: the batch size that ``count`` rows run in."""
    return 1 << max(0, count - 1).bit_length()


class HalfPrecision(torch.nn.Module):
    """A network with weights of 16 bits; what needs more (sums, soft-max) torch does in 32."""

    def __init__(self, network: torch.nn.Module, device_type: str) -> None:
        super().__init__()
        self._network = network.half()
        self._device_type = device_type

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the network; floating outputs are float32."""
        # Without the cache: a CUDA graph must not keep tensors that live until autocast ends.
        with torch.autocast(self._device_type, torch.float16, cache_enabled=False):
            outputs = _as_tuple(self._network(*inputs))
        return tuple(out.float() if out.is_floating_point() else out for out in outputs)


class _Graph:
    """One captured CUDA graph, with pinned host buffers on both sides."""

    def __init__(
        self, network: torch.nn.Module, inputs: Sequence[Array], device: torch.device
    ) -> None:
        self._host_in = [torch.from_numpy(array).pin_memory() for array in inputs]
        self._device_in = [tensor.to(device) for tensor in self._host_in]
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # lazy initialisation must not be captured
                network(*self._device_in)
        self._stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        # Thread-local: while a new model is built, the worker's thread runs the old one. One at a
        # time: a capture begins by waiting for the whole device, which another one forbids.
        mode = "thread_local"
        with (
            _CAPTURE,
            torch.cuda.graph(self.graph, stream=self._stream, capture_error_mode=mode),
        ):
            self._device_out = _as_tuple(network(*self._device_in))
        self._host_out = [
            torch.empty(out.shape, dtype=out.dtype, pin_memory=True) for out in self._device_out
        ]

    def __call__(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run on as many rows as there are; what the rows behind them hold changes nothing."""
        count = len(inputs[0])
        for host, array in zip(self._host_in, inputs, strict=True):
            host.numpy()[:count] = array
        with torch.cuda.stream(self._stream):
            for static, host in zip(self._device_in, self._host_in, strict=True):
                static.copy_(host, non_blocking=True)
            self.graph.replay()
            for host, out in zip(self._host_out, self._device_out, strict=True):
                host.copy_(out, non_blocking=True)
        self._stream.synchronize()
        return tuple(host.numpy()[:count] for host in self._host_out)


def _as_tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _writable(array: Array) -> Array:
    """Torch warns about read-only arrays, such as views of a message; those are copied."""
    return array if array.flags.writeable else np.array(array)
