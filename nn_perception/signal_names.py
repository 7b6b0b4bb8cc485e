"""Names of signals, for what is said about processes that one ended."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Return a signal's name, such as ``"SIGKILL"``; Python has none for real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
