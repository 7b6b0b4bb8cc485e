"""Starts the corrector of UWB ranges, which configures and activates itself.

Defaults stand in ``config/uwb_corrector.yaml`` and nowhere else: an argument that is left
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
PARAMETERS_FILE = PathJoinSubstitution([CONFIG, "uwb_corrector.yaml"])
# Fast DDS 3, since Kilted, has another name for it.
BEFORE_KILTED = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
DDS_PROFILE = f"{'FASTRTPS' if BEFORE_KILTED else 'FASTDDS'}_DEFAULT_PROFILES_FILE"

# Parameter -> type and description; each is an argument of the same name.
OVERRIDES = {
    "model": (str, "name of the bundle below model_root"),
    "model_root": (str, "directory below which models are looked for"),
    "device": (str, "auto, cpu, cuda or cuda:N"),
    "anchors": (str, "'NAME: x y z; NAME: x y z', metres in the frame of the pose"),
    "tags": (str, "'NAME: x y z', metres in the body's frame"),
    "outliers": (str, "drop or mark"),
    "pass_through": (bool, "publish ranges that cannot be corrected as they came"),
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
                "range_topic",
                default_value="uwb/range",
                description="where the ranges come from; of several tags remap NAME/uwb/range",
            ),
            DeclareLaunchArgument(
                "odom_topic", default_value="odom", description="where the pose comes from"
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
            # Many radios need its longer queues between processes; a user's own profile goes first.
            SetEnvironmentVariable(
                DDS_PROFILE,
                EnvironmentVariable(
                    DDS_PROFILE, default_value=PathJoinSubstitution([CONFIG, "fastdds.xml"])
                ),
            ),
            OpaqueFunction(function=_corrector),
        ]
    )


def _corrector(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=OVERRIDES[name][0])
        for name, value in given.items()
        if value
    }
    return [
        Node(
            package="nn_perception",
            executable="uwb_corrector",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), overrides],
            remappings=[
                ("uwb/range", LaunchConfiguration("range_topic")),
                ("odom", LaunchConfiguration("odom_topic")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]
