"""The study ``uwb-adaptation``: how many minutes of a new site a correction of ranges needs.

A model that was trained elsewhere brings the shape of the error, which antennas give; the constants
of tags and anchors are new in each place. The study leaves one flight after the other out, each
with a constellation of its own, and gives more and more of it back.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError, DatasetError
from nn_perception.studies import Say, StudyResult
from nn_perception.studies.uwb_curves import (
    LEAST_JUDGED_S,
    MINUTE_S,
    MOST_SHARE,
    Curves,
    FlightCurve,
    checked_minutes,
)

if TYPE_CHECKING:
    from nn_perception.datasets.uwb import UwbSequence

DESCRIPTION = """Leave one flight out at a time, train on the others, and give the first minutes of
the flight to: the model of the others, adapted (train --init); a model trained on the minutes
alone; the mean error of each pair of tag and anchor in them. The constant of the other flights is
what there is without any. All are judged by the RMSE of the same ranges: what comes after the most
minutes, or after 60 % of a shorter flight, which has no point where it would have to give more.

About 25 s for each training on one free CPU thread: 20 minutes for five flights. Bundles in --work
(those of bench uwb-accuracy too) are taken again where configuration, data and start are the same.
"""

_MINUTES = (0.0, 0.25, 0.5, 1.0, 2.0)
SIMULATED_TRAINING: dict[str, Any] = {
    "epochs": 20,
    "task_arguments": {"rows": 400, "made_up": 4000},
}
"""Less than the recipe: simulated rooms show that everything works, in two minutes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "--data", type=Path, metavar="DIR",
        help="recordings, or a directory with a folder uwb; default: $NN_PERCEPTION_DATA, without "
        "it simulated rooms",
    )  # fmt: skip
    add("--simulated", action="store_true", help="simulated rooms, whatever data there is")
    add("--site", default="drone", metavar="NAME", help="whose recordings, default: drone")
    add("--flights", nargs="+", default=[], metavar="NAME", help="left out in turn, default: all")
    add(
        "--minutes", nargs="+", type=float, default=_MINUTES, metavar="M",
        help=f"default: {' '.join(f'{m:g}' for m in _MINUTES)}",
    )  # fmt: skip
    out = Path("runs/uwb-adaptation")
    add("--out", type=Path, default=out, metavar="DIR", help=f"the report, default: {out}")
    add("--work", type=Path, metavar="DIR", help="the bundles, default: the folder work in --out")
    add("--seed", type=int, default=0, metavar="N", help="of all trainings, default: 0")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads, default: 1")
    add("--json", metavar="FILE", help="write the figures as JSON; '-' prints only them")


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train all models, judge them, write the report.

    Raises:
        ConfigError: an argument out of its range, or a report that cannot be written.
        DatasetError: the recordings cannot be used.
        TrainingError: a loss is not finite.
    """
    minutes = checked_minutes(arguments.minutes)
    if arguments.threads < 1:
        raise ConfigError(f"threads: got {arguments.threads}, expected at least 1")
    from nn_perception.studies.rotation_report import make_directory
    from nn_perception.studies.uwb_adaptation_report import write_report
    from nn_perception.studies.uwb_rooms import chosen_flights, load_flights
    from nn_perception.studies.uwb_ways import Workshop

    make_directory(arguments.out)
    work = arguments.work or arguments.out / "work"
    data, site, changes = _source(arguments, work)
    flights = load_flights(data, site)
    chosen = chosen_flights(flights, arguments.flights)
    say(f"{site}: {len(flights)} flights, {len(chosen)} of them are left out in turn")
    workshop = Workshop(flights, data, work, {"seed": arguments.seed, **changes}, say)
    found, notes = _all_curves(workshop, chosen, minutes, arguments.threads)
    curves = Curves(minutes, found)
    facts = _facts(flights, arguments.seed, workshop.overrides, notes)
    page = write_report(arguments.out, curves, facts)
    figures = {"study": "uwb-adaptation", **facts, **curves.to_dict()}
    return StudyResult(curves.HEADER, curves.rows(), figures, page)


def _source(arguments: argparse.Namespace, work: Path) -> tuple[Path, str, dict[str, Any]]:
    """Return where the recordings are, whose they are, and how training differs for them."""
    from nn_perception.datasets.environment import data_from_environment
    from nn_perception.datasets.uwb_simulated import SIMULATED
    from nn_perception.studies import uwb_rooms

    data = None if arguments.simulated else arguments.data or data_from_environment()
    if data is not None:
        return data, arguments.site, {}
    rooms = work / "rooms"
    uwb_rooms.write_rooms(rooms, uwb_rooms.ROOMS, uwb_rooms.ROOM_S)
    return rooms, SIMULATED, SIMULATED_TRAINING


def _all_curves(
    workshop: Any, chosen: Sequence[UwbSequence], minutes: tuple[float, ...], threads: int
) -> tuple[list[FlightCurve], list[str]]:
    """Return the curves, and why points are not there."""
    import torch

    from nn_perception.studies.uwb_ways import learning_curve

    curves, notes = [], []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for flight in chosen:
            curve = learning_curve(workshop, flight, minutes)
            if curve is not None:
                curves.append(curve)
            notes += _lacking(flight, curve, minutes)
    finally:
        torch.set_num_threads(before)
    for note in notes:
        workshop.say(note)
    if not curves:
        raise DatasetError(
            f"no flight is long enough ({'; '.join(notes)}); give fewer --minutes or longer flights"
        )
    return curves, notes


def _lacking(
    flight: UwbSequence, curve: FlightCurve | None, minutes: tuple[float, ...]
) -> list[str]:
    length = f"{flight.name} lasts {flight.duration_s:.0f} s"
    if curve is None:
        return [f"{length}, which leaves less than {LEAST_JUDGED_S:.0f} s to judge: left out"]
    return [
        f"{length}: no point at {m:g} minutes, more than {MOST_SHARE:.0%} of it"
        for m in minutes
        if MINUTE_S * m > curve.judged_from_s
    ]


def _facts(
    flights: Sequence[UwbSequence], seed: int, overrides: Any, notes: list[str]
) -> dict[str, Any]:
    """Return for JSON and report what figures depend on."""
    from nn_perception.bench import environment

    return {
        "site": flights[0].source,
        "data": {flight.name: flight.sha256 for flight in flights},
        "seed": seed,
        "training": dict(overrides),
        "notes": notes,
        "environment": environment(),
    }
