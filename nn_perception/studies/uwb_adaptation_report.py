"""Picture and page of the study ``uwb-adaptation``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn_perception.errors import ConfigError
from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    Canvas,
    finish,
)
from nn_perception.studies.uwb_curves import (
    ADAPTED,
    CONSTANTS,
    OTHERS,
    SCRATCH,
    WAYS,
    Curves,
)

COLOURS = {ADAPTED: BLUE, SCRATCH: ORANGE, CONSTANTS: GREEN, OTHERS: MUTED}
NAMES = {
    ADAPTED: "adapted to them",
    SCRATCH: "trained on them alone",
    CONSTANTS: "their constants",
    OTHERS: "others' constant",
}
"""What is done with the minutes, in words."""
_GAP = 0.055
"""Between two labels at least, as a part of the axis."""
_ROOM = 1.5
"""The axis goes on behind the thick lines by this factor, for the labels."""


def write_report(directory: Path, curves: Curves, facts: Mapping[str, Any]) -> Path:
    """Write the page with its picture and ``metrics.json``; return the path of ``index.html``.

    Args:
        directory: made when missing.
        curves: of all flights.
        facts: what else the figures depend on; see `nn_perception.studies.uwb_adaptation`.

    Raises:
        ConfigError: matplotlib is missing, or the directory cannot be written.
    """
    names = ", ".join(flight.name for flight in curves.flights)
    report = Report("UWB: minutes of a new site", f"each left out in turn: {names}")
    report.metrics = {**facts, **curves.to_dict()}
    last = curves.common[-1] if curves.common else curves.minutes[0]
    means = {NAMES[way]: curves.mean_m(way, last) for way in WAYS}
    report.tiles({f"{k}, {last:g} min": f"{v:.3f} m" for k, v in means.items() if v is not None})
    report.figure(
        "Range error over minutes of the new site",
        plot_curves(curves),
        "RMSE of the ranges of the flight's rest, which is the same for all minutes. Thick: mean "
        "over all flights, where all are long enough; thin: single flights.",
    )
    report.table(
        "Means over flights",
        curves.rows(),
        curves.HEADER,
        "RMSE, outliers left out. Rows of fewer flights are means of other flights than those "
        f"above. {' '.join(f'{note}.' for note in facts['notes'])}",
    )
    report.table("Single flights", curves.flight_rows(), curves.FLIGHT_HEADER)
    report.keyvalues("What was run", _facts_in_words(curves, facts))
    try:
        return report.write(directory)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot write to {directory}: {reason}; choose another --out") from error


def plot_curves(curves: Curves, path: Path | None = None) -> bytes:
    """Draw the RMSE over minutes.

    Args:
        curves: of all flights.
        path: where to write the PNG as well.
    """
    with Canvas(4.6) as canvas:
        axes = canvas.figure.add_subplot()
        ends = {}
        for way in WAYS:
            for flight in curves.flights:
                _draw(axes, {m: flight.rmse_m(way, m) for m in curves.minutes}, way, thin=True)
            mean = {m: curves.mean_m(way, m) for m in curves.common}
            _draw(axes, mean, way, thin=False)
            last = [value for value in mean.values() if value is not None]
            if last:
                ends[way] = last[-1]
        axes.set_ylim(bottom=0.0)
        drawn = [m for m in curves.minutes if curves.at(m)]
        axes.set_xticks(drawn, [f"{m:g}" for m in drawn])
        last_thick = curves.common[-1] if curves.common else 0.0
        axes.set_xlim(right=max(1.05 * drawn[-1], _ROOM * last_thick))
        finish(axes, "What minutes of a new site are worth", "minutes of it", "range RMSE, m")
        _label(axes, ends, last_thick)
        return canvas.png(path)


def _draw(axes: Any, values: Mapping[float, float | None], way: str, *, thin: bool) -> None:
    known = {m: value for m, value in values.items() if value is not None}
    style = {"linewidth": 0.8, "alpha": 0.4} if thin else {"marker": "o", "zorder": 3}
    axes.plot(list(known), list(known.values()), color=COLOURS[way], **style)


def _label(axes: Any, ends: Mapping[str, float], x: float) -> None:
    """Write the names beside the ends of the thick lines, apart from each other."""
    from matplotlib.patheffects import withStroke

    gap, below, places = _GAP * axes.get_ylim()[1], -1.0, {}
    for way, value in sorted(ends.items(), key=lambda item: item[1]):
        places[way] = below = max(value, below + gap)
    raised = sum(places[way] - ends[way] for way in ends) / max(len(ends), 1)
    for way, place in places.items():
        axes.annotate(
            NAMES[way], (x, place - raised), xytext=(8, 0), textcoords="offset points", va="center",
            color=COLOURS[way], fontweight="bold", zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _facts_in_words(curves: Curves, facts: Mapping[str, Any]) -> dict[str, object]:
    judged = (
        f"{f.name} after {f.judged_from_s:.0f} of {f.duration_s:.0f} s, {f.ranges:,} ranges"
        for f in curves.flights
    )
    return {
        "recordings": f"{len(facts['data'])} of {facts['site']}: {', '.join(facts['data'])}",
        "judged": "; ".join(judged),
        ADAPTED: "the model of the other flights, fine-tuned on the minutes (train --init); at 0 "
        "minutes as it is",
        SCRATCH: "the same network and teacher, trained on the minutes alone; a pair that they "
        "hardly have gets the constant",
        CONSTANTS: "mean error of each pair of tag and anchor in the minutes",
        OTHERS: "mean error of the other flights' ranges",
        "seed": facts["seed"],
        "training": ", ".join(f"{k} {v}" for k, v in facts["training"].items()),
        **facts["environment"],
    }
