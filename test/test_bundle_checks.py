"""What stands in a bundle's files: sizes that can be held, arrays that fill what they say."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception import bundle_checks
from nn_perception.bundle import CONFIG_FILE, TENSORS_FILE, load_bundle
from nn_perception.bundle_checks import check_tensors
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model, shipped_models

MODELS = [path for path in sorted(shipped_models().iterdir()) if (path / CONFIG_FILE).is_file()]


def tensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin, end, shape=None, dtype="F32"):
    shape = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_shipped_files_pass(path):
    check_tensors((path / TENSORS_FILE).read_bytes())
    assert load_bundle(path).name == path.name


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64", "I64", "U8", "BOOL", "I32"])
def test_files_of_the_safetensors_package_pass(dtype):
    numpy_file = pytest.importorskip("safetensors.numpy")
    kinds = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
    kinds |= {"U8": np.uint8, "BOOL": np.bool_, "I32": np.int32}
    arrays = {"a": np.ones((3, 5), kinds[dtype]), "b": np.ones((), kinds[dtype])}
    arrays["none"] = np.ones((0, 4), kinds[dtype])
    check_tensors(numpy_file.save(arrays, metadata={"format": "pt"}))


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12), "overlap"),
        ({"a": entry(0, 8), "b": entry(12, 16)}, bytes(16), "gap"),
        ({"a": entry(4, 8)}, bytes(8), "gap"),
        ({"a": entry(0, 8, [3])}, bytes(8), "differ from their shapes"),
        ({"a": entry(0, 8, [1 << 40, 1 << 40])}, bytes(8), "differ from their shapes"),
        ({"a": entry(0, 8)}, bytes(12), "do not fill"),
        ({}, bytes(4), "do not fill"),
        ({"a": entry(0, 8, [-2])}, bytes(8), "cannot be read"),
        ({"a": entry(0, 8, [2.0])}, bytes(8), "cannot be read"),
        ({"a": entry(0, 8, dtype="PICKLE")}, bytes(8), "cannot be read"),
        ({"a": {"dtype": "F32"}}, b"", "cannot be read"),
        (b"[]", b"", "cannot be read"),
        (b"[" * 100_000, b"", "cannot be read"),
        (b"\xff\xfe", b"", "cannot be read"),
    ],
)
def test_headers_that_do_not_fit_their_data(header, data, reason):
    with pytest.raises(BundleError, match=reason):
        check_tensors(tensors_file(header, data))


def test_a_header_that_would_take_gigabytes_to_parse_is_not_parsed(monkeypatch):
    monkeypatch.setattr(bundle_checks, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(BundleError, match="header has 1001 bytes, more than 1000"):
        check_tensors(tensors_file(b" " * 1001))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_tensor_files_give_a_bundle_error_or_are_still_whole(data):
    safetensors = pytest.importorskip("safetensors")
    raw = bytearray((shipped_model("uwb_drone") / TENSORS_FILE).read_bytes())
    header = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, header - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        check_tensors(bytes(raw))
    except BundleError:
        return
    safetensors.deserialize(bytes(raw))  # what passes here, its own reader takes


@pytest.fixture
def edit(tmp_path):
    """Return a function that loads a bundle whose config.json was changed."""
    path = shutil.copytree(shipped_model("uwb_drone"), tmp_path / "model")

    def load(change):
        config = json.loads((path / CONFIG_FILE).read_text())
        change(config)
        (path / CONFIG_FILE).write_text(json.dumps(config))
        return load_bundle(path)

    return load


@pytest.mark.parametrize(
    "shape", [[None, 1 << 40], [None, 0], [None, -3], [1 << 20, 1 << 20], [1] * 9]
)
@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_shapes_that_nobody_could_hold(edit, shape, kind):
    with pytest.raises(BundleError, match=f"its {kind[:-1]} .* has the shape"):
        edit(lambda config: config[kind][0].update(shape=shape))


def test_types_and_numbers_of_arrays(edit):
    with pytest.raises(BundleError, match="type 'object'"):
        edit(lambda config: config["inputs"][0].update(dtype="object"))


def test_no_inputs_and_too_many(edit):
    with pytest.raises(BundleError, match="names 0 inputs"):
        edit(lambda config: config.update(inputs=[]))
    with pytest.raises(BundleError, match="names 17 outputs"):
        edit(lambda config: config.update(inputs=config["outputs"], outputs=config["outputs"] * 17))


@pytest.mark.parametrize(
    "arguments", [{"a": 10**9}, {"a": [[[-(10**9)]]]}, {"a": {"b": 1e12}}, {"a": [0] * 70_000}]
)
def test_arguments_from_which_torch_would_build(edit, arguments):
    with pytest.raises(BundleError, match="argument"):
        edit(lambda config: config["network"].update(arguments=arguments))


def test_the_graph_must_be_what_the_config_says(edit):
    def rename(config):
        config["inputs"][0]["name"] = "other"

    with pytest.raises(BundleError, match=r"its inputs are \['rows'\], config.json names"):
        edit(rename)


@pytest.mark.parametrize(("key", "value"), [("dtype", "float64"), ("shape", [None, 15])])
def test_type_and_shape_must_agree(edit, key, value):
    with pytest.raises(BundleError, match="its input 'rows' is float32 of the shape"):
        edit(lambda config: config["inputs"][0].update({key: value}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have(edit, tmp_path, number):
    edit(lambda config: config.update(parity=12345.0))
    path = tmp_path / "model" / CONFIG_FILE
    path.write_text(path.read_text().replace("12345.0", number))
    with pytest.raises(BundleError, match="finite numbers"):
        load_bundle(tmp_path / "model")
