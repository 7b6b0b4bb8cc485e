"""Messages about a node's health: ``/diagnostics`` and the latched ``~/active_model``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from nn_perception.engine import NETWORKS
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.statistics import Snapshot


@dataclass(frozen=True)
class Health:
    """What the diagnostics are made from.

    Attributes:
        node: fully qualified name of the node.
        task: the node's task.
        state: lifecycle state: unconfigured, inactive, active, finalized.
        model: what runs; None when nothing does.
        problem: why the node cannot work, empty when it can.
        counts: the counters.
        latency_ms: stage -> percentile name -> milliseconds.
        warn_after_s: an input older than this is worth a warning.
        swaps: models swapped in since the start.
        refused_swaps: models refused since the start.
        details: what only this kind of node knows.
    """

    node: str
    task: str
    state: str
    model: ActiveModel | None
    problem: str
    counts: Snapshot
    latency_ms: Mapping[str, Mapping[str, float]]
    warn_after_s: float
    ordered_queue: bool
    swaps: int
    refused_swaps: int
    details: Mapping[str, str] = field(default_factory=dict)


def judge(health: Health) -> tuple[bytes, str]:
    """Return the level and one line that says why."""
    counts = health.counts
    if health.problem:
        return DiagnosticStatus.ERROR, health.problem
    if health.model is None:
        return DiagnosticStatus.OK, f"{health.state}: no model is loaded yet"
    if health.state != "active":
        return DiagnosticStatus.OK, f"{health.state}: model {health.model.name} is ready"
    warnings: list[str] = []
    warnings += _silence(health)
    if counts.errors_in_period:
        warnings.append(f"{counts.errors_in_period} errors, the last: {counts.last_error}")
    if health.ordered_queue and counts.dropped_in_period:
        warnings.append(f"the queue overflowed, {counts.dropped_in_period} messages dropped")
    if counts.recent_flags:
        found = ", ".join(f"{flag} ({counts.flags[flag]})" for flag in counts.recent_flags)
        warnings.append(f"flagged results: {found}")
    if warnings:
        return DiagnosticStatus.WARN, "; ".join(warnings)
    total = health.latency_ms.get("total", {}).get("p50")
    latency = "" if total is None else f", {total:.2f} ms"
    return (
        DiagnosticStatus.OK,
        f"{counts.rate_out_hz:.1f} results/s from {counts.rate_in_hz:.1f} messages/s{latency}",
    )


def _silence(health: Health) -> list[str]:
    """Say which inputs are silent; without names when all are, as with one input."""
    ages = health.counts.input_ages_s
    silent = {name: age for name, age in ages.items() if age > health.warn_after_s}
    if not silent:
        return []
    text = f"no input for {min(silent.values()):.1f} s"
    return [text if len(silent) == len(ages) else f"{text} on {', '.join(silent)}"]


def diagnostics(health: Health, stamp: Time) -> DiagnosticArray:
    """Build the message for ``/diagnostics``."""
    level, message = judge(health)
    status = DiagnosticStatus(
        level=level,
        name=f"{health.node.lstrip('/')}: {health.task}",
        message=message,
        hardware_id=health.model.engine.device if health.model else "none",
        values=_key_values(
            {
                **_counts(health),
                **health.details,
                **_latencies(health),
                **_model(health.model),
                "networks_in_process": len(NETWORKS),
            }
        ),
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def active_model(node: str, task: str, model: ActiveModel | None) -> DiagnosticStatus:
    """Build the message for ``~/active_model``: what truly runs, whatever the parameter says."""
    if model is None:
        level, message = DiagnosticStatus.STALE, "no model is loaded"
    else:
        level = DiagnosticStatus.OK
        message = str(model)
    return DiagnosticStatus(
        level=level,
        name=f"{node.lstrip('/')}: {task}",
        message=message,
        hardware_id=model.engine.device if model else "none",
        values=_key_values(_model(model)),
    )


def _counts(health: Health) -> dict[str, Any]:
    counts = health.counts
    age = "none" if counts.input_age_s is None else f"{counts.input_age_s:.3f}"
    return {
        "state": health.state,
        "rate_in_hz": f"{counts.rate_in_hz:.2f}",
        **_of_several("rate_in_hz", counts.rates_in_hz, ".2f"),
        "rate_out_hz": f"{counts.rate_out_hz:.2f}",
        "received": counts.received,
        **_of_several("received", counts.received_by, "d"),
        "published": counts.published,
        "dropped": counts.dropped,
        **_by_input("dropped", counts.dropped_by),
        **_by_input("throttled", counts.throttled_by),
        "bad": sum(counts.bad.values()),
        **{f"bad.{kind}": count for kind, count in sorted(counts.bad.items())},
        "internal_errors": counts.internal_errors,
        "last_error": counts.last_error,
        "input_age_s": age,
        **_of_several("input_age_s", counts.input_ages_s, ".3f"),
        **{f"flag.{flag}": count for flag, count in sorted(counts.flags.items())},
        "swaps": health.swaps,
        "refused_swaps": health.refused_swaps,
    }


def _by_input(what: str, numbers: Mapping[str, int]) -> dict[str, int]:
    """One input, too, has its number of throttled messages, of which there is no total yet."""
    rows = {f"{what}.{name}": number for name, number in numbers.items()}
    return {"throttled": sum(numbers.values())} | rows if what == "throttled" and rows else rows


def _of_several(what: str, numbers: Mapping[str, float], form: str) -> dict[str, str]:
    """One input has its number in the row without a name already."""
    rows = {f"{what}.{name}": f"{number:{form}}" for name, number in numbers.items()}
    return rows if len(rows) > 1 else {}


def _latencies(health: Health) -> dict[str, str]:
    return {
        f"latency.{stage}.{name}_ms": f"{value:.4f}"
        for stage, percentiles in health.latency_ms.items()
        for name, value in percentiles.items()
    }


def _model(model: ActiveModel | None) -> dict[str, str]:
    if model is None:
        return {"model": "none"}
    return {
        "model": model.name,
        "model_id": model.bundle.id,
        "model_path": str(model.bundle.path),
        "network": model.bundle.config.network.name,
        "task": model.bundle.task,
        "device": model.engine.device,
        "backend": model.engine.backend,
        "precision": model.engine.precision,
    }


def _key_values(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=str(value)) for key, value in values.items()]
