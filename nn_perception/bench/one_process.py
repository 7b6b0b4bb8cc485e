"""Nodes together in one process against the same nodes in processes of their own.

An IMU at 200 Hz is the fast one, a camera whose frames are searched for digits at 30 Hz the slow
one, and UWB ranges come at 480 Hz. The same load runs in turn with the IMU's node alone, with one
process for all, and with one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.ledger import Kept
from nn_perception.bench.mixed_load import Load
from nn_perception.bench.mixed_sources import Source, make_sources
from nn_perception.bench.uwb_live import radios
from nn_perception.bundle import load_bundle
from nn_perception.datasets.digit_frames import TRAIN_SEEDS, open_digit_frames
from nn_perception.datasets.uwb_text import format_anchors, format_tags
from nn_perception.share import shipped_model

FAST = "attitude_estimator"
ANSWERS = {
    FAST: "imu/data",
    "image_classifier": "detections",
    "uwb_corrector": "uwb/range_corrected",
}
"""Node -> the topic of its answers."""
TOGETHER, APART, ALONE = "one process", "processes of their own", f"{FAST} alone"
FRAMES = 16
DELAY_GOAL_MS = 5.0  # a period of the IMU
TWINS = ("left", "right")


class Run(NamedTuple):
    """What one turn gave.

    Attributes:
        sent: messages that want an answer, of all streams.
        lost: those without one.
        twice: answers to what was answered already, or never sent.
        latency_ms: of each answer of the fast node.
        gap_ms: the largest time between two of its answers.
        memory_mib: of all processes; what several share is counted once.
        resident_mib: of each process.
    """

    sent: int
    lost: int
    twice: int
    latency_ms: NDArray[np.float64]
    gap_ms: float
    memory_mib: float
    resident_mib: tuple[float, ...]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure losses, delay and memory, then two nodes with one bundle."""
    seconds, turns = (5.0, 1) if settings.quick else (60.0, 3)
    runs: dict[str, list[Run]] = {ALONE: [], TOGETHER: [], APART: []}
    for turn in range(turns):
        for how, found in runs.items():
            say(f"{how}, {seconds:.0f} s, turn {turn + 1} of {turns}")
            with _load(settings, how) as load:
                found.append(_measure(load, seconds))
    say("two nodes with one bundle")
    return [
        _losses(runs[TOGETHER]),
        _delay(runs),
        _memory(runs[TOGETHER][-1], runs[APART][-1]),
        _sharing(settings),
    ]


def _losses(together: Sequence[Run]) -> Measurement:
    lost, twice = sum(r.lost for r in together), sum(r.twice for r in together)
    return Measurement(
        f"messages lost by {len(ANSWERS)} nodes in one process",
        lost,
        "messages",
        "0",
        lost == 0 and twice == 0,
        f"IMU 200 Hz, ranges 480 Hz, images 640x480 rgb8 30 Hz searched for digits: "
        f"{sum(r.sent for r in together)} messages, {twice} answered twice",
    )


def _delay(runs: Mapping[str, Sequence[Run]]) -> Measurement:
    latency_ms = {how: np.concatenate([r.latency_ms for r in rs]) for how, rs in runs.items()}
    p999 = {how: float(np.percentile(values, 99.9)) for how, values in latency_ms.items()}
    added_ms = p999[TOGETHER] - p999[APART]
    rows = (
        f"{how}: p50 {np.median(values):.2f}, p99 {np.percentile(values, 99):.2f}, p99.9 "
        f"{p999[how]:.2f}, largest {values.max():.1f}, largest gap "
        f"{max(r.gap_ms for r in runs[how]):.1f} ms"
        for how, values in latency_ms.items()
    )
    return Measurement(
        "delay of an IMU's answers by the other nodes of its process, p99.9",
        added_ms,
        "ms",
        f"≤ {DELAY_GOAL_MS:g} ms, a period of the stream",
        added_ms <= DELAY_GOAL_MS,
        f"one process less processes of their own; {'; '.join(rows)}",
    )


def _memory(together: Run, apart: Run) -> Measurement:
    ratio = together.memory_mib / apart.memory_mib
    resident = " + ".join(f"{mib:.0f}" for mib in apart.resident_mib)
    return Measurement(
        f"memory of {len(ANSWERS)} nodes in one process, processes of their own = 1",
        ratio,
        goal="< 1",
        passed=ratio < 1.0,
        detail=f"{together.memory_mib:.0f} and {apart.memory_mib:.0f} MiB, a shared page counted "
        f"once; resident {together.resident_mib[0]:.0f} MiB against {resident} MiB",
    )


def _sharing(settings: BenchSettings) -> Measurement:
    """Start two nodes with the same bundle, and read how many networks they loaded."""
    from nn_perception.nodes.node_client import NodeClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    log, words = settings.work / "twins.log", tuple(f"{name}={FAST}" for name in TWINS)
    counts = []
    with NodeProcess("perception", domain_id=settings.domain_id, log=log, arguments=words) as both:
        for name in TWINS:
            with NodeClient(f"/{name}", alive=both.check_running) as client:
                client.spin()
                client.remote.wait_for_state("active")
                values = client.wait_for_diagnostics(lambda d: d["state"] == "active")
                counts.append(int(values["networks_in_process"]))
    return Measurement(
        "networks loaded for two nodes with one bundle",
        max(counts),
        "",
        "1",
        counts == [1, 1],
        f"two {FAST} in one process, each with an engine of its own",
    )


def _measure(load: Load, seconds: float) -> Run:
    times: list[tuple[int, int]] = []

    def keep(_stamp_ns: int, sent_ns: int, answered_ns: int, _raw: bytes) -> None:
        times.append((sent_ns, answered_ns))

    kept: dict[str, Kept] = {ANSWERS[FAST]: keep}
    load.run(seconds, keep=kept)
    sent_ns, answered_ns = np.array(times).T
    ledgers = [ledger for ledger in load.ledgers.values() if ledger.sent]
    return Run(
        sum(ledger.sent for ledger in ledgers),
        sum(ledger.missing for ledger in ledgers),
        sum(ledger.twice + ledger.strays for ledger in ledgers),
        (answered_ns - sent_ns) * 1e-6,
        float(np.diff(np.sort(answered_ns)).max()) * 1e-6,
        sum(_proportional_mib(process.pid) for process in load.processes.values()),
        tuple(process.resident_bytes() / 2**20 for process in load.processes.values()),
    )


def _proportional_mib(pid: int) -> float:
    """Return a process's memory; a page that several map is counted in parts (Linux)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def _load(settings: BenchSettings, how: str) -> Iterator[Load]:
    from nn_perception.nodes.load_client import LoadClient
    from nn_perception.nodes.process import enter_ros_environment

    enter_ros_environment(settings.domain_id)
    nodes = _parameters()
    if how == ALONE:
        nodes = {FAST: nodes[FAST]}
    sources = [
        source for source in _sources(settings) if how != ALONE or ANSWERS[FAST] in source.outputs
    ]
    with ExitStack() as stack:
        processes = _start(stack, settings, nodes, one=how == TOGETHER)
        load = Load(sources, processes, None, {}, nodes)
        inputs, outputs = _message_classes(sources)
        load.client = stack.enter_context(
            LoadClient(list(nodes), inputs=inputs, outputs=outputs, on_answer=load.on_answer)
        )
        load.connect()
        load.run(2.0)  # warms caches and the transport up
        yield load


def _start(
    stack: ExitStack, settings: BenchSettings, nodes: Mapping[str, Mapping[str, Any]], *, one: bool
) -> dict[str, Any]:
    from nn_perception.nodes.process import NodeProcess

    def start(executable: str, parameters: Mapping[str, Any], words: tuple[str, ...] = ()) -> Any:
        return stack.enter_context(
            NodeProcess(
                executable,
                domain_id=settings.domain_id,
                log=settings.work / f"{executable}.log",
                parameters=parameters,
                arguments=words,
            )
        )

    if not one:
        return {node: start(node, values) for node, values in nodes.items()}
    given = {f"{node}:{key}": value for node, own in nodes.items() for key, value in own.items()}
    return {"perception": start("perception", given, tuple(nodes))}


def _parameters() -> dict[str, dict[str, Any]]:
    """Return the parameters of each node; a queue keeps the frames countable."""
    tags, anchors = radios(load_bundle(shipped_model("uwb_trolley")))
    return {
        FAST: {},
        "image_classifier": {"regions": "digits", "queue_size": 10},
        "uwb_corrector": {
            "anchors": format_anchors(anchors),
            "tags": format_tags({tags[0]: (0.0, 0.0, 0.0)}),
            "outlier_gate_sigma": 0.0,
        },
    }


def _sources(settings: BenchSettings) -> list[Source]:
    from nn_perception.nodes.camera_client import frame

    frames = open_digit_frames("train", TRAIN_SEEDS[0], settings.data)
    pictures = [frame(0, frames[number].image, "rgb8") for number in range(FRAMES)]
    found = []
    for source in make_sources(shipped_model("uwb_trolley")):
        if source.topic == "image_raw":
            source = source._replace(templates=pictures, outputs=(ANSWERS["image_classifier"],))
        wanted = tuple(topic for topic in source.outputs if topic in ANSWERS.values())
        found.append(source._replace(outputs=wanted))
    return found


def _message_classes(sources: Sequence[Source]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return topic -> message class of what is sent, and of what is answered."""
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import Image, Imu, Range
    from vision_msgs.msg import Detection2DArray

    classes = {
        "odom": Odometry,
        "imu/data_raw": Imu,
        "uwb/range": Range,
        "image_raw": Image,
        "imu/data": Imu,
        "detections": Detection2DArray,
        "uwb/range_corrected": Range,
    }
    inputs = {source.topic: classes[source.topic] for source in sources}
    outputs = {topic: classes[topic] for source in sources for topic in source.outputs}
    return inputs, outputs
