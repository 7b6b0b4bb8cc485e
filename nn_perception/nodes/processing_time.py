"""How long each answer took, as numbers to plot: ``~/debug/processing_time_ms``."""

from __future__ import annotations

import struct

from rclpy.publisher import Publisher

TOPIC = "~/debug/processing_time_ms"
ASK_PERIOD_S = 0.01
"""How often it is asked whether somebody listens: each time would be dear at 10,000 answers/s."""

_FLOAT64 = struct.Struct("<4sd")
_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


class ProcessingTime:
    """Publishes the time of each answer while somebody listens.

    Without a subscriber an answer costs a comparison of two numbers. Used by one thread at a time.
    """

    def __init__(self, publisher: Publisher) -> None:
        """Publish on a publisher of std_msgs/Float64."""
        self._publisher = publisher
        self._ask_at_s = 0.0
        self._wanted = False

    def answered(self, taken_s: float, published_s: float) -> None:
        """Take note of an answer.

        Args:
            taken_s: when the pipeline began with its message, or with the group that it was in.
            published_s: when the answer was published, on the same clock.
        """
        if published_s >= self._ask_at_s:
            self._ask_at_s = published_s + ASK_PERIOD_S
            self._wanted = self._publisher.get_subscription_count() > 0
        if self._wanted:
            elapsed_ms = (published_s - taken_s) * 1e3
            # Serialised here: a message object would double the cost.
            self._publisher.publish(_FLOAT64.pack(_LITTLE_ENDIAN, elapsed_ms))
