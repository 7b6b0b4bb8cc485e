"""The registry of tasks: what a robot can learn and run.

A task is one folder below ``nn_perception/tasks`` and one entry in `BUILT_IN`; a task in another
package registers through the entry-point group ``nn_perception.tasks``. The parts of a task are
named as ``"module:attribute"`` and imported on use, so that listing tasks imports no torch.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from nn_perception.errors import TaskError, nearest

ENTRY_POINT_GROUP = "nn_perception.tasks"


@dataclass(frozen=True)
class Task:
    """One learned function that a robot runs.

    Attributes:
        name: the name used on the command line, in bundles and in parameters.
        summary: one line for ``nn-perception tasks``.
        pipeline: ``"module:class"`` of the pipeline (NumPy only).
        learning: ``"module:class"`` of data, network, loss and metrics (torch).
        evaluation: ``"module:class"``, or a function that gives one, that compares results with
            the truth (NumPy only).
        default_model: name of the bundle that ships with the package.
        other_models: shipped bundles for some settings: (parameter, its value, bundle).
    """

    name: str
    summary: str
    pipeline: str
    learning: str
    evaluation: str
    default_model: str
    other_models: tuple[tuple[str, str, str], ...] = ()

    def shipped_model(self, values: Mapping[str, Any]) -> str:
        """Return the bundle that ships for some settings, parameter -> value."""
        fitting = (bundle for name, value, bundle in self.other_models if values.get(name) == value)
        return next(fitting, self.default_model)

    def load_pipeline(self) -> Any:
        """Import and return the pipeline class."""
        return _load(self, self.pipeline)

    def load_learning(self) -> Any:
        """Import and return the learning class; this imports torch."""
        return _load(self, self.learning)

    def load_evaluation(self) -> Any:
        """Import and return what gives an evaluation for a pipeline."""
        return _load(self, self.evaluation)


BUILT_IN = (
    Task(
        name="digits",
        summary="handwritten digits 0 to 9 in camera frames (MNIST)",
        pipeline="nn_perception.tasks.digits.pipeline:DigitPipeline",
        learning="nn_perception.tasks.digits.learning:DigitLearning",
        evaluation="nn_perception.evaluation.image_classification:choose_evaluation",
        default_model="digits",
        other_models=(("regions", "digits", "digit_reader"),),
    ),
    Task(
        name="objects",
        summary="road objects in camera frames: pedestrian, car, motorcycle, truck",
        pipeline="nn_perception.tasks.objects.pipeline:ObjectPipeline",
        learning="nn_perception.tasks.objects.learning:ObjectLearning",
        evaluation="nn_perception.evaluation.image_classification:choose_evaluation",
        default_model="objects",
    ),
    Task(
        name="attitude",
        summary="orientation with covariance from an IMU, without a magnetometer",
        pipeline="nn_perception.tasks.attitude.pipeline:AttitudePipeline",
        learning="nn_perception.tasks.attitude.learning:AttitudeLearning",
        evaluation="nn_perception.evaluation.attitude:AttitudeEvaluation",
        default_model="attitude",
    ),
    Task(
        name="gyro",
        summary="corrected angular rate and its bias from an IMU (Brossard 2020)",
        pipeline="nn_perception.tasks.gyro.pipeline:GyroPipeline",
        learning="nn_perception.tasks.gyro.learning:GyroLearning",
        evaluation="nn_perception.evaluation.gyro:GyroEvaluation",
        default_model="gyro",
    ),
    Task(
        name="uwb",
        summary="bias and standard deviation of UWB ranges from geometry (Zhao 2020)",
        pipeline="nn_perception.tasks.uwb.pipeline:UwbPipeline",
        learning="nn_perception.tasks.uwb.learning:UwbLearning",
        evaluation="nn_perception.evaluation.uwb:UwbEvaluation",
        default_model="uwb_trolley",
    ),
)


def build_registry(tasks: Iterable[Task]) -> MappingProxyType[str, Task]:
    """Index tasks by name.

    Raises:
        TaskError: two tasks share a name.
    """
    registry: dict[str, Task] = {}
    for task in tasks:
        if task.name in registry:
            raise TaskError(
                f"two tasks are registered as '{task.name}' ({registry[task.name].pipeline} and "
                f"{task.pipeline}): rename or uninstall one"
            )
        registry[task.name] = task
    return MappingProxyType(registry)


@functools.cache
def all_tasks() -> MappingProxyType[str, Task]:
    """Return every registered task by name, built-in ones first.

    Raises:
        TaskError: an entry point is no `Task`, or two tasks share a name.
    """
    return build_registry([*BUILT_IN, *_installed_tasks()])


def get_task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        TaskError: there is none; the message names the nearest.
    """
    tasks = all_tasks()
    if name not in tasks:
        raise TaskError(
            f"unknown task '{name}'{nearest(name, tasks)} (there are: {', '.join(tasks)})"
        )
    return tasks[name]


def _installed_tasks() -> list[Task]:
    found: list[Task] = []
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        task = entry_point.load()
        if not isinstance(task, Task):
            raise TaskError(
                f"the entry point '{entry_point.name}' of group {ENTRY_POINT_GROUP} is a "
                f"{type(task).__name__}; expected a nn_perception.tasks.Task"
            )
        found.append(task)
    return found


def _load(task: Task, target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except AttributeError:
        raise TaskError(f"task '{task.name}': there is no {attribute} in {module_name}") from None
