"""Writes bundles: beside the final name, then renamed, so that no reader sees half of one."""

from __future__ import annotations

import ctypes
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

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux, renameat2(2)


def save_bundle(
    path: Path | str,
    config: BundleConfig,
    tensors: bytes,
    onnx: bytes,
    *,
    card: str = "",
    extra: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle beside its final name, load it back, and rename it into place.

    ``config.files`` is filled in here. An older bundle of the same name is replaced; a reader
    sees the old or the new one, never half of one, and none that nobody could load.

    Args:
        path: the bundle's directory.
        config: its description.
        tensors: the weights, in safetensors' format.
        onnx: the network as an ONNX model.
        card: text of its README.md.
        extra: further files (relative name -> content) that travel along and are not verified.

    Raises:
        BundleError: the directory cannot be written, or holds something that is no bundle, or the
            bundle could not be loaded, such as one with weights that are not finite.
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
        bundle = _load_as(work, path)
        _rename_into_place(work, path)
    except OSError as error:
        raise BundleError(f"cannot write the bundle {path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return dataclasses.replace(bundle, path=path.resolve())


def _load_as(work: Path, path: Path) -> Bundle:
    """Load a bundle that will have another path, by which errors name it."""
    try:
        return load_bundle(work)
    except BundleError as error:
        raise BundleError(str(error).replace(str(work.resolve()), str(path))) from None


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
        write_whole(card, f"{before.rstrip()}\n\n{heading}\n{text.strip()}\n".encode())
    except OSError as error:
        raise BundleError(f"cannot write {card}: {error.strerror or error}") from None


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file's content as a whole: a reader sees the old or the new one.

    Raises:
        OSError: it cannot be written; the old content stays.
    """
    work = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        _write_synced(work, data)
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def _describe(data: bytes) -> dict[str, Any]:
    return to_mapping(FileSpec(len(data), hashlib.sha256(data).hexdigest()))


def _write_synced(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_into_place(work: Path, path: Path) -> None:
    """Replace ``path`` by ``work``, in one step where the system can exchange two names."""
    if not path.exists():
        work.rename(path)
        return
    if _exchange(work, path):  # what was replaced now lies at ``work``, which the caller removes
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


def _exchange(first: Path, second: Path) -> bool:
    """Let two directories change names; False where the kernel or the file system cannot.

    Otherwise a process killed between two renames would leave no bundle at all.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    here = ctypes.c_int(_AT_FDCWD)
    answer = renameat2(here, names[0], here, names[1], ctypes.c_uint(_RENAME_EXCHANGE))
    return bool(answer == 0)
