"""The rows of `parameters` that only the node for images has."""

from __future__ import annotations

from nn_perception.nodes.parameter import Parameter
from nn_perception.tasks.region_modes import REGION_MODES

IMAGE = (
    Parameter(
        "image_transport",
        "string",
        "raw",
        "raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on "
        "image_raw/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    ),
    Parameter(
        "cameras",
        "string",
        "",
        "Several cameras in one process: names separated by commas, such as 'left, arm/right'. "
        "Each NAME stands before its topics, as in NAME/image_raw. Empty: one camera without a "
        "name.",
        read_only=True,
    ),
    Parameter(
        "regions",
        "string",
        "auto",
        "What of a frame is looked at. auto: as the model was trained; full: all of it; center: "
        "its largest central part of the network's shape; detections: boxes from topic boxes, "
        "matched by stamp; digits: handwritten digits that are found in it. The last two answer "
        "on detections, the others on classification.",
        choices=REGION_MODES,
        read_only=True,
    ),
    Parameter(
        "keep_percent",
        "double",
        0.0,
        "Share of true inputs that is answered, in percent, 50 to 99.9; what looks less like one "
        "of the classes is not. 0: 95 for frames, 99.5 for regions; 100: whatever comes. Setting "
        "it rebuilds the model.",
        minimum=0.0,
        maximum=100.0,
    ),
    Parameter(
        "max_regions",
        "int",
        128,
        "Regions of a frame that are looked at, at most; the others are counted.",
        minimum=1,
        maximum=10000,
        read_only=True,
    ),
    Parameter(
        "match_timeout_s",
        "double",
        0.5,
        "Seconds, by stamps, that a frame waits for its boxes, and boxes for their frame.",
        minimum=0.001,
        maximum=60.0,
        read_only=True,
    ),
    Parameter(
        "max_rate_hz",
        "double",
        0.0,
        "Frames of each camera in a second that are looked at, at most; the others are counted. "
        "0: all.",
        minimum=0.0,
        maximum=10000.0,
    ),
    Parameter(
        "debug_max_rate_hz",
        "double",
        10.0,
        "Debug images of each camera in a second, at most; none is drawn without a subscriber. "
        "0: all.",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "precision",
        "string",
        "float32",
        "Of the network on a GPU. half: 16 bits, refused on a CPU; auto: half on a GPU.",
        choices=("float32", "half", "auto"),
    ),
    Parameter(
        "queue_size",
        "int",
        1,
        "Messages of each camera that may wait for the network. 1: only the newest, an unprocessed "
        "one is replaced. More: in order, the oldest is dropped when full. Both are counted.",
        minimum=1,
        maximum=10000,
        read_only=True,
    ),
)
