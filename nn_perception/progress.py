"""Progress bars: quick in a terminal, one line now and then in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LOG_PERIOD_S = 10.0


def progress_bar(total: int | None, what: str, unit: str, *, show: bool = True) -> Any:
    """Return a tqdm bar on standard error.

    Args:
        total: length, or None when it is not known.
        what: word before the bar.
        unit: what is counted.
        show: False makes a bar that draws nothing.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        disable=not show,
        dynamic_ncols=terminal,
        mininterval=0.1 if terminal else LOG_PERIOD_S,
        delay=0.0 if terminal else 1.0,
    )
