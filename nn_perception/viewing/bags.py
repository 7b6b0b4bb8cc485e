"""Bags to a recording: each message goes to what knows its type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.datasets.bags import BagReader, BagTopic
from nn_perception.datasets.detection_messages import DETECTION_ARRAY
from nn_perception.datasets.imu_bags import BOOL, FLOAT, IMU, POSE, POSE_TOPIC
from nn_perception.datasets.uwb_bags import ANCHORS_TOPIC, ODOM, RANGE, STRING, TAGS_TOPIC
from nn_perception.datasets.vision_msgs import CLASSIFICATION
from nn_perception.errors import BagError, ConfigError, MessageError, nearest
from nn_perception.messages import stamp_ns
from nn_perception.tasks.image_pipeline import IMAGE_TYPES
from nn_perception.viewing.motion import Motion
from nn_perception.viewing.pictures import Pictures
from nn_perception.viewing.poses import Pose
from nn_perception.viewing.ranges import Ranges
from nn_perception.viewing.rerun_recording import RerunRecording
from nn_perception.viewing.signals import Signals

VECTOR = "geometry_msgs/msg/Vector3Stamped"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"

Show = Callable[[str, int, Any], object]
"""Called with topic, stamp in nanoseconds, and message; raises MessageError."""
Progress = Callable[[int], None]
"""Called with the number of messages done since the last call."""


@dataclass
class Viewed:
    """What became of one bag's messages.

    Attributes:
        path: the bag.
        shown: messages that are shown, by topic; pictures that came too early count, too.
        left_out: type of each topic that nothing here knows, by topic.
        bad: messages that could not be shown, by topic and kind.
        bad_example: one full text for each.
    """

    path: Path
    shown: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    bad: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad_example: dict[tuple[str, str], str] = field(default_factory=dict)

    def skip(self, topic: str, error: MessageError) -> None:
        """Count a message that could not be shown."""
        self.bad[topic, error.kind] += 1
        self.bad_example.setdefault((topic, error.kind), str(error))


class BagScene:
    """What knows how to show the messages of one bag, and the answers of models to them.

    Attributes:
        path: the bag.
        group: see `viewing.views.View`.
        topics: those with messages.
        truth: topic of the true pose; empty: there is none.
    """

    def __init__(
        self,
        recording: RerunRecording,
        path: Path,
        topics: Mapping[str, BagTopic],
        group: str = "",
        max_image_hz: float = 0.0,
    ) -> None:
        """Prepare for the topics of a bag; see `Pictures` and `View` for the rest."""
        self.path, self.group = path, group
        self.topics = {name: topic for name, topic in topics.items() if topic.count}
        self.truth = self._true_pose()
        images = self._of(*IMAGE_TYPES)
        self.pictures = Pictures(recording, group, images, max_image_hz)
        self.motion = Motion(recording, group, self._of(IMU), self.truth)
        self.ranges = Ranges(recording, group)
        self.signals = Signals(recording, group)
        self._show: dict[str, Show] = {
            **dict.fromkeys(IMAGE_TYPES, self.pictures.image),
            DETECTION_ARRAY: self.pictures.detections,
            CLASSIFICATION: self.pictures.classification,
            IMU: self.motion.imu,
            POSE: self._pose,
            ODOM: self.motion.pose,
            RANGE: self.ranges.message,
            STRING: self._text,
            **dict.fromkeys((BOOL, FLOAT), self.signals.number),
            VECTOR: self.signals.vector,
            DIAGNOSTICS: self.signals.diagnostics,
        }

    def knows(self, topic: str) -> bool:
        """Tell whether messages of a topic can be shown."""
        return self.topics[topic].type in self._show

    def show(self, topic: str, time_ns: int, message: Any) -> None:
        """Show a message at its header's stamp; without one, at its bag time.

        Raises:
            MessageError: it cannot be shown.
        """
        stamp = stamp_ns(message) if hasattr(message, "header") else 0
        self._show[self.topics[topic].type](topic, stamp or time_ns, message)

    def rewind(self) -> None:
        """The bag begins again, for a model's answers."""
        self.motion.rewind()
        self.ranges.rewind()

    def true_pose(self, pose: Pose) -> None:
        """Compare answers with a true pose."""
        self.motion.true_pose(pose)
        self.ranges.true_pose(pose)

    def finish(self) -> None:
        """Show what needed all messages."""
        self.pictures.finish()
        self.motion.finish()

    def _pose(self, topic: str, stamp: int, message: Any) -> None:
        pose = self.motion.pose(topic, stamp, message)
        if topic == self.truth:
            self.ranges.true_pose(pose)

    def _text(self, topic: str, stamp: int, message: Any) -> None:
        text = str(message.data)
        if topic.endswith(ANCHORS_TOPIC):
            self.ranges.place_anchors(text)
        elif topic.endswith(TAGS_TOPIC):
            self.ranges.place_tags(text)
        else:
            self.signals.text(topic, stamp, text)

    def _of(self, *types: str) -> list[str]:
        return sorted(name for name, topic in self.topics.items() if topic.type in types)

    def _true_pose(self) -> str:
        poses = self._of(POSE)
        named = [name for name in poses if name.endswith(POSE_TOPIC)]
        return next(iter(named), poses[0] if len(poses) == 1 else "")


def show_bag(
    scene: BagScene, bag: BagReader, wanted: Sequence[str], on_progress: Progress
) -> Viewed:
    """Show the messages of an open bag.

    Args:
        scene: of this bag.
        bag: is read once, from its beginning to its end.
        wanted: topics to show; empty: all that are known.
        on_progress: see `Progress`.

    Raises:
        BagError: the bag is damaged.
    """
    viewed, done = Viewed(scene.path), 0
    chosen = [name for name in scene.topics if not wanted or name in wanted]
    viewed.left_out = {n: scene.topics[n].type for n in chosen if not scene.knows(n)}
    known = [name for name in chosen if scene.knows(name)]
    for topic, time_ns, message in bag.messages(known):
        try:
            scene.show(topic, time_ns, message)
            viewed.shown[topic] += 1
        except MessageError as error:
            viewed.skip(topic, error)
        done += 1
        if done % 1000 == 0:
            on_progress(1000)
    on_progress(done % 1000)
    return viewed


def named_topics(wanted: Iterable[str], bags: Sequence[BagReader]) -> list[str]:
    """Return topics as the bags have them, for names that may lack the slash in front.

    Raises:
        BagError: one is in no bag.
    """
    there = {name for bag in bags for name in bag.topics}
    found = []
    for name in wanted:
        topic = name if name in there else f"/{name}"
        if topic not in there:
            raise BagError(
                f"no bag has a topic '{name}'{nearest(name, there)}; there are: "
                f"{', '.join(sorted(there))}"
            )
        found.append(topic)
    return found


def bag_name(path: Path) -> str:
    """Return the name of a bag, of ``.`` as well."""
    return path.resolve().name.removesuffix(".mcap").removesuffix(".db3")


def groups_of(paths: Sequence[Path]) -> list[str]:
    """Return what tells the bags apart: nothing for one, else their names, made unique.

    Raises:
        ConfigError: a bag is there twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("a bag is named twice; name each once")
    if len(paths) == 1:
        return [""]
    names = [bag_name(path) for path in paths]
    return [
        name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names)
    ]
