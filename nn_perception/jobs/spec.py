"""What a training on the robot is to do, as its child process reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.config import from_mapping, to_mapping
from nn_perception.jobs.files import Workplace, read_json, write_json


@dataclass(frozen=True)
class JobSpec:
    """One training.

    Attributes:
        task: name of the task.
        data: a bag, a directory of bags, a data set, or a word such as ``simulated``.
        out: directory below which the bundle is written.
        test_data: held-out data; empty: the part of ``data`` that is not trained on.
        data_settings: how bags become a data set; see `nn_perception.datasets.build_settings`.
        config: YAML file with training keys, or empty.
        recipe: name of one of the task's recipes, or empty.
        overrides: keys that change these, nested.
        init: path of a bundle to begin with, or empty.
        signing_key: file of a private key that signs the bundle, or empty.
        needs_test: whether bundles must be compared, so that data without a held-out part is an
            error before the training and not behind it.
        nice: added to the niceness of the child.
    """

    task: str
    data: str
    out: Path
    test_data: str = ""
    data_settings: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    recipe: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    init: str = ""
    signing_key: str = ""
    needs_test: bool = True
    nice: int = 10

    @property
    def workplace(self) -> Workplace:
        """Where the job's files lie."""
        return Workplace(self.out)

    def save(self) -> None:
        """Write it for the child.

        Raises:
            JobError: it cannot be written.
        """
        write_json(self.workplace.specification, to_mapping(self))


def load_spec(path: Path) -> JobSpec:
    """Read a specification.

    Raises:
        ConfigError: it is damaged.
    """
    return from_mapping(JobSpec, read_json(path))


@dataclass(frozen=True)
class Comparison:
    """Bundles to be compared on held-out data.

    Attributes:
        task: name of the task.
        data: the held-out data.
        bundles: directories by the name of the target that runs them; `NEW` is the new one.
        nice: added to the niceness of the child.
    """

    task: str
    data: str
    bundles: dict[str, str]
    nice: int = 10


NEW = "new"
"""Key of the new bundle among those to be compared; names of nodes begin with a slash."""


def load_comparison(path: Path) -> Comparison:
    """Read what is to be compared.

    Raises:
        ConfigError: it is damaged.
    """
    return from_mapping(Comparison, read_json(path))
