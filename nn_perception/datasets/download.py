"""Fetch public data sets once, into a cache: mirrors in order, resumable, checksums verified.

Only the command ``nn-perception download`` comes here; nothing downloads by itself.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nn_perception.errors import DownloadError, nearest

CHUNK_BYTES = 1 << 16
TIMEOUT_S = 20.0
TRIES_PER_MIRROR = 4

#: Called as ``progress(file name, bytes so far, bytes in all)``.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RemoteFile:
    """One file, known in advance to the last byte."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class RemoteSet:
    """The files of a data set, and addresses that all of them can be appended to."""

    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]


SETS: Mapping[str, RemoteSet] = {
    "mnist": RemoteSet(
        files=(
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://azureopendatastorage.blob.core.windows.net/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
    ),
}


class _MirrorError(Exception):
    """One attempt failed; the message says why."""


class _CutError(_MirrorError):
    """The connection ended too early; what arrived is kept."""


def cache_directory() -> Path:
    """Return ``$XDG_CACHE_HOME/nn_perception``, or ``~/.cache/nn_perception``.

    A relative ``$XDG_CACHE_HOME`` is ignored, as the XDG Base Directory Specification demands.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "nn_perception"


def dataset_directory(name: str) -> Path:
    """Return where ``download(name)`` puts the files unless told otherwise."""
    return cache_directory() / name


def download(
    name: str,
    directory: Path | None = None,
    progress: Progress | None = None,
    *,
    sets: Mapping[str, RemoteSet] = SETS,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Fetch a data set; files that are there and have the right checksum are left alone.

    Args:
        name: a key of ``sets``, for example ``"mnist"``.
        directory: where to put the files; the cache when None.
        progress: told after every 64 KiB.
        sets: what can be fetched and from where.
        timeout_s: longest silence of a server.

    Returns:
        The directory with the files.

    Raises:
        DownloadError: the name is unknown, the directory cannot be written, or no mirror gave a
            file with the right checksum; the message lists every mirror with its reason. What
            arrived is kept beside the file as ``.part``: call again to go on from there.
    """
    if name not in sets:
        raise DownloadError(
            f"data set {name!r} is unknown, expected one of {', '.join(sorted(sets))}"
            f"{nearest(name, sets)}"
        )
    target = dataset_directory(name) if directory is None else directory
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in sets[name].files:
            if not is_complete(target / file.name, file):
                _fetch(file, sets[name].mirrors, target, progress, timeout_s)
    except OSError as error:  # network errors became _MirrorError: this is the disk
        raise DownloadError(
            f"{target}: cannot be written ({error.strerror or error}); "
            "make room or give another directory"
        ) from error
    return target


def is_complete(path: Path, file: RemoteFile) -> bool:
    """Tell whether ``path`` is there with the right size and checksum."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256


def _fetch(
    file: RemoteFile,
    mirrors: tuple[str, ...],
    target: Path,
    progress: Progress | None,
    timeout_s: float,
) -> None:
    part = target / f"{file.name}.part"
    reasons = []
    for mirror in mirrors:
        try:
            _fetch_from(mirror + file.name, file, part, progress, timeout_s)
        except _MirrorError as error:
            reasons.append(f"  {mirror}: {error}")
            continue
        os.replace(part, target / file.name)
        return
    raise DownloadError(
        f"{file.name}: no mirror gave it; check the network and run the same command again "
        f"(it goes on where it stopped), or put the file into {target} yourself:\n"
        + "\n".join(reasons)
    )


def _fetch_from(
    url: str, file: RemoteFile, part: Path, progress: Progress | None, timeout_s: float
) -> None:
    """Try one mirror until the file is complete, resuming after a cut while there is progress."""
    for _ in range(TRIES_PER_MIRROR):
        had_bytes = _size(part)
        if had_bytes >= file.size_bytes and not is_complete(part, file):
            part.unlink()
            had_bytes = 0
        if had_bytes < file.size_bytes:
            try:
                _transfer(url, file, part, progress, timeout_s)
            except _CutError as error:
                if _size(part) > had_bytes:
                    continue
                raise _MirrorError(str(error)) from error
        if is_complete(part, file):
            return
        part.unlink(missing_ok=True)
        if not had_bytes:
            raise _MirrorError(f"wrong checksum, expected sha256 {file.sha256}")
        # What was resumed may have been another version, or damaged: once more from the start.
    raise _MirrorError(f"gave up after {TRIES_PER_MIRROR} tries")


def _transfer(
    url: str, file: RemoteFile, part: Path, progress: Progress | None, timeout_s: float
) -> None:
    """Append what is missing to ``part``, or rewrite it when the server ignores Range."""
    start = _size(part)
    headers = {"User-Agent": "nn_perception", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    with _open(request, part, timeout_s) as response:
        if response.status == 206:
            found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != start:
                part.unlink(missing_ok=True)
                raise _MirrorError("sent another range than was asked for")
        else:
            start = 0
        length = response.headers.get("Content-Length")
        if length is not None and length != str(file.size_bytes - start):
            raise _MirrorError(
                f"has {length} bytes to send, expected {file.size_bytes - start}: another file"
            )
        with part.open("ab" if start else "wb") as out:
            done = start
            while done < file.size_bytes:
                chunk = _read(response, min(CHUNK_BYTES, file.size_bytes - done))
                if not chunk:
                    raise _CutError(f"connection ended after {done} of {file.size_bytes} bytes")
                out.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(file.name, done, file.size_bytes)
            out.flush()
            os.fsync(out.fileno())
        if _read(response, 1):
            part.unlink(missing_ok=True)
            raise _MirrorError(f"sent more than the {file.size_bytes} bytes of the file")


def _open(
    request: urllib.request.Request, part: Path, timeout_s: float
) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # our part is not a beginning of what this server has
            part.unlink(missing_ok=True)
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__) from error
    return response


def _read(response: http.client.HTTPResponse, size: int) -> bytes:
    try:
        return response.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
