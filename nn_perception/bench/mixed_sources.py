"""What all nodes get at once, and the bundles that they change between.

Each node has two bundles, ``a`` and ``b``, with the same network and other numbers around it, so
that an answer tells whose it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nn_perception.bench.uwb_live import radios
from nn_perception.bundle import CONFIG_FILE, load_bundle
from nn_perception.datasets.uwb_text import format_anchors, format_tags
from nn_perception.share import shipped_model

NAMES = ("a", "b")
SHIPPED = {
    "image_classifier": "digits",
    "attitude_estimator": "attitude",
    "gyro_corrector": "gyro",
    "uwb_corrector": "uwb_trolley",
}
OUTPUTS = {
    "classification": "image_classifier",
    "imu/data": "attitude_estimator",
    "imu/data_corrected": "gyro_corrector",
    "imu/gyro_bias": "gyro_corrector",
    "uwb/range_corrected": "uwb_corrector",
}
"""Topic of answers -> node."""
ECHO = "echo/range"
"""Answers of a process that sends the ranges back as they came: what the machine alone does."""
QUEUE = 30
"""Frames that may wait, a second's: every one is to be answered, whatever else the machine does."""
BODY_M = (0.0, 0.0, 1.0)


class Source(NamedTuple):
    """What is sent on a topic.

    Attributes:
        topic: where.
        rate_hz: how often.
        templates: serialised messages, sent in turn, each under a stamp of its own.
        outputs: topics that answer each message.
    """

    topic: str
    rate_hz: float
    templates: Sequence[bytes]
    outputs: tuple[str, ...]


def write_pair(root: Path, node: str, source: Path | None = None) -> Path:
    """Write the bundles ``a`` and ``b`` of a node below ``root/NODE`` and return that directory."""
    place = root / node
    shutil.rmtree(place, ignore_errors=True)
    for name in NAMES:
        shutil.copytree(source or shipped_model(SHIPPED[node]), place / name)
    path = place / "b" / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    _ALTER[node](config)
    path.write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
    return place


def _alter_image(config: dict[str, Any]) -> None:
    config["labels"] = [f"b{label}" for label in config["labels"]]
    config["calibration"]["temperature"] *= 2.0


def _alter_attitude(config: dict[str, Any]) -> None:
    scales = config["calibration"]["variance_scales"]
    config["calibration"]["variance_scales"] = [4.0 * scale for scale in scales]


def _alter_gyro(config: dict[str, Any]) -> None:
    rows = config["calibration"]["matrix"]
    config["calibration"]["matrix"] = [[1.01 * value for value in row] for row in rows]


def _alter_uwb(config: dict[str, Any]) -> None:
    calibration = config["calibration"]
    calibration["sigma_scale"] *= 2.0
    for pair in (*calibration["pairs"], *calibration["means"]):
        pair[2] += 0.01


_ALTER = {
    "image_classifier": _alter_image,
    "attitude_estimator": _alter_attitude,
    "gyro_corrector": _alter_gyro,
    "uwb_corrector": _alter_uwb,
}


def node_parameters(pairs: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each node; with those of UWB its site's anchors and one tag."""
    own: dict[str, dict[str, Any]] = {node: {} for node in pairs}
    own["image_classifier"] = {"keep_percent": 100.0, "queue_size": QUEUE, "qos_depth": QUEUE}
    tag, anchors = _radios(pairs["uwb_corrector"] / NAMES[0])
    own["uwb_corrector"] = {
        "anchors": format_anchors(anchors),
        "tags": format_tags({tag: (0.0, 0.0, 0.0)}),
        "outlier_gate_sigma": 0.0,
    }
    return {
        node: {"model_root": str(place.resolve()), "model": NAMES[0], **own[node]}
        for node, place in pairs.items()
    }


def _radios(bundle: Path) -> tuple[str, Any]:
    tags, anchors = radios(load_bundle(bundle))
    return tags[0], anchors


def make_sources(uwb_bundle: Path) -> list[Source]:
    """Return what is sent; the pose first."""
    from nn_perception.nodes.camera_client import frame
    from nn_perception.nodes.imu_client import sample
    from nn_perception.nodes.uwb_client import pose, range_to

    draws = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        frames.append(frame(0, draws.integers(0, 256, (480, 640, 3), np.uint8), "rgb8"))
        frames.append(frame(0, draws.integers(0, 256, (28, 28), np.uint8), "mono8"))
    turns = 2.0 * np.pi * np.arange(400) / 400
    samples = [
        sample(0, (0.5 * np.sin(t), 0.3 * np.cos(t), 0.1), (np.sin(t), np.cos(t), 9.7))
        for t in turns
    ]
    ranges = [
        range_to(0, name, float(np.linalg.norm(np.subtract(BODY_M, anchor.position_m))))
        for name, anchor in _radios(uwb_bundle)[1].items()
    ]
    return [
        Source("odom", 20.0, [pose(0, BODY_M)], ()),
        Source("imu/data_raw", 200.0, samples, ("imu/data", "imu/data_corrected", "imu/gyro_bias")),
        Source("uwb/range", 480.0, ranges, ("uwb/range_corrected", ECHO)),
        Source("image_raw", 30.0, frames, ("classification",)),
    ]


def message_classes() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return topic -> message class of inputs and outputs."""
    from geometry_msgs.msg import Vector3Stamped
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import Image, Imu, Range
    from vision_msgs.msg import Classification

    inputs = {"odom": Odometry, "imu/data_raw": Imu, "uwb/range": Range, "image_raw": Image}
    outputs = {
        "classification": Classification,
        "imu/data": Imu,
        "imu/data_corrected": Imu,
        "imu/gyro_bias": Vector3Stamped,
        "uwb/range_corrected": Range,
        ECHO: Range,
    }
    return inputs, outputs
