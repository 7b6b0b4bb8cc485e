"""Damaged messages to real node processes, as bytes over DDS."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from nn_perception.bench import BenchSettings
from nn_perception.bench.fuzz_messages import FIRST_STAMP_NS, Fuzzer
from nn_perception.bench.mixed_load import Load, accounts, mixed_load
from nn_perception.bench.mixed_sources import SHIPPED

TOPICS = {
    "sensor_msgs/Imu": "imu/data_raw",
    "sensor_msgs/Image": "image_raw",
    "sensor_msgs/Range": "uwb/range",
    "nav_msgs/Odometry": "odom",
}
BOX_TOPICS = {
    "sensor_msgs/CompressedImage": "image_raw/compressed",
    "vision_msgs/Detection2DArray": "boxes",
}
"""Of a further image node, which takes compressed images and boxes."""
BOX_NODE = "box_classifier"
PACE_S = 0.001
STEP_NS = 5_000_000
SETTLE_S, VALID_S = 2.0, 2.0


@dataclass
class Live:
    """What live nodes made of damaged messages.

    Attributes:
        sent: damaged messages.
        topics: on so many topics.
        nodes: processes.
        bad: messages that the nodes counted as unusable.
        internal: errors that they counted as their own.
        valid: answers due to valid messages afterwards.
        lost: those that did not come, or came twice.
        problems: what must not be, in words; empty otherwise.
    """

    sent: int = 0
    topics: int = 0
    nodes: int = 0
    bad: int = 0
    internal: int = 0
    valid: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def fuzz_live(settings: BenchSettings, seed: int, count: int) -> Live:
    """Send damaged messages to all nodes, then valid ones, and look at both.

    Args:
        settings: of the benchmark.
        seed: of the damage.
        count: messages of each type.
    """
    live = Live()
    with mixed_load(settings) as load:
        fuzz_load(live, load, seed, count)
    fuzz_boxes(live, settings, seed, count)
    return live


def fuzz_load(live: Live, load: Load, seed: int, count: int) -> None:
    """Send damaged messages to the nodes of a load, then valid ones; see `fuzz_live`."""
    live.nodes += len(SHIPPED)
    _send(live, load.client, TOPICS, seed, count)
    load.run(SETTLE_S)  # clocks that jumped find back
    load.run(VALID_S)
    live.valid, live.lost, words = accounts(load.ledgers)
    if live.lost:
        live.problems.append(f"answers to valid messages: {words}")
    load.client.wait_for(lambda: set(SHIPPED) <= set(load.client.diagnostics), "diagnostics")
    for node in SHIPPED:
        _count(live, node, load.client, load.processes[node])


def _send(live: Live, client: Any, topics: Mapping[str, str], seed: int, count: int) -> None:
    for kind, topic in topics.items():
        fuzzer = Fuzzer(kind, seed)
        for index in range(count):
            client.publish(topic, fuzzer.message(index, FIRST_STAMP_NS + index * STEP_NS))
            live.sent += 1
            time.sleep(PACE_S)  # a stream, not a flood that the queues would drop
        live.topics += 1


def _count(live: Live, node: str, client: Any, process: Any) -> None:
    process.check_running()
    known = client.diagnostics[node]
    client.wait_for(lambda: client.diagnostics[node] is not known, f"diagnostics of {node}")
    values = client.diagnostics[node]
    bad, internal = int(values["bad"]), int(values["internal_errors"])
    live.bad += bad
    live.internal += internal
    if internal:
        live.problems.append(f"{node}: {internal} internal errors: {values['last_error'][:200]}")
    if not bad:
        live.problems.append(f"{node} counted no bad message: were they received?")
    if "Traceback" in process.log_text():
        live.problems.append(f"{node}: a traceback in {process.log}")


def fuzz_boxes(live: Live, settings: BenchSettings, seed: int, count: int) -> None:
    """Do the same with an image node for compressed images and boxes."""
    from sensor_msgs.msg import CompressedImage
    from vision_msgs.msg import Detection2DArray

    from nn_perception.bench.streaming import model_parameters
    from nn_perception.nodes.load_client import LoadClient
    from nn_perception.nodes.process import NodeProcess
    from nn_perception.share import shipped_model

    answers: list[int] = []
    with ExitStack() as stack:
        process = stack.enter_context(
            NodeProcess(
                "image_classifier",
                domain_id=settings.domain_id,
                log=settings.work / f"{BOX_NODE}.log",
                parameters={
                    **model_parameters(shipped_model("digits")),
                    "image_transport": "compressed",
                    "regions": "detections",
                    "queue_size": 10,
                },
                remappings={"__node": BOX_NODE},
            )
        )
        client = stack.enter_context(
            LoadClient(
                [BOX_NODE],
                inputs={"image_raw/compressed": CompressedImage, "boxes": Detection2DArray},
                outputs={"detections": Detection2DArray},
                on_answer=lambda _topic, stamp_ns, _time, _raw: answers.append(stamp_ns),
                alive=process.check_running,
            )
        )
        client.wait_until_active()
        live.nodes += 1
        _wait_for_pair(client, answers, FIRST_STAMP_NS)
        _send(live, client, BOX_TOPICS, seed, count)
        _wait_for_pair(client, answers, FIRST_STAMP_NS)
        client.wait_for(lambda: BOX_NODE in client.diagnostics, "diagnostics")
        _count(live, BOX_NODE, client, process)


def _wait_for_pair(client: Any, answers: list[int], stamp_ns: int) -> None:
    """Send valid pictures with boxes until one pair is answered."""
    import numpy as np

    from nn_perception.nodes.camera_client import boxes, compressed_frame

    answers.clear()
    stamps = iter(range(stamp_ns, stamp_ns + 10**15, 50_000_000))

    def answered() -> bool:
        stamp = next(stamps)
        client.publish(
            "image_raw/compressed", compressed_frame(stamp, np.zeros((48, 64), np.uint8))
        )
        client.publish("boxes", boxes(stamp, [(4.0, 4.0, 20.0, 20.0)]))
        return bool(answers)

    client.wait_for(answered, "an answer to pictures and boxes", 30.0)
