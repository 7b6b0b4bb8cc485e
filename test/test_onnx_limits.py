"""The limits for ONNX graphs, beside what the onnx package reads of the same bytes."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception import onnx_limits
from nn_perception.bundle import ONNX_FILE
from nn_perception.errors import BundleError
from nn_perception.onnx_limits import check_graph
from nn_perception.onnx_schema import DTYPES, OPERATORS
from nn_perception.share import shipped_models

onnx = pytest.importorskip("onnx")
helper, numpy_helper = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx.numpy_helper")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
SHIPPED = sorted(path.name for path in shipped_models().iterdir() if (path / ONNX_FILE).is_file())


def shipped(name):
    return (shipped_models() / name / ONNX_FILE).read_bytes()


def make(nodes=None, initializers=(), *, opset=18, ir_version=9, domain="", inputs=None):
    """Return a model that adds x to itself, or has other nodes between x and y."""
    nodes = nodes or [helper.make_node("Add", ["x", "x"], ["y"])]
    value = helper.make_tensor_value_info
    inputs = inputs or [value("x", FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "g", inputs, [value("y", FLOAT, ["n", 3])], initializers)
    opsets = [helper.make_opsetid(domain, opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def check(model):
    return check_graph(model.SerializeToString())


def all_nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from all_nodes(inner)


def assert_as_onnx_reads_it(data):
    """Everything that the limits look at is what a full parser sees, too."""
    found, graph = check_graph(data), onnx.load_from_string(data).graph
    assert found.operators == collections.Counter(node.op_type for node in all_nodes(graph))
    assert found.weights == {t.name: tuple(t.dims) for t in graph.initializer}
    for ours, theirs in ((found.inputs, graph.input), (found.outputs, graph.output)):
        assert [value.name for value in ours] == [value.name for value in theirs]
        for value, expected in zip(ours, theirs, strict=True):
            tensor = expected.type.tensor_type
            assert value.dtype == DTYPES[tensor.elem_type][0]
            dims = tensor.shape.dim
            assert value.shape == tuple(
                d.dim_value if d.HasField("dim_value") else None for d in dims
            )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_graphs_are_read_as_onnx_reads_them(name):
    assert_as_onnx_reads_it(shipped(name))


def test_there_are_shipped_graphs():
    assert {"digits", "attitude", "gyro", "uwb_trolley", "objects"} <= set(SHIPPED)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_onnx_reads_them(data):
    name = data.draw(st.sampled_from(["uwb_drone", "attitude", "gyro"]))
    raw = bytearray(shipped(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "erase"]))
        if kind == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del raw[max(1, at) :]
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            del raw[at : at + data.draw(st.integers(1, 8))]
        if not raw:
            return
    try:
        check_graph(bytes(raw))
    except BundleError:
        return
    assert_as_onnx_reads_it(bytes(raw))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_bundle_error(data):
    with pytest.raises(BundleError):
        check_graph(b"\x08\x09" + data)


TYPED = [
    (np.float32, [1.5, -2.0]), (np.float64, [1.5, -2.0]), (np.float16, [1.5, -2.0]),
    (np.int64, [-5, 2**40]), (np.int32, [-5, 7]), (np.uint8, [0, 255]), (np.bool_, [True, False]),
    (np.uint64, [1, 2**63]), (np.uint32, [1, 2**31]), (np.int8, [-128, 127]),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values"), TYPED)
@pytest.mark.parametrize("raw", [True, False])
def test_arrays_of_every_kind_and_both_ways_of_storing(dtype, values, raw):
    array = np.array(values, dtype)
    tensor = numpy_helper.from_array(array, "w")
    if not raw:
        tensor = helper.make_tensor("w", tensor.data_type, [2], array.tolist())
        assert not tensor.HasField("raw_data")
    assert_as_onnx_reads_it(make(initializers=[tensor]).SerializeToString())
    tensor.dims[0] = 3
    with pytest.raises(BundleError, match="3 elements by its shape and 2 in its data"):
        check(make(initializers=[tensor]))


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_that_are_not_finite(wild, dtype, raw):
    array = np.array([1.0, wild], dtype)
    tensor = numpy_helper.from_array(array, "w")
    if not raw:
        tensor = helper.make_tensor("w", tensor.data_type, [2], array.tolist())
    with pytest.raises(BundleError, match="'w' holds numbers that are not finite"):
        check(make(initializers=[tensor]))


def test_one_infinity_alone_may_fill_a_mask_but_no_nan():
    check(make(initializers=[numpy_helper.from_array(np.float32(-np.inf), "fill")]))
    with pytest.raises(BundleError, match="not finite"):
        check(make(initializers=[numpy_helper.from_array(np.float32(np.nan), "fill")]))


def test_external_data_is_refused_wherever_it_stands():
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "../../etc/passwd")
    tensor.ClearField("raw_data")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    add = helper.make_node("Add", ["x", "x"], ["y"])
    nested = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["b"], ["z"], then_branch=nested, else_branch=nested)
    for model in (make(initializers=[tensor]), make([constant, add]), make([branch, add])):
        with pytest.raises(BundleError, match="external data"):
            check(model)


def test_operators_of_other_domains_and_unbounded_ones_are_refused():
    with pytest.raises(BundleError, match=r"needs operators of 'com\.microsoft'"):
        check(make(domain="com.microsoft"))
    fused = helper.make_node("FusedConv", ["x", "x"], ["y"], domain="com.microsoft")
    with pytest.raises(BundleError, match=r"'com\.microsoft\.FusedConv' is not one"):
        check(make([fused]))
    body = helper.make_graph([], "body", [], [])
    for node in (
        helper.make_node("Loop", ["n", "c", "x"], ["y"], body=body),
        helper.make_node("RandomNormal", [], ["y"], shape=[1 << 40]),
        helper.make_node("ImageDecoder", ["x"], ["y"]),
        helper.make_node("PyOp", ["x"], ["y"]),
    ):
        with pytest.raises(BundleError, match=f"'{node.op_type}' is not one"):
            check(make([node]))


def test_accepted_operators_are_real_ones():
    known = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ""}
    assert known >= OPERATORS


def test_opset_and_ir_version():
    with pytest.raises(BundleError, match="opset is"):
        check(make(opset=12))
    with pytest.raises(BundleError, match="opset is"):
        check(make(opset=99))
    with pytest.raises(BundleError, match="IR version is 3"):
        check(make(ir_version=3))
    with pytest.raises(BundleError, match="IR version is 99"):
        check(make(ir_version=99))
    twice = make()
    twice.opset_import.append(helper.make_opsetid("ai.onnx", 18))
    with pytest.raises(BundleError, match="opset is"):
        check(twice)


def test_number_of_nodes_counts_those_inside_others(monkeypatch):
    monkeypatch.setattr(onnx_limits, "MAX_NODES", 10)
    neg = [helper.make_node("Neg", ["x"], [f"z{n}"]) for n in range(5)]
    inner = helper.make_graph(neg, "inner", [], [])
    add = helper.make_node("Add", ["x", "x"], ["y"])
    branch = helper.make_node("If", ["b"], ["q"], then_branch=inner, else_branch=inner)
    assert check(make([*neg, add])).nodes == 6
    with pytest.raises(BundleError, match="more than 10 nodes"):
        check(make([branch, add]))


def test_depth_of_nesting():
    graph = helper.make_graph([], "inner", [], [])
    for _ in range(onnx_limits.MAX_DEPTH):
        node = helper.make_node("If", ["b"], ["z"], then_branch=graph)
        graph = helper.make_graph([node], "inner", [], [])
    assert check(make([node])).operators == {"If": onnx_limits.MAX_DEPTH}
    node = helper.make_node("If", ["b"], ["z"], then_branch=graph)
    with pytest.raises(BundleError, match="nested deeper"):
        check(make([node]))


def test_a_bomb_of_tiny_fields_is_refused_soon():
    """A file of 32 MB with 16 million fields: the budget ends before the memory does."""
    head = b"\x08\x09\x42\x02\x10\x12"  # IR version 9, opset 18
    bomb = head + b"\x3a\x80\x80\x80\x10" + b"\x0a\x00" * (1 << 24)
    with pytest.raises(BundleError, match="more than 500000 fields"):
        check_graph(bomb)
    dims = b"\x0a\x80\x80\x80\x10" + b"\x01" * (1 << 25)
    tensor = b"\x2a\x87\x80\x80\x10" + b"\x10\x01" + dims
    with pytest.raises(BundleError, match="more than 500000 fields and numbers"):
        check_graph(head + b"\x3a\x8c\x80\x80\x10" + tensor)


HUGE = 1 << 20


@pytest.mark.parametrize(
    ("operator", "inputs", "sizes"),
    [
        ("ConstantOfShape", ["s"], [HUGE, HUGE]),
        ("Expand", ["x", "s"], [HUGE, HUGE]),
        ("Tile", ["x", "s"], [HUGE, HUGE]),
        ("Resize", ["x", "", "", "s"], [HUGE, HUGE]),
        ("Pad", ["x", "s"], [0, HUGE, 0, HUGE]),
        ("Range", ["zero", "s", "one"], HUGE**2),
        ("Range", ["zero", "less", "down"], 0),
        ("OneHot", ["x", "s", "x"], HUGE),
    ],
)
@pytest.mark.parametrize("way", ["initializer", "constant", "value_ints", "int_data"])
def test_constants_that_make_huge_arrays(operator, inputs, sizes, way):
    sizes = np.array(sizes, np.int64)
    tensor = numpy_helper.from_array(sizes, "s")
    if way == "int_data":
        tensor = helper.make_tensor("s", INT64, sizes.shape, np.atleast_1d(sizes).tolist())
    nodes, initializers = [helper.make_node(operator, inputs, ["y"])], []
    for name, number in (("zero", 0), ("one", 1), ("less", -(HUGE**2)), ("down", -1)):
        initializers.append(numpy_helper.from_array(np.int64(number), name))
    if way == "constant":
        nodes.insert(0, helper.make_node("Constant", [], ["s"], value=tensor))
    elif way == "value_ints":
        given = {"value_ints": sizes.tolist()} if sizes.ndim else {"value_int": int(sizes)}
        nodes.insert(0, helper.make_node("Constant", [], ["s"], **given))
    else:
        initializers.append(tensor)
    with pytest.raises(BundleError, match=f"'{operator}' (makes an array|has a length)"):
        check(make(nodes, initializers))


def test_attributes_that_make_huge_arrays():
    for name in ("pads", "kernel_shape"):
        pool = helper.make_node("MaxPool", ["x"], ["y"], **{name: [1, HUGE]})
        with pytest.raises(BundleError, match="has a length of"):
            check(make([pool]))


def test_a_constant_cannot_hide_behind_another_of_its_name():
    large, small = (
        helper.make_node("Constant", [], ["s"], value_ints=sizes) for sizes in ([HUGE, HUGE], [1])
    )
    fill = helper.make_node("ConstantOfShape", ["s"], ["y"])
    with pytest.raises(BundleError, match="two constants of the name 's'"):
        check(make([large, fill, small]))


def test_inputs_need_a_type_and_a_shape_that_can_be_held():
    value = helper.make_tensor_value_info
    with pytest.raises(BundleError, match="elements"):
        check(make(inputs=[value("x", FLOAT, ["n", 1 << 20, 1 << 20])]))
    with pytest.raises(BundleError, match="has no type and shape"):
        check(make(inputs=[value("x", FLOAT, None)]))
    with pytest.raises(BundleError, match="element type 8"):
        check(make(inputs=[value("x", onnx.TensorProto.STRING, [1])]))
    with pytest.raises(BundleError, match="unknown field"):
        check(make(inputs=[helper.make_tensor_sequence_value_info("x", FLOAT, [1])]))
    with pytest.raises(BundleError, match="is a weight, too"):
        check(make(initializers=[numpy_helper.from_array(np.zeros((1, 3), np.float32), "x")]))


def test_what_a_lenient_parser_would_merge_is_refused():
    """A second graph behind the first is merged into it by protobuf's own parser."""
    good = make()
    extra = onnx.ModelProto()
    extra.graph.node.append(helper.make_node("Loop", [], []))
    both = good.SerializeToString() + extra.SerializeToString()
    assert len(onnx.load_from_string(both).graph.node) == 2
    with pytest.raises(BundleError, match="'graph' twice"):
        check_graph(both)


def test_functions_sparse_tensors_and_training_are_unknown():
    function, sparse, training = make(), make(), make()
    opsets = [helper.make_opsetid("", 18)]
    node = helper.make_node("Neg", ["a"], ["b"])
    function.functions.append(helper.make_function("d", "f", ["a"], ["b"], [node], opsets))
    sparse.graph.sparse_initializer.add()
    training.training_info.add()
    for model, number in ((function, 25), (sparse, 15), (training, 20)):
        with pytest.raises(BundleError, match=f"unknown field {number}"):
            check(model)
