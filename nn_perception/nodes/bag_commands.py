"""The commands that record what nodes take and give, and play a bag back into them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nn_perception.errors import BagError, ConfigError
from nn_perception.nodes.parameter_files import full_name

# Computed for subscribers only: a recorder must not be one.
_ONLY_ON_DEMAND = "~/debug/"


@dataclass(frozen=True)
class NodeTopics:
    """The topics of one running node.

    Attributes:
        node: its full name.
        topics: rows of (``"subscribes"`` or ``"publishes"``, topic, remark), as in its help.
        remapped: topic -> topic.
    """

    node: str
    topics: tuple[tuple[str, str, str], ...]
    remapped: Mapping[str, str]

    def patterns(self, *ways: str) -> list[str]:
        """Return regular expressions of the topics' full names, those of named sensors too."""
        names = [topic for way, topic, _ in self.topics if way in ways]
        return [self._pattern(name) for name in names if not name.startswith(_ONLY_ON_DEMAND)]

    def _pattern(self, name: str) -> str:
        namespace = self.node.rpartition("/")[0]
        if name.startswith("~/"):
            return re.escape(full_name(self.node, name[2:]))
        for source, target in self.remapped.items():
            # image_raw/compressed goes where image_raw goes.
            if name == source or name.startswith(f"{source}/"):
                name = target + name[len(source) :]
                break
        if name.startswith("/"):
            return re.escape(name)
        return f"{re.escape(namespace)}/(.*/)?{re.escape(name)}"


def record_command(out: str, nodes: Iterable[NodeTopics], use_sim_time: bool) -> list[str]:
    """Return ``ros2 bag record`` for all that the nodes take and give.

    Raises:
        BagError: the directory is there already.
    """
    if Path(out).exists():
        raise BagError(f"cannot record to {out}: it is there already; name a new directory")
    patterns = [each for node in nodes for each in node.patterns("subscribes", "publishes")]
    command = ["ros2", "bag", "record", "--output", out, "--storage", "mcap"]
    command += ["--regex", _any_of(patterns)]
    return [*command, "--use-sim-time"] if use_sim_time else command


def play_command(bag: str, nodes: Iterable[NodeTopics], rate: str, more: str = "") -> Sequence[str]:
    """Return ``ros2 bag play --clock`` for all but what the nodes give themselves.

    Raises:
        BagError: the bag is not there.
        ConfigError: the rate is no number above 0, or the further arguments cannot be split.
    """
    if not Path(bag).exists():
        raise BagError(f"cannot play {bag}: no such file or directory")
    try:
        positive = 0.0 < float(rate) < float("inf")
        words = shlex.split(more)
    except ValueError as error:
        raise ConfigError(f"arguments of 'ros2 bag play' cannot be used: {error}") from None
    if not positive:
        raise ConfigError(f"argument 'rate' got {rate}, expected a number above 0")
    patterns = [each for node in nodes for each in node.patterns("publishes")]
    return [
        *("ros2", "bag", "play", bag, "--clock", "--rate", rate, "--disable-keyboard-controls"),
        *("--exclude-regex", _any_of([*patterns, "/clock"]), *words),
    ]


def _any_of(patterns: Iterable[str]) -> str:
    return f"^({'|'.join(dict.fromkeys(patterns))})$"
