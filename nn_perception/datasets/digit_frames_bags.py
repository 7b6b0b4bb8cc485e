"""Generated frames with digits as bags, with their truth: to replay, and to play to a live node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nn_perception.datasets.bag_writer import (
    IMAGE,
    IMAGE_TOPIC,
    START_NS,
    BagWriter,
    image_message,
)
from nn_perception.datasets.detection_messages import DETECTION_ARRAY, truth_message
from nn_perception.datasets.digit_frames import TEST_SEEDS, DigitFrames, open_digit_frames
from nn_perception.errors import BagError

SIMULATED_DIGITS = "simulated-digits"
"""Stands for a path where recordings are converted."""
TRUTH_TOPIC = "/truth"
BAG_SEEDS = TEST_SEEDS[:2]
"""One bag each; all of their frames are test frames."""
BAG_FRAMES = 50
RATE_HZ = 10.0


def write_frames_bag(
    frames: DigitFrames, path: Path, count: int = BAG_FRAMES, rate_hz: float = RATE_HZ
) -> int:
    """Record the first frames: `IMAGE_TOPIC` (rgb8), and `TRUTH_TOPIC` with the same stamps.

    A true box has its digit as the only class, with score 1, and ``"LINE/POSITION"`` as id.

    Args:
        frames: generated.
        path: the rosbag2 directory to make.
        count: how many frames.
        rate_hz: frames per second.

    Returns:
        The number of frames.

    Raises:
        BagError: the bag cannot be made, or count or rate is not above 0.
    """
    if count < 1 or not 0.0 < rate_hz < float("inf"):
        raise BagError(f"{count} frames at {rate_hz} Hz, expected at least one, above 0 Hz")
    with BagWriter(path) as bag:
        bag.add_topic(IMAGE_TOPIC, IMAGE)
        bag.add_topic(TRUTH_TOPIC, DETECTION_ARRAY)
        for index in range(count):
            frame = frames[index]
            stamp_ns = START_NS + round(index * 1e9 / rate_hz)
            labels = [str(label) for label in frame.labels.tolist()]
            truth = truth_message(frame.boxes_xywh, labels, stamp_ns, lines=frame.lines)
            bag.write(IMAGE_TOPIC, stamp_ns, image_message(frame.image, "rgb8", stamp_ns))
            bag.write(TRUTH_TOPIC, stamp_ns, truth)
    return count


def write_simulated_digits(directory: Path) -> Iterator[tuple[Path, int]]:
    """Write the bags of `SIMULATED_DIGITS` into a directory that is there.

    Returns:
        Iterator of (bag, frames), one after each bag.

    Raises:
        DatasetError: the data that frames are made of are damaged, or a bag cannot be made.
    """
    for seed in BAG_SEEDS:
        bag = directory / f"simulated_digits_{seed}"
        yield bag, write_frames_bag(open_digit_frames("test", seed), bag)
