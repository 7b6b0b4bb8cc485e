"""ONNX graphs that a node must refuse: each a change to the sound graph of a digit model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nn_perception import onnx_limits

HUGE = 1 << 20
# Doublings that need 128 GiB of one picture, and multiplications that take hours.
DOUBLINGS, TURNS = 24, 10_000

Model = Any
Change = Callable[[Model], None]


def change(path: Path, edit: Change) -> bytes:
    """Return the model of a file with an edit made to it."""
    model = onnx.load(path)
    edit(model)
    data: bytes = model.SerializeToString()
    return data


def nan_weights(model: Model) -> None:
    """Put NaN into the largest weights."""
    stored = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(stored).copy()
    values.flat[3] = np.nan
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))


def nan_outputs(model: Model) -> None:
    """Let finite weights give outputs that are not: the logarithm of what is negative."""
    _append(model, [("Abs", {}), ("Neg", {}), ("Log", {}), ("Sqrt", {})])


def other_domain(model: Model) -> None:
    """Use an operator of ONNX Runtime's own."""
    _append(model, [("FastGelu", {"domain": "com.microsoft"})])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def loop(model: Model) -> None:
    """Turn for ever."""
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["unused"], body=body))


def functions(model: Model) -> None:
    """Bring an operator along."""
    opsets, neg = [helper.make_opsetid("", 18)], [helper.make_node("Neg", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "Own", ["a"], ["b"], neg, opsets))


def external_data(model: Model) -> None:
    """Let the weights be what stands in some file of the robot."""
    stored = model.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = onnx.TensorProto.EXTERNAL
    entry = stored.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def many_nodes(model: Model) -> None:
    """Ask for more nodes than a network has."""
    _append(model, [("Neg", {})] * (onnx_limits.MAX_NODES + 1))


def many_fields(model: Model) -> None:
    """Fill a few bytes each with more than a parser should read."""
    text = onnx.StringStringEntryProto()
    model.metadata_props.extend([text] * onnx_limits.MAX_FIELDS)


def deep_graphs(model: Model) -> None:
    """Nest graphs in graphs."""
    graph = helper.make_graph([], "inner", [], [])
    for _ in range(20):  # one branch each: with both, the size would double each time
        node = helper.make_node("If", ["no"], ["unused"], then_branch=graph)
        graph = helper.make_graph([node], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["no"], ["unused"], then_branch=graph))


def huge_constant(model: Model) -> None:
    """Make four terabytes out of 16 bytes."""
    sizes = numpy_helper.from_array(np.array([HUGE, HUGE], np.int64), "sizes")
    model.graph.initializer.append(sizes)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["sizes"], ["unused"]))


def wrong_length(model: Model) -> None:
    """Say that an array is larger than its data."""
    model.graph.initializer[0].dims[0] += 1000


def two_outputs(model: Model) -> None:
    """Give more than config.json says."""
    extra = helper.make_tensor_value_info("extra", onnx.TensorProto.FLOAT, ["n", 10])
    model.graph.output.append(extra)


def swelling(model: Model) -> None:
    """Grow while it runs; nothing in the file is large."""
    source = model.graph.output[0].name
    before = _rename_output(model)
    last = before
    for turn in range(DOUBLINGS):
        model.graph.node.append(helper.make_node("Concat", [last, last], [f"swell{turn}"], axis=1))
        last = f"swell{turn}"
    model.graph.node.append(helper.make_node("ReduceMax", [last], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", [before, "most"], [source]))


def lasting(model: Model) -> None:
    """Calculate for hours, in little memory."""
    target = model.graph.output[0].name
    before = _rename_output(model)
    nodes = model.graph.node
    last = before
    for turn in range(7):
        nodes.append(helper.make_node("Concat", [last, last], [f"row{turn}"], axis=1))
        last = f"row{turn}"
    nodes.append(helper.make_node("Softmax", [last], ["row"], axis=1))
    nodes.append(helper.make_node("Transpose", ["row"], ["column"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", ["column", "row"], ["square0"]))
    for turn in range(TURNS):
        names = [f"square{turn}", "square0"]
        nodes.append(helper.make_node("MatMul", names, [f"square{turn + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"square{TURNS}"], ["most"], keepdims=0))
    nodes.append(helper.make_node("Add", [before, "most"], [target]))


def _append(model: Model, operators: list[tuple[str, dict[str, Any]]]) -> None:
    """Put a chain of operators between the present output and its name."""
    target = model.graph.output[0].name
    last = _rename_output(model)
    for turn, (operator, more) in enumerate(operators):
        name = target if turn == len(operators) - 1 else f"chain{turn}"
        model.graph.node.append(helper.make_node(operator, [last], [name], **more))
        last = name


def _rename_output(model: Model) -> str:
    """Give what made the output another name, and return it."""
    for node in model.graph.node:
        if model.graph.output[0].name in node.output:
            node.output[0] = "before"
    return "before"
