"""Starts the image classifier, which configures and activates itself.

With several cameras (``cameras:=left,right``) each name stands before its topics: left/image_raw,
right/image_raw; ``image_topic`` then has no use.

Defaults stand in ``config/image_classifier.yaml`` and nowhere else: an argument that is left empty
does not override the parameter file.
"""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("nn_perception"), "config"])
PARAMETERS_FILE = PathJoinSubstitution([CONFIG, "image_classifier.yaml"])
# Fast DDS 3, since Kilted, has another name for it.
BEFORE_KILTED = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
DDS_PROFILE = f"{'FASTRTPS' if BEFORE_KILTED else 'FASTDDS'}_DEFAULT_PROFILES_FILE"

# Parameter -> type and description; each is an argument of the same name.
OVERRIDES = {
    "task": (str, "what the model was trained for: digits, objects"),
    "model": (str, "name of the bundle below model_root"),
    "model_root": (str, "directory below which models are looked for"),
    "device": (str, "auto, cpu, cuda or cuda:N"),
    "image_transport": (str, "raw or compressed"),
    "cameras": (str, "names of several cameras, separated by commas"),
    "regions": (str, "auto, full, center, detections or digits"),
    "keep_percent": (float, "share of true inputs that is answered, in percent"),
    "max_rate_hz": (float, "frames of each camera in a second that are looked at"),
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
                "image_topic", default_value="image_raw", description="where the images come from"
            ),
            DeclareLaunchArgument(
                "boxes_topic",
                default_value="boxes",
                description="where the boxes come from (regions: detections)",
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
            # Images above 512 KB need it between processes; a profile of the user's own goes first.
            SetEnvironmentVariable(
                DDS_PROFILE,
                EnvironmentVariable(
                    DDS_PROFILE, default_value=PathJoinSubstitution([CONFIG, "fastdds.xml"])
                ),
            ),
            OpaqueFunction(function=_classifier),
        ]
    )


def _classifier(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=OVERRIDES[name][0])
        for name, value in given.items()
        if value
    }
    return [
        Node(
            package="nn_perception",
            executable="image_classifier",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), overrides],
            remappings=[
                ("image_raw", LaunchConfiguration("image_topic")),
                ("boxes", LaunchConfiguration("boxes_topic")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]
