"""What a node runs: one immutable record of a model, built and checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.bundle import Bundle, load_bundle, resolve_model
from nn_perception.engine import Engine
from nn_perception.errors import ConfigError
from nn_perception.share import shipped_models
from nn_perception.tasks import Task
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.pipeline import Pipeline

MODEL_PARAMETERS = frozenset({"model", "device", "backend", "threads", "precision"})
"""Parameters whose change rebuilds the model; a pipeline's settings, where they may change, do so,
too."""


@dataclass(frozen=True)
class ActiveModel:
    """A model that is ready to serve. Replaced as a whole, so that two never mix.

    Attributes:
        name: the bundle's name as the parameter ``model`` gives it.
        pipeline: warmed up, with its bundle and engine; the worker's thread alone runs it.
    """

    name: str
    pipeline: Pipeline

    @property
    def bundle(self) -> Bundle:
        """The verified files that the pipeline was built from."""
        return self.pipeline.bundle

    @property
    def engine(self) -> Engine:
        """What runs the network, and where."""
        return self.pipeline.engine

    def __str__(self) -> str:
        return f"{self.name} ({self.bundle.id}) on {self.engine.device} ({self.engine.backend})"


def check_task(task: Task, executable: str, message_types: Iterable[str]) -> None:
    """Check that a task takes a message type that an executable feeds it with.

    Raises:
        ConfigError: it does not.
    """
    taken = {kind for spec in task.load_pipeline().inputs for kind in spec.types}
    if not taken & set(message_types):
        raise ConfigError(
            f"parameter 'task' got '{task.name}', which takes {' or '.join(sorted(taken))}, and "
            f"{executable} gets {' or '.join(message_types)}: choose another node or another task "
            "('nn-perception tasks')"
        )


def build_model(task: Task, values: Mapping[str, Any], settings: Iterable[str] = ()) -> ActiveModel:
    """Verify the bundle, build its engine and pipeline, and warm them up.

    Args:
        task: the task that the bundle must be for.
        values: the parameters ``model``, ``model_root``, ``device``, ``backend``, ``threads``,
            ``precision`` where the node has it, and the settings.
        settings: names of those parameters that the pipeline takes as keyword arguments.

    Raises:
        NnPerceptionError: any of this failed; the message says why and what to do.
    """
    pipeline = open_pipeline(
        verify_model(task, values),
        device=values["device"],
        threads=values["threads"],
        backend=values["backend"],
        precision=values.get("precision", "float32"),
        settings={name: values[name] for name in settings},
    )
    return ActiveModel(_name(task, values), pipeline)


def verify_model(task: Task, values: Mapping[str, Any]) -> Bundle:
    """Find the bundle below ``model_root`` and verify its files.

    Raises:
        BundleError: it is missing, damaged, foreign, or outside ``model_root``.
    """
    root = Path(values["model_root"]) if values["model_root"] else shipped_models()
    return load_bundle(resolve_model(_name(task, values), root.expanduser()), task=task.name)


def _name(task: Task, values: Mapping[str, Any]) -> str:
    return values["model"] or task.shipped_model(values)
