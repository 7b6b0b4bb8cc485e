"""Kills at random moments and full disks: what is seen afterwards is whole, and work goes on.

A reference run that nobody disturbs tells how long a training on the robot takes, and which bundle
it gives. Kills are spread evenly over that time; the same bundle must come out in the end.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from nn_perception.bench import BenchSettings, Measurement

Say = Callable[[str], None]

COUNTS = {"child": 20, "trainer": 20, "deploying": 10, "swap": 40, "writer": 60, "disk": 200}
QUICK = {"child": 2, "trainer": 2, "deploying": 2, "swap": 4, "writer": 6, "disk": 20}
DEPLOYING_S = 0.2
"""About how long a deployment takes."""


def run(settings: BenchSettings, say: Say) -> list[Measurement]:
    """Kill the trainer's child, the trainer, a node during a swap, a writer; fill the disk."""
    from nn_perception.bench.kill_storage import full_disk, full_disk_of_trainer, killed_writer

    work = settings.work / "kills"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    random = np.random.default_rng(0)

    counts = QUICK if settings.quick else COUNTS
    return [
        *_trainings(settings, work, counts, random, say),
        _swaps(settings, work / "swap", counts["swap"], random, say),
        killed_writer(work / "writer", counts["writer"], random, say),
        full_disk(work / "disk", counts["disk"], random, say),
        *full_disk_of_trainer(settings, work / "trainer_disk", say),
    ]


def _trainings(
    settings: BenchSettings,
    work: Path,
    counts: Mapping[str, int],
    random: np.random.Generator,
    say: Say,
) -> list[Measurement]:
    from nn_perception.bench.kill_rig import KillRig

    with KillRig(work / "robot", settings.domain_id) as rig:
        say("a training that nobody disturbs")
        length_s = rig.reference()
        say(f"it takes {length_s:.1f} s")
        found = []
        for name, what, within_s, kill in (
            ("child", "kill -9 of the trainer's child", length_s, rig.kill_child),
            ("trainer", "kill -9 of the trainer", length_s, rig.kill_trainer),
            (
                "deploying",
                "kill -9 of the trainer while it deploys",
                DEPLOYING_S,
                partial(rig.kill_trainer, behind="deploying"),
            ),
        ):
            outcomes: Counter[str] = Counter()
            for number in range(counts[name]):
                outcomes.update(kill(float(random.uniform(0.0, within_s))))
                say(f"{what}: {number + 1} of {counts[name]}, {_told(outcomes)}")
            found.append(_measurement(what, counts[name], outcomes, rig.take_problems()))
    return found


def _swaps(
    settings: BenchSettings, work: Path, count: int, random: np.random.Generator, say: Say
) -> Measurement:
    """Kill an inference node while a model is being set; a restart runs what it is started with."""
    from nn_perception.bench.kill_swaps import SwapRig

    say(f"kill -9 of an inference node during {count} swaps")
    with SwapRig(work, settings.domain_id) as rig:
        swap_s = rig.swap_time_s()
        outcomes: Counter[str] = Counter()
        for _ in range(count):
            outcomes.update([rig.kill_during_swap(float(random.uniform(0.0, 1.5 * swap_s)))])
        problems = rig.problems
    what = "kill -9 of an inference node during a swap"
    return _measurement(what, count, outcomes, problems, f"a swap takes {swap_s * 1e3:.0f} ms")


def _measurement(
    what: str, count: int, outcomes: Counter[str], problems: list[str], more: str = ""
) -> Measurement:
    parts = [f"{count} at random moments", _told(outcomes), more, *problems[:3]]
    return Measurement(
        f"{what}: what was not whole, lost or changed",
        len(problems),
        "",
        "0",
        not problems,
        "; ".join(part for part in parts if part),
    )


def _told(outcomes: Counter[str]) -> str:
    return ", ".join(f"{text} {number}" for text, number in sorted(outcomes.items()))
