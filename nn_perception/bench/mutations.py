"""Damage for messages and files: what a broken driver, cable or disk makes of valid bytes.

Everything is drawn from one generator, so that a seed repeats a case.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

DOUBLES = (
    float("nan"),
    float("inf"),
    float("-inf"),
    5e-324,
    -2e-308,
    1.7e308,
    -1e300,
    1e154,
    1e30,
    -1e-30,
    0.0,
    -0.0,
    -1.0,
    1e9,
)
INTEGERS = (
    0,
    1,
    2,
    3,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x10000,
    999_999_999,
    1_000_000_000,
    0x3FFFFFFF,
    0x7FFFFFFE,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFF0,
    0xFFFFFFFF,
)
BAD_TEXT = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0\0", b"\xe2\x82")
ENCAPSULATIONS = (b"\0\0\0\0", b"\0\1\0\0", b"\0\2\0\0", b"\0\3\0\0", b"\1\0\0\0", b"\0\1\0\3", b"")
LONGEST_INSERT = 64
MOST_DAMAGES = 4

Mutation = Callable[[Random, bytearray, Sequence[bytes]], bytearray]


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a message with one to four kinds of damage.

    Args:
        random: decides everything.
        data: valid.
        others: further valid ones, which may be spliced in.
    """
    damaged = bytearray(data)
    for _ in range(random.randint(1, MOST_DAMAGES)):
        damaged = random.choice(MUTATIONS)(random, damaged, others)
    return bytes(damaged)


def flip_bits(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Flip up to eight bits."""
    for _count in range(random.randint(1, 8)):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def truncate(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Cut the end off."""
    return data[: random.randint(0, len(data))]


def extend(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Add bytes at the end."""
    return data + random.randbytes(random.randint(1, LONGEST_INSERT))


def insert(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Add bytes anywhere: what follows is no longer where it should be."""
    at = random.randint(0, len(data))
    return data[:at] + random.randbytes(random.randint(1, LONGEST_INSERT)) + data[at:]


def remove(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Leave some bytes out."""
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.randint(1, LONGEST_INSERT) :]


def splice(random: Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    """Go on with another message."""
    other = random.choice(others)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def integer(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Overwrite four aligned bytes, such as a length or a count, by a special number."""
    order = random.choice("<>")
    return _overwrite(random, data, 4, struct.pack(f"{order}I", random.choice(INTEGERS)))


def count_near(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Overwrite four aligned bytes by a number near the message's size."""
    near = max(0, len(data) + random.randint(-64, 64))
    return _overwrite(random, data, 4, struct.pack(random.choice(("<I", ">I")), near))


def double(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Overwrite eight aligned bytes by a special number."""
    return _overwrite(random, data, 8, struct.pack(random.choice("<>") + "d", _special(random)))


def single(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Overwrite four aligned bytes by a special number."""
    try:
        new = struct.pack(random.choice("<>") + "f", _special(random))
    except OverflowError:
        new = struct.pack("<f", 3.4e38)
    return _overwrite(random, data, 4, new)


def stamp(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Give a message another stamp: at a limit, or somewhat off."""
    if random.random() < 0.5:
        new = struct.pack("<II", random.choice(INTEGERS), random.choice(INTEGERS))
        data[4:12] = new
    elif len(data) >= 8:
        seconds = int.from_bytes(data[4:8], "little") + random.randint(-3, 3)
        data[4:8] = (seconds % 2**32).to_bytes(4, "little")
    return data


def text(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Put what is no UTF-8 where the frame is, or anywhere."""
    at = 16 if random.random() < 0.5 else random.randint(0, len(data))
    bad = random.choice(BAD_TEXT)
    data[at : at + len(bad)] = bad
    return data


def encapsulation(random: Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Say another byte order, or another encoding."""
    data[:4] = random.choice(ENCAPSULATIONS)
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    truncate,
    extend,
    insert,
    remove,
    splice,
    integer,
    integer,
    count_near,
    double,
    double,
    single,
    stamp,
    text,
    encapsulation,
)


def _special(random: Random) -> float:
    return random.choice(DOUBLES) if random.random() < 0.8 else random.uniform(-1e6, 1e6)


def _overwrite(random: Random, data: bytearray, size: int, new: bytes) -> bytearray:
    """Overwrite bytes at a place that is aligned behind the four bytes of encapsulation."""
    places = (len(data) - 4) // size
    if places < 1:
        return data
    at = 4 + size * random.randrange(places)
    data[at : at + size] = new
    return data
