"""Takes the bias out of UWB ranges: sensor_msgs/Range and a pose in, better ranges out."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from nav_msgs.msg import Odometry
from sensor_msgs.msg import Range

from nn_perception.datasets.uwb_text import format_tags, parse_anchors, parse_tags
from nn_perception.errors import ConfigError
from nn_perception.nodes.base import PerceptionNode
from nn_perception.nodes.imu import ResultError
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.run import COMMON_TOPICS, Executable, run
from nn_perception.nodes.subscriptions import InputTopic
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr
from nn_perception.tasks.uwb.pipeline import ODOM, RANGE

EXECUTABLE = Executable(
    name="uwb_corrector",
    summary="Takes the bias out of UWB ranges with a trained model.",
    topics=(
        ("subscribes", "uwb/range", "sensor_msgs/Range, frame_id is the anchor"),
        ("subscribes", "odom", "nav_msgs/Odometry, pose of the body in the anchors' frame"),
        ("publishes", "uwb/range_corrected", "sensor_msgs/Range, the same corrected, and variance"),
        *COMMON_TOPICS,
    ),
)


class UwbCorrector(PerceptionNode):
    """The lifecycle node ``uwb_corrector``: one body with one or several tags."""

    executable = EXECUTABLE.name
    input_types = ("sensor_msgs/msg/Range", "nav_msgs/msg/Odometry")
    settings = (
        "anchors",
        "tags",
        "max_pose_age_s",
        "outlier_gate_sigma",
        "pose_sigma_m",
        "outliers",
        "pass_through",
        "min_range_m",
        "max_range_m",
    )
    at_once = 64  # a round of 8 anchors and 3 tags with its poses, twice

    _said = ""  # the problem that was logged last

    def input_topics(self) -> tuple[InputTopic, ...]:
        """Subscribe to the ranges of each tag, and to the pose."""
        parse_anchors(self.value("anchors"))  # a mistake in it ends the start, not a transition
        # The pose first: of messages that wait in two topics it is then likelier to be taken first.
        odom = self.input_topic(ODOM, "odom", Odometry, raw=True)
        ranges = (
            self.input_topic(name, f"{prefix}uwb/range", Range, raw=True)
            for name, prefix in self.tag_inputs().items()
        )
        return (odom, *ranges)

    def tag_inputs(self) -> dict[str, str]:
        """Return the input's name of each tag, and what stands before its topics.

        Raises:
            ConfigError: the parameter ``tags`` is not of its grammar.
        """
        tags = list(parse_tags(self.value("tags")))
        if len(tags) < 2:
            return {RANGE: ""}
        return {f"{tag}/{RANGE}": f"{tag}/" for tag in tags}

    def check_model(self, model: ActiveModel) -> None:
        """Refuse a model whose own tags are several: topics are made from the parameter."""
        own = getattr(getattr(model.pipeline, "site", None), "tags", {})
        if len(own) > 1 and not self.value("tags").strip():
            raise ConfigError(
                f"parameter 'tags' is empty, and {model.name} was trained with {len(own)} tags, "
                f"each with topics of its own: set it to '{format_tags(own)}'"
            )

    def make_outputs(self, model: ActiveModel) -> None:
        """Publish the ranges of each tag."""
        depth = self.value("output_depth")
        self._corrected = {
            name: self.output(Range, f"{prefix}uwb/range_corrected", depth)
            for name, prefix in self.tag_inputs().items()
        }

    def model_changed(self, model: ActiveModel) -> None:
        """Say once what is wrong with anchors and tags; ranges are corrected all the same."""
        problem = getattr(model.pipeline, "problem", "")
        if problem and problem != self._said:
            self.get_logger().warning(problem)
        self._said = problem

    def details(self) -> Mapping[str, str]:
        """Show the problem of anchors and tags, and which anchors are not known."""
        model = self._inference.model
        if model is None:
            return {}
        return {
            "problem": getattr(model.pipeline, "problem", ""),
            "unknown_anchors": ", ".join(getattr(model.pipeline, "unknown_anchors", ())),
        }

    def take_in(self, name: str, message: bytes) -> tuple[Any, Any]:
        """Read a serialised pose or range; see `PerceptionNode.take_in`."""
        if name == ODOM:
            return odometry_from_cdr(message), None
        cdr = RangeCdr(message)
        return cdr.reading(), cdr

    def publish_result(self, name: str, result: Any, source: RangeCdr) -> None:
        """Publish the range as it came, with another range and its variance.

        Raises:
            ResultError: one of them is no positive, finite number.
        """
        range_m, variance_m2 = result.range_m, result.sigma_m**2
        if not (0.0 < range_m < math.inf and 0.0 < variance_m2 < math.inf):
            raise ResultError(
                f"the pipeline gave the range {range_m} m with a variance of {variance_m2} m2, "
                "expected positive, finite numbers"
            )
        self._corrected[name].publish(source.with_range(range_m, variance_m2))


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, UwbCorrector)], args)


if __name__ == "__main__":
    sys.exit(main())
