"""What the live benchmarks share that send at a rate and read the answers in one process."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SWITCH_INTERVAL_S = 0.0005


@contextmanager
def quick_thread_switches() -> Iterator[None]:
    """Let threads take turns more often: neither sender nor receiver may keep the other waiting."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def with_stamp(template: bytes, stamp_ns: int) -> bytes:
    """Return a serialised message (little-endian, header first) under another stamp."""
    stamp = struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
    # A view: the rest of an image is copied once, and not twice.
    return b"".join((template[:4], stamp, memoryview(template)[12:]))


def sleep_until(due_s: float) -> None:
    """Sleep until a time of `time.monotonic`."""
    while (wait_s := due_s - time.monotonic()) > 0.0:
        time.sleep(wait_s)


def model_parameters(model: Path) -> dict[str, str]:
    """Return the parameters by which a node finds a bundle."""
    path = model.resolve()
    return {"model_root": str(path.parent), "model": path.name}
