"""Bad bundles set as ``model`` on a node that serves a camera: refused, with nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.bad_bundles import GOOD, KINDS, Kind, write_bad_bundles
from nn_perception.bench.streaming import quick_thread_switches, sleep_until, with_stamp
from nn_perception.share import shipped_model

RATE_HZ = 30.0
KINDS_GOAL = 20
SPACING, QUICK_SPACING = 6, 2
"""Frames between two requests, at least, so that gaps can be told apart."""
FRAMES, QUICK_FRAMES = 300, 60
"""Frames of a run, at least."""
ANSWER_TIMEOUT_S = 30.0


class Refusal(NamedTuple):
    """What the node said about one bad bundle."""

    name: str
    refused: bool
    expected: str
    reason: str

    @property
    def right(self) -> bool:
        """Whether it was refused for the reason that there is; the bundle's name is no reason."""
        return self.refused and self.expected in self.reason.replace(self.name, "")


class Outcome(NamedTuple):
    """A run: the refusals, the playback and what the node then said about itself."""

    refusals: list[Refusal]
    playback: Any
    diagnostics: dict[str, str]
    announced: list[str]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Set every kind of bad bundle while 640x480 frames come at 30 Hz."""
    root, key = write_bad_bundles(settings.model or shipped_model("digits"), settings.work)
    kinds = {name: kind for name, kind in KINDS.items() if not (settings.quick and kind.slow)}
    say(f"{len(kinds)} kinds of bad bundles, one after the other, under 30 frames/s")
    outcome = refuse_all(settings, root, key, kinds)
    say("the same stream without them")
    quiet = refuse_all(settings, root, key, {})
    wrong = [refusal for refusal in outcome.refusals if not refusal.right]
    for refusal in wrong:
        say(f"{refusal.name}: expected '{refusal.expected}', got: {refusal.reason or 'accepted'}")
    return measurements(outcome, quiet, wrong)


def measurements(outcome: Outcome, quiet: Outcome, wrong: Sequence[Refusal]) -> list[Measurement]:
    """Return the figures of a run with bad bundles and of one without."""
    playback, count = outcome.playback, len(outcome.refusals)
    unchanged = outcome.announced == [GOOD] and outcome.diagnostics["swaps"] == "0"
    slowest = max(playback.changes, key=lambda change: change.answered_s - change.requested_s)
    took_s = sorted(change.answered_s - change.requested_s for change in playback.changes)
    return [
        Measurement(
            "bad bundles refused with the right reason",
            count - len(wrong),
            f"of {count}",
            "all, 20 kinds or more",
            not wrong and count >= KINDS_GOAL,
            "set as model on a node that requires signatures, "
            + ("each refused" if not wrong else f"wrong: {', '.join(r.name for r in wrong)}")
            + f"; a refusal took {took_s[len(took_s) // 2] * 1e3:.0f} ms (median), "
            f"'{slowest.value}' {took_s[-1]:.1f} s",
        ),
        Measurement(
            "frames lost or answered twice meanwhile",
            playback.lost + playback.answered_twice,
            "frames",
            "0, the model unchanged",
            playback.lost + playback.answered_twice + playback.stray_answers == 0 and unchanged,
            f"640x480 rgb8, 30 Hz, queue_size 10: {playback.sent} frames, {playback.lost} lost, "
            f"{playback.answered_twice} twice; active model "
            + ("never changed" if unchanged else f"changed: {outcome.announced}"),
        ),
        Measurement(
            "largest gap between answers meanwhile",
            playback.largest_gap_s() * 1e3,
            "ms",
            detail=f"one period is {1e3 / RATE_HZ:.0f} ms; without bad bundles "
            f"{quiet.playback.largest_gap_s() * 1e3:.0f} ms in {quiet.playback.sent} frames",
        ),
    ]


def refuse_all(settings: BenchSettings, root: Path, key: Path, kinds: dict[str, Kind]) -> Outcome:
    """Run a node process with the good bundle, and set the others while it serves."""
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.qos import DurabilityPolicy, QoSProfile

    from nn_perception.nodes.client import ClassifierClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    parameters = {"model": GOOD, "model_root": str(root.resolve()), "queue_size": 10}
    parameters |= {"require_signature": True, "trusted_keys": str(key.resolve())}
    announced: list[str] = []

    def note(status: DiagnosticStatus) -> None:
        announced.append(next(item.value for item in status.values if item.key == "model"))

    with (
        NodeProcess(
            "image_classifier",
            domain_id=settings.domain_id,
            log=settings.work / "refusals.log",
            parameters=parameters,
        ) as process,
        ClassifierClient("/image_classifier", alive=process.check_running) as client,
    ):
        latched = QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        client.connect()
        client.subscribe(DiagnosticStatus, "/image_classifier/active_model", note, latched)
        client.wait_for(lambda: bool(announced))
        with quick_thread_switches():
            playback = _stream(client, list(kinds), settings.quick)
        diagnostics = client.wait_for_diagnostics(
            lambda values: values["refused_swaps"] == str(len(kinds))
        )
    refusals = [
        Refusal(change.value, not change.successful, kinds[change.value].reason, change.reason)
        for change in playback.changes
    ]
    return Outcome(refusals, playback, diagnostics, announced)


def _stream(client: Any, names: list[str], quick: bool) -> Any:
    """Send frames at a steady rate; set the next model some frames after the last was refused."""
    from nn_perception.nodes.camera_client import frame

    spacing, frames = (QUICK_SPACING, QUICK_FRAMES) if quick else (SPACING, FRAMES)
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    template = frame(0, pixels, "rgb8")
    first_change = client.forget()
    sent: list[tuple[int, float]] = []
    start_s = time.monotonic()
    asked, free_at = 0, spacing
    while asked < len(names) or len(sent) < max(free_at, frames):
        index = len(sent)
        sleep_until(start_s + index / RATE_HZ)
        if client.change_count - first_change < asked:
            if index > free_at + ANSWER_TIMEOUT_S * RATE_HZ:
                break  # `finish` says what is missing
        elif index >= free_at and asked < len(names):
            client.request(index, {"model": names[asked]})
            asked += 1
            free_at = index + spacing
        sent.append(client.publish(with_stamp(template, (index + 1) * 1_000_000)))
    return client.finish(sent, asked, first_change, 2.0)
