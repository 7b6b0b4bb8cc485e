"""Runs nodes in a process: command line, signals, threads, exit code."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from nn_perception.errors import ConfigError, NnPerceptionError
from nn_perception.nodes.control import ControlThread, Stop
from nn_perception.nodes.parameter_text import help_text
from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.process import on_stop_signals
from nn_perception.nodes.processing_time import TOPIC as TIMING_TOPIC

if TYPE_CHECKING:
    from nn_perception.nodes.table_node import TableNode

STOP_TIMEOUT_S = 30.0
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

COMMON_TOPICS = (
    ("publishes", TIMING_TOPIC, "std_msgs/Float64, taken to published, for subscribers"),
    ("publishes", "~/active_model", "diagnostic_msgs/DiagnosticStatus (latched)"),
    ("publishes", "/diagnostics", "diagnostic_msgs/DiagnosticArray"),
)
"""Rows of `Executable.topics` that every perception node has."""


class NodeStartError(NnPerceptionError):
    """A node that cannot be run here, whatever the command line says."""


@dataclass(frozen=True)
class Executable:
    """What ``--help`` tells about a node.

    Attributes:
        name: of the executable, the node and its parameter table.
        summary: one sentence.
        topics: rows of (``"subscribes"`` or ``"publishes"``, topic, type and remark).
    """

    name: str
    summary: str
    topics: tuple[tuple[str, str, str], ...]


def run(nodes: Sequence[tuple[Executable, type[TableNode]]], args: list[str] | None) -> int:
    """Run nodes under the names of their executables; see `serve`.

    Args:
        nodes: what to run, each with its description.
        args: the command line with the program's name; None takes ``sys.argv``.
    """
    args = sys.argv if args is None else args
    if asks_for_help(args):
        print("\n\n".join(usage(executable) for executable, _ in nodes))
        return EXIT_OK

    def choose(words: list[str]) -> dict[str, type[TableNode]]:
        if words:
            raise ConfigError(f"unknown arguments {words}; see --help")
        return {executable.name: node_class for executable, node_class in nodes}

    return serve(choose, args)


def serve(choose: Callable[[list[str]], Mapping[str, type[TableNode]]], args: list[str]) -> int:
    """Run nodes in this process until a signal or the end of the ROS context.

    Args:
        choose: gets the words that are not for ROS, and returns name -> class; may raise
            ConfigError or NodeStartError.
        args: the command line with the program's name.

    Returns:
        0 after a clean end, 1 after a failure, 2 for a wrong command line or parameter.
    """
    stop = Stop()
    # Python's own handlers instead of rclpy's: they raise nothing into a callback or a destructor,
    # so that a second Ctrl-C, too, only says once more what is being done already.
    on_stop_signals(lambda *_: stop.request())
    # The thread that takes a message in must get the GIL soon from one that builds a model;
    # Python's 5 ms per turn made gaps of 30 to 60 ms in a stream during a swap. An answer takes the
    # GIL several times, and ranges come each 2 ms.
    sys.setswitchinterval(0.0001)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:
        return _say(f"cannot start ROS: {error}", EXIT_USAGE)
    try:
        return _run(choose(remove_ros_args(args)[1:]), stop)
    except NodeStartError as error:
        return _say(str(error), EXIT_FAILED)
    except NnPerceptionError as error:
        return _say(str(error), EXIT_USAGE)
    finally:
        rclpy.try_shutdown()


def asks_for_help(args: Sequence[str]) -> bool:
    """Tell whether ``-h`` or ``--help`` stands before ``--ros-args``."""
    own = args[: args.index("--ros-args")] if "--ros-args" in args else args
    return bool({"-h", "--help"} & set(own))


def usage(executable: Executable) -> str:
    """Return the text of ``--help``."""
    width = max(len(topic) for _, topic, _ in executable.topics)
    rows = "\n".join(
        f"  {way:<10} {topic:<{width}} {what}" for way, topic, what in executable.topics
    )
    return (
        f"usage: {executable.name} [--ros-args -p NAME:=VALUE ... -r FROM:=TO ... "
        "--params-file FILE]\n\n"
        f"{executable.summary} A lifecycle node; it starts by itself unless autostart is false.\n\n"
        f"topics\n{rows}\n\nparameters\n{help_text(TABLES[executable.name])}"
    )


def _run(classes: Mapping[str, type[TableNode]], stop: Stop) -> int:
    nodes: list[TableNode] = []
    controls: list[ControlThread] = []
    try:
        for name, node_class in classes.items():
            nodes.append(_create(name, node_class))
        _check_names(nodes)
        controls += [ControlThread(node, stop) for node in nodes]
        # The main thread only waits: there a signal handler runs at once.
        stop.wait()
    finally:
        stop.request()
        _join(controls)
        for node in nodes:
            node.destroy_node()
    return EXIT_OK


def _create(name: str, node_class: type[TableNode]) -> TableNode:
    try:
        return node_class(name=name)
    except NnPerceptionError as error:
        raise ConfigError(f"{name}: {error}") from None
    except Exception as error:
        traceback.print_exc()
        raise NodeStartError(f"{name} could not be created: {error}") from error


def _check_names(nodes: Sequence[TableNode]) -> None:
    """Refuse nodes that a remapping gave the same name: their services would be one another's.

    Raises:
        ConfigError: it did.
    """
    for name, count in Counter(node.get_fully_qualified_name() for node in nodes).items():
        if count > 1:
            raise ConfigError(
                f"{count} nodes are named '{name}' by a remapping of __node: say NAME=EXECUTABLE, "
                "or remap one node alone (-r NAME:__node:=OTHER)"
            )


def _join(controls: Sequence[ControlThread]) -> None:
    for control in controls:
        control.wake()
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    left = [one.name for one in controls if not one.join(max(0.0, deadline_s - time.monotonic()))]
    if left:
        # A callback hangs in foreign code. Leaving the normal way would abort the process when the
        # interpreter tears down what that callback uses.
        text = f"a callback of {', '.join(left)} did not end within {STOP_TIMEOUT_S:.0f} s"
        code = _say(text, EXIT_FAILED)
        sys.stderr.flush()
        os._exit(code)


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
