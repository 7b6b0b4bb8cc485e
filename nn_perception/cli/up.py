"""``nn-perception up``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "start the perception nodes side by side, without ROS launch"
DESCRIPTION = """Start perception nodes, each in a process of its own or all in one, and show their
output line by line. What perception.launch.py does, for a machine without ROS launch.

  nn-perception up
  nn-perception up objects=image_classifier attitude_estimator --params-file my.yaml

Ctrl-C or SIGTERM stops all, a second one kills. When one node dies, the others are stopped.

exit codes: 0 stopped on request; 1 a node died or did not end cleanly; 2 wrong arguments, and
nothing was started.
"""

MORE = "nodes"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.nodes.launch_arguments import LOG_LEVELS
    from nn_perception.nodes.registry import PERCEPTION_NODES

    parser.add_argument(
        "nodes",
        nargs="*",
        metavar="[NAME=]EXECUTABLE",
        help=f"nodes to start (default one of each: {', '.join(PERCEPTION_NODES)})",
    )
    parser.add_argument(
        "--params-file",
        type=Path,
        metavar="FILE",
        help="parameters, a section for each node (default: config/perception.yaml)",
    )
    parser.add_argument("--namespace", default="", metavar="NS", help="of the nodes and topics")
    parser.add_argument(
        "--single-process", action="store_true", help="all nodes in one process, a model once"
    )
    parser.add_argument(
        "--domain-id", type=int, metavar="N", help="ROS_DOMAIN_ID (default: the environment's)"
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default=LOG_LEVELS[1])
    parser.add_argument("--use-sim-time", action="store_true", help="take the time from /clock")
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="[NODE:]FROM:=TO",
        help="rename a topic of all nodes or of one; may be given several times",
    )
    parser.add_argument("--respawn", action="store_true", help="start a node that died again")


def run(arguments: argparse.Namespace) -> int:
    """Run the nodes until they are told to stop; the exit code is 1 when one died."""
    from nn_perception.nodes.registry import parse_instances
    from nn_perception.nodes.starting import StartSettings, start_nodes

    return start_nodes(
        StartSettings(
            nodes=parse_instances(arguments.nodes),
            params_file=arguments.params_file,
            namespace=arguments.namespace,
            single_process=arguments.single_process,
            domain_id=arguments.domain_id,
            log_level=arguments.log_level,
            use_sim_time=arguments.use_sim_time,
            remappings=tuple(arguments.remap),
            respawn=arguments.respawn,
        )
    )
