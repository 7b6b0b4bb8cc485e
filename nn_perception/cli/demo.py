"""``nn-perception demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "train, bundle, record, run live, swap, replay, report: the whole loop in one go"
DESCRIPTION = """Show the whole loop in three minutes on two cores: train two digit classifiers,
write their bundles, record a bag of camera frames with labels, start the classifier as a real
lifecycle node over DDS, play the bag into it in real time, swap the model while frames flow,
compare with the offline replay, and write a report.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_json_argument

    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="MNIST; default: scikit-learn's own digits"
    )
    parser.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR")
    parser.add_argument("--frames", type=int, default=600, metavar="N", help="default 600")
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ", help="default 30")
    parser.add_argument("--domain-id", type=int, default=77, metavar="N", help="ROS_DOMAIN_ID")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; the exit code is 1 when a frame was lost or live and replay differ."""
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.demo import DemoSettings, run_demo

    out = text_stream(arguments.json)
    demo = run_demo(
        DemoSettings(
            out=arguments.out,
            data=arguments.data,
            frames=arguments.frames,
            rate_hz=arguments.rate,
            domain_id=arguments.domain_id,
        ),
        say=lambda text: print(text, file=out, flush=True),
    )
    print("\n" + format_table(demo.rows), file=out)
    print("\n" + format_table(demo.latency_rows, demo.LATENCY_HEADER), file=out)
    print(f"\nreport  {demo.page}", file=out)
    write_json(demo.to_dict(), arguments.json)
    if not demo.passed:
        print("the demo did not do what it should: see the table", file=out)
    return 0 if demo.passed else 1
