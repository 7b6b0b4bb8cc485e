"""Arrays in an ONNX file: as long as their shape says, within the file, finite."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nn_perception import onnx_schema as schema
from nn_perception.protobuf_wire import Message, Reader, Span, WireError

MAX_DIMS = 8
MAX_ELEMENTS = 1 << 27
"""Of one array: 128 Mi elements, 512 MiB of float32; weights, inputs, outputs and constants."""

_SIGNED = 1 << 63
_WHOLE = {"int32": "<i4", "int64": "<i8"}
# NumPy type of the bits, and which of them are exponent and mantissa.
_FLOATS: dict[str, tuple[str, int, int]] = {
    "float32": ("<u4", 0x7F800000, 0x007FFFFF),
    "float16": ("<u2", 0x7C00, 0x03FF),
    "float64": ("<u8", 0x7FF << 52, (1 << 52) - 1),
    "bfloat16": ("<u2", 0x7F80, 0x007F),
}
_FIXED = ("raw_data", "float_data", "double_data")


class Tensor(NamedTuple):
    """An array that was checked.

    Attributes:
        name: may be empty.
        dtype: NumPy's name; ``"bfloat16"``, which NumPy lacks, as well.
        shape: sizes.
        numbers: of a short array of whole numbers, which may be a shape; else None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    numbers: tuple[int, ...] | None


def read_tensor(reader: Reader, span: Span) -> Tensor:
    """Check one array.

    Raises:
        WireError: it is damaged, too large, not finite, lies in another file, or has another type
            of element than networks need.
    """
    message = reader.message(span, schema.TENSOR, "an array")
    name = "".join(reader.text(part) for part in message.spans("name"))
    label = f"the array '{name[:80]}'"
    if message.number("data_location") or "external_data" in message:
        raise WireError(f"{label} lies in another file: external data is not accepted")
    kind = message.number("data_type")
    if kind not in schema.DTYPES:
        raise WireError(f"{label} has the element type {kind}, which is not accepted")
    shape = read_shape(signed(reader, message, "dims"), label)
    dtype, item_bytes, held_by = schema.DTYPES[kind]
    _check_length(reader, message, label, math.prod(shape), item_bytes, held_by)
    if dtype in _FLOATS:
        _check_finite(_bits(reader, message, dtype), dtype, label)
    numbers = None
    if dtype in _WHOLE and math.prod(shape) <= MAX_DIMS:
        numbers = _whole(reader, message, dtype, held_by)
    return Tensor(name, dtype, shape, numbers)


def read_shape(sizes: tuple[int, ...], label: str) -> tuple[int, ...]:
    """Check the sizes of an array.

    Raises:
        WireError: there are too many, or their product is too large.
    """
    if len(sizes) > MAX_DIMS or any(not 0 <= size <= MAX_ELEMENTS for size in sizes):
        raise WireError(f"{label} has the shape {sizes[: MAX_DIMS + 1]}, which is not accepted")
    if math.prod(sizes) > MAX_ELEMENTS:
        raise WireError(f"{label} has the shape {sizes}, more than {MAX_ELEMENTS} elements")
    return sizes


def signed(reader: Reader, message: Message, name: str) -> tuple[int, ...]:
    """Return the varints of a field as signed numbers of 64 bits."""
    numbers = reader.numbers(message, name)
    return tuple(n - 2 * _SIGNED if n >= _SIGNED else n for n in numbers)


def _check_length(
    reader: Reader, message: Message, label: str, elements: int, item_bytes: int, held_by: str
) -> None:
    data = [name for name in message if name.endswith("_data")]
    if len(data) > 1 or (data and data[0] not in ("raw_data", held_by)):
        raise WireError(f"{label} has its data in {' and '.join(data)}")
    rest = 0
    if "raw_data" in message:
        (raw,) = message.spans("raw_data")
        count, rest = divmod(raw.end - raw.start, item_bytes)
    else:
        count = reader.count(message, held_by, schema.ITEM_BYTES.get(held_by, 0))
    if count != elements or rest:
        raise WireError(f"{label} has {elements} elements by its shape and {count} in its data")


def _bits(reader: Reader, message: Message, dtype: str) -> Any:
    """Return an array's floats as unsigned numbers of the same bits."""
    if "int32_data" in message:
        numbers = reader.numbers(message, "int32_data")
        return np.array([number & 0xFFFF for number in numbers], np.uint16)
    spans = [span for name in _FIXED for span in message.spans(name)]
    if len(spans) == 1:  # a view: large weights are not copied
        (start, end), item = spans[0], np.dtype(_FLOATS[dtype][0])
        return np.frombuffer(reader.data, item, (end - start) // item.itemsize, start)
    return np.frombuffer(b"".join(reader.data[a:b] for a, b in spans), _FLOATS[dtype][0])


def _check_finite(bits: Any, dtype: str, label: str) -> None:
    """Refuse NaN anywhere; infinity only in single numbers, which may be what fills a mask."""
    _, exponent, mantissa = _FLOATS[dtype]
    exponents = bits & exponent
    if not len(bits) or exponents.max() != exponent:
        return
    if len(bits) > 1 or int(bits[0]) & mantissa:
        raise WireError(f"{label} holds numbers that are not finite: the network is damaged")


def _whole(reader: Reader, message: Message, dtype: str, held_by: str) -> tuple[int, ...]:
    if "raw_data" in message:
        ((start, end),) = message.spans("raw_data")
        return tuple(np.frombuffer(reader.data[start:end], _WHOLE[dtype]).tolist())
    return signed(reader, message, held_by)
