"""Damaged messages and bundles by the hundred thousand: nothing crashes, hangs or eats memory.

Each case is made from (seed, kind, index), which a finding names:

    python -c "from nn_perception.bench.fuzz_messages import Fuzzer; Fuzzer(KIND, SEED).run(INDEX)"
    python -c "... import BundleFuzzer; BundleFuzzer(SEED, WORK).run(INDEX)"  (bench.fuzz_bundles)
"""

from __future__ import annotations

from collections.abc import Callable

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.fuzz_live import Live, fuzz_live
from nn_perception.bench.fuzz_targets import TARGETS
from nn_perception.bench.fuzz_worker import BUNDLES, Outcome, watch

SEED = 6
MESSAGES, BUNDLE_CASES, LIVE_MESSAGES = 100_000, 2_000, 3_000
QUICK_MESSAGES, QUICK_BUNDLES, QUICK_LIVE = 2_000, 40, 300
SLOWEST_GOAL_S = {BUNDLES: 10.0}
MESSAGE_GOAL_S = 0.5
MEMORY_GOAL_MIB = 512
_MEBIBYTE = 2**20


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Try messages of each type, bundles, and messages to live nodes."""
    quick = settings.quick
    counts = dict.fromkeys(TARGETS, QUICK_MESSAGES if quick else MESSAGES)
    counts[BUNDLES] = QUICK_BUNDLES if quick else BUNDLE_CASES
    outcomes = {}
    for kind, count in counts.items():
        say(f"{count} damaged {kind}")
        outcomes[kind] = watch(kind, SEED, count, settings.work)
        for index, what in outcomes[kind].findings:
            say(f"FOUND {kind}, seed {SEED}, index {index}: {what}")
    messages = {kind: outcomes[kind] for kind in TARGETS}
    say("damaged messages to live nodes")
    live = fuzz_live(settings, SEED, QUICK_LIVE if quick else LIVE_MESSAGES)
    return [
        _findings("damaged messages", messages, MESSAGE_GOAL_S),
        _memory(messages),
        _findings("damaged bundles", {BUNDLES: outcomes[BUNDLES]}, SLOWEST_GOAL_S[BUNDLES]),
        _live_row(live),
    ]


def _findings(what: str, outcomes: dict[str, Outcome], slowest_goal_s: float) -> Measurement:
    failures = sum(outcome.failures for outcome in outcomes.values())
    slowest_s = max(outcome.slowest[0] for outcome in outcomes.values())
    first = next(
        (f"; first: {kind}, index {o.findings[0][0]}: {o.findings[0][1]}"
         for kind, o in outcomes.items() if o.findings),
        "",
    )  # fmt: skip
    return Measurement(
        f"crashes, hangs, foreign errors or wrong answers by {what}",
        failures,
        "",
        f"0, each within {slowest_goal_s:g} s",
        failures == 0 and slowest_s <= slowest_goal_s,
        f"seed {SEED}: "
        + ", ".join(f"{kind} {o.cases} ({o.refused} refused)" for kind, o in outcomes.items())
        + f"; slowest {slowest_s * 1e3:.0f} ms of CPU{first}",
    )


def _memory(outcomes: dict[str, Outcome]) -> Measurement:
    added = {kind: outcome.added_bytes / _MEBIBYTE for kind, outcome in outcomes.items()}
    return Measurement(
        "peak of resident memory that damaged messages add, largest of all types",
        max(added.values()),
        "MiB",
        f"≤ {MEMORY_GOAL_MIB} MiB",
        max(added.values()) <= MEMORY_GOAL_MIB,
        ", ".join(f"{kind} {size:.0f}" for kind, size in added.items()),
    )


def _live_row(live: Live) -> Measurement:
    return Measurement(
        "live nodes that damaged messages ended or kept from answering",
        len(live.problems),
        "nodes",
        "0",
        not live.problems,
        f"{live.sent} damaged messages on {live.topics} topics of {live.nodes} node processes over "
        f"DDS; {live.bad} counted as bad by them, {live.internal} internal errors; then "
        f"{live.valid} valid ones, {live.lost} not answered"
        + "".join(f"; {problem}" for problem in live.problems),
    )
