"""What the nodes for inertial measurement units have in common.

Samples come and go as bytes: `ImuCdr` reads them and replaces single fields, which is what lets one
process serve many units. Whatever a node does not compute itself thus stays as it came, bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray
from sensor_msgs.msg import Imu

from nn_perception.errors import NnPerceptionError
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.inertial.readings import ImuReading
from nn_perception.nodes.base import PerceptionNode
from nn_perception.nodes.subscriptions import InputTopic
from nn_perception.topic_names import prefixes

INPUT_TOPIC = "imu/data_raw"
UNIT_TOLERANCE = 1e-6
"""By how much the squared norm of a quaternion may differ from 1: float32 rounding and no more."""


class ResultError(NnPerceptionError):
    """A result that must not leave the node."""


class ImuUnit(NamedTuple):
    """One inertial measurement unit: its input's name and what stands before its topics."""

    name: str
    prefix: str


class ImuNode(PerceptionNode):
    """A node that answers each sample of one or several units, in order."""

    input_types = ("sensor_msgs/msg/Imu",)
    at_once = 64  # enough to make a group cheap, few enough to keep its first sample from waiting

    def input_topics(self) -> tuple[InputTopic, ...]:
        """Subscribe to the raw samples of each unit."""
        return tuple(self.input_topic(unit.name, unit.name, Imu, raw=True) for unit in self.units())

    def units(self) -> tuple[ImuUnit, ...]:
        """Return the units that the parameter ``imus`` names.

        Raises:
            ConfigError: a name cannot stand in a topic, or stands there twice.
        """
        return tuple(
            ImuUnit(f"{prefix}{INPUT_TOPIC}", prefix)
            for prefix in prefixes("imus", self.value("imus"))
        )

    def take_in(self, name: str, message: bytes) -> tuple[ImuReading, ImuCdr]:
        """Read a serialised sample; see `PerceptionNode.take_in`."""
        cdr = ImuCdr(message)
        return cdr.reading(), cdr


def check_unit(quaternion: NDArray[Any]) -> None:
    """Check a quaternion (4,) before it leaves the node.

    Raises:
        ResultError: it is not of length 1, or not finite.
    """
    x, y, z, w = quaternion.tolist()
    # Written so that NaN fails.
    if not abs(x * x + y * y + z * z + w * w - 1.0) <= UNIT_TOLERANCE:
        raise ResultError(f"the pipeline gave the orientation {quaternion}, expected a unit one")


def check_finite(what: str, values: NDArray[Any]) -> None:
    """Check numbers before they leave the node.

    Raises:
        ResultError: one is NaN or infinite.
    """
    numbers: Sequence[float] = values.ravel().tolist()
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):
        raise ResultError(f"the pipeline gave the {what} {values}, expected finite numbers")
