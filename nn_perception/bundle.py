"""Model bundles: one directory with a trained network that nothing has to be executed to load.

``config.json`` names the task, the network, inputs, outputs, pre-processing, labels, provenance
and metrics, and holds the sha256 of the other files. The identity of a bundle is therefore the
hash of its ``config.json``. Loading verifies everything before anything is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.config import from_mapping
from nn_perception.errors import BundleError, ConfigError
from nn_perception.weak_cache import WeakCache

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
TENSORS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
CARD_FILE = "README.md"

MAX_CONFIG_BYTES = 4 << 20
MAX_MODEL_BYTES = 512 << 20


@dataclass(frozen=True)
class ArraySpec:
    """One input or output of a network: name, shape (None = any batch), NumPy dtype, unit."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    unit: str = "1"


@dataclass(frozen=True)
class NetworkSpec:
    """The architecture: registered name, its arguments, and its number of trained parameters."""

    name: str
    arguments: dict[str, Any]
    parameters: int


@dataclass(frozen=True)
class FileSpec:
    """Size and hash of one file of a bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class BundleConfig:
    """What ``config.json`` holds; see the module's text.

    Attributes:
        preprocessing: how a message becomes the network's input; each task defines its keys.
        calibration: what turns outputs into calibrated ones, such as ``temperature``.
        training: provenance: data with hashes, configuration, seed, revision, versions.
        metrics: held-out figures.
        parity: largest absolute difference of torch and ONNX outputs on probe inputs.
    """

    format: int
    task: str
    network: NetworkSpec
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    preprocessing: dict[str, Any]
    labels: tuple[str, ...]
    calibration: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]
    parity: float
    files: dict[str, Any]


@dataclass(frozen=True)
class _Files:
    """The files of a network as they were verified."""

    tensors: bytes
    onnx: bytes


_FILES: WeakCache[_Files] = WeakCache()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, its files in memory, so that what runs is what was verified."""

    path: Path
    id: str
    config: BundleConfig
    tensors: bytes
    onnx: bytes
    _held: _Files | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def task(self) -> str:
        """The task that the network was trained for."""
        return self.config.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs; empty when the task has none."""
        return self.config.labels


def load_bundle(path: Path | str, *, task: str | None = None) -> Bundle:
    """Load and verify a bundle.

    Args:
        path: the bundle's directory.
        task: when given, the task that the bundle must be for.

    Raises:
        BundleError: the directory or a file is missing or truncated, a hash differs, the format
            is newer than this package knows, the task is another one, or a file is not what its
            name says.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(
            f"no bundle at {path}: expected a directory with {CONFIG_FILE}, {TENSORS_FILE} and "
            f"{ONNX_FILE}; 'nn-perception train' writes one"
        )
    raw = _read(path / CONFIG_FILE, MAX_CONFIG_BYTES)
    config = _parse_config(path, raw)
    if task is not None and config.task != task:
        raise BundleError(
            f"{path.name} is a bundle for the task '{config.task}', expected '{task}': "
            f"choose a model trained with 'nn-perception train {task}'"
        )
    tensors, onnx = (_read_verified(path, config, name) for name in (TENSORS_FILE, ONNX_FILE))
    _check_safetensors(path / TENSORS_FILE, tensors)
    _check_onnx(path / ONNX_FILE, onnx)
    # Read and verified anew each time; of equal files one copy stays, whoever holds a bundle.
    held = _FILES.get((tensors, onnx), lambda: _Files(tensors, onnx))
    identity = hashlib.sha256(raw).hexdigest()[:12]
    return Bundle(path.resolve(), identity, config, held.tensors, held.onnx, held)


def resolve_model(name: str, model_root: Path | str) -> Path:
    """Return the directory of the model ``name`` below ``model_root``.

    Raises:
        BundleError: the name is empty, or its path (links followed) leaves ``model_root``.
    """
    root = Path(model_root).resolve()
    if not name:
        raise BundleError("the model name is empty; expected the name of a bundle below model_root")
    if "\0" in name:
        raise BundleError("the model name holds a NUL character")
    resolved = (root / name).resolve()
    if not resolved.is_relative_to(root) or resolved == root:
        raise BundleError(
            f"the model '{name}' lies outside model_root ({root}): move the bundle below it, or "
            "start the node with another model_root"
        )
    if not resolved.is_dir():
        there = sorted(child.parent.name for child in root.glob(f"*/{CONFIG_FILE}"))
        raise BundleError(
            f"no model '{name}' below model_root ({root}); there are: {', '.join(there) or 'none'}"
        )
    return resolved


def _read(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise BundleError(f"{path} has {size} bytes, more than the limit of {limit}")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror or error}; the bundle is incomplete, copy or "
            "train it again"
        ) from None
    if len(data) > limit:
        raise BundleError(f"{path} grew beyond the limit of {limit} bytes while it was read")
    return data


def _parse_config(path: Path, raw: bytes) -> BundleConfig:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        raise BundleError(
            f"{path / CONFIG_FILE} is not valid JSON: it is truncated or damaged; copy the bundle "
            "again"
        ) from None
    if not isinstance(values, Mapping):
        raise BundleError(f"{path / CONFIG_FILE} does not hold a JSON object")
    version = values.get("format")
    if not isinstance(version, int) or version < 1:
        raise BundleError(
            f"{path / CONFIG_FILE} names no format version; it is not a bundle of this package"
        )
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path.name} has bundle format {version}, this package reads up to {FORMAT_VERSION}: "
            "update nn_perception"
        )
    try:
        return from_mapping(BundleConfig, values)
    except ConfigError as error:
        raise BundleError(f"{path / CONFIG_FILE}: {error}") from None


def _read_verified(path: Path, config: BundleConfig, name: str) -> bytes:
    try:
        expected = from_mapping(FileSpec, config.files[name])
    except (KeyError, ConfigError, AttributeError):
        raise BundleError(
            f"{path / CONFIG_FILE} does not name the size and hash of {name}"
        ) from None
    data = _read(path / name, MAX_MODEL_BYTES)
    if len(data) != expected.bytes:
        raise BundleError(
            f"{path / name} has {len(data)} bytes, its config.json says {expected.bytes}: the copy "
            "is incomplete, copy the bundle again"
        )
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise BundleError(
            f"{path / name} does not have the sha256 that its config.json names: it was altered or "
            "damaged, copy or train the bundle again"
        )
    return data


def _check_safetensors(path: Path, data: bytes) -> None:
    """Check the framing of a safetensors file: 8 bytes of length, a JSON header, the tensors."""
    _refuse_archives(path, data)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise BundleError(f"{path} is not a safetensors file: its header is cut off")
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [spec["data_offsets"][1] for key, spec in header.items() if key != "__metadata__"]
        complete = max(ends, default=0) == len(data) - 8 - length
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise BundleError(f"{path} is not a safetensors file: its header cannot be read") from None
    if not complete:
        raise BundleError(f"{path}: its tensors do not fill the file as its header says")


def _check_onnx(path: Path, data: bytes) -> None:
    _refuse_archives(path, data)
    # A ModelProto starts with field 1 (ir_version), a varint.
    if data[:1] != b"\x08":
        raise BundleError(f"{path} is not an ONNX model")


def _refuse_archives(path: Path, data: bytes) -> None:
    # A pickle opens with 0x80, its protocol and no zeros: a safetensors header of 128 bytes has
    # that first byte, too, but as the low one of an 8-byte length.
    is_pickle = data[:1] == b"\x80" and data[4:8] != bytes(4)
    if is_pickle or data[:4] == b"PK\x03\x04":
        raise BundleError(
            f"{path} looks like a pickle or a torch archive, which could run code when loaded; "
            "only safetensors and ONNX are accepted"
        )
