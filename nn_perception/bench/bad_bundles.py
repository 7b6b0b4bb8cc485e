"""Bundles that a node must refuse, each with words that the reason must hold.

All but those that test signatures are signed by the trusted key *after* the damage was done: a
signature must not open a door to what the other checks are for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nn_perception.bench import bad_graphs
from nn_perception.bundle import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_MODEL_BYTES,
    ONNX_FILE,
    SIGNATURE_FILE,
    TENSORS_FILE,
    FileSpec,
)
from nn_perception.bundle_signature import new_key, sign_bundle
from nn_perception.config import to_mapping

GOOD = "good"
# The opcodes of a pickled dictionary, written out: this package imports nothing that makes one.
PICKLE = b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01w\x94K\x01s."


class Kind(NamedTuple):
    """One kind of bad bundle.

    Attributes:
        reason: words that the node's refusal must hold.
        damage: changes a copy of a good bundle.
        signed: whether the damaged bundle gets a signature that fits.
        slow: whether it takes the trial run's whole time.
    """

    reason: str
    damage: Callable[[Path], object]
    signed: bool = True
    slow: bool = False


def forge(path: Path, name: str, data: bytes) -> None:
    """Replace a file of a bundle and correct its hash, as somebody would who means harm."""
    (path / name).write_bytes(data)
    spec = to_mapping(FileSpec(len(data), hashlib.sha256(data).hexdigest()))
    reconfigure(path, lambda config: config["files"].update({name: spec}))


def reconfigure(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change config.json."""
    config = json.loads((path / CONFIG_FILE).read_bytes())
    edit(config)
    (path / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")


def _graph(edit: bad_graphs.Change) -> Callable[[Path], None]:
    return lambda path: forge(path, ONNX_FILE, bad_graphs.change(path / ONNX_FILE, edit))


def _config(**changes: Any) -> Callable[[Path], None]:
    return lambda path: reconfigure(path, lambda config: config.update(changes))


def _cut(name: str) -> Callable[[Path], object]:
    return lambda path: os.truncate(path / name, (path / name).stat().st_size - 10)


def _flip(path: Path) -> None:
    data = bytearray((path / ONNX_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (path / ONNX_FILE).write_bytes(data)


def _instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return damage


def _grow(name: str, limit: int) -> Callable[[Path], object]:
    return lambda path: os.truncate(path / name, limit + 1)  # sparse: no block of the disk


def _aside(path: Path) -> None:
    """Leave a link where the bundle was, and the bundle outside of model_root."""
    outside = path.parent.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    path.rename(outside)
    path.symlink_to(outside)


def _zip(path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.bin", b"0" * 1000)
    forge(path, ONNX_FILE, archive.getvalue())


def _overlapping(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry, "b": entry}).encode()
    forge(path, TENSORS_FILE, len(header).to_bytes(8, "little") + header + bytes(8))


def _first_size(size: int) -> Callable[[Path], None]:
    def edit(config: dict[str, Any]) -> None:
        config["inputs"][0]["shape"][-1] = size

    return lambda path: reconfigure(path, edit)


def _nan_temperature(path: Path) -> None:
    reconfigure(path, lambda config: config["calibration"].update(temperature=float("nan")))


def _arguments(path: Path) -> None:
    reconfigure(path, lambda config: config["network"].update(arguments={"width": 10**9}))


def _nothing(path: Path) -> None:
    """Leave it as it is."""


def _long(path: Path) -> None:
    text = (path / CONFIG_FILE).read_text(encoding="utf-8")
    (path / CONFIG_FILE).write_text(text + " " * MAX_CONFIG_BYTES, encoding="utf-8")


def _write(text: str) -> Callable[[Path], object]:
    return lambda path: (path / CONFIG_FILE).write_text(text, encoding="utf-8")


FILES = {
    "no_directory": Kind("no model", shutil.rmtree, signed=False),
    "no_config": Kind(CONFIG_FILE, lambda path: (path / CONFIG_FILE).unlink(), signed=False),
    "no_graph": Kind(ONNX_FILE, lambda path: (path / ONNX_FILE).unlink()),
    "no_weights": Kind(TENSORS_FILE, lambda path: (path / TENSORS_FILE).unlink()),
    "graph_cut": Kind("incomplete", _cut(ONNX_FILE)),
    "weights_cut": Kind("incomplete", _cut(TENSORS_FILE)),
    "flipped_bit": Kind("sha256", _flip),
    "fifo": Kind("no regular file", _instead(ONNX_FILE, os.mkfifo)),
    "fifo_config": Kind("no regular file", _instead(CONFIG_FILE, os.mkfifo), signed=False),
    "folder_as_file": Kind("no regular file", _instead(ONNX_FILE, os.mkdir)),
    "device": Kind("symbolic link", _instead(ONNX_FILE, lambda p: p.symlink_to("/dev/zero"))),
    "link_to_file": Kind(
        "symbolic link", _instead(TENSORS_FILE, lambda p: p.symlink_to(p.parent.parent / GOOD))
    ),
    "link_outside": Kind("outside model_root", _aside),
    "../outside": Kind("outside model_root", _nothing, signed=False),
    "graph_too_large": Kind("more than the limit", _grow(ONNX_FILE, MAX_MODEL_BYTES)),
    "config_too_large": Kind("more than the limit", _long),
}
CONFIGS = {
    "config_cut": Kind("JSON", _cut(CONFIG_FILE)),
    "config_a_list": Kind("JSON object", _write("[]")),
    "config_deep": Kind("JSON", _write("[" * 100_000)),
    "newer_format": Kind("format 99", _config(format=99)),
    "other_task": Kind("'gyro'", _config(task="gyro")),
    "few_labels": Kind("labels", _config(labels=["a", "b"])),
    "unknown_key": Kind("did you mean 'labels'", _config(lables=[])),
    "nan_temperature": Kind("finite", _nan_temperature),
    "no_calibration": Kind("temperature", _config(calibration={})),
    "no_hashes": Kind("hash", _config(files={})),
    "other_shape": Kind("config.json says", _first_size(32)),
    "huge_shape": Kind("elements", _first_size(1 << 40)),
    "huge_argument": Kind("argument", _arguments),
}
CONTENTS = {
    "pickle_as_weights": Kind("pickle", lambda path: forge(path, TENSORS_FILE, PICKLE)),
    "zip_as_graph": Kind("archive", _zip),
    "overlapping_weights": Kind("overlap", _overlapping),
    "rubbish_as_graph": Kind("ONNX", lambda path: forge(path, ONNX_FILE, b"\x08\x09 rubbish")),
    "nan_weights": Kind("not finite", _graph(bad_graphs.nan_weights)),
    "nan_outputs": Kind("not finite", _graph(bad_graphs.nan_outputs)),
    "other_domain": Kind("com.microsoft", _graph(bad_graphs.other_domain)),
    "loop": Kind("'Loop'", _graph(bad_graphs.loop)),
    "own_functions": Kind("unknown field 25", _graph(bad_graphs.functions)),
    "external_data": Kind("external data", _graph(bad_graphs.external_data)),
    "many_nodes": Kind("nodes", _graph(bad_graphs.many_nodes)),
    "many_fields": Kind("fields", _graph(bad_graphs.many_fields)),
    "deep_graphs": Kind("nested", _graph(bad_graphs.deep_graphs)),
    "huge_constant": Kind("too large", _graph(bad_graphs.huge_constant)),
    "wrong_length": Kind("by its shape", _graph(bad_graphs.wrong_length)),
    "two_outputs": Kind("outputs are", _graph(bad_graphs.two_outputs)),
    "swelling": Kind("trial run", _graph(bad_graphs.swelling)),
    "lasting": Kind("trial run", _graph(bad_graphs.lasting), slow=True),
}
SIGNATURES = {
    "unsigned": Kind("not signed", _nothing, signed=False),
    "foreign_key": Kind("foreign key", lambda path: _sign(path, "foreign"), signed=False),
    "altered": Kind("does not fit", lambda path: _sign(path, "ours", b" "), signed=False),
    "signature_cut": Kind("truncated", lambda path: _sign(path, "ours", cut=20), signed=False),
}
KINDS: Mapping[str, Kind] = {**FILES, **CONFIGS, **CONTENTS, **SIGNATURES}
"""By the value of the parameter ``model``."""


def write_bad_bundles(source: Path, work: Path) -> tuple[Path, Path]:
    """Write a good, signed bundle and one of each kind of `KINDS`.

    Args:
        source: a good image bundle.
        work: gets ``models`` and ``keys``.

    Returns:
        the model_root, and the trusted public key.
    """
    root, keys = work / "models", work / "keys"
    for folder in (root, keys):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in ("ours", "foreign"):
        new_key(keys / name)
    good = _copy(source, root / GOOD)
    sign_bundle(good, keys / "ours")
    for name, kind in KINDS.items():
        if "/" in name:
            continue
        path = _copy(source, root / name)
        kind.damage(path)
        if kind.signed:
            _sign(path, "ours")
    return root, keys / "ours.pub"


def _copy(source: Path, path: Path) -> Path:
    path.mkdir()
    for name in (CONFIG_FILE, ONNX_FILE, TENSORS_FILE):
        shutil.copyfile(source / name, path / name)
    return path


def _sign(path: Path, name: str, behind: bytes = b"", cut: int | None = None) -> None:
    """Sign what stands in config.json, be it sound or not."""
    from cryptography.hazmat.primitives import serialization

    keys = path.parent.parent / "keys"
    private: Any = serialization.load_pem_private_key((keys / name).read_bytes(), None)
    config = (path / CONFIG_FILE).read_bytes()
    signature = base64.b64encode(private.sign(config)).decode()
    public = private.public_key().public_bytes_raw()
    line = f"ed25519 {hashlib.sha256(public).hexdigest()[:16]} {signature}\n"
    (path / SIGNATURE_FILE).write_text(line[:cut])
    (path / CONFIG_FILE).write_bytes(config + behind)
