"""Debug images: frames with what was found in them, drawn when the answers are on their way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from nn_perception.messages import array_to_image_fields, decode_image, stamp_ns
from nn_perception.nodes.frame_gate import RateLimit
from nn_perception.tasks.image_drawing import draw_result
from nn_perception.tasks.image_results import Result

KEPT_FRAMES = 16
"""Frames of a camera that are kept while they wait for their boxes."""
RATE_WINDOW = 60
"""Results from which their rate is taken."""


class DebugImages:
    """Draws the results of each camera; used by the worker's thread.

    Without a subscriber it costs one question to each publisher.
    """

    def __init__(
        self, publishers: Mapping[str, Publisher], max_rate_hz: Callable[[], float]
    ) -> None:
        """Draw for some cameras.

        Args:
            publishers: of sensor_msgs/Image, by what stands before the camera's topics.
            max_rate_hz: gives the rate of images of each camera; 0 for all.
        """
        self._cameras = {prefix: _Camera(each) for prefix, each in publishers.items()}
        self._max_rate_hz = max_rate_hz
        self._noted: list[tuple[_Camera, Result, Any]] = []

    def frame(self, prefix: str, image: Any) -> None:
        """Take note of a frame that goes to the pipeline."""
        camera = self._cameras[prefix]
        if camera.publisher.get_subscription_count():
            camera.frames.append((stamp_ns(image), image))
        else:
            camera.forget()

    def result(self, prefix: str, result: Result) -> None:
        """Take note of a result that was published."""
        camera = self._cameras[prefix]
        if not camera.frames:
            return
        now_s = time.perf_counter()
        camera.times_s.append(now_s)
        image = camera.take(result.stamp_ns)
        if image is not None and camera.limit.allows(now_s, self._max_rate_hz()):
            self._noted.append((camera, result, image))

    def publish(self) -> None:
        """Draw and publish what was noted."""
        noted, self._noted = self._noted, []
        for camera, result, image in noted:
            rate = f"{camera.rate_hz:.1f} results/s"
            pixels = draw_result(decode_image(image, 3), result, rate)
            stamp = Time(sec=image.header.stamp.sec, nanosec=image.header.stamp.nanosec)
            header = Header(stamp=stamp, frame_id=result.frame_id)
            camera.publisher.publish(Image(header=header, **array_to_image_fields(pixels, "rgb8")))


class _Camera:
    """What is kept of one camera."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.limit = RateLimit()
        self.frames: deque[tuple[int, Any]] = deque(maxlen=KEPT_FRAMES)
        self.times_s: deque[float] = deque(maxlen=RATE_WINDOW)

    def take(self, stamp_ns: int) -> Any | None:
        """Return the newest frame of a stamp; forget it and older ones; None: it is not there."""
        places = [place for place, frame in enumerate(self.frames) if frame[0] == stamp_ns]
        if not places:
            return None
        taken = [self.frames.popleft() for _ in range(places[-1] + 1)]
        return taken[-1][1]

    def forget(self) -> None:
        """Start anew: what is known of a time without subscribers says nothing of the rate."""
        self.frames.clear()
        self.times_s.clear()

    @property
    def rate_hz(self) -> float:
        """Results per second; 0 after the first."""
        times_s = self.times_s
        if len(times_s) < 2:
            return 0.0
        return (len(times_s) - 1) / max(times_s[-1] - times_s[0], 1e-9)
