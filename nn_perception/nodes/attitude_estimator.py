"""Estimates the orientation of an IMU: sensor_msgs/Imu in, the same with orientation out."""

from __future__ import annotations

import sys
from typing import Any

from sensor_msgs.msg import Imu

from nn_perception.inertial.cdr import ImuCdr
from nn_perception.nodes.imu import ImuNode, check_finite, check_unit
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.run import COMMON_TOPICS, Executable, run

EXECUTABLE = Executable(
    name="attitude_estimator",
    summary="Estimates the orientation of IMUs with a trained model (REP-145).",
    topics=(
        ("subscribes", "imu/data_raw", "sensor_msgs/Imu, rate and acceleration"),
        ("publishes", "imu/data", "sensor_msgs/Imu, the same with orientation and its covariance"),
        *COMMON_TOPICS,
    ),
)


class AttitudeEstimator(ImuNode):
    """The lifecycle node ``attitude_estimator``."""

    executable = EXECUTABLE.name
    settings = ("sensor_delay_s",)

    def make_outputs(self, model: ActiveModel) -> None:
        """Publish each unit's samples with their orientation."""
        depth = self.value("output_depth")
        self._data = {
            unit.name: self.output(Imu, f"{unit.prefix}imu/data", depth) for unit in self.units()
        }

    def publish_result(self, name: str, result: Any, source: ImuCdr) -> None:
        """Publish the sample as it came, with orientation and covariance.

        Raises:
            ResultError: the orientation is no unit quaternion, or something is not finite.
        """
        check_unit(result.orientation_xyzw)
        check_finite("covariance", result.covariance_rad2)
        patched = source.with_orientation(result.orientation_xyzw, result.covariance_rad2)
        self._data[name].publish(patched)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, AttitudeEstimator)], args)


if __name__ == "__main__":
    sys.exit(main())
