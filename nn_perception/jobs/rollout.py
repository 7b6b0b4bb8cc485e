"""Sets a model on several nodes: on all of them or on none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nn_perception.jobs.cancelling import Cancellation
from nn_perception.jobs.files import JobError
from nn_perception.jobs.history import Ran


@dataclass(frozen=True)
class Running:
    """What a node says of itself.

    Attributes:
        task: its task.
        model_root: below which it looks for models.
        model: value of its parameter ``model``.
        id: of the bundle that truly runs; empty when none does.
        path: of that bundle; None when none runs.
    """

    task: str
    model_root: Path
    model: str
    id: str = ""
    path: Path | None = None

    @property
    def ran(self) -> Ran:
        """What a history keeps of it."""
        return Ran(self.model, self.id)


class Target(Protocol):
    """A node whose model can be changed.

    Attributes:
        name: fully qualified.
    """

    name: str

    def read(self) -> Running:
        """Return what it runs.

        Raises:
            NnPerceptionError: it does not answer, or is no node of this kind.
        """
        ...

    def set_model(self, model: str, expected_id: str = "") -> None:
        """Set its parameter ``model``, and see that this is what runs then.

        Raises:
            NnPerceptionError: it refuses, or does not answer; the message says why.
        """
        ...


class RolloutError(JobError):
    """A model that was not deployed; what ran before runs again unless the message says so."""


def relative_name(bundle: Path, running: Running, node: str) -> str:
    """Return the name by which a node finds a bundle: its path below the node's ``model_root``.

    Raises:
        JobError: it does not lie there.
    """
    root = running.model_root.resolve()
    resolved = bundle.parent.resolve() / bundle.name
    if not resolved.is_relative_to(root):
        raise JobError(
            f"{node} loads models below {root} only, and the trainer writes into "
            f"{resolved.parent}: give both the same directory (the node's model_root, the "
            "trainer's out)"
        )
    return os.fspath(resolved.relative_to(root))


def check_target(node: str, running: Running, task: str, out: Path) -> None:
    """Check that a node can get bundles of a task written below ``out``.

    Raises:
        JobError: it has another task, or does not look there for models.
    """
    if running.task != task:
        raise JobError(
            f"{node} runs the task '{running.task}', the trainer trains '{task}': take it out of "
            "target_nodes, or start a trainer for its task"
        )
    relative_name(out / "BUNDLE", running, node)


def roll_out(
    targets: Sequence[Target],
    bundle: Path,
    bundle_id: str,
    before: Mapping[str, Running],
    cancellation: Cancellation,
) -> None:
    """Set a bundle on all targets; when one refuses, set those back that took it.

    Args:
        targets: the nodes, in the order in which they are changed.
        bundle: its directory.
        bundle_id: its identity, by which is seen that it runs.
        before: what each ran, see `Target.read`.
        cancellation: counts as a refusal.

    Raises:
        RolloutError: one refused, did not answer or another thing went wrong.
    """
    changed: list[Target] = []
    for target in targets:
        try:
            cancellation.check()
            name = relative_name(bundle, before[target.name], target.name)
            # One that fails may have changed all the same, such as when its answer is lost.
            changed.append(target)
            target.set_model(name, bundle_id)
        except Exception as error:
            text = f"{target.name} did not take {bundle.name}: {error}"
            with cancellation.shielded():
                text += set_back(changed, before)
            raise RolloutError(text) from error


def set_back(targets: Sequence[Target], before: Mapping[str, Running]) -> str:
    """Give targets what they ran before; return what is to be said of it, in words."""
    restored, failed = [], []
    for target in reversed(targets):
        try:
            if target.read().model != before[target.name].model:
                target.set_model(before[target.name].model, before[target.name].id)
                restored.append(target.name)
        except Exception as error:
            failed.append(f"{target.name} ({error})")
    text = f"; set back: {', '.join(restored)}" if restored else ""
    if failed:
        text += f"; NOT set back, look after it: {', '.join(failed)}"
    return text
