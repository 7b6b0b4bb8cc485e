"""What models answer to a bag, shown beside what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nn_perception.datasets.imu_bags import POSE
from nn_perception.datasets.imu_truth import pose_from_cdr
from nn_perception.errors import NnPerceptionError
from nn_perception.evaluation.replay import Replay, replay
from nn_perception.tasks import get_task
from nn_perception.tasks.image_results import ClassificationResult, RegionsResult
from nn_perception.tasks.pipeline import InputSpec, Pipeline
from nn_perception.tasks.uwb.result import UwbResult
from nn_perception.viewing.bags import BagScene, Progress
from nn_perception.viewing.poses import Pose
from nn_perception.viewing.ranges import ONLY_TAG
from nn_perception.viewing.views import Source, View

TRUE_POSE = "pose"
"""Name of the true pose among a replay's topics."""


class Model(NamedTuple):
    """A model whose answers are shown.

    Attributes:
        source: its name and colour.
        pipeline: from `open_pipeline`.
    """

    source: Source
    pipeline: Pipeline


class Answers:
    """Takes the answers of a replay, as an evaluation does, and shows them.

    Messages are taken in as the task's own evaluation takes them in.
    """

    truth: tuple[InputSpec, ...]

    def __init__(self, model: Model, scene: BagScene) -> None:
        """Prepare for a model and a bag."""
        self._source, self._scene = model.source, scene
        own = get_task(model.pipeline.bundle.task).load_evaluation()(model.pipeline)
        self.raw_types = tuple(getattr(own, "raw_types", ()))
        self.inputs: tuple[InputSpec, ...] = getattr(own, "inputs", model.pipeline.inputs)
        self.truth = ()
        if hasattr(own, "take_in"):
            self.take_in = own.take_in
        if POSE in self.raw_types and scene.truth:
            self.truth = (InputSpec(TRUE_POSE, (POSE,), "every"),)

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one serialised true pose."""
        found = pose_from_cdr(message)
        if found is not None:
            stamp_ns, row = found
            self._scene.true_pose(Pose(stamp_ns, np.array(row[:3]), np.array(row[3:])))

    def add_result(self, message: Any, result: Any, time_ns: int) -> None:
        """Show one answer.

        Raises:
            NnPerceptionError: nothing here knows how.
        """
        scene, source = self._scene, self._source
        if isinstance(result, (ClassificationResult, RegionsResult)):
            scene.pictures.answer(source, result)
        elif isinstance(result, UwbResult):
            tag = result.tag if len(self.inputs) > 2 else ONLY_TAG
            scene.ranges.add(
                source.name, source.colour, tag, result.anchor, result.stamp_ns, result.range_m
            )
        elif hasattr(result, "orientation_xyzw"):
            scene.motion.attitude(source, result.stamp_ns, result.orientation_xyzw)
        elif hasattr(result, "bias_rad_s"):
            self._show_rates(result)
        else:
            raise NnPerceptionError(
                f"answers of {source.name} are {type(result).__name__}, which 'view' cannot show; "
                "it shows classes, regions, orientations, rates and ranges: leave --model out"
            )

    def _show_rates(self, result: Any) -> None:
        name, group, show = self._source.name, self._scene.group, self._scene.motion.vector
        for what, title, values in (
            ("rate", "Rate (rad/s)", result.gyro_rad_s),
            ("bias", "Gyroscope bias (rad/s)", result.bias_rad_s),
        ):
            view = View("plot", title, group)
            show(("imu", name, what), name, result.stamp_ns, values.tolist(), view)


def show_answers(
    model: Model, scene: BagScene, topics: Mapping[str, str], on_progress: Progress
) -> Replay:
    """Run a model over a bag and show its answers.

    Args:
        model: with a pipeline that was opened for this bag.
        scene: of the bag.
        topics: the bag's topic of an input, by the input's name.
        on_progress: see `Progress`.

    Raises:
        BagError: an input's topic is missing or ambiguous.
    """
    answers: Any = Answers(model, scene)
    if answers.truth:
        topics = {**topics, TRUE_POSE: scene.truth}
    scene.rewind()
    return replay(scene.path, model.pipeline, answers, topics=topics, on_progress=on_progress)
