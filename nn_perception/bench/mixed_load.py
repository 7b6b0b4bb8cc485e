"""All perception nodes at once at a robot's rates, in processes of their own, while models change.

| stream | rate | answered by |
|---|---|---|
| images, in turn 640x480 rgb8 and 28x28 mono8 | 30 Hz | image_classifier |
| samples of an IMU | 200 Hz | attitude_estimator and gyro_corrector |
| UWB ranges, with a pose at 20 Hz | 480 Hz | uwb_corrector |

What is sent, and the two bundles of each node, are in `mixed_sources`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nn_perception.bench import BenchSettings
from nn_perception.bench.ledger import Kept, Ledger
from nn_perception.bench.mixed_sources import (
    ECHO,
    NAMES,
    SHIPPED,
    Source,
    make_sources,
    message_classes,
    node_parameters,
    write_pair,
)
from nn_perception.bench.streaming import quick_thread_switches, sleep_until, with_stamp

GAP_S = 10.0
"""Between the stamps of two runs: every state begins anew."""


@dataclass(frozen=True)
class Swap:
    """One change of a model; times in ns of the system's clock.

    Attributes:
        node: which.
        model: ``a`` or ``b``.
        requested_ns: when it was asked for.
        answered_ns: when the node had said yes or no.
        reason: why not; empty: it was done.
    """

    node: str
    model: str
    requested_ns: int
    answered_ns: int
    reason: str


class Load:
    """The running nodes, and what is sent to them.

    Attributes:
        sources: what is sent.
        processes: name -> the process of one node, or of all.
        client: the other end.
        pairs: node -> directory of its two bundles.
        parameters: node -> its parameters.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        processes: Mapping[str, Any],
        client: Any,
        pairs: Mapping[str, Path],
        parameters: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.sources, self.processes, self.client = sources, processes, client
        self.pairs, self.parameters = pairs, parameters
        self.ledgers: dict[str, Ledger] = {}
        self._model = dict.fromkeys(SHIPPED, NAMES[0])
        self._stamp_ns = 0

    def on_answer(self, topic: str, stamp_ns: int, answered_ns: int, raw: bytes) -> None:
        """Account for an answer; called in the client's thread."""
        ledger = self.ledgers.get(topic)
        if ledger is not None:
            ledger.answer(stamp_ns, answered_ns, raw)

    def run(
        self,
        seconds: float,
        swaps: int = 0,
        keep: Mapping[str, Kept] | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> list[Swap]:
        """Send for some seconds, and change models meanwhile, one node after the other.

        Args:
            seconds: how long; longer where the changes take longer.
            swaps: changes in all, evenly spread.
            keep: topic of answers -> see `Ledger`.
            alive: called about each second, in the sending thread; may raise.

        Returns:
            The changes. `ledgers` tells what was answered.
        """
        topics = dict.fromkeys(topic for source in self.sources for topic in source.outputs)
        self.ledgers = {topic: Ledger((keep or {}).get(topic, lambda *_: None)) for topic in topics}
        self._stamp_ns += round(GAP_S * 1e9)
        done: list[Swap] = []
        stop = threading.Event()
        swapper = threading.Thread(
            target=self._swap, args=(seconds, swaps, done, stop), name="swapper", daemon=True
        )
        with quick_thread_switches():
            swapper.start()
            try:
                self._send(seconds, swapper.is_alive, alive)
            finally:
                stop.set()
                swapper.join()
            self._drain()
        return done

    def connect(self) -> None:
        """Wait until the nodes are active and every output answers."""
        self.client.wait_until_active()
        deadline_s = time.monotonic() + 30.0
        while True:
            self.run(0.3)
            silent = [topic for topic, ledger in self.ledgers.items() if not ledger.answered]
            if not silent:
                return
            self._check()
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no answers on {', '.join(silent)}: see the logs of the nodes")

    def _check(self) -> None:
        for process in self.processes.values():
            process.check_running()

    def _send(self, seconds: float, busy: Callable[[], bool], alive: Callable[[], None]) -> None:
        start_s, base_ns = time.monotonic() + 0.05, self._stamp_ns
        # Of two that are due together the first source goes first: a pose before its ranges.
        due = [(0.0, index, 0) for index in range(len(self.sources))]
        checked_s = 0.0
        while due[0][0] < seconds or busy():
            at_s, index, number = due[0]
            source = self.sources[index]
            stamp_ns = base_ns + round(at_s * 1e9)
            raw = with_stamp(source.templates[number % len(source.templates)], stamp_ns)
            sleep_until(start_s + at_s)
            now_ns = time.time_ns()
            for topic in source.outputs:
                self.ledgers[topic].send(stamp_ns, now_ns)
            self.client.publish(source.topic, raw)
            heapq.heapreplace(due, ((number + 1) / source.rate_hz, index, number + 1))
            if at_s - checked_s >= 1.0:
                checked_s = at_s
                alive()
                self._check()
        self._stamp_ns = base_ns + round(due[0][0] * 1e9)

    def _swap(self, seconds: float, count: int, done: list[Swap], stop: threading.Event) -> None:
        start_s, nodes = time.monotonic(), list(SHIPPED)
        for number in range(count):
            due_s = start_s + (number + 0.5) * seconds / count
            if stop.wait(max(0.0, due_s - time.monotonic())):
                return
            node = nodes[number % len(nodes)]
            model = NAMES[1 - NAMES.index(self._model[node])]
            answered = threading.Event()
            outcome: list[tuple[int, bool, str]] = []

            def finished(ok: bool, reason: str, seen: Any = outcome, event: Any = answered) -> None:
                seen.append((time.time_ns(), ok, reason))
                event.set()

            requested_ns = time.time_ns()
            self.client.remotes[node].request_parameter("model", model, finished)
            if not answered.wait(30.0):
                done.append(Swap(node, model, requested_ns, time.time_ns(), "no answer in 30 s"))
                continue
            answered_ns, ok, reason = outcome[0]
            done.append(Swap(node, model, requested_ns, answered_ns, "" if ok else reason or "?"))
            if ok:
                self._model[node] = model

    def _drain(self, patience_s: float = 1.0) -> None:
        """Wait for answers that are on their way, until none has come for some time."""
        known, since_s = -1, time.monotonic()
        while any(ledger.missing for ledger in self.ledgers.values()):
            count = sum(ledger.answered for ledger in self.ledgers.values())
            if count != known:
                known, since_s = count, time.monotonic()
            elif time.monotonic() - since_s > patience_s:
                return
            time.sleep(0.02)


@contextmanager
def mixed_load(settings: BenchSettings, *, one_process: bool = False) -> Iterator[Load]:
    """Start all nodes and yield them, connected and warm.

    Args:
        settings: of the benchmark.
        one_process: all nodes in the executable ``perception``, instead of one process each.
    """
    from nn_perception.nodes.load_client import LoadClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    pairs = {node: write_pair(settings.work / "swap_models", node) for node in SHIPPED}
    parameters = node_parameters(pairs)
    start = partial(NodeProcess, domain_id=settings.domain_id)
    with ExitStack() as stack:
        processes: dict[str, Any] = {}
        if one_process:
            given = {
                f"{n}:{key}": v for n, values in parameters.items() for key, v in values.items()
            }
            log = settings.work / "perception.log"
            processes["perception"] = stack.enter_context(
                start("perception", log=log, parameters=given, arguments=tuple(parameters))
            )
        else:
            for node, values in parameters.items():
                log = settings.work / f"{node}.log"
                processes[node] = stack.enter_context(start(node, log=log, parameters=values))
        processes["echo"] = stack.enter_context(
            start(
                "echo",
                log=settings.work / "echo.log",
                arguments=("--uwb",),
                remappings={"uwb/range_corrected": ECHO},
            )
        )
        sources = make_sources(pairs["uwb_corrector"] / "a")
        load = Load(sources, processes, None, pairs, parameters)
        inputs, outputs = message_classes()
        load.client = stack.enter_context(
            LoadClient(
                list(SHIPPED),
                inputs=inputs,
                outputs=outputs,
                on_answer=load.on_answer,
                alive=load._check,
            )
        )
        load.connect()
        load.run(0.5 if settings.quick else 5.0)  # warms caches and the transport up
        yield load


def accounts(ledgers: Mapping[str, Ledger]) -> tuple[int, int, str]:
    """Return answers due, and those missing, doubled or to no message, as a number and in words.

    Args:
        ledgers: topic of answers -> what is known of it; the echo process' does not count.
    """
    ours = {topic: ledger for topic, ledger in ledgers.items() if topic != ECHO}
    wrong = {t: (o.missing, o.twice + o.strays) for t, o in ours.items()}
    words = [
        f"{topic}: {lost} lost, {twice} too many"
        for topic, (lost, twice) in wrong.items()
        if lost or twice
    ]
    return (
        sum(ledger.sent for ledger in ours.values()),
        sum(lost + twice for lost, twice in wrong.values()),
        ", ".join(words) or "none lost, none twice",
    )
