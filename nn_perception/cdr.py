"""The beginning of serialised ROS messages: byte order, stamp and frame, without decoding the rest.

The layout is OMG CDR as DDS-RTPS 2.5 (10.2) and ROS 2 use it: four bytes of encapsulation, whose
second tells the byte order, then the fields, each aligned to its size counted from behind the
encapsulation:

| bytes | field |
|---|---|
| 4 + 4 | header.stamp: int32 sec, uint32 nanosec |
| 4 + n | header.frame_id: uint32 length with its terminating zero, then the text |
"""

from __future__ import annotations

import struct

from nn_perception.errors import MessageError

Buffer = bytes | bytearray | memoryview

ENCAPSULATION_BYTES = 4
MAXIMUM_TEXT_BYTES = 4096
"""A longer frame is damage: it would be copied for each message."""

ORDERS = {b"\0\0": ">", b"\0\1": "<"}
HEADER = {order: struct.Struct(f"{order}iII") for order in "<>"}
UINT32 = {order: struct.Struct(f"{order}I") for order in "<>"}


def read_header(buffer: Buffer, kind: str) -> tuple[str, int, str, int]:
    """Read the header that a message begins with.

    Args:
        buffer: the serialised message.
        kind: its type, such as ``"sensor_msgs/Imu"``, for the error.

    Returns:
        The byte order as `struct` has it, the stamp in ns, the frame, and where the header ends,
        counted, as alignment is, from behind the encapsulation.

    Raises:
        MessageError: ``"undecodable"``: it is too short, damaged, or of another encoding.
    """
    order = ORDERS.get(bytes(buffer[:2]))
    size = len(buffer)
    if order is None or size < ENCAPSULATION_BYTES + 12:
        raise undecodable(buffer, kind, "expected plain CDR (00 00 or 00 01) and a header")
    seconds, nanoseconds, length = HEADER[order].unpack_from(buffer, ENCAPSULATION_BYTES)
    end = 12 + length
    if length > MAXIMUM_TEXT_BYTES or size < ENCAPSULATION_BYTES + end:
        raise undecodable(buffer, kind, f"a frame_id of {length} bytes does not fit")
    try:
        text = bytes(buffer[16 : ENCAPSULATION_BYTES + end]).decode()
    except UnicodeDecodeError as error:
        raise undecodable(buffer, kind, f"expected UTF-8 as frame_id ({error})") from None
    frame_id = text[:-1] if text[-1:] == "\0" else text
    return order, seconds * 1_000_000_000 + nanoseconds, frame_id, end


def undecodable(buffer: Buffer, kind: str, expected: str) -> MessageError:
    """Return the error of bytes that are no message of a kind, and what was expected instead."""
    return MessageError(
        "undecodable",
        f"{len(buffer)} bytes that begin with {bytes(buffer[:4]).hex(' ') or 'nothing'} are no "
        f"serialised {kind}: {expected}; check that the publisher's type is the same",
    )
