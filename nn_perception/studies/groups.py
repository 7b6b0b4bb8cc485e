"""Trainings of one configuration with several seeds, taken together and drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nn_perception.errors import ConfigError, nearest
from nn_perception.evaluation.plot_style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, RED, SKY

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, INK, SKY)
LINES = ("-", "--", "-.", ":", "-", "--", "-.")
"""Colours and strokes of the first, second, ... thing compared."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """What one configuration gave with each seed.

    Attributes:
        outcomes: one per seed.
    """

    outcomes: tuple[Outcome, ...]

    @property
    def finished(self) -> tuple[Outcome, ...]:
        """Those whose loss was always finite."""
        return tuple(outcome for outcome in self.outcomes if not outcome.diverged)

    @property
    def diverged(self) -> int:
        """How many of them diverged."""
        return len(self.outcomes) - len(self.finished)

    def curves(self, name: str) -> FloatArray:
        """Return a figure of the epochs' records, (seeds that did not diverge, epochs).

        A training that stopped early has NaN behind its end.
        """
        finished = self.finished
        epochs = max((len(outcome.history) for outcome in finished), default=0)
        curves = np.full((len(finished), epochs), math.nan)
        for row, outcome in zip(curves, finished, strict=True):
            row[: len(outcome.history)] = [record[name] for record in outcome.history]
        return curves

    def last(self, name: str) -> float:
        """Return the mean over the seeds of a figure after the last epoch; NaN: all diverged."""
        return mean([outcome.history[-1][name] for outcome in self.finished])

    def spread(self, name: str) -> tuple[float, float]:
        """Return the least and the largest value after the last epoch; NaN: all diverged."""
        values = [outcome.history[-1][name] for outcome in self.finished]
        return (min(values), max(values)) if values else (math.nan, math.nan)

    def found(self, name: str) -> FloatArray:
        """Return the mean over the seeds of what the jobs' analysis found; empty: all diverged."""
        values = [outcome.found[name] for outcome in self.finished]
        return np.mean(np.array(values, dtype=np.float64), axis=0) if values else np.empty(0)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON: curves per seed, without times, which never repeat."""
        return {
            "diverged": {str(o["seed"]): o.diverged for o in self.outcomes if o.diverged},
            "seeds": {
                str(outcome["seed"]): {
                    "epochs": [
                        {key: value for key, value in record.items() if key != "seconds"}
                        for record in outcome.history
                    ],
                    **outcome.found,
                }
                for outcome in self.outcomes
            },
        }


def grouped(outcomes: Sequence[Outcome], *names: str) -> dict[Any, Group]:
    """Return the outcomes by parts of their keys, in their order.

    Args:
        outcomes: of all trainings.
        names: parts of the key; one gives its values as keys, several give tuples.
    """
    found: dict[Any, list[Outcome]] = {}
    for outcome in outcomes:
        key = tuple(outcome[name] for name in names)
        found.setdefault(key if len(key) > 1 else key[0], []).append(outcome)
    return {key: Group(tuple(members)) for key, members in found.items()}


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of nothing."""
    return float(np.mean(values)) if len(values) else math.nan


def percent(value: float, digits: int = 1) -> str:
    """Return a share as text; a dash where there is none."""
    return f"{100 * value:.{digits}f} %" if math.isfinite(value) else "\N{EN DASH}"


def rounded(value: float, digits: int = 2) -> float | None:
    """Return a figure for a table; None where there is none."""
    return round(value, digits) if math.isfinite(value) else None


def significant(value: float, digits: int = 3) -> float | None:
    """Return a figure with so many digits that are not 0 in front; None where there is none."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def draw_curves(
    axes: Any, groups: Mapping[str, Group], name: str, scale: float = 1.0, start: int = 0
) -> None:
    """Draw a figure over the epochs: the mean of the seeds, and a band from least to largest.

    Args:
        axes: of matplotlib.
        groups: label -> trainings; those that all diverged are named in the chart.
        name: key of the epochs' records.
        scale: factor of the values.
        start: which colour is the first's.
    """
    lost = []
    for number, (label, group) in enumerate(groups.items(), start):
        colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
        curves = scale * group.curves(name)
        if not len(curves):
            axes.plot([], [], color=colour, linestyle=line, label=label)
            lost.append(label)
            continue
        epochs = np.arange(1, curves.shape[1] + 1)
        low, middle, high = (f(curves, axis=0) for f in (np.nanmin, np.nanmean, np.nanmax))
        axes.plot(epochs, middle, color=colour, linestyle=line, label=label)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
    if lost:
        axes.text(
            0.97, 0.5, f"diverged: {', '.join(lost)}", transform=axes.transAxes,
            ha="right", va="center", color=MUTED, fontsize=10,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )  # fmt: skip
    whole_epochs(axes)


def whole_epochs(axes: Any) -> None:
    """Mark whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a line with dots for each of the things compared, as `draw_curves` colours them."""
    return {
        name: {"color": colour, "linestyle": line, "marker": "o", "markersize": 4}
        for name, colour, line in zip(names, COLOURS, LINES, strict=False)
    }


def layer_ticks(axes: Any, depth: int, output: bool = False) -> None:
    """Mark the hidden layers, from 1, and the output's one behind them."""
    last = ["output"] if output else []
    step = 1 + depth // 12
    marks = [*range(1, depth + 1, step), *([depth + 1] if output else [])]
    axes.set_xticks(marks, [*map(str, range(1, depth + 1, step)), *last])


def hidden_layers_text(depth: int) -> str:
    """Return their number in words."""
    return f"{depth} hidden layer{'s' if depth > 1 else ''}"


def decade(value: float) -> str:
    """Return a power of ten for an axis: 0.001 to 1,000, beyond that 1e4."""
    return f"{value:,g}" if 1e-3 <= value <= 1e3 else f"1e{round(math.log10(value))}"


def diverged_text(what: str, group: Group) -> str:
    """Return a sentence of trainings that diverged."""
    return f"Diverged: {what}, {group.diverged} of {len(group.outcomes)} seeds."


def chosen(
    option: str, names: Sequence[str], known: Sequence[str], most: int = len(COLOURS)
) -> tuple[str, ...]:
    """Return names that were asked for.

    Args:
        option: what they were given with.
        names: as given.
        known: what there is.
        most: how many may be compared.

    Raises:
        ConfigError: one is not known, or there twice; too many or none.
    """
    if not 1 <= len(names) <= most:
        raise ConfigError(f"{option}: got {len(names)} names, expected 1 to {most}")
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{option}: got '{name}'{nearest(name, known)} (expected some of: "
                f"{', '.join(known)})"
            )
    if len(set(names)) != len(names):
        raise ConfigError(f"{option}: got {' '.join(names)}, expected each once")
    return tuple(names)
