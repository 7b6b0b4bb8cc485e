"""UWB ranges: one prediction, many predictions, and the node with 8 anchors and 3 tags."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.imu_live import Run
from nn_perception.bench.streaming import (
    model_parameters,
    quick_thread_switches,
    sleep_until,
    with_stamp,
)
from nn_perception.bundle import Bundle, load_bundle
from nn_perception.datasets.uwb_simulated import ROOM_M
from nn_perception.datasets.uwb_text import Anchor, format_anchors, format_tags
from nn_perception.engine import create_engine
from nn_perception.errors import ConfigError
from nn_perception.share import shipped_model
from nn_perception.tasks.uwb.features import AnchorFrame, body_rows, range_features, turned
from nn_perception.tasks.uwb.model import ANY, Pair, RangeModel

NODE = "uwb_corrector"
ONE_GOAL_US = 15.0
ROWS = 4096
MANY_GOAL = 2e6
CPU_GOAL_PERCENT = 10.0
RATE_HZ = 20.0
TAGS = {"left": (0.1, 0.2, 0.0), "right": (0.1, -0.2, 0.0), "top": (0.0, 0.0, 0.3)}
ANCHORS = 8
_HEIGHTS_M = (0.5, 2.5)
_BODY = (0.5 * ROOM_M[0], 0.5 * ROOM_M[1], 1.0)


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure the model alone, then the node in a process of its own."""
    path = settings.model or shipped_model("uwb_trolley")
    bundle = load_bundle(path, task="uwb")
    model = RangeModel(bundle, create_engine(bundle, "cpu"))
    tags, anchors = radios(bundle)
    pair = model.pair(tags[0], next(iter(anchors)))
    if pair is None:
        raise ConfigError(f"{bundle.name} knows no pair of {tags[0]} and {next(iter(anchors))}")
    say("one prediction, and many")
    model_rows = [_one(model, pair, settings.quick), _many(model, pair, settings.quick)]
    seconds = 5.0 if settings.quick else 30.0
    with quick_thread_switches():
        say(f"echo node, as many ranges, {seconds:.0f} s")
        with _node(settings, "echo", path, tags, anchors) as stream:
            echo = stream(seconds)
        say(f"{NODE} with {len(tags)} tags and {len(anchors)} anchors, twice {seconds:.0f} s")
        with _node(settings, NODE, path, tags, anchors) as stream:
            even, rounds = stream(seconds), stream(seconds, together=len(anchors))
    return [*model_rows, *_live(even, rounds, echo, len(tags), len(anchors))]


def radios(bundle: Bundle) -> tuple[list[str], dict[str, Anchor]]:
    """Return tags and anchors, as many as the goal names where the bundle knows them, in a room."""
    pairs = [(str(tag), str(anchor)) for tag, anchor, *_ in bundle.config.calibration["pairs"]]
    known = list(dict.fromkeys(anchor for _, anchor in pairs if anchor != ANY))
    any_tag = any(tag == ANY for tag, _ in pairs)
    if any(anchor == ANY for _, anchor in pairs):
        known += [f"anchor{n}" for n in range(ANCHORS) if f"anchor{n}" not in known]
    named = list(dict.fromkeys(tag for tag, _ in pairs if tag != ANY))
    tags = list(TAGS) if any_tag or not named else named[: len(TAGS)]
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    corners += [(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)]
    anchors = {
        name: Anchor((x * ROOM_M[0], y * ROOM_M[1], _HEIGHTS_M[number % 2]))
        for number, (name, (x, y)) in enumerate(zip(known, corners, strict=False))
    }
    return tags, anchors


def _one(model: RangeModel, pair: Pair, quick: bool) -> Measurement:
    """Features and bias of one range, as the pipeline asks for them."""
    frame = AnchorFrame(Anchor((8.0, 6.0, 2.0), (0.0, 0.0, 0.6, 0.8)))
    lever, place = (0.1, 0.2, 0.0), (3.0, 2.0, 1.0)
    times_s = []
    for number in range(5_000 if quick else 50_000):
        turn = (0.0, 0.0, math.sin(1e-3 * number), math.cos(1e-3 * number))
        start = perf_counter()
        body = body_rows(turn)
        x, y, z = turned(body, lever)
        features = range_features((place[0] + x, place[1] + y, place[2] + z), body, frame)
        model.predict_one(features, pair)
        times_s.append(perf_counter() - start)
    p50, p99 = (float(np.percentile(times_s, p)) * 1e6 for p in (50, 99))
    return Measurement(
        "UWB: features and bias of one range, p50",
        p50,
        "µs",
        f"≤ {ONE_GOAL_US:g} µs",
        p50 <= ONE_GOAL_US,
        f"batch 1, one thread, {len(times_s)} calls; p99 {p99:.1f} µs",
    )


def _many(model: RangeModel, pair: Pair, quick: bool) -> Measurement:
    random = np.random.default_rng(0)
    rows = random.standard_normal((ROWS, 14)).astype(np.float32)
    rows = np.hstack([rows, np.tile(np.array(pair.traits, np.float32), (ROWS, 1))])
    constants = np.full(ROWS, pair.constant_m)
    times_s = []
    for _ in range(200 if quick else 2000):
        start = perf_counter()
        model.predict(rows, constants)
        times_s.append(perf_counter() - start)
    rate = ROWS / float(np.median(times_s))
    return Measurement(
        "UWB: predictions in groups",
        rate,
        "ranges/s",
        f"≥ {MANY_GOAL:g}",
        rate >= MANY_GOAL,
        f"{ROWS} at a time, one thread, p50 {np.median(times_s) * 1e6:.0f} µs",
    )


def _live(even: Run, rounds: Run, echo: Run, tags: int, anchors: int) -> list[Measurement]:
    conditions = f"{anchors} anchors, {tags} tags, {RATE_HZ:g} Hz each, pose at 20 Hz"
    lost = even.sent - even.received + rounds.sent - rounds.received
    low = even.cpu * 100.0 <= CPU_GOAL_PERCENT and lost == 0
    full = anchors == ANCHORS and tags == len(TAGS)
    return [
        Measurement(
            f"UWB ranges lost by {NODE}",
            lost,
            "ranges",
            "0",
            lost == 0,
            f"{conditions}: {even.sent + rounds.sent} ranges; one after the other p50 "
            f"{even.percentile_ms(50):.2f}, p99 {even.percentile_ms(99):.2f} ms; a tag's anchors "
            f"together p50 {rounds.percentile_ms(50):.2f}, p99 {rounds.percentile_ms(99):.2f} ms",
        ),
        Measurement(
            f"CPU of {NODE}, of one core",
            even.cpu * 100.0,
            "%",
            f"≤ {CPU_GOAL_PERCENT:g} %",
            # Fewer radios than the goal names would be no proof of it.
            low if full else None,
            f"{conditions}, one after the other; a tag's anchors together "
            f"{rounds.cpu * 100.0:.1f} %; echo node, one after the other {echo.cpu * 100.0:.1f} %",
        ),
    ]


class _Stream:
    """Sends poses and ranges at their rate."""

    def __init__(
        self, client: Any, process: Any, tags: Sequence[str], anchors: dict[str, Anchor]
    ) -> None:
        from nn_perception.nodes.stream_client import FIRST_STAMP_NS
        from nn_perception.nodes.uwb_client import pose, range_to

        self._client, self._process = client, process
        self._stamp_ns = FIRST_STAMP_NS
        self._pose = pose(0, _BODY)
        self._ranges = []
        outputs = len(client.outputs)
        for number, tag in enumerate(tags):
            tag_m = np.add(_BODY, TAGS.get(tag, (0.0, 0.0, 0.0)))
            for name, anchor in anchors.items():
                true = float(np.linalg.norm(tag_m - anchor.position_m))
                self._ranges.append((1 + number % outputs, range_to(0, name, true)))

    def __call__(self, seconds: float, together: int = 1) -> Run:
        """Send for some seconds, so many ranges at a time."""
        self._send(1.0, together)  # warms caches up
        self._client.wait_for_silence(0.5)
        self._client.forget()
        cpu_s, start_s = self._process.cpu_s(), time.monotonic()
        sent = self._send(seconds, together)
        end_s = time.monotonic()
        cpu = (self._process.cpu_s() - cpu_s) / (end_s - start_s)
        self._client.wait_for_silence(1.0)
        times = [
            (sent[answer.stamp_ns], answer.received_s)
            for topic in self._client.outputs
            for answer in self._client.answers(topic)
            if answer.stamp_ns in sent
        ]
        published_s, received_s = np.array(times).reshape(-1, 2).T
        latency_s = received_s - published_s
        return Run(len(sent), len(times), latency_s, latency_s[published_s > end_s - 1.0], cpu)

    def _send(self, seconds: float, together: int) -> dict[int, float]:
        """Publish a pose, then a range of each pair, in each period; return stamp -> time."""
        sent: dict[int, float] = {}
        period_s = 1.0 / RATE_HZ
        slots = len(self._ranges) + 1
        start_s = time.monotonic()
        for turn in range(round(seconds * RATE_HZ)):
            for slot in range(slots):
                first = 1 + (slot - 1) // together * together if slot else 0
                sleep_until(start_s + (turn + first / slots) * period_s)
                self._stamp_ns += round(1e9 * period_s / slots)
                publisher, template = (0, self._pose) if slot == 0 else self._ranges[slot - 1]
                before_s = self._client.publish(with_stamp(template, self._stamp_ns), publisher)
                if slot:
                    sent[self._stamp_ns] = before_s
        return sent


@contextmanager
def _node(
    settings: BenchSettings,
    executable: str,
    model: Path,
    tags: Sequence[str],
    anchors: dict[str, Anchor],
) -> Iterator[_Stream]:
    from nn_perception.nodes.echo import UWB
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment
    from nn_perception.nodes.uwb_client import UwbClient

    enter_ros_environment(settings.domain_id)
    levers = {tag: TAGS.get(tag, (0.0, 0.0, 0.0)) for tag in tags}
    parameters = {
        **model_parameters(model),
        "anchors": format_anchors(anchors),
        "tags": format_tags(levers),
        "outlier_gate_sigma": 0.0,  # the room is not the model's
    }
    name, anchor = next(iter(anchors.items()))
    echo = executable != NODE
    with (
        NodeProcess(
            executable,
            domain_id=settings.domain_id,
            log=settings.work / f"{executable}.log",
            parameters={} if echo else parameters,
            arguments=(UWB,) if echo else (),
        ) as process,
        UwbClient(
            f"/{executable}",
            probe_to=(name, anchor.position_m),
            tags=("",) if echo or len(tags) == 1 else tags,
            alive=process.check_running,
        ) as client,
    ):
        client.connect(lifecycle=not echo)
        yield _Stream(client, process, tags, anchors)
