"""Recordings for the study ``uwb-adaptation``: those of one site, or simulated rooms as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_data import FOLDER, load_uwb_data
from nn_perception.datasets.uwb_simulated import SIMULATED, simulate_uwb
from nn_perception.errors import ConfigError, DatasetError, nearest

ROOMS, ROOM_S, ROOM_ANCHORS = 3, 105.0, 4
"""Simulated rooms, their recordings' length in seconds, and the anchors in each."""

_COLUMNS = (
    *("t", "tag", "anchor", "range"),
    *("tag_x", "tag_y", "tag_z", "tag_qw", "tag_qx", "tag_qy", "tag_qz"),
    *("anc_x", "anc_y", "anc_z", "anc_qw", "anc_qx", "anc_qy", "anc_qz"),
)
_SCALAR_FIRST = [3, 0, 1, 2]


def load_flights(data: Path, site: str) -> list[UwbSequence]:
    """Return the recordings of one site, which differ in where the anchors are.

    Args:
        data: a directory of recordings, or one with a folder ``uwb`` in it.
        site: what the recordings' names begin with, see `nn_perception.datasets.uwb_files`.

    Raises:
        DatasetError: a recording cannot be read, or there are fewer than two of the site.
    """
    found = load_uwb_data(data / FOLDER if (data / FOLDER).is_dir() else data)
    flights = [sequence for sequence in found if sequence.source == site]
    if len(flights) < 2:
        there = ", ".join(sorted({sequence.source for sequence in found}))
        raise DatasetError(
            f"{data}: {len(flights)} recordings of the site '{site}', expected 2 or more, one to "
            f"leave out and others to train on; choose --site from: {there}"
        )
    return flights


def chosen_flights(flights: list[UwbSequence], names: list[str]) -> list[UwbSequence]:
    """Return the flights that are left out in turn: those of the names, all when there is none.

    Raises:
        DatasetError: there is no flight of a name.
    """
    by_name = {flight.name: flight for flight in flights}
    for name in names:
        if name not in by_name:
            raise DatasetError(
                f"there is no flight '{name}'{nearest(name, by_name)}; there are: "
                f"{', '.join(by_name)}"
            )
    return [by_name[name] for name in dict.fromkeys(names or by_name)]


def write_rooms(directory: Path, rooms: int, duration_s: float) -> None:
    """Simulate a flight in each of some rooms, and write them as files that training reads.

    Raises:
        ConfigError: a file cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for seed in range(rooms):
            flight = simulate_uwb(seed, duration_s=duration_s, anchors=ROOM_ANCHORS)
            (directory / f"{SIMULATED}_{seed}.csv").write_text(_csv(flight), encoding="ascii")
    except OSError as error:
        raise ConfigError(
            f"cannot write to {directory}: {error.strerror or error}; choose another --work"
        ) from error


def _csv(flight: UwbSequence) -> str:
    turns = np.array([anchor.orientation_xyzw for anchor in flight.anchors.values()])
    rows = np.column_stack(
        [
            *(flight.time_s, flight.tag, flight.anchor, flight.range_m),
            *(flight.tag_position_m, flight.orientation_xyzw[:, _SCALAR_FIRST]),
            *(flight.anchor_position_m, turns[flight.anchor][:, _SCALAR_FIRST]),
        ]
    )
    lines = [",".join(f"{value:.9g}" for value in row) for row in rows.tolist()]
    return "\n".join([",".join(_COLUMNS), *lines]) + "\n"
