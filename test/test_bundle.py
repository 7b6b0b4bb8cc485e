import hashlib
import json
import pickle
import shutil
import threading

import pytest

from nn_perception import bundle_writer
from nn_perception.bundle import (
    CONFIG_FILE,
    ONNX_FILE,
    TENSORS_FILE,
    load_bundle,
    resolve_model,
)
from nn_perception.bundle_writer import save_bundle
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    """A bundle that the test may damage."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "model")


def rewrite(path, **changes):
    """Change config.json and nothing else."""
    config = json.loads((path / CONFIG_FILE).read_text())
    config.update(changes)
    (path / CONFIG_FILE).write_text(json.dumps(config))


def forge(path, name, data):
    """Replace a file and correct its hash, as somebody would who means harm."""
    (path / name).write_bytes(data)
    config = json.loads((path / CONFIG_FILE).read_text())
    config["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / CONFIG_FILE).write_text(json.dumps(config))


def test_load_gives_what_was_saved(tiny_bundle):
    again = load_bundle(tiny_bundle.path, task="digits")
    assert again == tiny_bundle
    assert again.labels == tuple("0123456789")
    assert again.config.parity < 1e-4
    assert again.config.network.parameters == 101_770


def test_identity_is_the_hash_of_the_config_and_covers_the_weights(make_bundle, tmp_path):
    first, same, other = (make_bundle(tmp_path / f"m{i}", seed=s) for i, s in enumerate((1, 1, 2)))
    assert first.id == same.id != other.id


def test_bundle_holds_no_path_of_the_machine(tiny_bundle):
    here = str(tiny_bundle.path.parent).encode()
    for name in (CONFIG_FILE, ONNX_FILE, TENSORS_FILE):
        data = (tiny_bundle.path / name).read_bytes()
        assert here not in data
        assert b".py" not in data
        assert b"site-packages" not in data


def test_missing_directory_and_files(copy, tmp_path):
    with pytest.raises(BundleError, match="no bundle at"):
        load_bundle(tmp_path / "nothing")
    for name in (ONNX_FILE, TENSORS_FILE, CONFIG_FILE):
        (copy / name).unlink()
        with pytest.raises(BundleError, match=name):
            load_bundle(copy)


def test_a_path_that_is_too_long_is_none(tmp_path):
    with pytest.raises(BundleError, match="no bundle at"):
        load_bundle(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", [TENSORS_FILE, ONNX_FILE])
def test_truncated_file(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1])
    with pytest.raises(BundleError, match="incomplete"):
        load_bundle(copy)


@pytest.mark.parametrize("name", [TENSORS_FILE, ONNX_FILE])
def test_one_flipped_bit(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match="sha256"):
        load_bundle(copy)


def test_other_task(copy):
    with pytest.raises(BundleError, match="task 'digits', expected 'objects'"):
        load_bundle(copy, task="objects")


def test_future_and_missing_format(copy):
    rewrite(copy, format=2)
    with pytest.raises(BundleError, match="update nn_perception"):
        load_bundle(copy)
    rewrite(copy, format=None)
    with pytest.raises(BundleError, match="format"):
        load_bundle(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", "[" * 100_000, '{"format": 1}'])
def test_damaged_config(copy, text):
    (copy / CONFIG_FILE).write_text(text)
    with pytest.raises(BundleError, match=r"config\.json"):
        load_bundle(copy)


def test_unknown_config_key_is_named(copy):
    rewrite(copy, lables=[])
    with pytest.raises(BundleError, match="did you mean 'labels'"):
        load_bundle(copy)


@pytest.mark.parametrize("name", [TENSORS_FILE, ONNX_FILE])
@pytest.mark.parametrize("kind", [2, 3, 4, 5, "archive"])
def test_pickle_in_disguise(copy, name, kind):
    """Of every protocol that opens with its number, and a zip, as torch writes it."""
    data = b"PK\x03\x04" + bytes(100) if kind == "archive" else pickle.dumps({"a": 1}, kind)
    forge(copy, name, data)
    with pytest.raises(BundleError, match="looks like a pickle"):
        load_bundle(copy)


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 64, (2).to_bytes(8, "little") + b"{}x"])
def test_forged_safetensors(copy, data):
    forge(copy, TENSORS_FILE, data)
    with pytest.raises(BundleError, match="safetensors"):
        load_bundle(copy)


def test_header_length_that_looks_like_the_first_byte_of_a_pickle(copy):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).ljust(128)
    forge(copy, TENSORS_FILE, len(header).to_bytes(8, "little") + header.encode() + bytes(4))
    assert load_bundle(copy).tensors[:1] == b"\x80"


def test_forged_onnx(copy):
    forge(copy, ONNX_FILE, b"not a graph")
    with pytest.raises(BundleError, match="ONNX"):
        load_bundle(copy)


def test_config_without_hashes(copy):
    rewrite(copy, files={})
    with pytest.raises(BundleError, match="hash"):
        load_bundle(copy)


def test_oversized_config(copy, monkeypatch):
    monkeypatch.setattr("nn_perception.bundle.MAX_CONFIG_BYTES", 100)
    with pytest.raises(BundleError, match="limit"):
        load_bundle(copy)


def test_save_replaces_a_bundle_and_leaves_nothing_beside(make_bundle, tmp_path):
    first = make_bundle(tmp_path / "m", seed=1)
    second = make_bundle(tmp_path / "m", seed=2)
    assert first.id != second.id == load_bundle(tmp_path / "m").id
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_replaced_bundle_is_the_old_or_the_new_one(tmp_path, monkeypatch, exchanges):
    """Where names can be exchanged, a reader finds one at every moment."""
    if not exchanges:
        monkeypatch.setattr(bundle_writer, "_exchange", lambda *_: False)
    one, other = (load_bundle(shipped_model(name)) for name in ("uwb_drone", "uwb_trolley"))
    path = tmp_path / "m"
    save_bundle(path, one.config, one.tensors, one.onnx)
    running, seen, missing = threading.Event(), set(), []

    def read():
        while not running.is_set():
            try:
                seen.add(load_bundle(path).config.files["model.onnx"]["sha256"])
            except BundleError as error:
                missing.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        bundle = (other, one)[turn % 2]
        saved = save_bundle(path, bundle.config, bundle.tensors, bundle.onnx)
        assert saved.path == path
    running.set()
    reader.join(10.0)
    assert seen <= {bundle.config.files["model.onnx"]["sha256"] for bundle in (one, other)}
    assert not [text for text in missing if "no bundle" in text and exchanges]
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_a_bundle_that_nobody_could_load_is_not_put_in_place(tmp_path):
    good = load_bundle(shipped_model("uwb_drone"))
    save_bundle(tmp_path / "m", good.config, good.tensors, good.onnx)
    with pytest.raises(BundleError, match=rf"{tmp_path}/m/model.onnx: not an ONNX model"):
        save_bundle(tmp_path / "m", good.config, good.tensors, good.onnx[:-5])
    assert load_bundle(tmp_path / "m").onnx == good.onnx
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_save_does_not_replace_what_is_no_bundle(tiny_bundle, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("precious")
    with pytest.raises(BundleError, match="no bundle"):
        save_bundle(tmp_path / "work", tiny_bundle.config, tiny_bundle.tensors, tiny_bundle.onnx)
    assert (tmp_path / "work" / "thesis.tex").read_text() == "precious"


def test_failed_save_keeps_the_old_bundle(make_bundle, tmp_path, monkeypatch):
    old = make_bundle(tmp_path / "m", seed=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nn_perception.bundle_writer.os.fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        make_bundle(tmp_path / "m", seed=2)
    monkeypatch.undo()
    assert load_bundle(tmp_path / "m").id == old.id
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_resolve_model_stays_below_the_root(copy, tmp_path):
    root = tmp_path
    assert resolve_model("model", root) == copy.resolve()
    assert resolve_model(str(copy), root) == copy.resolve()
    outside = tmp_path.parent / f"{tmp_path.name}_outside"
    shutil.copytree(copy, outside)
    (root / "link").symlink_to(outside)
    for name in (f"../{outside.name}", str(outside), "link", "model/../..", ".", "/"):
        with pytest.raises(BundleError, match="outside model_root"):
            resolve_model(name, root)
    shutil.rmtree(outside)


def test_resolve_model_names_what_is_there(copy, tmp_path):
    with pytest.raises(BundleError, match="there are: model"):
        resolve_model("modle", tmp_path)
    for name in ("", "a\0b"):
        with pytest.raises(BundleError):
            resolve_model(name, tmp_path)
