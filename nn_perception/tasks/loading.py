"""From a bundle on disk to a pipeline that is ready to run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nn_perception.bundle import Bundle, load_bundle
from nn_perception.engine import Engine, create_engine, warm_up
from nn_perception.errors import TaskError
from nn_perception.tasks import get_task
from nn_perception.tasks.pipeline import Pipeline


def open_pipeline(
    bundle: Bundle | Path | str,
    *,
    device: str = "auto",
    threads: int = 1,
    backend: str = "auto",
    precision: str = "float32",
    settings: Mapping[str, Any] | None = None,
    bag: Path | None = None,
    for_data: bool = False,
) -> Pipeline:
    """Verify a bundle, build its engine, warm it up, and return the task's pipeline.

    Args:
        bundle: verified, or where it lies.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        threads: CPU threads of one call of the network.
        backend: ``"auto"``, ``"onnxruntime"`` or ``"torch"``.
        precision: of the network on a GPU, see `create_engine`.
        settings: keyword arguments of the task's pipeline class, such as ``sensor_delay_s``.
        bag: a recording whose own settings hold where ``settings`` has none, for tasks whose
            evaluation has ``settings_in_bag(path)``.
        for_data: whether nothing but `evaluate_data` will be called. Where a task's evaluation has
            ``needs_pipeline = False``, since its recordings bring what a pipeline has to be told,
            bundle and engine are returned alone, as an `Opened`.

    Raises:
        TaskError: the task is unknown, or its pipeline takes no such settings.
        BundleError: the bundle is missing, damaged or foreign.
        EngineError: the network cannot be run, or gives numbers that are not finite.
    """
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    task, given = get_task(loaded.task), dict(settings or {})
    pipeline_class: Any = task.load_pipeline()
    _check_settings(pipeline_class, given, loaded.task)
    if bag is not None:
        in_bag = getattr(task.load_evaluation(), "settings_in_bag", None)
        given = {**(in_bag(bag) if in_bag else {}), **given}
    engine = create_engine(loaded, device, threads, backend, precision)
    warm_up(engine, loaded)
    if for_data and not getattr(task.load_evaluation(), "needs_pipeline", True):
        pipeline_class = Opened
    pipeline: Pipeline = pipeline_class(loaded, engine, **given)
    return pipeline


class Opened(NamedTuple):
    """A bundle with its engine, in place of a pipeline."""

    bundle: Bundle
    engine: Engine


def setting_names(pipeline_class: Any) -> tuple[str, ...] | None:
    """Return the names of the settings that a pipeline's class takes; None: it takes any."""
    known = inspect.signature(pipeline_class).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return None
    return tuple(known)[2:]  # behind bundle and engine


def _check_settings(pipeline_class: Any, settings: Mapping[str, Any], task: str) -> None:
    """Say which settings there are, before an engine is built in vain."""
    names = setting_names(pipeline_class)
    for name in settings:
        if names is not None and name not in names:
            raise TaskError(
                f"task '{task}' has no setting '{name}' (there are: {', '.join(names) or 'none'})"
            )
