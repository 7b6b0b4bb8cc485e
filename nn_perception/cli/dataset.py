"""``nn-perception dataset``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "build a data set from recorded bags"
DESCRIPTION = """Build a data set from recorded bags: labelled, aligned in time, divided into parts.

BAG is a rosbag2 directory, an .mcap or .db3 file, or a directory of these. 'train --data DIR' then
takes the parts train and validation, 'evaluate --data DIR' the part test.

digits, objects  image_raw (sensor_msgs/Image or CompressedImage), and label: vision_msgs/
                 Classification or std_msgs/String of whole frames, or Detection2DArray of boxes
attitude, gyro   imu (sensor_msgs/Imu), and pose: geometry_msgs/PoseStamped or TransformStamped, or
                 nav_msgs/Odometry, of motion capture or visual-inertial odometry
uwb              uwb/range (sensor_msgs/Range, frame: the anchor), pose as above, and the places of
                 anchors and tags (topics uwb/anchors and uwb/tags, or --anchors and --tags)

The clocks of sensor and truth are compared, and a significant offset is taken out. No truth is made
up across gaps. Look at DIR/summary.html before you train.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_json_argument
    from nn_perception.datasets.build_settings import BLOCK_S, GUARD_S, MAX_GAP_S, BuildSettings

    default = BuildSettings()
    block, gap = BLOCK_S, MAX_GAP_S
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG")
    parser.add_argument("--task", required=True, metavar="T", help="see 'nn-perception tasks'")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="to be made")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="INPUT=TOPIC",
        help="such as label=/annotation or pose=/mocap/base; by default by type and name",
    )  # fmt: skip
    parser.add_argument(
        "--split", default=",".join(f"{share:g}" for share in default.split), metavar="A,B,C",
        help="shares of train, validation and test (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--split-by", default=default.split_by, metavar="time|bag")
    seconds = (
        ("--block-s", "length of the blocks of time, shorter in short recordings "
         f"(default {block['images']:g}; IMU {block['imu']:g}; ranges {block['uwb']:g})"),
        ("--guard-s", "left out between blocks of different parts, by default a tenth of a block "
         f"at most (default {GUARD_S:g})"),
        ("--max-gap-s", f"no truth between poses further apart (default {gap['imu']:g}; ranges "
         f"{gap['uwb']:g}); pictures: how far a label may be from its frame ({gap['images']:g})"),
        ("--max-offset-s", f"largest offset of the clocks (default {default.max_offset_s:g})"),
        ("--hold-s", f"longest time that a label holds (default {default.hold_s:g})"),
    )  # fmt: skip
    for name, text in seconds:
        parser.add_argument(name, type=float, metavar="S", help=text)
    parser.add_argument(
        "--offset", default="auto", metavar="auto|S",
        help="seconds to add to the truth's stamps; 0 where both have one clock",
    )  # fmt: skip
    parser.add_argument(
        "--no-mounting", action="store_true", help="truth and IMU have the same axes: do not look"
    )
    parser.add_argument(
        "--labels", default=default.labels, metavar="auto|exact|nearest|hold",
        help="how labels and frames meet",
    )  # fmt: skip
    parser.add_argument("--classes", default="", metavar="A,B,...", help="in the wanted order")
    parser.add_argument(
        "--skip-label", action="append", default=[], metavar="L", help="leave its pictures out"
    )
    parser.add_argument("--anchors", default="", metavar="TEXT", help="as of uwb_corrector")
    parser.add_argument("--tags", default="", metavar="TEXT", help="as of uwb_corrector")
    parser.add_argument(
        "--size", type=int, default=default.size, metavar="PX",
        help="objects: store pictures prepared for a network of this size (default: as recorded)",
    )  # fmt: skip
    parser.add_argument("--keep-near-duplicates", action="store_true")
    parser.add_argument(
        "--jobs", type=int, default=default.jobs, metavar="N", help="processes (default: cores)"
    )
    parser.add_argument("--seed", type=int, default=default.seed, metavar="N", help="of the split")
    parser.add_argument(
        "--skip-damaged", action="store_true", help="go on without bags that cannot be used"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build."""
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.datasets.build import build_dataset
    from nn_perception.progress import progress_bar

    settings = settings_of(arguments)
    with progress_bar(None, "read", "B") as bar:
        bar.unit_scale = True

        def on_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(max(0, done - bar.n))

        summary = build_dataset(
            arguments.bags, arguments.task, arguments.out, settings, on_progress
        )
    out = text_stream(arguments.json)
    print(format_table(summary.table()), file=out)
    print(f"data set  {summary.path}\nlook at   {summary.path / 'summary.html'}", file=out)
    write_json(dict(summary.manifest), arguments.json)
    return 0


def settings_of(arguments: argparse.Namespace) -> Any:
    """Return the settings that a command line asks for.

    Raises:
        ConfigError: a value cannot be used.
    """
    from nn_perception.cli.common import parse_topics
    from nn_perception.datasets.build_settings import BuildSettings

    given = {
        name: getattr(arguments, name)
        for name in ("block_s", "guard_s", "max_gap_s", "max_offset_s", "hold_s")
        if getattr(arguments, name) is not None
    }
    return BuildSettings(
        topics=parse_topics(arguments.topic),
        split=_shares(arguments.split),
        split_by=arguments.split_by,
        offset_s=None if arguments.offset == "auto" else _number("--offset", arguments.offset),
        mounting=not arguments.no_mounting,
        labels=arguments.labels,
        classes=tuple(name for name in arguments.classes.split(",") if name),
        skip_labels=tuple(arguments.skip_label),
        anchors=arguments.anchors,
        tags=arguments.tags,
        size=arguments.size,
        keep_near_duplicates=arguments.keep_near_duplicates,
        jobs=arguments.jobs,
        seed=arguments.seed,
        skip_damaged=arguments.skip_damaged,
        **given,
    )


def _shares(text: str) -> tuple[float, float, float]:
    from nn_perception.errors import ConfigError

    shares = tuple(_number("--split", word) for word in text.split(","))
    if len(shares) != 3:
        raise ConfigError(f"--split '{text}': expected three shares, such as 70,15,15")
    return shares


def _number(name: str, text: str) -> float:
    from nn_perception.errors import ConfigError

    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{name} '{text}': expected a number") from None
