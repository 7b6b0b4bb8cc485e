"""Lifecycle transitions of all nodes in processes of their own: every one, from every state, again.

Messages come in at a robot's rates meanwhile, so that transitions meet work that is under way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.mixed_load import Load, mixed_load
from nn_perception.bench.mixed_sources import SHIPPED, node_parameters

ROUNDS = 100
GROWTH_GOAL_PERCENT = 1.0
TWINS = 2
"""Nodes that are shut down in one process: of each kind, from each state, and by each request."""


class Traces(NamedTuple):
    """What one node left behind after each round.

    Attributes:
        memory: resident bytes.
        counts: threads, file descriptors and what the graph holds, by name.
    """

    memory: list[int]
    counts: list[dict[str, int]]

    @property
    def growth_percent(self) -> float:
        """Growth of the memory from the second fifth of the rounds to the last.

        Compared is the least of each: what is held for a moment comes and goes by some megabytes,
        what leaks raises the least.
        """
        fifth = max(1, len(self.memory) // 5)
        early = self.memory[fifth : 2 * fifth] or self.memory[:1]
        return (min(self.memory[-fifth:]) / min(early) - 1.0) * 100.0

    @property
    def leaked(self) -> dict[str, int]:
        """What there is more of after the last round than there ever was in the first fifth."""
        fifth, last = self.counts[: max(1, len(self.counts) // 5)], self.counts[-1]
        most = {name: max(counts[name] for counts in fifth) for name in last}
        return {name: last[name] - most[name] for name in last if last[name] > most[name]}


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Walk over the state machine of each node, then shut nodes down from each state."""
    rounds = 3 if settings.quick else ROUNDS
    with mixed_load(settings) as load, ThreadPoolExecutor(len(SHIPPED)) as pool:
        say(f"{rounds} rounds of every transition from every state, {len(SHIPPED)} nodes")
        with _traffic(load):
            walks = list(pool.map(lambda n: _rounds(load.processes[n], n, rounds), SHIPPED))
        load.run(2.0)
        silent = [topic for topic, ledger in load.ledgers.items() if ledger.missing]
    say(f"{rounds} shutdowns of each node from each state")
    made, shut_down, deviations = _shutdowns(settings, rounds)
    requests = made + sum(count for count, _, _ in walks)
    deviations += [text for _, wrong, _ in walks for text in wrong]
    traces = {node: trace for node, (_, _, trace) in zip(SHIPPED, walks, strict=True)}
    return [
        _standard(requests, rounds, shut_down, deviations),
        Measurement(
            "nodes that answer no more after all transitions",
            len(silent),
            "",
            "0",
            not silent,
            f"{len(SHIPPED)} nodes under load, a process each; without answers: "
            f"{', '.join(silent) or 'none'}",
        ),
        _growth(traces, rounds),
    ]


def _standard(requests: int, rounds: int, shut_down: int, deviations: Sequence[str]) -> Measurement:
    first = f"; the first: {deviations[0]}" if deviations else ""
    return Measurement(
        "lifecycle requests that gave another result than the state machine's",
        len(deviations),
        "requests",
        "0",
        not deviations,
        f"{requests} requests to {len(SHIPPED)} nodes: every transition by number and label from "
        f"every state, {rounds} rounds under load; {shut_down} shutdowns{first}",
    )


def _growth(traces: dict[str, Traces], rounds: int) -> Measurement:
    growth = {node: trace.growth_percent for node, trace in traces.items()}
    leaked = {node: trace.leaked for node, trace in traces.items() if trace.leaked}
    worst = max(growth.values())
    return Measurement(
        f"growth of a node's memory over {rounds} rounds of transitions",
        worst,
        "%",
        f"≤ {GROWTH_GOAL_PERCENT:g} %, and nothing else grows",
        None if rounds < ROUNDS else worst <= GROWTH_GOAL_PERCENT and not leaked,
        "second to last fifth: "
        + ", ".join(f"{node} {percent:+.2f} %" for node, percent in growth.items())
        + f"; threads, file descriptors, publishers, subscriptions, services: "
        f"{leaked or 'as in the first rounds'}",
    )


def _rounds(process: Any, node: str, rounds: int) -> tuple[int, list[str], Traces]:
    from nn_perception.nodes.lifecycle_walk import ACTIVE, Walk, settled_entities
    from nn_perception.nodes.node_client import NodeClient

    traces = Traces([], [])
    with NodeClient(f"/{node}", alive=process.check_running) as client:
        client.spin()
        client.remote.wait_for_state(ACTIVE)
        walk = Walk(client.remote, ACTIVE)
        for _ in range(rounds):
            walk.round()
            expected = traces.counts[0] if traces.counts else {}
            counts = settled_entities(client.node, node, expected)
            traces.memory.append(process.resident_bytes())
            traces.counts.append({**counts, **_held(process.pid)})
    return walk.count, walk.deviations, traces


def _held(pid: int) -> dict[str, int]:
    """Return how many threads and file descriptors a process has (Linux)."""
    kinds = {"threads": "task", "file descriptors": "fd"}
    return {what: len(os.listdir(f"/proc/{pid}/{kind}")) for what, kind in kinds.items()}


@contextmanager
def _traffic(load: Load) -> Iterator[None]:
    """Send messages meanwhile; nodes that are not active leave them without an answer."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            load.run(1.0)

    thread = threading.Thread(target=send, name="traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _shutdowns(settings: BenchSettings, wanted: int) -> tuple[int, int, list[str]]:
    """Shut down so many nodes of each kind from each state; return requests, nodes, deviations.

    A node that was shut down stays so: each needs another one, and a process holds many.
    """
    from nn_perception.nodes.lifecycle_walk import ACTIVE, INACTIVE, UNCONFIGURED, attempts

    ends = [
        attempt
        for state in (UNCONFIGURED, INACTIVE, ACTIVE)
        for attempt in attempts(state, final=True)
    ]
    requests = shut_down = 0
    deviations: list[str] = []
    by_each = -(-wanted // (len(ends) // 3))  # by number and by label: each half as often
    for _ in range(-(-by_each // TWINS)):
        made, wrong = _shut_down(settings, ends * min(TWINS, by_each))
        requests += made
        deviations += wrong
        shut_down += len(ends) * min(TWINS, by_each) * len(SHIPPED)
    return requests, shut_down, deviations


def _shut_down(settings: BenchSettings, ends: Sequence[Any]) -> tuple[int, list[str]]:
    """Run a process with a node of each kind for each end, and bring all of them to it.

    The models are those that `mixed_load` wrote.
    """
    from nn_perception.nodes.lifecycle_walk import UNCONFIGURED, Walk
    from nn_perception.nodes.load_client import LoadClient
    from nn_perception.nodes.process import NodeProcess

    places = {node: settings.work / "swap_models" / node for node in SHIPPED}
    parameters = node_parameters(places)
    names = {f"n{number}_{node}": node for number in range(len(ends)) for node in SHIPPED}
    given = {
        f"{name}:{key}": value
        for name, node in names.items()
        for key, value in {**parameters[node], "autostart": False}.items()
    }
    words = tuple(f"{name}={node}" for name, node in names.items())
    log = settings.work / "shutdowns.log"
    requests, deviations = 0, []
    with (
        NodeProcess(
            "perception", domain_id=settings.domain_id, log=log, parameters=given, arguments=words
        ) as process,
        LoadClient(
            list(names),
            inputs={},
            outputs={},
            on_answer=lambda *_: None,
            alive=process.check_running,
        ) as client,
    ):
        for number, end in enumerate(ends):
            for node in SHIPPED:
                remote = client.remotes[f"n{number}_{node}"]
                remote.wait_for_state(UNCONFIGURED)
                walk = Walk(remote)
                walk.finish(end)
                requests += walk.count
                deviations += walk.deviations
    return requests, deviations
