"""A strict reader of the Protocol Buffers wire format, for messages from untrusted files.

It knows the fields of a message from a table and refuses everything else: unknown fields, a second
value of a field that may have one, another wire type, groups, lengths beyond the enclosing message,
varints that are cut off or too long. A parser that is more lenient (a second value *merges* into
the first) would otherwise see another message than the one that was checked.

Reference: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT = 1 << 64
_CONTINUED = bytes(range(0x80, 0x100))


class WireError(ValueError):
    """Bytes that are not the message that was expected."""


class Field(NamedTuple):
    """One field of a message: its name, wire type, and whether it may occur more than once."""

    name: str
    wire: int
    repeated: bool = False


Schema = Mapping[int, Field]
"""The fields of a message by number."""


class Span(NamedTuple):
    """A part of the data: from ``start`` up to and without ``end``, in bytes."""

    start: int
    end: int


class Message(dict[str, list[int | Span]]):
    """The fields that were there, by name: numbers of varints, spans of everything else.

    A repeated number may have come packed: then it is a span, too.
    """

    def number(self, name: str, default: int = 0) -> int:
        """Return a single number."""
        value = self.get(name, [default])[0]
        return value if isinstance(value, int) else default

    def spans(self, name: str) -> list[Span]:
        """Return the spans of a field of bytes, text or messages; an empty list without any."""
        return [value for value in self.get(name, []) if isinstance(value, Span)]


class Reader:
    """Reads messages of one piece of data, with a budget of fields for all of them together."""

    def __init__(self, data: bytes, max_fields: int) -> None:
        """Remember the data.

        Args:
            data: all of it; spans count from its start.
            max_fields: most fields and packed varints that are read; it bounds time and memory.
        """
        self.data = data
        self._left = max_fields
        self._max = max_fields

    def message(self, span: Span, schema: Schema, name: str) -> Message:
        """Read one message, without those inside it.

        Raises:
            WireError: the bytes are no such message, or the budget is spent.
        """
        found = Message()
        at, end = span
        while at < end:
            self._spend(1)
            key, at = self._varint(at, end)
            field = schema.get(key >> 3)
            if field is None:
                raise WireError(f"{name} has an unknown field {key >> 3}")
            value, at = self._value(at, end, key & 7, field, name)
            values = found.get(field.name)
            if values is None:
                found[field.name] = [value]
            elif field.repeated:
                values.append(value)
            else:
                raise WireError(f"{name} has its field '{field.name}' twice")
        return found

    def text(self, span: Span) -> str:
        """Return a string.

        Raises:
            WireError: it is not UTF-8.
        """
        try:
            return self.data[span.start : span.end].decode()
        except UnicodeDecodeError:
            raise WireError("a name is not valid UTF-8") from None

    def numbers(self, message: Message, name: str) -> list[int]:
        """Return varints, packed or not, as unsigned numbers of 64 bits.

        Raises:
            WireError: one is cut off, or the budget is spent.
        """
        numbers: list[int] = []
        for value in message.get(name, []):
            if isinstance(value, int):
                numbers.append(value)
                continue
            self._spend(self._packed_varints(value, name))
            at = value.start
            while at < value.end:
                number, at = self._varint(at, value.end)
                numbers.append(number)
        return numbers

    def count(self, message: Message, name: str, item_bytes: int = 0) -> int:
        """Return how many numbers a repeated field has.

        Args:
            message: holds the field.
            name: of the field.
            item_bytes: 4 or 8 for fixed ones, 0 for varints.

        Raises:
            WireError: a packed one ends within a number.
        """
        count = 0
        for value in message.get(name, []):
            if isinstance(value, int) or (item_bytes and value.end - value.start == item_bytes):
                count += 1
            elif item_bytes:
                count += self._packed_fixed(value, name, item_bytes)
            else:
                count += self._packed_varints(value, name)
        return count

    def _spend(self, fields: int) -> None:
        self._left -= fields
        if self._left < 0:
            raise WireError(f"it has more than {self._max} fields and numbers")

    def _packed_fixed(self, span: Span, name: str, item_bytes: int) -> int:
        items, rest = divmod(span.end - span.start, item_bytes)
        if rest:
            raise WireError(f"'{name}' ends within a number")
        return items

    def _packed_varints(self, span: Span, name: str) -> int:
        packed = self.data[span.start : span.end]
        if packed and packed[-1] >= 0x80:
            raise WireError(f"'{name}' ends within a number")
        return len(packed.translate(None, _CONTINUED))

    def _value(
        self, at: int, end: int, wire: int, field: Field, name: str
    ) -> tuple[int | Span, int]:
        """Return a value and where it ends."""
        if wire != field.wire and not (field.repeated and wire == LENGTH):
            raise WireError(f"{name} has its field '{field.name}' in another wire type")
        if wire == VARINT:
            return self._varint(at, end)
        if wire == LENGTH:
            length, at = self._varint(at, end)
        else:
            length = _FIXED_BYTES[wire]
        if length > end - at:
            raise WireError(f"the field '{field.name}' of {name} is cut off")
        return Span(at, at + length), at + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a number below 2^64 and where it ends."""
        if at < end and (value := self.data[at]) < 0x80:  # most are that short
            return value, at + 1
        value = shift = 0
        while at < end:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= _MAX_VARINT:
                    break
                return value, at
            shift += 7
            if shift > 63:
                break
        raise WireError("a number is cut off or too long")
