"""Runs nodes in a process: signals, executor, exit code."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from nn_perception.errors import NnPerceptionError
from nn_perception.nodes.parameter_text import help_text
from nn_perception.nodes.parameters import TABLES

if TYPE_CHECKING:
    from nn_perception.nodes.base import PerceptionNode

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SPIN_TIMEOUT_S = 0.5
STOP_TIMEOUT_S = 30.0
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


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


def run(nodes: Sequence[tuple[Executable, type[PerceptionNode]]], args: list[str] | None) -> int:
    """Run nodes in this process until a signal or the end of the ROS context.

    Args:
        nodes: what to run, each with its description.
        args: the command line with the program's name; None takes ``sys.argv``.

    Returns:
        0 after a clean end, 1 after a failure, 2 for a wrong command line or parameter.
    """
    args = sys.argv if args is None else args
    if {"-h", "--help"} & set(_before_ros_args(args)):
        print("\n\n".join(usage(executable) for executable, _ in nodes))
        return EXIT_OK
    stop = _Stop()
    # Python's own handlers instead of rclpy's: they raise nothing into a callback or a destructor,
    # so that a second Ctrl-C, too, only says once more what is being done already.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.request())
    # The thread that takes a message in must get the GIL soon from one that builds a model;
    # Python's 5 ms per turn made gaps of 30 to 60 ms in a stream during a swap.
    sys.setswitchinterval(0.0005)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:
        return _usage_error(f"cannot start ROS: {error}")
    try:
        unknown = remove_ros_args(args)[1:]
        if unknown:
            return _usage_error(f"unknown arguments {unknown}; see --help")
        return _run([node_class for _, node_class in nodes], stop)
    except NnPerceptionError as error:
        return _usage_error(str(error))
    finally:
        rclpy.try_shutdown()


def usage(executable: Executable) -> str:
    """Return the text of ``--help``."""
    rows = "\n".join(f"  {way:<10} {topic:<22} {what}" for way, topic, what in executable.topics)
    return (
        f"usage: {executable.name} [--ros-args -p NAME:=VALUE ... -r FROM:=TO ... "
        "--params-file FILE]\n\n"
        f"{executable.summary} A lifecycle node; it starts by itself unless autostart is false.\n\n"
        f"topics\n{rows}\n\nparameters\n{help_text(TABLES[executable.name])}"
    )


def _run(classes: Sequence[type[PerceptionNode]], stop: _Stop) -> int:
    nodes: list[PerceptionNode] = []
    control: _Control | None = None
    try:
        for node_class in classes:
            nodes.append(node_class())
        for node in nodes:
            if not stop.requested:
                node.autostart()
        control = _Control(nodes, stop)
        # The main thread only waits: there a signal handler runs at once.
        stop.wait()
    finally:
        stop.request()
        if control is not None and not control.join(STOP_TIMEOUT_S):
            # A callback hangs in foreign code. Leaving the normal way would abort the process
            # when the interpreter tears down what that callback uses.
            print(f"a callback did not end within {STOP_TIMEOUT_S:.0f} s", file=sys.stderr)
            sys.stderr.flush()
            os._exit(EXIT_FAILED)
        for node in nodes:
            node.destroy_node()
    return EXIT_OK


class _Stop:
    """The wish to end, which a signal handler may express at any moment, within another one, too.

    Not a `threading.Event`: a handler that runs while its own thread is inside ``set`` or ``wait``
    would wait for a lock that this very thread holds. `queue.SimpleQueue.put` is reentrant.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.requested = False

    def request(self) -> None:
        self.requested = True
        self._requests.put(None)

    def wait(self) -> None:
        self._requests.get()


class _Control:
    """The executor of the nodes' parameters, transitions and timers, in a thread."""

    def __init__(self, nodes: Sequence[PerceptionNode], stop: _Stop) -> None:
        self._stop = stop
        self._executor = SingleThreadedExecutor()
        for node in nodes:
            self._executor.add_node(node)
        self._logger = nodes[0].get_logger()
        self._thread = threading.Thread(target=self._spin, name="control", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        self._executor.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._executor.shutdown()
        return True

    def _spin(self) -> None:
        while not self._stop.requested and rclpy.ok():
            try:
                self._executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
            except ExternalShutdownException:
                break
            except Exception:
                # Such as a request that is not valid UTF-8. The stream must not end for it.
                self._logger.error(f"a callback failed: {traceback.format_exc()}")
        self._stop.request()


def _before_ros_args(args: Sequence[str]) -> list[str]:
    return list(args[: args.index("--ros-args")] if "--ros-args" in args else args)


def _usage_error(text: str) -> int:
    print(text, file=sys.stderr)
    return EXIT_USAGE
