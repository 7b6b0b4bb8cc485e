"""``nn-perception replay``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "run a bundle over a recorded bag, without ROS"
DESCRIPTION = """Run a bundle over a recorded bag through the pipeline that the node runs, without
ROS and as fast as it goes, and compare the answers with the bag's label topic when it has one.

BAG is a rosbag2 directory, or a bare .mcap or .db3 file. Topics are found by type; name them
where several fit:  --topic image_raw=/front/image_raw --topic label=/truth
Truth is a label topic for pictures, and for inertial sensors and UWB geometry_msgs/PoseStamped
(pose) and, where they exist, std_msgs/Bool (moving) and std_msgs/Float64 (sensor_delay), see
'convert'. Anchors and tags of UWB come from --set, else from the bag's uwb/anchors and uwb/tags,
else from the bundle.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments, add_json_argument

    parser.add_argument("bag", type=Path, metavar="BAG")
    parser.add_argument("--model", type=Path, required=True, metavar="BUNDLE")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="INPUT=TOPIC", help="may be repeated"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="setting of the pipeline, such as sensor_delay_s=0.004; may be repeated",
    )  # fmt: skip
    add_json_argument(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with pictures")
    parser.add_argument("--out", type=Path, metavar="BAG", help="record the answers")
    add_engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay."""
    from nn_perception.cli.common import (
        format_table,
        parse_settings,
        parse_topics,
        text_stream,
        write_json,
    )
    from nn_perception.evaluation.replay import replay
    from nn_perception.progress import progress_bar
    from nn_perception.tasks import get_task
    from nn_perception.tasks.loading import open_pipeline

    wanted = parse_topics(arguments.topic)
    out = text_stream(arguments.json)
    pipeline = open_pipeline(
        arguments.model,
        device=arguments.device,
        threads=arguments.threads,
        settings=parse_settings(arguments.set),
        bag=arguments.bag,
    )
    bundle = pipeline.bundle
    evaluation = get_task(bundle.task).load_evaluation()(
        pipeline, keep_results=arguments.out is not None
    )
    evaluation.source = arguments.bag.stem
    with progress_bar(None, "replay", "message") as bar:
        done = replay(arguments.bag, pipeline, evaluation, topics=wanted, on_progress=bar.update)
    facts = {
        "bag": arguments.bag.name,
        "bundle": f"{bundle.name} ({bundle.id})",
        "engine": f"{pipeline.engine.backend} on {pipeline.engine.device}",
    }
    rows = [*facts.items(), *done.summary(), *evaluation.summary()]
    print(format_table(rows), file=out)
    for kind, text in done.bad_example.items():
        print(f"skipped {done.bad[kind]} x {kind}: {text}", file=out)
    write_json({**facts, **evaluation.to_dict(), "replay": done.to_dict()}, arguments.json)
    if arguments.out:
        evaluation.record_results(arguments.out)
        print(f"answers  {arguments.out}", file=out)
    if arguments.report:
        facts |= {name: str(value) for name, value in done.summary()}
        title = f"{bundle.name}: replay of {arguments.bag.name}"
        page = evaluation.write_report(
            arguments.report, title=title, facts=facts, latency=done.latency
        )
        print(f"report  {page}", file=out)
    return 0
