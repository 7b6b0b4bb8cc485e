"""The messages of an ONNX file that this package accepts, and their fields.

Numbers and types are those of ``onnx.proto`` (IR version 13). What a network of this package never
needs is not here, and so refused: functions, training information, sparse tensors, types other than
dense tensors, strings as values, devices.
"""

from __future__ import annotations

from types import MappingProxyType

from nn_perception.protobuf_wire import FIXED32, FIXED64, LENGTH, VARINT, Field

MODEL = MappingProxyType(
    {
        1: Field("ir_version", VARINT),
        2: Field("producer_name", LENGTH),
        3: Field("producer_version", LENGTH),
        4: Field("domain", LENGTH),
        5: Field("model_version", VARINT),
        6: Field("doc_string", LENGTH),
        7: Field("graph", LENGTH),
        8: Field("opset_import", LENGTH, repeated=True),
        14: Field("metadata_props", LENGTH, repeated=True),
    }
)
ENTRY = MappingProxyType({1: Field("key", LENGTH), 2: Field("value", LENGTH)})
OPSET = MappingProxyType({1: Field("domain", LENGTH), 2: Field("version", VARINT)})
GRAPH = MappingProxyType(
    {
        1: Field("node", LENGTH, repeated=True),
        2: Field("name", LENGTH),
        5: Field("initializer", LENGTH, repeated=True),
        10: Field("doc_string", LENGTH),
        11: Field("input", LENGTH, repeated=True),
        12: Field("output", LENGTH, repeated=True),
        13: Field("value_info", LENGTH, repeated=True),
        16: Field("metadata_props", LENGTH, repeated=True),
    }
)
NODE = MappingProxyType(
    {
        1: Field("input", LENGTH, repeated=True),
        2: Field("output", LENGTH, repeated=True),
        3: Field("name", LENGTH),
        4: Field("op_type", LENGTH),
        5: Field("attribute", LENGTH, repeated=True),
        6: Field("doc_string", LENGTH),
        7: Field("domain", LENGTH),
        9: Field("metadata_props", LENGTH, repeated=True),
    }
)
ATTRIBUTE = MappingProxyType(
    {
        1: Field("name", LENGTH),
        2: Field("f", FIXED32),
        3: Field("i", VARINT),
        4: Field("s", LENGTH),
        5: Field("t", LENGTH),
        6: Field("g", LENGTH),
        7: Field("floats", FIXED32, repeated=True),
        8: Field("ints", VARINT, repeated=True),
        9: Field("strings", LENGTH, repeated=True),
        10: Field("tensors", LENGTH, repeated=True),
        11: Field("graphs", LENGTH, repeated=True),
        13: Field("doc_string", LENGTH),
        20: Field("type", VARINT),
    }
)
TENSOR = MappingProxyType(
    {
        1: Field("dims", VARINT, repeated=True),
        2: Field("data_type", VARINT),
        4: Field("float_data", FIXED32, repeated=True),
        5: Field("int32_data", VARINT, repeated=True),
        7: Field("int64_data", VARINT, repeated=True),
        8: Field("name", LENGTH),
        9: Field("raw_data", LENGTH),
        10: Field("double_data", FIXED64, repeated=True),
        11: Field("uint64_data", VARINT, repeated=True),
        12: Field("doc_string", LENGTH),
        13: Field("external_data", LENGTH, repeated=True),
        14: Field("data_location", VARINT),
        16: Field("metadata_props", LENGTH, repeated=True),
    }
)
VALUE = MappingProxyType(
    {
        1: Field("name", LENGTH),
        2: Field("type", LENGTH),
        3: Field("doc_string", LENGTH),
        4: Field("metadata_props", LENGTH, repeated=True),
    }
)
TYPE = MappingProxyType({1: Field("tensor_type", LENGTH), 6: Field("denotation", LENGTH)})
TENSOR_TYPE = MappingProxyType({1: Field("elem_type", VARINT), 2: Field("shape", LENGTH)})
SHAPE = MappingProxyType({1: Field("dim", LENGTH, repeated=True)})
DIMENSION = MappingProxyType(
    {
        1: Field("dim_value", VARINT),
        2: Field("dim_param", LENGTH),
        3: Field("denotation", LENGTH),
    }
)

DTYPES = MappingProxyType(
    {
        1: ("float32", 4, "float_data"),
        2: ("uint8", 1, "int32_data"),
        3: ("int8", 1, "int32_data"),
        4: ("uint16", 2, "int32_data"),
        5: ("int16", 2, "int32_data"),
        6: ("int32", 4, "int32_data"),
        7: ("int64", 8, "int64_data"),
        9: ("bool", 1, "int32_data"),
        10: ("float16", 2, "int32_data"),
        11: ("float64", 8, "double_data"),
        12: ("uint32", 4, "uint64_data"),
        13: ("uint64", 8, "uint64_data"),
        16: ("bfloat16", 2, "int32_data"),
    }
)
"""Element types: NumPy's name, bytes of one element, field that holds it when it is not raw."""

ITEM_BYTES = MappingProxyType({"float_data": 4, "double_data": 8})
"""Bytes of a number in a field of fixed ones; the others hold varints."""

_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
Cast CastLike Ceil Clip Cos Cosh Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less
LessOrEqual Log Max Mean Min Mod Mul Neg Not Or Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan
Tanh Where Xor
"""
_ACTIVATIONS = """
Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink Sigmoid
Softmax Softplus Softsign Swish ThresholdedRelu
"""
_LAYERS = """
ArgMax ArgMin Attention AveragePool BatchNormalization Conv ConvInteger ConvTranspose CumSum
DequantizeLinear Det Dropout DynamicQuantizeLinear Einsum GRU Gemm GlobalAveragePool GlobalLpPool
GlobalMaxPool GroupNormalization InstanceNormalization LRN LSTM LayerNormalization LpNormalization
LpPool MatMul MatMulInteger MaxPool MeanVarianceNormalization QLinearConv QLinearMatMul
QuantizeLinear RMSNormalization RNN ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RotaryEmbedding TopK
"""
_SHAPES = """
AffineGrid CenterCropPad Compress Concat Constant ConstantOfShape DepthToSpace Expand EyeLike
Flatten Gather GatherElements GatherND GridSample Identity If NonMaxSuppression NonZero OneHot Pad
Range Reshape Resize ReverseSequence RoiAlign Scan ScatterElements ScatterND Shape Size Slice
SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze
"""
OPERATORS = frozenset((_ELEMENTWISE + _ACTIVATIONS + _LAYERS + _SHAPES).split())
"""Operators of the standard domain that a graph may use.

Left out: ``Loop`` and ``SequenceMap`` (a number of turns that nothing bounds), random numbers (the
same input must give the same answer), strings and regular expressions, sequences and optionals,
``ImageDecoder`` (a parser of pictures inside the runtime), training losses, windows and spectra.
"""
