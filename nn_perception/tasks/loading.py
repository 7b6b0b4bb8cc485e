"""From a bundle on disk to a pipeline that is ready to run."""

from __future__ import annotations

from pathlib import Path

from nn_perception.bundle import Bundle, load_bundle
from nn_perception.engine import create_engine, warm_up
from nn_perception.tasks import get_task
from nn_perception.tasks.pipeline import Pipeline


def open_pipeline(
    bundle: Bundle | Path | str,
    *,
    device: str = "auto",
    threads: int = 1,
    backend: str = "auto",
) -> Pipeline:
    """Verify a bundle, build its engine, warm it up, and return the task's pipeline.

    Raises:
        BundleError: the bundle is missing, damaged or foreign.
        EngineError: the network cannot be run, or gives numbers that are not finite.
    """
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    engine = create_engine(loaded, device, threads, backend)
    warm_up(engine, loaded)
    pipeline: Pipeline = get_task(loaded.task).load_pipeline()(loaded, engine)
    return pipeline
