"""The thread of a trainer node that sees a training through."""

from __future__ import annotations

import dataclasses
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.node import Node

from nn_perception.config import parse_overrides
from nn_perception.errors import ConfigError, NnPerceptionError
from nn_perception.jobs import status as states
from nn_perception.jobs.cancelling import Cancellation
from nn_perception.jobs.decision import IF_BETTER
from nn_perception.jobs.files import JobError, Workplace
from nn_perception.jobs.flow import Flow, Policy
from nn_perception.jobs.history import History
from nn_perception.jobs.recovery import undo_unfinished
from nn_perception.jobs.spec import JobSpec
from nn_perception.jobs.status import Status
from nn_perception.nodes.spinning import SpinThread
from nn_perception.nodes.target import RemoteTarget

END_S = 1.0
"""Longest time between the last status of a training and the end of its thread."""

ACTIVE = "active"
"""Value of the parameter ``init`` that stands for what the first target runs."""


class TrainerWorker:
    """Runs one training at a time beside the node's own thread."""

    def __init__(
        self, node: Node, place: Workplace, lock: int, tell: Callable[[Status], None]
    ) -> None:
        """Start the hidden node by which others are asked.

        Args:
            node: whose context, namespace and logger are used.
            place: where bundles are written.
            lock: descriptor that children inherit.
            tell: called with each new status, in this thread.
        """
        self._place, self._lock, self._publish = place, lock, tell
        self._last = Status()
        self._log = node.get_logger()
        # A node of its own: its answers must come while the trainer's own thread waits.
        self._client = Node(
            f"_{node.get_name()}_client",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._targets: dict[str, RemoteTarget] = {}
        self._cancellation = Cancellation()
        self._spin = SpinThread(self._client, self._on_error)
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def train(self, values: Mapping[str, Any]) -> str:
        """Begin a training with the node's parameters; return what is to be said.

        Raises:
            NnPerceptionError: one runs already, or a parameter cannot be used.
        """
        if self._thread is not None and not self._last.running:
            self._thread.join(END_S)  # its end is told already; who acts on that shall not wait
        if self.busy:
            what = self._last.progress
            raise JobError(f"something runs already ({what}): see ~/status, or end it by ~/cancel")
        spec = _specification(values, self._place.out)
        policy = Policy(values["deploy"], values["margin"], values["keep"])
        names = target_names(values["target_nodes"])
        if values["init"] == ACTIVE and not names:
            raise ConfigError("init is 'active', but there are no target_nodes: name one")
        self._last = Status(states.PREPARING)
        self._begin(lambda: self._run(spec, policy, names, values["init"]))
        return f"training of {spec.task} on {spec.data} begins: see ~/status"

    def recover(self, status: Status) -> None:
        """Put right what a trainer that was killed while deploying left, and tell ``status``."""
        if History(self._place.history).unfinished() is None:
            return

        def undo() -> None:
            try:
                text = undo_unfinished(History(self._place.history), self._target)
            except NnPerceptionError as error:
                text = f"a deployment was cut short, and cannot be put right: {error}"
            self._log.warning(text)
            self._tell(Status(states.INTERRUPTED, f"{text}; {status.message}"))

        self._tell(Status(states.DEPLOYING, "puts right what an earlier trainer left"))
        self._begin(undo)

    def stop(self, timeout_s: float) -> bool:
        """Cancel what runs and wait for its end; False when it did not end in time."""
        thread = self._thread
        if thread is None:
            return True
        self._cancellation.ask()
        thread.join(timeout_s)
        return not thread.is_alive()

    def close(self, timeout_s: float) -> None:
        """Stop, and free the hidden node."""
        if self.stop(timeout_s) and self._spin.stop():
            self._client.destroy_node()

    def _tell(self, status: Status) -> None:
        self._last = status
        self._publish(status)

    def _begin(self, work: Callable[[], None]) -> None:
        self._cancellation = Cancellation()
        self._thread = threading.Thread(target=work, name="trainer", daemon=True)
        self._thread.start()

    def _run(self, spec: JobSpec, policy: Policy, names: Sequence[str], init: str) -> None:
        try:
            targets = [self._target(name) for name in names]
            if init == ACTIVE:
                spec = _beginning_with(spec, targets[0])
        except Exception as error:
            self._tell(Status(states.FAILED, str(error)))
            self._log.error(str(error))
            return
        flow = Flow(
            spec,
            policy,
            targets,
            lock=self._lock,
            tell=self._tell,
            cancellation=self._cancellation,
            say=self._log.info,
        )
        status = flow.run()
        say = self._log.error if status.state == states.FAILED else self._log.info
        say(f"{status.state}: {status.message}")

    def _target(self, name: str) -> RemoteTarget:
        """Return a node; its clients are made once, since they are costly to discover."""
        if name not in self._targets:
            self._targets[name] = RemoteTarget(self._client, name, self._alive)
        return self._targets[name]

    def _alive(self) -> None:
        self._cancellation.check()

    def _on_error(self, error: Exception) -> None:
        self._log.error(f"what a target sent cannot be used: {error}")


def target_names(text: str) -> list[str]:
    """Return the fully qualified names in a text that separates them by commas.

    Raises:
        ConfigError: one stands there twice.
    """
    names = [f"/{word.strip().lstrip('/')}" for word in text.split(",") if word.strip()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"target_nodes names {sorted(twice)[0]} twice: name each node once")
    return names


def _specification(values: Mapping[str, Any], out: Path) -> JobSpec:
    """Make the specification of a training from parameters.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if not values["data"]:
        raise ConfigError("the parameter 'data' is empty: set a bag, a data set or a directory")
    for name in ("config", "signing_key"):
        if values[name] and not Path(values[name]).expanduser().is_file():
            raise ConfigError(f"{name} names {values[name]}, which is no file: correct the path")
    overrides = _words(values, "overrides")
    overrides["device"] = values["device"]
    if values["seed"] >= 0:
        overrides["seed"] = values["seed"]
    names = target_names(values["target_nodes"])
    return JobSpec(
        task=values["task"],
        data=_path(values["data"]),
        out=out,
        test_data=_path(values["test_data"]),
        data_settings=_words(values, "data_settings"),
        config=_path(values["config"]),
        recipe=values["recipe"],
        overrides=overrides,
        signing_key=_path(values["signing_key"]),
        init="" if values["init"] == ACTIVE else _path(values["init"]),
        needs_test=values["deploy"] == IF_BETTER and bool(names),
        nice=values["nice"],
    )


def _words(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the keys and values in a parameter's text."""
    try:
        return parse_overrides(shlex.split(values[name]))
    except ValueError as error:
        raise ConfigError(f"{name} cannot be read ({error}): close the quotes") from None


def _path(text: str) -> str:
    return str(Path(text).expanduser()) if text else ""


def _beginning_with(spec: JobSpec, target: RemoteTarget) -> JobSpec:
    """Let a training begin with what a node runs.

    Raises:
        NnPerceptionError: it runs nothing, or does not answer.
    """
    path = target.read().path
    if path is None:
        raise ConfigError(f"init is 'active', but {target.name} runs no model: give a path")
    return dataclasses.replace(spec, init=str(path))
