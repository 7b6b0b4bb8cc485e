"""Model bundles: one directory with a trained network that nothing has to be executed to load.

``config.json`` names the task, the network, inputs, outputs, pre-processing, labels, provenance
and metrics, and holds the sha256 of the other files. The identity of a bundle is therefore the
hash of its ``config.json``. Loading verifies everything before anything is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.bundle_checks import check_config, check_onnx, check_tensors
from nn_perception.bundle_files import BundleDirectory
from nn_perception.config import from_mapping
from nn_perception.errors import BundleError, ConfigError
from nn_perception.weak_cache import WeakCache

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
TENSORS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
CARD_FILE = "README.md"
SIGNATURE_FILE = "config.json.sig"

MAX_CONFIG_BYTES = 1 << 20
MAX_MODEL_BYTES = 512 << 20
MAX_SIGNATURE_BYTES = 4096
_SHOWN = 200


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
    """A verified bundle, its files in memory, so that what runs is what was verified.

    Attributes:
        path: of its directory, links resolved.
        id: the start of the sha256 of its config.json.
        config: what config.json says.
        tensors: of model.safetensors.
        onnx: of model.onnx.
        signer: id of the trusted key that signed it; empty when no signature was asked for.
    """

    path: Path
    id: str
    config: BundleConfig
    tensors: bytes
    onnx: bytes
    signer: str = ""
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


def load_bundle(
    path: Path | str,
    *,
    task: str | None = None,
    trusted_keys: Path | str | None = None,
    model_root: Path | str | None = None,
) -> Bundle:
    """Load and verify a bundle.

    Args:
        path: the bundle's directory.
        task: when given, the task that the bundle must be for.
        trusted_keys: when given, one of these keys must have signed the bundle: a file with a
            public key, or a directory of such files (see `bundle_signature`).
        model_root: when given, ``path`` is one that `resolve_model` gave, and no link is followed
            from here on, so that nobody can put another directory in its place meanwhile.

    Raises:
        BundleError: the directory or a file is missing or truncated, a hash differs, the format
            is newer than this package knows, the task is another one, a file is not what its
            name says or beyond the limits, or the signature is missing or not of a trusted key.
        ConfigError: the trusted keys cannot be read, or ``cryptography`` is not installed.
    """
    path = Path(path).resolve() if model_root is None else Path(path)
    if not os.path.isdir(path):  # unlike Path's, it takes what no path can be for none
        raise BundleError(
            f"no bundle at {path}: expected a directory with {CONFIG_FILE}, {TENSORS_FILE} and "
            f"{ONNX_FILE}; 'nn-perception train' writes one"
        )
    with BundleDirectory(path, None if model_root is None else Path(model_root).resolve()) as files:
        raw = files.read(CONFIG_FILE, MAX_CONFIG_BYTES)
        signer = "" if trusted_keys is None else _verify_signature(files, raw, trusted_keys)
        config = _parse_config(path, raw)
        if task is not None and config.task != task:
            raise BundleError(
                f"{path.name} is a bundle for the task '{config.task}', expected '{task}': "
                f"choose a model trained with 'nn-perception train {task}'"
            )
        tensors = _read_verified(files, config, TENSORS_FILE)
        onnx = _read_verified(files, config, ONNX_FILE)
    _check(path / CONFIG_FILE, check_config, config)
    _check(path / TENSORS_FILE, check_tensors, tensors)
    _check(path / ONNX_FILE, check_onnx, onnx, config)
    # Read and verified anew each time; of equal files one copy stays, whoever holds a bundle.
    hashes = tuple(config.files[name]["sha256"] for name in (TENSORS_FILE, ONNX_FILE))
    held = _FILES.get(hashes, lambda: _Files(tensors, onnx))
    identity = hashlib.sha256(raw).hexdigest()[:12]
    return Bundle(path, identity, config, held.tensors, held.onnx, signer, held)


def resolve_model(name: str, model_root: Path | str) -> Path:
    """Return the directory of the model ``name`` below ``model_root``.

    Raises:
        BundleError: the name is empty or none of a path, or its path (links followed) leaves
            ``model_root``.
    """
    if not name:
        raise BundleError("the model name is empty; expected the name of a bundle below model_root")
    shown = repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
    if "\0" in name:
        raise BundleError(f"the model name {shown} holds a NUL character")
    try:
        root = Path(model_root).resolve()
        resolved = (root / name).resolve()
        is_directory = resolved.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # too long, no UTF-8, links in a circle
        raise BundleError(f"the model name {shown} cannot be a path: {error!s:.200}") from None
    if not resolved.is_relative_to(root) or resolved == root:
        raise BundleError(
            f"the model {shown} lies outside model_root ({root}): move the bundle below it, or "
            "start the node with another model_root"
        )
    if not is_directory:
        there = sorted(child.parent.name for child in root.glob(f"*/{CONFIG_FILE}"))
        raise BundleError(
            f"no model {shown} below model_root ({root}); there are: {', '.join(there) or 'none'}"
        )
    return resolved


def _verify_signature(files: BundleDirectory, raw: bytes, trusted_keys: Path | str) -> str:
    from nn_perception.bundle_signature import load_keys, verify_signature

    keys = load_keys(trusted_keys)
    text = files.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES) if files.has(SIGNATURE_FILE) else None
    try:
        return verify_signature(raw, text, keys)
    except BundleError as error:
        raise BundleError(f"{files.path.name}: {error}") from None


def _check(path: Path, check: Callable[..., object], *arguments: object) -> None:
    """Put the file's name before what is wrong with it."""
    try:
        check(*arguments)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def _parse_config(path: Path, raw: bytes) -> BundleConfig:
    try:
        values = json.loads(raw, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise BundleError(
            f"{path / CONFIG_FILE} is not valid JSON with finite numbers: it is truncated or "
            "damaged; copy the bundle again"
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


def _finite(text: str) -> float:
    """Read a number; Python's reader also takes NaN, Infinity and 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_verified(files: BundleDirectory, config: BundleConfig, name: str) -> bytes:
    path = files.path
    try:
        expected = from_mapping(FileSpec, config.files[name])
    except (KeyError, ConfigError, AttributeError):
        raise BundleError(
            f"{path / CONFIG_FILE} does not name the size and hash of {name}"
        ) from None
    data = files.read(name, MAX_MODEL_BYTES)
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
