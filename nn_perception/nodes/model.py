"""What a node runs: one immutable record of a model, built and checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.bundle import Bundle, load_bundle, resolve_model
from nn_perception.engine import Engine
from nn_perception.engine_trial import remember, try_network
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


def build_model(
    task: Task, values: Mapping[str, Any], settings: Iterable[str] = (), trial: bool = False
) -> ActiveModel:
    """Verify the bundle, build its engine and pipeline, and warm them up.

    Args:
        task: the task that the bundle must be for.
        values: the parameters of every node, ``precision`` where the node has it, and the
            settings.
        settings: names of those parameters that the pipeline takes as keyword arguments.
        trial: whether a network that this process has not yet run is first run in a process of its
            own, since another model serves here, which must not go down with this one.

    Raises:
        NnPerceptionError: any of this failed; the message says why and what to do.
    """
    bundle = verify_model(task, values)
    if trial:
        try_network(bundle)
    pipeline = open_pipeline(
        bundle,
        device=values["device"],
        threads=values["threads"],
        backend=values["backend"],
        precision=values.get("precision", "float32"),
        settings={name: values[name] for name in settings},
    )
    if pipeline.engine.backend == "onnxruntime":
        remember(bundle)
    return ActiveModel(_name(task, values), pipeline)


def verify_model(task: Task, values: Mapping[str, Any]) -> Bundle:
    """Find the bundle below ``model_root`` and verify its files, and its signature if required.

    Raises:
        BundleError: it is missing, damaged, foreign, outside ``model_root``, or not signed by a
            trusted key where that is required.
        ConfigError: a signature is required and there are no trusted keys.
    """
    # The package's own models may be links (colcon build --symlink-install); others may not.
    chosen = values["model_root"]
    root = Path(chosen).expanduser() if chosen else shipped_models()
    path = resolve_model(_name(task, values), root)
    return load_bundle(
        path,
        task=task.name,
        trusted_keys=_trusted_keys(values),
        model_root=root if chosen else None,
    )


def _trusted_keys(values: Mapping[str, Any]) -> str | None:
    if not values["require_signature"]:
        return None
    if not values["trusted_keys"]:
        raise ConfigError(
            "require_signature is true and trusted_keys names no key: give a file or directory of "
            "public keys ('nn-perception sign --new-key FILE' writes FILE.pub)"
        )
    return str(values["trusted_keys"])


def _name(task: Task, values: Mapping[str, Any]) -> str:
    return values["model"] or task.shipped_model(values)
