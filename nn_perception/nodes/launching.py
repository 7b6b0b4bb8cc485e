"""What the launch files have in common: here alone `launch` and `launch_ros` are imported.

Arguments come from `launch_arguments`, commands for bags from `bag_commands`; nothing else that
could be wrong stands here, since `launch` comes with a ROS distribution only.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnShutdown
from launch.events import Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from nn_perception.errors import ConfigError
from nn_perception.module_command import module_command
from nn_perception.nodes import launch_arguments
from nn_perception.nodes.bag_commands import NodeTopics, play_command, record_command
from nn_perception.nodes.launch_arguments import Argument, is_true
from nn_perception.nodes.parameter_files import (
    check_parameter_file,
    full_name,
    overrides_text,
)
from nn_perception.nodes.process import dds_profile
from nn_perception.nodes.registry import PERCEPTION_NODES
from nn_perception.nodes.starting import TOGETHER
from nn_perception.nodes.supervisor import RESPAWN_DELAY_S
from nn_perception.share import share_path

PACKAGE = "nn_perception"
# For what the nodes still work on when the bag has ended.
SETTLE_S = 1.0

Given = Mapping[str, str]


def node_description(executable: str) -> LaunchDescription:
    """Return the description that starts one node, which configures and activates itself."""

    def start(context: LaunchContext, given: Given) -> list[Any]:
        return _start(context, [executable], f"{executable}.yaml", given)

    return _description(launch_arguments.of_node(executable), start)


def perception_description() -> LaunchDescription:
    """Return the description that starts all perception nodes but those switched off."""

    def start(context: LaunchContext, given: Given) -> list[Any]:
        return _start(context, _chosen(given), f"{TOGETHER}.yaml", given)

    return _description(launch_arguments.of_perception(), start)


def replay_description() -> LaunchDescription:
    """Return the description that plays a bag into the perception nodes once they are active."""

    def start(context: LaunchContext, given: Given) -> list[Any]:
        given = {**given, "use_sim_time": launch_arguments.TRUE}
        executables = _chosen(given)
        topics = [_topics(context, executable, given) for executable in executables]
        play = ExecuteProcess(
            cmd=play_command(given["bag"], topics, given["rate"], given["play_arguments"]),
            name="bag_play",
            output="screen",
        )
        ready = ExecuteProcess(
            cmd=[*module_command("nn_perception.nodes.ready"), *(t.node for t in topics)],
            name="ready",
            output="screen",
        )
        return [
            *_start(context, executables, f"{TOGETHER}.yaml", given),
            RegisterEventHandler(OnProcessExit(target_action=ready, on_exit=_after(play))),
            RegisterEventHandler(OnProcessExit(target_action=play, on_exit=_at_end(given))),
            ready,
        ]

    return _description(launch_arguments.of_replay(), start)


def _description(
    arguments: Iterable[Argument], start: Callable[[LaunchContext, Given], list[Any]]
) -> LaunchDescription:
    arguments = list(arguments)

    def run(context: LaunchContext) -> list[Any]:
        names = (argument.name for argument in arguments)
        return start(context, {name: LaunchConfiguration(name).perform(context) for name in names})

    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    each.name,
                    default_value=each.default,
                    description=each.description,
                    choices=None if each.choices is None else list(each.choices),
                )
                for each in arguments
            ),
            # Large images and many sensors need it between processes; a user's own goes first.
            *(
                SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=path))
                for name, path in dds_profile().items()
            ),
            OpaqueFunction(function=run),
        ]
    )


def _chosen(given: Given) -> list[str]:
    chosen = [name for name in PERCEPTION_NODES if is_true(given[name])]
    if not chosen:
        raise ConfigError(
            f"every node is switched off: say {next(iter(PERCEPTION_NODES))}:=true, or another one"
        )
    return chosen


def _start(
    context: LaunchContext, executables: Sequence[str], params_file: str, given: Given
) -> list[Any]:
    """Return what starts the nodes, in one process or one each, and the recorder.

    Raises:
        NnPerceptionError: an argument cannot be used; nothing has been started then.
    """
    path = Path(given["params_file"] or share_path("config") / params_file)
    names = {full_name(_namespace(context, given), each): each for each in executables}
    silent = ", ".join(check_parameter_file(path, names))
    notes = [LogInfo(msg=f"{path} says nothing about {silent}")] if silent else []
    values = {
        name: launch_arguments.overrides(executable, given) for name, executable in names.items()
    }
    record = _record(context, executables, given)
    files = [str(path)]
    if any(values.values()):
        files.append(_temporary_file(overrides_text(values)))
        notes.append(RegisterEventHandler(OnShutdown(on_shutdown=_remove(files[-1]))))
    if is_true(given.get("single_process", "")):
        return [*notes, *record, _process(TOGETHER, executables, executables, files, given)]
    return [*notes, *record, *(_process(each, [each], [], files, given) for each in executables)]


def _process(
    executable: str, nodes: Iterable[str], words: Sequence[str], files: Sequence[str], given: Given
) -> Node:
    remapped = [launch_arguments.remappings(node, given) for node in nodes]
    return Node(
        package=PACKAGE,
        executable=executable,
        namespace=given["namespace"],
        arguments=list(words),
        parameters=list(files),
        remappings=sorted({pair for each in remapped for pair in each.items()}),
        ros_arguments=["--log-level", given["log_level"]],
        respawn=is_true(given["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        output="screen",
    )


def _record(context: LaunchContext, executables: Sequence[str], given: Given) -> list[Any]:
    if not given["record"]:
        return []
    topics = [_topics(context, executable, given) for executable in executables]
    command = record_command(given["record"], topics, is_true(given["use_sim_time"]))
    return [ExecuteProcess(cmd=command, name="bag_record", output="screen")]


def _topics(context: LaunchContext, executable: str, given: Given) -> NodeTopics:
    # The node's module says what it publishes; it is imported only where that matters.
    module = importlib.import_module(f"nn_perception.nodes.{executable}")
    return NodeTopics(
        full_name(_namespace(context, given), executable),
        module.EXECUTABLE.topics,
        launch_arguments.remappings(executable, given),
    )


def _namespace(context: LaunchContext, given: Given) -> str:
    """Return the namespace that `Node` will have, below one that was pushed."""
    pushed = context.launch_configurations.get("ros_namespace")
    return str(make_namespace_absolute(prefix_namespace(pushed, given["namespace"])))


def _temporary_file(text: str) -> str:
    handle, path = tempfile.mkstemp(prefix="nn_perception_launch_", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _remove(path: str) -> Callable[..., None]:
    return lambda *_: Path(path).unlink(missing_ok=True)


def _after(play: ExecuteProcess) -> Callable[..., list[Any]]:
    """Return what to do when the nodes are active, or waiting for them has ended otherwise."""

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        return [] if context.is_shutdown or event.returncode else [play]

    return ended


def _at_end(given: Given) -> Callable[..., list[Any]]:
    """Return what to do when the bag has ended."""

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode:
            return _shutdown(f"'ros2 bag play' ended with exit code {event.returncode}")
        if not is_true(given["shutdown_at_end"]):
            return [LogInfo(msg="the bag has ended; the nodes go on")]
        return [TimerAction(period=SETTLE_S, actions=_shutdown("the bag has ended"))]

    return ended


def _shutdown(reason: str) -> list[Any]:
    return [LogInfo(msg=f"{reason}: stopping"), EmitEvent(event=Shutdown(reason=reason))]
