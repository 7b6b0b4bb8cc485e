"""How a module of this package is run in a process of its own."""

from __future__ import annotations

import sys

# With "-m" alone Python would import from the working directory first, whoever may write there.
# Python 3.10 knows no "-P".
_SAFE = ("-P",) if sys.version_info >= (3, 11) else ()


def module_command(module: str) -> list[str]:
    """Return the beginning of a command that runs a module with this Python."""
    return [sys.executable, *_SAFE, "-m", module]
