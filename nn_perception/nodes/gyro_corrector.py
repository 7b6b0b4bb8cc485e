"""Takes the error out of a gyroscope: sensor_msgs/Imu in, the same with a better rate out."""

from __future__ import annotations

import sys
from typing import Any

from geometry_msgs.msg import Vector3Stamped
from sensor_msgs.msg import Imu

from nn_perception.inertial.cdr import ImuCdr
from nn_perception.nodes.imu import ImuNode, check_finite
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.run import COMMON_TOPICS, Executable, run

EXECUTABLE = Executable(
    name="gyro_corrector",
    summary="Takes the error out of gyroscopes with a trained model.",
    topics=(
        ("subscribes", "imu/data_raw", "sensor_msgs/Imu, rate and acceleration"),
        ("publishes", "imu/data_corrected", "sensor_msgs/Imu, the same with the corrected rate"),
        ("publishes", "imu/gyro_bias", "geometry_msgs/Vector3Stamped, estimated bias in rad/s"),
        *COMMON_TOPICS,
    ),
)


class GyroCorrector(ImuNode):
    """The lifecycle node ``gyro_corrector``."""

    executable = EXECUTABLE.name

    def make_outputs(self, model: ActiveModel) -> None:
        """Publish each unit's samples with the corrected rate, and its bias."""
        depth = self.value("output_depth")
        self._corrected = {
            unit.name: self.output(Imu, f"{unit.prefix}imu/data_corrected", depth)
            for unit in self.units()
        }
        self._bias = {
            unit.name: self.output(Vector3Stamped, f"{unit.prefix}imu/gyro_bias", depth)
            for unit in self.units()
        }

    def publish_result(self, name: str, result: Any, source: ImuCdr) -> None:
        """Publish the sample as it came, with the corrected rate, and the bias.

        Raises:
            ResultError: something is not finite.
        """
        check_finite("rate", result.gyro_rad_s)
        check_finite("bias", result.bias_rad_s)
        if result.covariance_rad2_s2 is not None:
            check_finite("covariance", result.covariance_rad2_s2)
        patched = source.with_angular_velocity(result.gyro_rad_s, result.covariance_rad2_s2)
        self._corrected[name].publish(patched)
        self._bias[name].publish(source.vector3_stamped(result.bias_rad_s))


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, GyroCorrector)], args)


if __name__ == "__main__":
    sys.exit(main())
