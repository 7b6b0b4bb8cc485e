"""Read recorded bags without ROS: rosbag2 directories, and bare ``.mcap`` and ``.db3`` files.

A damaged bag is refused, never read in part: half a recording gives numbers that look whole. The
error names the command that rescues what is left.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from nn_perception.datasets.bag_batches import Batch, chunk_batches, grouped, mcap_files
from nn_perception.datasets.bag_types import require_rosbags, typestore_for
from nn_perception.datasets.bag_writer import (
    BagWriter,
    classification_message,
    image_message,
    record_labelled_images,
)
from nn_perception.errors import BagError, nearest

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader
    from rosbags.typesys.store import Typestore

__all__ = [
    "BagReader",
    "BagTopic",
    "BagWriter",
    "classification_message",
    "image_message",
    "record_labelled_images",
]

KINDS = "expected a rosbag2 directory, an .mcap or a .db3 file"


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: name, message type such as ``sensor_msgs/msg/Image``, messages."""

    name: str
    type: str
    count: int


class BagReader:
    """A bag that is open for reading; use it in a ``with`` statement.

    Types come from the bag where it carries definitions, otherwise from ROS 2's common interfaces
    and vision_msgs. Nothing but the topics asked for is decoded.

    Attributes:
        path: the directory or file.

    Raises:
        BagError: on entering: nothing there, no bag, damaged, cut off, or without any message.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._reader: Reader | None = None
        self._topics: dict[str, BagTopic] = {}

    def __enter__(self) -> BagReader:
        _check_path(self.path)
        require_rosbags()
        from rosbags.rosbag2 import Reader

        try:
            reader = Reader(self.path)
            reader.open()
        except Exception as error:  # a parser of foreign bytes: a damaged file raises anything
            raise BagError(_damage(self.path, error)) from error
        try:
            self._topics = {
                name: BagTopic(name, info.msgtype or "several types", info.msgcount)
                for name, info in reader.topics.items()
            }
            if not any(topic.count for topic in self._topics.values()):
                raise BagError(f"{self.path}: empty, no message in it; record it again")
        except BaseException:
            reader.close()
            raise
        self._reader = reader
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        return False

    @property
    def topics(self) -> dict[str, BagTopic]:
        """All topics by name, those without messages too."""
        return dict(self._topics)

    @property
    def start_ns(self) -> int:
        """Time of the first message, ns since the epoch (bag time)."""
        return int(self._open().start_time)

    @property
    def duration_s(self) -> float:
        """From the first message to the last, in seconds (bag time)."""
        return float(max(self._open().duration - 1, 0)) * 1e-9

    def find(self, *types: str) -> tuple[str, ...]:
        """Return the topics that have messages of one of these types, in order of name."""
        return tuple(
            topic.name for topic in self._topics.values() if topic.type in types and topic.count
        )

    def require(self, name: str, *types: str) -> BagTopic:
        """Return the topic; it has messages, and is of one of ``types`` when some are given.

        Raises:
            BagError: it is not there, is empty, or is of another type; the message names the
                topics that would do.
        """
        topic = self._topics.get(name)
        if topic is not None and topic.count and (not types or topic.type in types):
            return topic
        wanted = " or ".join(types) or "any type"
        fits = self.find(*types) if types else tuple(self._topics)
        if topic is None:
            what = f"no topic {name!r}{nearest(name, self._topics)}"
        elif not topic.count:
            what = f"topic {name!r} has no messages"
        else:
            what = f"topic {name!r} is {topic.type}, expected {wanted}"
        there = f"topics with {wanted}: {', '.join(fits)}" if fits else f"none there has {wanted}"
        all_names = ", ".join(f"{each.name} ({each.type})" for each in self._topics.values())
        repair = "name one of them" if fits else f"record one; the bag holds {all_names}"
        raise BagError(f"{self.path}: {what}; {there}; {repair}")

    def messages(
        self, topics: Sequence[str] | None = None, raw: Collection[str] = ()
    ) -> Iterator[tuple[str, int, Any]]:
        """Iterate over decoded messages in the order of bag time.

        Args:
            topics: names; all when None. Checked at once, before the first message.
            raw: those of them whose messages come serialised (CDR).

        Returns:
            Iterator of (topic, bag time in ns, message). A message has the fields of its
            definition; arrays of numbers are read-only NumPy views of the bag's bytes.

        Raises:
            BagError: a topic is missing, cannot be decoded, or the bag turns out damaged.
        """
        connections = self._connections(topics)
        stores = {connection.msgtype: typestore_for(connection) for connection in connections}
        return self._decode(connections, stores, frozenset(raw))

    def raw_messages(self, topics: Sequence[str] | None = None) -> Iterator[tuple[str, int, bytes]]:
        """As :meth:`messages`, with the serialised (CDR) message, for publishing as it is."""
        return (
            (connection.topic, time_ns, data)
            for connection, time_ns, data in self._read(self._connections(topics))
        )

    def batches(self, topics: Sequence[str]) -> Iterator[Batch]:
        """Iterate over serialised messages of topics by the thousand, see `bag_batches`.

        Each topic's messages come in the order of bag time, those of different topics in any.

        Raises:
            BagError: a topic is missing, or the bag turns out damaged.
        """
        connections = self._connections(topics)
        try:
            parts = chunk_batches(mcap_files(self.path), topics)
        except Exception:  # no file to read by chunks, or damaged: the ordinary way tells which
            return grouped(self.raw_messages(topics))
        return self._checked(parts, sum(connection.msgcount for connection in connections))

    def _checked(self, parts: Iterator[Batch], promised: int) -> Iterator[Batch]:
        given = 0
        try:
            for part in parts:
                given += len(part)
                yield part
        except (ValueError, struct.error, OSError) as error:
            raise BagError(_damage(self.path, error)) from error
        self._warn_unless(given, promised)

    def _warn_unless(self, given: int, promised: int) -> None:
        if given != promised:
            warnings.warn(
                f"{self.path}: promises {promised} messages of these topics, holds {given}; "
                f"if that matters, {_rescue(self.path)}",
                stacklevel=3,
            )

    def _open(self) -> Reader:
        if self._reader is None:
            raise BagError(f"{self.path}: is not open; use 'with BagReader(path) as bag:'")
        return self._reader

    def _connections(self, topics: Sequence[str] | None) -> list[Any]:
        reader = self._open()
        names = [topic.name for topic in self._topics.values() if topic.count]
        chosen = {self.require(name).name for name in (names if topics is None else topics)}
        return [connection for connection in reader.connections if connection.topic in chosen]

    def _decode(
        self, connections: Collection[Any], stores: dict[str, Typestore], raw: frozenset[str]
    ) -> Iterator[tuple[str, int, Any]]:
        decode = {name: store.deserialize_cdr for name, store in stores.items()}
        for connection, time_ns, data in self._read(connections):
            msgtype = connection.msgtype
            if connection.topic in raw:
                yield connection.topic, time_ns, data
                continue
            try:
                message = decode[msgtype](data, msgtype)
            except Exception as error:  # bytes that do not fit the type raise anything
                raise BagError(
                    f"{self.path}: a message of {connection.topic!r} at {time_ns} ns is no "
                    f"{msgtype} ({error}); {_rescue(self.path)}"
                ) from error
            yield connection.topic, time_ns, message

    def _read(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, bytes]]:
        if not connections:
            return
        promised, given = sum(connection.msgcount for connection in connections), 0
        source = self._open().messages(connections)
        while True:
            try:
                item = next(source, None)
            except Exception as error:  # as on opening
                raise BagError(_damage(self.path, error)) from error
            if item is None:
                break
            given += 1
            yield item
        self._warn_unless(given, promised)


def _check_path(path: Path) -> None:
    if not path.exists():
        raise BagError(f"{path}: does not exist, {KINDS}; correct the path")
    if path.is_file():
        if path.suffix == ".bag":
            raise BagError(f"{path}: a ROS 1 bag, {KINDS}; convert it with rosbags-convert")
        if path.suffix not in (".mcap", ".db3"):
            raise BagError(f"{path}: is no bag by its name, {KINDS}")
        files = [path]
    else:
        files = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        if not (path / "metadata.yaml").is_file():
            hint = f"run 'ros2 bag reindex {path}', or give {files[0]} itself" if files else KINDS
            raise BagError(f"{path}: holds no metadata.yaml (was the recorder killed?); {hint}")
    for file in files:
        if file.suffix == ".db3":
            _check_sqlite_size(file)
        log = file.with_name(f"{file.name}-wal")
        if log.is_file() and log.stat().st_size:
            raise BagError(
                f"{file}: messages still lie in {log.name} (was the recorder killed?); put them "
                f"into the bag with sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)'"
            )


def _check_sqlite_size(path: Path) -> None:
    """Refuse a database that is shorter than its header says.

    SQLite itself reads an incomplete last page as zeros, and says nothing. Source: "Database File
    Format" of SQLite, section 1.3: page size at byte 16 (1 means 65536), pages at byte 28, valid
    when the counters at bytes 24 and 92 are equal.
    """
    with path.open("rb") as stream:
        head = stream.read(100)
    if not head.startswith(b"SQLite format 3\0") or len(head) < 100 or head[24:28] != head[92:96]:
        return  # no database at all is found on opening
    page_bytes, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    promised = (65536 if page_bytes == 1 else page_bytes) * pages
    if (size := path.stat().st_size) < promised:
        raise BagError(
            f"{path}: truncated or damaged ({size} of {promised} bytes); {_rescue(path)}"
        )


def _damage(path: Path, error: Exception) -> str:
    detail = " ".join(str(error).split()) or type(error).__name__
    if "not supported" in detail:
        return f"{path}: {detail}; pip install -U rosbags, or convert it with 'ros2 bag convert'"
    if re.search("metadata|yaml", detail, re.IGNORECASE) and path.is_dir():
        repair = f"make metadata.yaml again with 'ros2 bag reindex {path}'"
    else:
        repair = _rescue(path)
    return f"{path}: truncated or damaged ({detail}); {repair}"


def _rescue(path: Path) -> str:
    """Say how to save what is left of a damaged bag."""
    file = path
    if path.is_dir():
        files = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        file = files[0] if files else path
    if file.suffix == ".mcap":
        return f"save what is left with 'mcap recover {file} -o rescued.mcap', or record it again"
    if file.suffix == ".db3":
        return (
            f"save what is left with 'sqlite3 {file} .recover | sqlite3 rescued.db3', "
            "or record it again"
        )
    return "record it again"
