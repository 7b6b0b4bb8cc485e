"""Reads the files of a bundle: regular ones, of bounded size, and those that the path meant.

A path that was checked may be another one when it is opened. So a bundle below a root is opened
step by step from the root's descriptor, no link followed, and its files from the bundle's.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType

from nn_perception.errors import BundleError

_CHUNK_BYTES = 1 << 20


class BundleDirectory:
    """An open directory whose files are read; a context manager."""

    def __init__(self, path: Path, root: Path | None = None) -> None:
        """Open the directory.

        Args:
            path: the bundle's directory.
            root: when given, the directory that it lies in, and from which no link is followed,
                neither to the bundle nor to its files. Both paths must be resolved ones.

        Raises:
            BundleError: the directory is not there, or a link stands in the way.
        """
        self.path = path
        self._no_links = os.O_NOFOLLOW if root is not None else 0
        self._descriptor = _open_directory(path, root)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file of the bundle.

        Raises:
            BundleError: it cannot be read, is no regular file, is a link where those are not
                followed, or has more than ``limit`` bytes.
        """
        where = self.path / name
        # Without O_NONBLOCK opening a FIFO would wait for a writer, for ever.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | self._no_links
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            raise BundleError(_why_not(where, error)) from None
        try:
            return _read_regular(descriptor, where, limit)
        except OSError as error:
            raise BundleError(_why_not(where, error)) from None
        finally:
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Tell whether there is something of a name, a broken link included."""
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    def __enter__(self) -> BundleDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def _open_directory(path: Path, root: Path | None) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
    if root is not None and not path.is_relative_to(root):
        raise BundleError(f"the bundle {path} does not lie below {root}")
    try:
        if root is None:
            return os.open(path, flags)
        descriptor = os.open(root, flags)
        for part in path.relative_to(root).parts:
            outer = descriptor
            try:
                descriptor = os.open(part, flags | os.O_NOFOLLOW, dir_fd=outer)
            finally:
                os.close(outer)
    except OSError as error:
        raise BundleError(
            f"cannot open the bundle {path}: {error.strerror or error}; it was moved, or a link "
            "was put in its place"
        ) from None
    return descriptor


def _read_regular(descriptor: int, where: Path, limit: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{where} is no regular file; a bundle holds nothing else")
    if status.st_size > limit:
        raise BundleError(f"{where} has {status.st_size} bytes, more than the limit of {limit}")
    parts = []
    left = limit + 1
    # What grows while it is read is not read beyond the limit.
    while left and (part := os.read(descriptor, min(left, max(status.st_size + 1, _CHUNK_BYTES)))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise BundleError(f"{where} grew beyond the limit of {limit} bytes while it was read")
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _why_not(where: Path, error: OSError) -> str:
    if where.is_symlink():
        return (
            f"{where} is a symbolic link, which is not followed below model_root: put the file "
            "itself there"
        )
    return (
        f"cannot read {where}: {error.strerror or error}; the bundle is incomplete, copy or train "
        "it again"
    )
