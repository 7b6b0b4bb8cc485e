"""What a bundle's files must be, beyond their hashes: safetensors and ONNX as config.json says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nn_perception.errors import BundleError
from nn_perception.onnx_limits import Graph, Value, check_graph
from nn_perception.onnx_tensors import MAX_DIMS, MAX_ELEMENTS

if TYPE_CHECKING:
    from nn_perception.bundle import ArraySpec, BundleConfig

MAX_ARRAYS = 16
"""Most inputs, and most outputs, of a network."""
MAX_HEADER_BYTES = 4 << 20
MAX_ARGUMENT = 1 << 16
"""Largest whole number among a network's arguments, such as a width; torch builds from them."""

_DTYPES = ("float32", "float64", "float16", "uint8", "int8", "int32", "int64", "bool")
_TENSOR_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def check_config(config: BundleConfig) -> None:
    """Bound what config.json makes its readers allocate.

    Raises:
        BundleError: shapes, types or the network's arguments are beyond what is accepted.
    """
    for kind, specs in (("input", config.inputs), ("output", config.outputs)):
        if not 1 <= len(specs) <= MAX_ARRAYS:
            raise BundleError(f"it names {len(specs)} {kind}s, expected 1 to {MAX_ARRAYS}")
        for spec in specs:
            _check_spec(kind, spec)
    _check_arguments(config.network.arguments, 0)


def check_tensors(data: bytes) -> None:
    """Check a safetensors file: 8 bytes of length, a JSON header, tensors that fill the rest.

    Raises:
        BundleError: it is something else, or does not agree with itself.
    """
    refuse_archives(data)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise BundleError("not a safetensors file: its header is cut off")
    if length > MAX_HEADER_BYTES:
        raise BundleError(f"its header has {length} bytes, more than {MAX_HEADER_BYTES}")
    try:
        header = json.loads(data[8 : 8 + length])
        tensors = [spec for name, spec in header.items() if name != "__metadata__"]
        spans = sorted(_span(spec) for spec in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BundleError("not a safetensors file: its header cannot be read") from None
    at = 0
    for begin, end, size in spans:
        if begin != at or end - begin != size:
            raise BundleError("its tensors overlap, leave a gap or differ from their shapes")
        at = end
    if at != len(data) - 8 - length:
        raise BundleError("its tensors do not fill the file as its header says")


def check_onnx(data: bytes, config: BundleConfig) -> Graph:
    """Check an ONNX graph against the limits and against what config.json says of it.

    Raises:
        BundleError: it is no ONNX graph, is beyond the limits, or takes or gives something else.
    """
    refuse_archives(data)
    graph = check_graph(data)
    _check_interface("input", graph.inputs, config.inputs)
    _check_interface("output", graph.outputs, config.outputs)
    return graph


def refuse_archives(data: bytes) -> None:
    """Refuse what opens as a pickle, a zip or torch archive, or a compressed file does.

    Raises:
        BundleError: it does.
    """
    # A pickle opens with 0x80, its protocol and an opcode; read as the length of a safetensors
    # header, that is larger than any. A header of 128 bytes begins with 0x80, too.
    is_pickle = data[:1] == b"\x80" and int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES
    if is_pickle or data.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise BundleError(
            "it looks like a pickle or an archive, which could run code when loaded; only "
            "safetensors and ONNX are accepted"
        )


def _check_spec(kind: str, spec: ArraySpec) -> None:
    known = [1 if size is None else size for size in spec.shape]
    if (
        len(known) > MAX_DIMS
        or any(size < 1 for size in known)
        or math.prod(known) > MAX_ELEMENTS
        or spec.dtype not in _DTYPES
    ):
        raise BundleError(
            f"its {kind} '{spec.name[:80]}' has the shape {list(spec.shape[: MAX_DIMS + 1])} and "
            f"type '{spec.dtype[:20]}'; expected up to {MAX_DIMS} sizes of 1 or more, up to "
            f"{MAX_ELEMENTS} elements, and one of: {', '.join(_DTYPES)}"
        )


def _check_arguments(value: Any, depth: int) -> None:
    numbers: Sequence[Any] = ()
    if isinstance(value, dict):
        numbers = list(value.values())
    elif isinstance(value, (list, tuple)):
        numbers = value
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_ARGUMENT:
        raise BundleError(f"its network has an argument {value!r:.40}, beyond {MAX_ARGUMENT}")
    if len(numbers) > MAX_ARGUMENT or depth > MAX_DIMS:
        raise BundleError("its network has too many arguments")
    for number in numbers:
        _check_arguments(number, depth + 1)


def _span(spec: Any) -> tuple[int, int, int]:
    """Return where a tensor begins and ends, and how many bytes its shape takes."""
    begin, end = spec["data_offsets"]
    if not type(begin) is type(end) is int:
        raise TypeError("offsets are integers")
    return begin, end, _tensor_bytes(spec)


def _tensor_bytes(spec: dict[str, Any]) -> int:
    shape = spec["shape"]
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError("a size is no whole number")
    return int(math.prod(shape)) * _TENSOR_BITS[spec["dtype"]] // 8


def _check_interface(kind: str, found: tuple[Value, ...], expected: tuple[ArraySpec, ...]) -> None:
    names, wanted = [value.name for value in found], [spec.name for spec in expected]
    if names != wanted:
        raise BundleError(f"its {kind}s are {names[:MAX_ARRAYS]}, config.json names {wanted}")
    for value, spec in zip(found, expected, strict=True):
        if value.dtype != spec.dtype or value.shape != spec.shape:
            raise BundleError(
                f"its {kind} '{value.name[:80]}' is {value.dtype} of the shape "
                f"{_shape(value.shape)}, config.json says {spec.dtype} of {_shape(spec.shape)}"
            )


def _shape(sizes: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in sizes) + ")"
