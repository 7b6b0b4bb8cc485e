"""``nn-perception view``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn_perception.viewing.view import ViewSummary

HELP = "make a recording for the Rerun viewer of bags and models' answers"
DESCRIPTION = """Write a recording for the Rerun viewer (.rrd): images, detections, classes, IMU,
attitude, ranges, poses and their truth on one timeline, that of the headers' stamps. It needs
rerun-sdk: pip install nn-perception[view]

BAG is a rosbag2 directory, or a bare .mcap or .db3 file; several are shown together, each below
its own name. With --model, the bundle's pipeline runs over each bag that it fits, as in 'replay',
and its answers are shown beside what was recorded:

  nn-perception convert simulated-digits bags
  nn-perception view bags/simulated_digits_* --model models/digit_reader --set regions=digits --open

Topics of types that nothing here knows are listed and left out.
"""
MORE = "bags"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments

    parser.add_argument("bags", type=Path, metavar="BAG", nargs="+")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.rrd", help="default: the first bag's name, here"
    )
    parser.add_argument(
        "--model", type=Path, action="append", default=[], metavar="BUNDLE", help="may be repeated"
    )
    parser.add_argument(
        "--topic", action="append", default=[], metavar="TOPIC|INPUT=TOPIC",
        help="show this topic of the bags, and no others; or: take this one as a model's input; "
        "may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="setting of the models' pipelines that know it, such as regions=digits; may be "
        "repeated",
    )  # fmt: skip
    parser.add_argument(
        "--max-image-hz", type=float, default=0.0, metavar="N",
        help="images a second of each topic at most (default 0: all)",
    )  # fmt: skip
    parser.add_argument("--open", action="store_true", help="show it in the viewer afterwards")
    add_engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the recording, and show it when asked to."""
    from nn_perception.cli.common import parse_settings, parse_topics
    from nn_perception.progress import progress_bar
    from nn_perception.viewing.bags import bag_name
    from nn_perception.viewing.view import SUFFIX, ViewSettings, view_bags
    from nn_perception.viewing.viewer import open_viewer

    out = arguments.out or Path(f"{bag_name(arguments.bags[0])}{SUFFIX}")
    settings = ViewSettings(
        topics=tuple(topic for topic in arguments.topic if "=" not in topic),
        inputs=parse_topics([topic for topic in arguments.topic if "=" in topic]),
        settings=parse_settings(arguments.set),
        max_image_hz=arguments.max_image_hz,
        device=arguments.device,
        threads=arguments.threads,
    )
    with progress_bar(None, "view", "message") as bar:
        summary = view_bags(arguments.bags, out, arguments.model, settings, bar.update)
    _print(summary)
    if arguments.open:
        open_viewer(out)
    return 0


def _print(summary: ViewSummary) -> None:
    from nn_perception.cli.common import format_table

    for bag in summary.bags:
        print(bag.path)
        if bag.shown:
            print(format_table(sorted(bag.shown.items()), ("topic", "messages")))
        for topic, kind in sorted(bag.left_out.items()):
            print(f"left out  {topic} ({kind}): nothing here shows this type")
        for (topic, kind), count in sorted(bag.bad.items()):
            print(f"skipped {count} x {kind} of {topic}: {bag.bad_example[topic, kind]}")
    for model, path, done in summary.answers:
        print(f"{model} on {path.name}: {done.answered:,} answers to {done.messages:,} messages")
        for kind, text in done.bad_example.items():
            print(f"skipped {done.bad[kind]} x {kind}: {text}")
    print(f"recording  {summary.path}  {summary.size_bytes / 1e6:.1f} MB")
