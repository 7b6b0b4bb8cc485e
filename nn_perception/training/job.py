"""The child's first stage: bags -> data set -> network -> bundle under its final name.

Whatever kills it at whatever moment, the same job goes on from what is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nn_perception.bundle import Bundle, load_bundle
from nn_perception.bundle_signature import sign_bundle
from nn_perception.config import from_mapping, read_yaml, to_mapping
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.held_out import has_held_out_part, is_word
from nn_perception.datasets.recorded import is_dataset
from nn_perception.datasets.sources import is_bag
from nn_perception.errors import BundleError, ConfigError, DatasetError, TrainingError
from nn_perception.jobs.files import (
    Workplace,
    read_json,
    remove_tree,
    sync_directory,
    write_json,
)
from nn_perception.jobs.progress import ProgressWriter
from nn_perception.jobs.spec import JobSpec
from nn_perception.tasks import get_task
from nn_perception.training.checkpoint import load_checkpoint
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config, train_task

LOGGER = logging.getLogger(__name__)


def train_job(spec: JobSpec, progress: ProgressWriter) -> None:
    """Do the job, or go on with it, and leave the bundle below ``spec.out``.

    `Workplace.published` then names the bundle and the held-out data.

    Raises:
        NnPerceptionError: it cannot be done; the message says why and what to do.
    """
    place = spec.workplace
    config = resolve_config(
        spec.task,
        read_yaml(Path(spec.config)) if spec.config else {},
        spec.overrides,
        spec.recipe or None,
    )
    held_out = find_held_out(spec)
    _begin_or_go_on(place, _identity(spec, config))
    if _is_published(place):
        return
    bundle = _trained_before(place, spec.task)
    if bundle is None:
        data = _prepare(spec, progress)
        bundle = _train(spec, config, data, progress)
    if spec.signing_key:
        sign_bundle(place.bundle, Path(spec.signing_key))
    publish(place, bundle, str(place.dataset) if held_out is None else held_out)


def find_held_out(spec: JobSpec) -> str | None:
    """Return what bundles are to be compared on; None: the data set that is made from bags.

    An empty text stands for nothing, where nothing has to be compared.

    Raises:
        DatasetError: there is nothing, or the data are not there.
    """
    if not is_word(spec.data) and not Path(spec.data).exists():
        raise DatasetError(f"{spec.data}: does not exist; correct the parameter 'data'")
    if spec.test_data:
        if not is_word(spec.test_data) and not Path(spec.test_data).exists():
            raise DatasetError(f"{spec.test_data}: does not exist; correct 'test_data'")
        return spec.test_data
    if bags_of(spec.data):
        return None
    if has_held_out_part(spec.data):
        return spec.data
    if spec.needs_test:
        raise DatasetError(
            f"{spec.data} has no part that is held out, on which the new network could be compared "
            "with what runs: set the parameter 'test_data', give bags, or set deploy to never or "
            "always"
        )
    return ""


def bags_of(data: str) -> list[Path]:
    """Return the bags that data are: one, or those of a directory of nothing but bags."""
    path = Path(data)
    if is_word(data) or is_dataset(path):
        return []
    if is_bag(path):
        return [path]
    if not path.is_dir():
        return []
    children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".")]
    return children if children and all(is_bag(child) for child in children) else []


def publish(place: Workplace, bundle: Bundle, held_out: str) -> None:
    """Give the bundle its name; the name is written first, so that a kill in between loses nothing.

    Raises:
        JobError: the disk is full or cannot be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    name = f"{bundle.task}-{stamp}-{bundle.id}"
    write_json(place.published, {"bundle": name, "id": bundle.id, "test_data": held_out})
    place.bundle.rename(place.out / name)
    sync_directory(place.out)


def _is_published(place: Workplace) -> bool:
    """Whether the bundle has its name already, or gets it now."""
    name = read_json(place.published).get("bundle")
    if not name:
        return False
    final = place.out / str(name)
    if not final.exists() and place.bundle.is_dir():
        place.bundle.rename(final)
        sync_directory(place.out)
    if final.exists():
        LOGGER.info("the training is done already: %s", name)
        return True
    place.published.unlink()
    return False


def _trained_before(place: Workplace, task: str) -> Bundle | None:
    if not place.bundle.exists():
        return None
    try:
        return load_bundle(place.bundle, task=task)
    except BundleError as error:
        LOGGER.warning("trains again: %s", error)
        remove_tree(place.bundle)
        return None


def _begin_or_go_on(place: Workplace, identity: dict[str, Any]) -> None:
    """Keep what an earlier run of the same job has made, and remove that of another one."""
    place.sweep()
    known = read_json(place.identity)
    if known == identity:
        return
    if known:
        LOGGER.info("another configuration or other data than before: starts anew")
    place.forget_products()
    write_json(place.identity, identity)


def _identity(spec: JobSpec, config: TrainingConfig) -> dict[str, Any]:
    """Return what must be the same for a job to go on: configuration and data, not the device."""
    values = {**to_mapping(config), "device": ""}
    begun = load_bundle(spec.init, task=spec.task).id if spec.init else ""
    data = [spec.data, spec.test_data, spec.data_settings, _listing(spec.data)]
    parts = [spec.task, values, begun, data]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return {"task": spec.task, "data": spec.data, "sha256": digest}


def _listing(data: str) -> list[list[Any]]:
    """Return name, size and time of change of each file: data that grew are other data."""
    path = Path(data)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = ((str(file), file.stat()) for file in files if file.is_file())
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _prepare(spec: JobSpec, progress: ProgressWriter) -> Path:
    """Return what is to be trained on; bags become a data set first."""
    bags = bags_of(spec.data)
    if not bags:
        return Path(spec.data)
    target = spec.workplace.dataset
    if is_dataset(target):
        return target
    from nn_perception.datasets.build import build_dataset  # needs Arrow, which other data do not

    remove_tree(target)
    LOGGER.info("data set of %d bag(s)", len(bags))
    progress.tell("preparing", now=True, bags=len(bags), percent=0)

    def on_progress(done: int, total: int) -> None:
        percent = round(100 * done / max(1, total))
        progress.tell("preparing", now=done >= total, bags=len(bags), percent=percent)

    settings = from_mapping(BuildSettings, spec.data_settings)
    build_dataset(bags, spec.task, target, settings, on_progress)
    return target


def _train(spec: JobSpec, config: TrainingConfig, data: Path, progress: ProgressWriter) -> Bundle:
    place = spec.workplace
    try:
        load_checkpoint(place.run / "checkpoint")
    except TrainingError as error:
        LOGGER.warning("starts anew: %s", error)
        remove_tree(place.run)
    trained = train_task(
        spec.task,
        config,
        data=data,
        out=place.bundle,
        on_epoch=_epochs(spec, config, progress),
        command=_command(spec),
        init=Path(spec.init) if spec.init else None,
    )
    if trained.bundle is None:
        raise ConfigError("trains in several processes, expected one: unset RANK and WORLD_SIZE")
    return trained.bundle


def _epochs(
    spec: JobSpec, config: TrainingConfig, progress: ProgressWriter
) -> Callable[[dict[str, Any]], bool | None]:
    """Return what tells progress after each epoch."""
    metric = get_task(spec.task).load_learning().metric
    begun_s, first = time.monotonic(), 0

    def tell(record: Mapping[str, Any]) -> None:
        nonlocal first
        epoch = int(record["epoch"])
        first = first or epoch
        done = epoch - first + 1
        left_s = (time.monotonic() - begun_s) / done * (config.epochs - epoch)
        progress.tell(
            "training",
            now=epoch == config.epochs,
            epoch=epoch,
            epochs=config.epochs,
            begun_at=first,
            loss=record["train_loss"],
            metric=metric,
            value=record.get(f"validation_{metric}"),
            eta_s=round(left_s, 1),
        )

    return tell


def _command(spec: JobSpec) -> str:
    """Return the command for the bundle's card; paths of this machine stay out of it."""
    words = ["nn-perception", "train", spec.task]
    words += ["--config", Path(spec.config).name] if spec.config else []
    words += ["--recipe", spec.recipe] if spec.recipe else []
    words += ["--data", spec.data if is_word(spec.data) else "DIR"]
    words += ["--init", Path(spec.init).name] if spec.init else []
    return shlex.join([*words, *_flat(spec.overrides)])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found += _flat(value, f"{prefix}{key}.") if inner else [f"{prefix}{key}={value}"]
    return found
