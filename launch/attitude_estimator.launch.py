"""Starts the attitude estimator, which configures and activates itself.

Defaults stand in ``config/attitude_estimator.yaml`` and nowhere else: an argument that is left
empty does not override the parameter file.
"""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("nn_perception"), "config"])
PARAMETERS_FILE = PathJoinSubstitution([CONFIG, "attitude_estimator.yaml"])
# Fast DDS 3, since Kilted, has another name for it.
BEFORE_KILTED = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
DDS_PROFILE = f"{'FASTRTPS' if BEFORE_KILTED else 'FASTDDS'}_DEFAULT_PROFILES_FILE"

# Parameter -> type and description; each is an argument of the same name.
OVERRIDES = {
    "model": (str, "name of the bundle below model_root"),
    "model_root": (str, "directory below which models are looked for"),
    "device": (str, "auto, cpu, cuda or cuda:N"),
    "sensor_delay_s": (float, "time by which the measurements lag behind the motion"),
    "imus": (str, "names of several IMUs, separated by commas"),
    "autostart": (bool, "configure and activate at start"),
    "use_sim_time": (bool, "take the time from /clock"),
}


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file", default_value=PARAMETERS_FILE, description="parameter file"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="of the node"),
            DeclareLaunchArgument(
                "imu_topic",
                default_value="imu/data_raw",
                description="where the samples come from; with 'imus' remap NAME/imu/data_raw",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error", "fatal"],
                description="least severe messages that are logged",
            ),
            *(
                DeclareLaunchArgument(
                    name, default_value="", description=f"{text}; empty: as in params_file"
                )
                for name, (_, text) in OVERRIDES.items()
            ),
            # Many IMUs need its longer queues between processes; a user's own profile goes first.
            SetEnvironmentVariable(
                DDS_PROFILE,
                EnvironmentVariable(
                    DDS_PROFILE, default_value=PathJoinSubstitution([CONFIG, "fastdds.xml"])
                ),
            ),
            OpaqueFunction(function=_estimator),
        ]
    )


def _estimator(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=OVERRIDES[name][0])
        for name, value in given.items()
        if value
    }
    return [
        Node(
            package="nn_perception",
            executable="attitude_estimator",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), overrides],
            remappings=[("imu/data_raw", LaunchConfiguration("imu_topic"))],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]
