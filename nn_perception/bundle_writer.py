"""Writes bundles: beside the final name, then renamed, so that no reader sees half of one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn_perception.bundle import (
    CARD_FILE,
    CONFIG_FILE,
    FORMAT_VERSION,
    ONNX_FILE,
    TENSORS_FILE,
    Bundle,
    BundleConfig,
    FileSpec,
    load_bundle,
)
from nn_perception.config import to_mapping
from nn_perception.errors import BundleError


def save_bundle(
    path: Path | str,
    config: BundleConfig,
    tensors: bytes,
    onnx: bytes,
    *,
    card: str = "",
    extra: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle beside its final name, rename it into place, and load it back.

    ``config.files`` is filled in here. An older bundle of the same name is replaced; a reader
    sees the old or the new one, never half of one.

    Args:
        path: the bundle's directory.
        config: its description.
        tensors: the weights, in safetensors' format.
        onnx: the network as an ONNX model.
        card: text of its README.md.
        extra: further files (relative name -> content) that travel along and are not verified.

    Raises:
        BundleError: the directory cannot be written, or holds something that is no bundle.
    """
    path = Path(path)
    files = {name: _describe(data) for name, data in ((TENSORS_FILE, tensors), (ONNX_FILE, onnx))}
    config = dataclasses.replace(config, format=FORMAT_VERSION, files=files)
    text = json.dumps(to_mapping(config), indent=1, sort_keys=True, allow_nan=False) + "\n"
    content = {**(extra or {}), CONFIG_FILE: text.encode()}
    content.update({TENSORS_FILE: tensors, ONNX_FILE: onnx})
    if card:
        content[CARD_FILE] = card.encode()
    if path.exists() and not (path / CONFIG_FILE).is_file():
        raise BundleError(f"{path} exists and is no bundle; choose another --out, or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise BundleError(f"cannot write below {path.parent}: {error.strerror or error}") from None
    try:
        for name, data in content.items():
            _write_synced(work / name, data)
        os.chmod(work, 0o755)  # mkdtemp makes it private
        _rename_into_place(work, path)
    except OSError as error:
        raise BundleError(f"cannot write the bundle {path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(path)


def add_to_card(path: Path, section: str, text: str) -> None:
    """Put a section into a bundle's card, in place of an older one of that name at its end.

    The card is for people: it is not part of the bundle's identity.

    Raises:
        BundleError: the card cannot be written.
    """
    card = path / CARD_FILE
    heading = f"## {section}\n"
    try:
        before = card.read_text(encoding="utf-8").split(heading)[0] if card.is_file() else ""
        _write_synced(card, f"{before.rstrip()}\n\n{heading}\n{text.strip()}\n".encode())
    except OSError as error:
        raise BundleError(f"cannot write {card}: {error.strerror or error}") from None


def _describe(data: bytes) -> dict[str, Any]:
    return to_mapping(FileSpec(len(data), hashlib.sha256(data).hexdigest()))


def _write_synced(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_into_place(work: Path, path: Path) -> None:
    """Replace ``path`` by ``work``; a directory cannot be renamed over a full one in one step."""
    if not path.exists():
        work.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    path.rename(old / "bundle")
    try:
        work.rename(path)
    except OSError:
        (old / "bundle").rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
