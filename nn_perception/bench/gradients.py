"""Gradients of all layers, networks and losses against NumPy oracles and finite differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.gradient_cases import all_cases
from nn_perception.bench.gradient_check import FINITE_GOAL, ORACLE_GOAL, Check, check


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Compare every case of `gradient_cases.all_cases`, in float64 and on the CPU."""
    checks = []
    for case in all_cases():
        found = check(case)
        checks.append(found)
        if not _passes(found):
            say(
                f"{case.name}: {max(found.values, found.gradients):.1e} from the oracle, "
                f"{found.finite:.1e} from finite differences"
            )
    counts = Counter(found.case.group for found in checks)
    counted = ", ".join(f"{counts[group]} {plural}" for group, plural in _PLURALS.items())
    say(f"compared: {counted}")
    more = ", ".join(f"{counts[group]} {plural}" for group, plural in _FINITE_ONLY.items())
    return [
        _row("the NumPy oracle", counted, checks, _to_oracle, ORACLE_GOAL),
        _row("finite differences", f"{counted}, {more}", checks, _to_finite, FINITE_GOAL),
    ]


_PLURALS = {"layer": "layers", "network": "networks", "loss": "losses"}
_FINITE_ONLY = {"filter": "unrolled filters", "kernel": "kernel"}
"""Compared with finite differences alone."""


def _passes(found: Check) -> bool:
    return _to_oracle(found) <= ORACLE_GOAL and _to_finite(found) <= FINITE_GOAL


def _to_oracle(found: Check) -> float:
    return max(found.values, found.gradients)


def _to_finite(found: Check) -> float:
    return found.finite


def _row(
    what: str,
    counted: str,
    checks: list[Check],
    distance: Callable[[Check], float],
    goal: float,
) -> Measurement:
    worst = max(checks, key=distance)
    return Measurement(
        f"largest difference of gradients to {what}, all layers and losses",
        distance(worst),
        goal=f"≤ {goal:.0e}",
        passed=distance(worst) <= goal,
        detail=f"{counted}; float64, torch {torch.__version__}, relative to the largest value of "
        f"each array; the largest is that of: {worst.case.name}",
    )
