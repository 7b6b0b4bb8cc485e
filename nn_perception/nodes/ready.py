"""``python -m nn_perception.nodes.ready NODE ...``: ends when all of these nodes are active.

A bag that is played before would lose its beginning.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import rclpy
from rclpy.node import Node

from nn_perception.nodes.remote import RemoteError, RemoteNode
from nn_perception.nodes.spinning import SpinThread

REPORT_S = 5.0
INTERRUPTED = 130


def wait_until_active(targets: Sequence[str], report_s: float = REPORT_S) -> None:
    """Wait, without an end, until lifecycle nodes are active; say now and then which is not.

    Args:
        targets: full names.
        report_s: seconds between two lines about the same node.
    """
    context = rclpy.Context()
    context.init()
    node = Node("_perception_ready", context=context, use_global_arguments=False)
    remotes = [RemoteNode(node, target) for target in targets]
    spin = SpinThread(node, lambda error: print(error, file=sys.stderr, flush=True))
    try:
        for remote in remotes:
            _wait(remote, report_s)
    finally:
        if spin.stop():
            node.destroy_node()
        context.try_shutdown()


def _wait(remote: RemoteNode, report_s: float) -> None:
    while True:
        try:
            remote.wait_for_state("active", report_s)
        except RemoteError as error:
            print(f"waiting: {error}", file=sys.stderr, flush=True)
        else:
            return


def main(targets: Sequence[str] | None = None) -> int:
    """Wait for the nodes named on the command line; return the exit code."""
    try:
        wait_until_active(sys.argv[1:] if targets is None else targets)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
