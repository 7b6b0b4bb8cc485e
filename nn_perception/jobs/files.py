"""Where a trainer keeps what, and files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.errors import NnPerceptionError

_GONE = ".gone."


class JobError(NnPerceptionError):
    """A training on the robot that cannot begin or go on."""


def write_json(path: Path, values: Any) -> None:
    """Write JSON beside its name, then rename it: a reader sees the old file or the new one.

    Raises:
        JobError: it cannot be written, for one because the disk is full.
    """
    write_text(path, json.dumps(values, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its name, synced, then rename it; see `write_json`."""
    work = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with work.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise JobError(f"cannot write {path}: {error.strerror or error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file of ours holds; empty when it is not there or not readable as such."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def json_objects(lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
    """Return the objects of lines of JSON; what is none is passed over."""
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            yield values


def sync_directory(path: Path) -> None:
    """Let a rename survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Remove a directory so that nobody sees half of it: renamed to a hidden name first."""
    if not path.exists():
        return
    gone = path.with_name(f".{path.name}{_GONE}{uuid.uuid4().hex[:8]}")
    try:
        path.rename(gone)
    except OSError:
        gone = path
    shutil.rmtree(gone, ignore_errors=True)


@dataclass(frozen=True)
class Workplace:
    """The files of the trainer that writes bundles below ``out``.

    What is unfinished lies in a hidden folder on the same file system, so that a bundle appears in
    ``out`` by one rename.
    """

    out: Path

    @property
    def hidden(self) -> Path:
        """The folder of what is not for others."""
        return self.out / ".trainer"

    @property
    def lock(self) -> Path:
        """Held by the one trainer that writes here, and by its child."""
        return self.hidden / "lock"

    @property
    def history(self) -> Path:
        """What was decided and deployed, a line each; see `nn_perception.jobs.history`."""
        return self.out / "history.jsonl"

    @property
    def job(self) -> Path:
        """The folder of the present job; it stays when the job is interrupted."""
        return self.hidden / "job"

    @property
    def specification(self) -> Path:
        """What the child is to do."""
        return self.job / "job.json"

    @property
    def identity(self) -> Path:
        """What the files of the job belong to: configuration and data."""
        return self.job / "identity.json"

    @property
    def log(self) -> Path:
        """What the child of the last training printed; it outlives the job."""
        return self.hidden / "log.txt"

    @property
    def progress(self) -> Path:
        """The child's last word about its progress, for a node that starts again."""
        return self.job / "progress.json"

    @property
    def ended(self) -> Path:
        """How the job ended, when it did not end well."""
        return self.job / "ended.json"

    @property
    def dataset(self) -> Path:
        """The data set made from bags."""
        return self.job / "dataset"

    @property
    def bundle(self) -> Path:
        """The bundle before it has its name."""
        return self.job / "bundle"

    @property
    def run(self) -> Path:
        """Logs and checkpoint of the training; `nn_perception.training.run` names it so."""
        return self.job / "bundle.run"

    @property
    def published(self) -> Path:
        """The bundle's name, written before it gets it."""
        return self.job / "published.json"

    @property
    def comparison(self) -> Path:
        """Which bundles the child is to compare."""
        return self.job / "comparison.json"

    @property
    def scores(self) -> Path:
        """What that gave."""
        return self.job / "scores.json"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            JobError: they cannot be made.
        """
        try:
            self.job.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JobError(
                f"cannot write below {self.out}: {error.strerror or error}; give the parameter "
                "'out' a directory that can be written"
            ) from None

    def forget_products(self) -> None:
        """Remove what a job has made, so that the next one starts anew."""
        building = self.dataset.with_name(f".{self.dataset.name}.building")  # see datasets/build
        for path in (self.dataset, building, self.bundle, self.run):
            remove_tree(path)
        for path in (self.published, self.scores, self.comparison, self.progress, self.identity):
            path.unlink(missing_ok=True)
        self.sweep()

    def finish(self) -> None:
        """Remove the whole job: it is done and recorded."""
        remove_tree(self.job)
        self.sweep()

    def sweep(self) -> None:
        """Remove what killed writers left behind. Only for who holds the lock."""
        for place in (self.hidden, self.job, self.out):
            for child in place.glob(f".*{_GONE}*"):
                shutil.rmtree(child, ignore_errors=True)
        for child in self.job.glob(f".{self.bundle.name}.*"):  # half a bundle, see bundle_writer
            shutil.rmtree(child, ignore_errors=True)
        for place in (self.hidden, self.job):
            sweep_half_files(place, "*.json")


def sweep_half_files(place: Path, names: str) -> None:
    """Remove what a killed `write_text` left of files whose names match a pattern."""
    for half in place.glob(f".{names}.{'[0-9a-f]' * 8}"):
        half.unlink(missing_ok=True)
