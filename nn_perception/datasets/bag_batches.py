"""Messages of a bag by the thousand: where each lies in a buffer, and no object for each.

An MCAP file is a row of chunks, each with many messages; reading a chunk and walking over its
records is all that small messages such as sensor_msgs/Imu need before NumPy takes them together.
Everything else (SQLite, files without an index, chunks that overlap in time, a compression that
cannot be undone here) goes message by message through rosbags, with the same result.

Source: MCAP specification (https://mcap.dev/spec), records Footer, Channel, Message, Chunk and
Chunk Index.
"""

from __future__ import annotations

import importlib
import itertools
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

GROUP_BYTES = 1 << 20
"""Messages that come one by one are joined until they are so large."""

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER = struct.Struct("<BQQQI8s")
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<xQH4xQ")
_CHUNK = struct.Struct("<9xQQQI")
_INDEX = struct.Struct("<QQQQ")
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")
_CHANNEL_OP, _MESSAGE_OP, _CHUNK_OP, _INDEX_OP = 0x04, 0x05, 0x06, 0x08


class Batch(NamedTuple):
    """N messages of one topic in the order of bag time.

    Attributes:
        topic: their topic.
        time_ns: (N,) bag time, ns since the epoch.
        data: the bytes that they lie in, with others between them.
        start: (N,) where each begins in ``data``.
        size: (N,) its length in bytes.
    """

    topic: str
    time_ns: Int64Array
    data: NDArray[np.uint8]
    start: Int64Array
    size: Int64Array

    def __len__(self) -> int:
        return len(self.start)

    def message(self, row: int) -> bytes:
        """Return one serialised (CDR) message, copied."""
        start = int(self.start[row])
        return self.data[start : start + int(self.size[row])].tobytes()

    def view(self, row: int) -> memoryview:
        """Return one serialised (CDR) message without a copy."""
        start = int(self.start[row])
        return memoryview(self.data[start : start + int(self.size[row])])  # type: ignore[arg-type]


class UnindexedError(Exception):
    """A file that has to be read message by message."""


class _Chunk(NamedTuple):
    """Where a chunk lies, the bag time of its first and last message, and its channels."""

    first_ns: int
    last_ns: int
    offset: int
    length: int
    channels: frozenset[int]


def mcap_files(path: Path) -> list[Path]:
    """Return the MCAP files of a bag in their order.

    Raises:
        UnindexedError: it has others, or files or messages that rosbag2 compressed.
    """
    if path.is_file():
        files = [path]
    else:
        told = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        about = told["rosbag2_bagfile_information"]
        if (about.get("compression_mode") or "none").lower() != "none":
            raise UnindexedError(f"{path}: compressed by rosbag2")
        files = [path / Path(name).name for name in about["relative_file_paths"]]
    if any(file.suffix != ".mcap" for file in files):
        raise UnindexedError(f"{path}: no MCAP")
    return files


def chunk_batches(files: Iterable[Path], topics: Collection[str]) -> Iterator[Batch]:
    """Iterate over the messages of some topics, a batch for each topic in a chunk.

    Raises:
        UnindexedError: before the first batch: this is no file to read by chunks.
        ValueError: a chunk is damaged.
    """
    opened = [(file, *_read_index(file)) for file in files]
    return _batches(opened, frozenset(topics))


def grouped(
    messages: Iterable[tuple[str, int, bytes]], limit: int = GROUP_BYTES
) -> Iterator[Batch]:
    """Join (topic, bag time, message) to batches of about ``limit`` bytes."""
    waiting: dict[str, tuple[list[int], list[bytes]]] = {}
    held = 0
    for topic, time_ns, data in messages:
        times, parts = waiting.setdefault(topic, ([], []))
        times.append(time_ns)
        parts.append(data)
        held += len(data)
        if held >= limit:
            yield from _joined(waiting)
            waiting, held = {}, 0
    yield from _joined(waiting)


def _joined(waiting: dict[str, tuple[list[int], list[bytes]]]) -> Iterator[Batch]:
    for topic, (times, parts) in waiting.items():
        size = np.fromiter(map(len, parts), np.int64, len(parts))
        data = np.frombuffer(b"".join(parts), np.uint8)
        yield Batch(topic, np.array(times, np.int64), data, np.cumsum(size) - size, size)


def _batches(
    opened: Iterable[tuple[Path, list[_Chunk], dict[int, str]]], topics: frozenset[str]
) -> Iterator[Batch]:
    for file, chunks, names in opened:
        wanted = {channel: name for channel, name in names.items() if name in topics}
        with file.open("rb") as stream:
            for chunk in chunks:
                if chunk.channels.isdisjoint(wanted):
                    continue
                yield from _of_chunk(_records(stream, chunk), wanted)


def _of_chunk(records: bytes, wanted: dict[int, str]) -> Iterator[Batch]:
    """Walk over the records of a chunk."""
    found: dict[str, list[int]] = {name: [] for name in wanted.values()}
    at, end = 0, len(records)
    unpack, lists = _MESSAGE.unpack_from, {channel: found[name] for channel, name in wanted.items()}
    while at < end:
        if records[at] == _MESSAGE_OP:
            size, channel, time_ns = unpack(records, at)
            if channel in lists:
                lists[channel] += (at + 31, size - 22, time_ns)
        else:
            size = _RECORD.unpack_from(records, at)[1]
        at += 9 + size
    if at != end:
        raise ValueError(f"a record of a chunk ends at {at} of {end} bytes")
    data = np.frombuffer(records, np.uint8)
    for topic, numbers in found.items():
        if not numbers:
            continue
        start, size, time_ns = np.array(numbers, np.int64).reshape(-1, 3).T
        if (size < 0).any():
            raise ValueError("a message is shorter than its head")
        if (time_ns[1:] < time_ns[:-1]).any():
            order = np.argsort(time_ns, kind="stable")
            start, size, time_ns = start[order], size[order], time_ns[order]
        yield Batch(topic, time_ns, data, start, size)


def _records(stream: BinaryIO, chunk: _Chunk) -> bytes:
    """Return the records of a chunk, decompressed and checked."""
    stream.seek(chunk.offset)
    raw = stream.read(chunk.length)
    if len(raw) != chunk.length or raw[0] != _CHUNK_OP:
        raise ValueError(f"no chunk of {chunk.length} bytes at {chunk.offset}")
    _, _, size, crc = _CHUNK.unpack_from(raw)
    name_end = _CHUNK.size + 4 + _UINT32.unpack_from(raw, _CHUNK.size)[0]
    codec = raw[_CHUNK.size + 4 : name_end].decode()
    (stored,) = _UINT64.unpack_from(raw, name_end)
    body = memoryview(raw)[name_end + 8 : name_end + 8 + stored]
    records = bytes(body) if not codec else _decompressed(body, codec, size)
    if len(records) != size or (crc and zlib.crc32(records) != crc):
        raise ValueError(f"the chunk at {chunk.offset} is not what its checksum says")
    return records


def _decompressed(body: memoryview, codec: str, size: int) -> bytes:
    arrow = importlib.import_module("pyarrow")
    try:
        records: bytes = arrow.decompress(body, size, codec=codec, asbytes=True)
    except OSError as error:
        raise ValueError(f"a chunk cannot be decompressed ({error})") from error
    return records


def _read_index(file: Path) -> tuple[list[_Chunk], dict[int, str]]:
    """Return the chunks in order of time, and the topic of each channel."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _FOOTER.size))
        tail = stream.read()
        if len(tail) < _FOOTER.size or tail[-8:] != _MAGIC:
            raise UnindexedError(f"{file}: no end of MCAP")
        summary = _FOOTER.unpack(tail)[2]
        if not summary:
            raise UnindexedError(f"{file}: no summary")
        stream.seek(summary)
        records = stream.read(size - _FOOTER.size - summary)
    chunks, names, codecs = [], {}, set()
    for op, body in _summary(records):
        if op == _CHANNEL_OP:
            names[int.from_bytes(body[:2], "little")] = _text(body, 4)
        elif op == _INDEX_OP:
            chunk, codec = _chunk_index(body)
            chunks.append(chunk)
            codecs.add(codec)
    _check_index(file, chunks, codecs)
    return sorted(chunks), names


def _check_index(file: Path, chunks: list[_Chunk], codecs: Collection[str]) -> None:
    ordered = sorted(chunks)
    if not chunks or not all(chunk.channels for chunk in chunks):
        raise UnindexedError(f"{file}: no index of chunks")
    if any(after.first_ns < before.last_ns for before, after in itertools.pairwise(ordered)):
        raise UnindexedError(f"{file}: chunks overlap in time")
    if not set(codecs) <= {"", "lz4", "zstd"}:
        raise UnindexedError(f"{file}: unknown compression")
    if set(codecs) != {""}:
        try:
            importlib.import_module("pyarrow")
        except ImportError as error:
            raise UnindexedError(f"{file}: compressed, and no pyarrow") from error


def _summary(records: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _RECORD.size <= len(records):
        op, size = _RECORD.unpack_from(records, at)
        yield op, records[at + _RECORD.size : at + _RECORD.size + size]
        at += _RECORD.size + size


def _chunk_index(body: bytes) -> tuple[_Chunk, str]:
    first_ns, last_ns, offset, length = _INDEX.unpack_from(body)
    (map_bytes,) = _UINT32.unpack_from(body, _INDEX.size)
    at = _INDEX.size + 4
    channels = [body[i : i + 2] for i in range(at, at + map_bytes, 10)]
    found = frozenset(int.from_bytes(channel, "little") for channel in channels)
    codec = _text(body, at + map_bytes + 8)
    return _Chunk(first_ns, last_ns, offset, length, found), codec


def _text(body: bytes, at: int) -> str:
    (size,) = _UINT32.unpack_from(body, at)
    return body[at + 4 : at + 4 + size].decode()
