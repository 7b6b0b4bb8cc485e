"""``nn-perception convert``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make bags of recordings in other formats"
DESCRIPTION = """Make rosbag2 bags (MCAP) of recordings in other formats, with their truth.

SOURCE is a file, and OUT the bag; or SOURCE is a directory, and OUT gets one bag for each file.
The word 'simulated' as SOURCE gives bags of simulated inertial sensors, with truth;
'simulated-uwb' those of simulated UWB ranges; 'simulated-digits' those of camera frames with
handwritten digits: image_raw (sensor_msgs/Image) and truth (vision_msgs/Detection2DArray; id:
text line/position), made of MNIST's test part and the photographs in $NN_PERCEPTION_DATA/camera
where they are.

imu  .npz of BROAD, EuRoC or TUM-VI: imu/data_raw (sensor_msgs/Imu), truth/pose
     (geometry_msgs/PoseStamped, where the truth is known), truth/moving (std_msgs/Bool, at its
     changes), truth/sensor_delay (std_msgs/Float64, seconds)
uwb  .csv.gz with a row for each range: uwb/range (sensor_msgs/Range, frame: the anchor; of several
     tags TAG/uwb/range), odom (nav_msgs/Odometry, disturbed as an estimator's), truth/pose
     (geometry_msgs/PoseStamped), uwb/anchors and uwb/tags (std_msgs/String, once); beside the
     messages uwb_anchors.yaml, the same two as parameters of uwb_corrector
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("out", type=Path, metavar="OUT")


def run(arguments: argparse.Namespace) -> int:
    """Convert."""
    from nn_perception.datasets.converters import convert_to_bags

    for file, bag, count in convert_to_bags(arguments.source, arguments.out):
        print(f"{file.name} -> {bag}  {count:,} messages", flush=True)
    return 0
