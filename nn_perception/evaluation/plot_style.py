"""The look that all pictures of a report share.

matplotlib is imported on use, and without pyplot: no display, no list of open figures. All pictures
are at most 800 px wide on a page (drawn at twice that), in colours of Okabe and Ito that
colour-blind readers can tell apart, with units on the axes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nn_perception.errors import ConfigError

BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
INK, MUTED, FAINT = "#222222", "#6b7280", "#e5e7eb"
WIDTH_IN = 8.0
DPI = 200

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 11,
    "text.color": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 2.0,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "text.parse_math": False,  # a label may hold a dollar sign; since matplotlib 3.6
}


class Canvas:
    """A figure in the package's style; `png` ends it."""

    def __init__(self, height_in: float, width_in: float = WIDTH_IN) -> None:
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ConfigError(
                f"pictures need matplotlib >= 3.5 ({error}); install python3-matplotlib with the "
                "system's package manager, or matplotlib with pip"
            ) from error
        known = {key: value for key, value in _STYLE.items() if key in mpl.rcParams}
        self._context = mpl.rc_context(known)
        self._context.__enter__()
        self.figure: Any = Figure(figsize=(width_in, height_in), layout="constrained")

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._context.__exit__(None, None, None)

    def png(self, path: Path | None) -> bytes:
        """Draw, and write to `path` when given."""
        buffer = io.BytesIO()
        # No software tag: the same figures give the same bytes after an update as well.
        self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        data = buffer.getvalue()
        if path is not None:
            path.write_bytes(data)
        return data


def finish(axes: Any, title: str, x_label: str, y_label: str) -> None:
    """Set the texts of one chart and draw its grid."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True)


def plain_log_ticks(
    axis: Any, subs: tuple[float, ...] = (1.0, 2.0, 5.0), text: Callable[[float], str] | None = None
) -> None:
    """Write 0.01, 1, 1,000 on a logarithmic axis and not 10^-2, 10^0, 10^3."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    write = text or (lambda value: f"{value:,.10g}")
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a long text, since names differ at their ends too."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"
