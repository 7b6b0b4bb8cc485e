"""Sets a live node's model back to what it ran before the last deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.node import Node

from nn_perception.errors import nearest
from nn_perception.jobs import history as events
from nn_perception.jobs.files import JobError
from nn_perception.jobs.history import History, Ran, previous_of
from nn_perception.jobs.listing import find_history, rows_of_node
from nn_perception.jobs.rollout import Running
from nn_perception.nodes.remote import RemoteError
from nn_perception.nodes.spinning import SpinThread
from nn_perception.nodes.target import RemoteTarget

Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        node: fully qualified name.
        before: what it ran.
        now: what it runs.
        history: the file in which it is recorded.
    """

    node: str
    before: Ran
    now: Ran
    history: Path


def roll_back(name: str, to: str | None = None, history: Path | None = None) -> RolledBack:
    """Set a node's model to what it ran before its last deployment, and record that.

    Args:
        name: of the node, fully qualified or without the first slash.
        to: a model below the node's ``model_root`` instead; empty: the shipped one.
        history: the file; None looks below the node's ``model_root``.

    Raises:
        NnPerceptionError: the node is not there, refuses, or has no history.
    """
    with _target(name) as target:
        running = target.read()
        if to is not None:
            return _choose(target, running, to, history)
        record = _history(target.name, running, history)
        stack = record.way_back(target.name)
        if not stack:
            raise JobError(
                f"{record.path} has no deployment on {target.name} that is still to be taken back: "
                "see --list, or name a model with --to"
            )
        before, now = running.ran, stack[-1]
        # In this order: killed in between, the same command does the same again. In the other it
        # would go one step too far back.
        target.set_model(now.model, now.id)
        record.add(
            events.ROLLBACK,
            node=target.name,
            **{"from": vars(before), "to": vars(now)},
        )
        return RolledBack(target.name, before, now, record.path)


def list_history(name: str, history: Path | None = None) -> list[Row]:
    """Return what happened to a node's model; see `nn_perception.jobs.listing`.

    Raises:
        NnPerceptionError: there is no history, or the node that would tell where is not there.
    """
    if history is not None:
        return rows_of_node(_named(history), _full(name))
    with _target(name) as target:
        return rows_of_node(_history(target.name, target.read(), None), target.name)


def _choose(target: RemoteTarget, running: Running, to: str, history: Path | None) -> RolledBack:
    """Set a model that somebody named; a later rollback takes that back."""
    path = history or _place(target.name, running)
    before = running.ran
    target.set_model(to)
    now = target.read().ran
    History(path).add(
        events.CHOSEN,
        node=target.name,
        bundle=to,
        id=now.id,
        previous=previous_of({target.name: before}),
    )
    return RolledBack(target.name, before, now, path)


def _place(node: str, running: Running) -> Path:
    """Return the history that knows the node, else where a first one is to be."""
    try:
        return _history(node, running, None).path
    except JobError:
        return running.model_root / "history.jsonl"


def _history(node: str, running: Running, history: Path | None) -> History:
    if history is not None:
        return _named(history)
    beside = [running.path.parent] if running.path is not None else []
    return find_history(node, [*beside, running.model_root])


def _named(path: Path) -> History:
    if not path.is_file():
        raise JobError(f"no history at {path}: expected a trainer's history.jsonl")
    return History(path)


@contextmanager
def _target(name: str) -> Iterator[RemoteTarget]:
    """Give the node of a name, with a ROS context of our own around it."""
    context = rclpy.Context()
    context.init()
    client = Node("_rollback", context=context, use_global_arguments=False, enable_rosout=False)
    try:
        target = RemoteTarget(client, _full(name))
        spin = SpinThread(client, lambda error: None)
        try:
            try:
                yield target
            except RemoteError as error:
                raise RemoteError(f"{error}{_hint(client, _full(name))}") from error
        finally:
            spin.stop()
    finally:
        client.destroy_node()
        context.try_shutdown()


def _hint(client: Node, wanted: str) -> str:
    """Name the nearest node where the wanted one is not there."""
    found = [
        f"{space.rstrip('/')}/{name}" for name, space in client.get_node_names_and_namespaces()
    ]
    visible: Sequence[str] = sorted(
        name for name in found if not name.rpartition("/")[2].startswith("_")
    )
    if wanted in visible:
        return ""
    return f"{nearest(wanted, visible)} (nodes that are there: {', '.join(visible) or 'none'})"


def _full(name: str) -> str:
    return f"/{name.strip('/')}"
