"""Limits for an ONNX graph, checked before ONNX Runtime is given a byte of it.

A robot has no ``onnx`` package, and a general parser is lenient: this module reads the wire format
itself (`protobuf_wire`) and accepts that part of ONNX which networks of this package need. It
bounds what a file can ask for by what stands in it: nodes and fields, depth of nesting, sizes of
weights and of constants that make large arrays. What a graph computes while it runs cannot be read
off the file; `engine_trial` is for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nn_perception import onnx_schema as schema
from nn_perception.errors import BundleError
from nn_perception.onnx_tensors import MAX_DIMS, MAX_ELEMENTS, read_shape, read_tensor, signed
from nn_perception.protobuf_wire import Message, Reader, Schema, Span, WireError

MAX_NODES = 20_000
MAX_DEPTH = 3
MAX_FIELDS = 500_000
MAX_LENGTH = 65_536
"""Of a kernel, a padding and the like."""
OPSETS = range(13, 29)
IR_VERSIONS = range(4, 14)
DOMAINS = ("", "ai.onnx")

# Operators that make an array of a size that they are given: the input that holds it.
_SIZE_INPUTS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Resize": 3}
_LENGTH_INPUTS = {"Pad": 1, "CenterCropPad": 1, "OneHot": 1}
_LENGTH_ATTRIBUTES = ("pads", "output_padding", "output_shape", "hidden_size", "kernel_shape")


@dataclass(frozen=True)
class Value:
    """An input or output of the graph: name, NumPy dtype, shape (None: any size)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass
class Graph:
    """What `check_graph` found.

    Attributes:
        inputs: of the outer graph.
        outputs: of the outer graph.
        opset: version of the standard operators.
        operators: how often each operator occurs, subgraphs included.
        weights: shape of each initializer of the outer graph, by name.
    """

    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    opset: int = 0
    operators: dict[str, int] = field(default_factory=dict)
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """How many nodes there are, subgraphs included."""
        return sum(self.operators.values())


def check_graph(data: bytes) -> Graph:
    """Check a serialised ONNX model against the limits, and return what is in it.

    Raises:
        BundleError: it is no ONNX model, or asks for more than a network may.
    """
    try:
        return _Check(data).model()
    except WireError as error:
        raise BundleError(f"not an ONNX model that can be accepted: {error}") from None


class _Check:
    """One walk through one file."""

    def __init__(self, data: bytes) -> None:
        self._reader = Reader(data, MAX_FIELDS)
        self._end = len(data)
        self._found = Graph()
        self._nodes = 0
        self._constants: dict[str, tuple[int, ...]] = {}
        self._sized: list[tuple[str, list[str]]] = []  # operator and inputs, judged at the end

    def model(self) -> Graph:
        model = self._message(Span(0, self._end), schema.MODEL, "the model")
        version = model.number("ir_version")
        if version not in IR_VERSIONS:
            raise WireError(
                f"its IR version is {version}, expected {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}"
            )
        self._opset(model)
        if "graph" not in model:
            raise WireError("it holds no graph")
        graph = self._graph(model.spans("graph")[0], 0)
        self._found.inputs = tuple(self._value(span) for span in graph.spans("input"))
        self._found.outputs = tuple(self._value(span) for span in graph.spans("output"))
        twice = [v.name for v in self._found.inputs if v.name in self._found.weights]
        if twice:
            raise WireError(f"its input '{twice[0][:80]}' is a weight, too")
        for operator, inputs in self._sized:
            self._check_sizes(operator, inputs)
        return self._found

    def _opset(self, model: Message) -> None:
        versions = []
        for span in model.spans("opset_import"):
            opset = self._message(span, schema.OPSET, "an operator set")
            domain = self._text(opset, "domain")
            if domain not in DOMAINS:
                raise WireError(
                    f"it needs operators of '{domain[:80]}'; only the standard ones are accepted"
                )
            versions.append(opset.number("version"))
        if len(versions) != 1 or versions[0] not in OPSETS:
            raise WireError(f"its opset is {versions}, expected one of {OPSETS[0]} to {OPSETS[-1]}")
        self._found.opset = versions[0]

    def _graph(self, span: Span, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise WireError(f"its graphs are nested deeper than {MAX_DEPTH}")
        graph = self._message(span, schema.GRAPH, "a graph")
        for part in graph.spans("initializer"):
            tensor = read_tensor(self._reader, part)
            self._note(tensor.name, tensor.numbers)
            if not depth:
                self._found.weights[tensor.name] = tensor.shape
        for part in graph.spans("node"):
            self._node(part, depth)
        # Types inside the graph are hints, and those of a subgraph may be left out.
        hints = graph.spans("value_info")
        hints += [*graph.spans("input"), *graph.spans("output")] if depth else []
        for part in hints:
            self._hint(part)
        return graph

    def _node(self, span: Span, depth: int) -> None:
        node = self._message(span, schema.NODE, "a node")
        operator, domain = self._text(node, "op_type"), self._text(node, "domain")
        if domain not in DOMAINS or operator not in schema.OPERATORS:
            full = f"{domain}.{operator}" if domain else operator
            raise WireError(f"its operator '{full[:80]}' is not one that a network may use")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise WireError(f"it has more than {MAX_NODES} nodes")
        self._found.operators[operator] = self._found.operators.get(operator, 0) + 1
        inputs, outputs = (
            [self._reader.text(part) for part in node.spans(kind)] for kind in ("input", "output")
        )
        for part in node.spans("attribute"):
            self._attribute(part, operator, outputs[0] if outputs else "", depth)
        if operator in _SIZE_INPUTS or operator in _LENGTH_INPUTS or operator == "Range":
            self._sized.append((operator, inputs))

    def _attribute(self, span: Span, operator: str, output: str, depth: int) -> None:
        attribute = self._message(span, schema.ATTRIBUTE, f"an attribute of a node '{operator}'")
        name = self._text(attribute, "name")
        for part in [*attribute.spans("t"), *attribute.spans("tensors")]:
            tensor = read_tensor(self._reader, part)
            if operator == "Constant":
                self._note(output, tensor.numbers)
        for part in [*attribute.spans("g"), *attribute.spans("graphs")]:
            self._graph(part, depth + 1)
        numbers = [n for kind in ("i", "ints") for n in signed(self._reader, attribute, kind)]
        if operator == "Constant" and name in ("value_int", "value_ints"):
            self._note(output, tuple(numbers[: MAX_DIMS + 1]))
        elif name in _LENGTH_ATTRIBUTES:
            self._check_lengths(operator, numbers)

    def _note(self, name: str, numbers: tuple[int, ...] | None) -> None:
        """Remember a constant. With two of a name, a small one could hide a large one."""
        if numbers is not None and self._constants.setdefault(name, numbers) != numbers:
            raise WireError(f"it has two constants of the name '{name[:80]}'")

    def _check_sizes(self, operator: str, inputs: list[str]) -> None:
        """Bound the sizes that a node is given as constants."""
        given = [self._constants.get(name) for name in inputs]
        sizes: tuple[int, ...] | None = None
        if operator == "Range":
            ends = [numbers[0] for numbers in given[:3] if numbers]
            sizes = ((ends[1] - ends[0]) // (ends[2] or 1),) if len(ends) == 3 else None
        elif _SIZE_INPUTS.get(operator, len(given)) < len(given):
            sizes = given[_SIZE_INPUTS[operator]]
        if sizes and math.prod(max(1, abs(size)) for size in sizes) > MAX_ELEMENTS:
            raise WireError(f"a node '{operator}' makes an array of {sizes}, which is too large")
        at = _LENGTH_INPUTS.get(operator, len(given))
        if at < len(given):
            self._check_lengths(operator, given[at] or ())

    def _check_lengths(self, operator: str, numbers: list[int] | tuple[int, ...]) -> None:
        largest = max(map(abs, numbers), default=0)
        if largest > MAX_LENGTH:
            raise WireError(f"a node '{operator}' has a length of {largest}, which is too large")

    def _value(self, span: Span) -> Value:
        """Read an input or output of the whole graph, whose type must be there."""
        name, dtype, shape = self._hint(span)
        if not name or shape is None:
            raise WireError(f"its input or output '{name[:80]}' has no type and shape")
        read_shape(tuple(size for size in shape if size is not None), f"'{name[:80]}'")
        return Value(name, dtype, shape)

    def _hint(self, span: Span) -> tuple[str, str, tuple[int | None, ...] | None]:
        value = self._message(span, schema.VALUE, "an input or output")
        name, dtype, shape = self._text(value, "name"), "", None
        for kind in value.spans("type"):
            for part in self._message(kind, schema.TYPE, "a type").spans("tensor_type"):
                tensor = self._message(part, schema.TENSOR_TYPE, "a type")
                element = tensor.number("elem_type")
                if element not in schema.DTYPES:
                    raise WireError(f"'{name[:80]}' has the element type {element}")
                dtype = schema.DTYPES[element][0]
                for sizes in tensor.spans("shape"):
                    dims = self._message(sizes, schema.SHAPE, "a shape").spans("dim")
                    shape = tuple(self._size(dim) for dim in dims)
        return name, dtype, shape

    def _size(self, span: Span) -> int | None:
        """Return a size; None where it has a name, or nothing, in place of a number."""
        size = self._message(span, schema.DIMENSION, "a size")
        if "dim_value" in size and "dim_param" in size:
            raise WireError("a size is a number and a name")
        return signed(self._reader, size, "dim_value")[0] if "dim_value" in size else None

    def _message(self, span: Span, fields: Schema, what: str) -> Message:
        message = self._reader.message(span, fields, what)
        for part in message.spans("metadata_props"):
            self._reader.message(part, schema.ENTRY, "an entry of metadata")
        return message

    def _text(self, message: Message, name: str) -> str:
        return "".join(self._reader.text(part) for part in message.spans(name))
