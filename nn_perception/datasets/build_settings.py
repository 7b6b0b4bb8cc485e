"""What a data set is built with, and what kinds of data sets there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nn_perception.datasets import truth_gaps
from nn_perception.errors import ConfigError, DatasetError, nearest

PARTS = ("train", "validation", "test")

Kind = Literal["images", "imu", "uwb"]
KINDS: Mapping[str, Kind] = {
    "digits": "images",
    "objects": "images",
    "attitude": "imu",
    "gyro": "imu",
    "uwb": "uwb",
}
"""Task -> what its recordings are."""

BLOCK_S: Mapping[Kind, float] = {"images": 10.0, "imu": 60.0, "uwb": 30.0}
"""Length of the blocks of time that go to one part, where none is given. A filter or a window needs
whole minutes to settle; a picture stands alone."""
LEAST_BLOCKS = 20
"""Shorter recordings are cut into shorter blocks, until there are about so many."""
MAX_GAP_S: Mapping[Kind, float] = {
    "images": 0.05,
    "imu": truth_gaps.IMU_S,
    "uwb": truth_gaps.UWB_S,
}
"""Between poses that are further apart no truth is made up; for pictures: how far from a frame's
stamp its label's may be."""
GUARD_S = 1.0
MAX_OFFSET_S = 30.0
HOLD_S = 5.0


@dataclass(frozen=True)
class BuildSettings:
    """How a data set is built.

    Attributes:
        topics: input -> topic, for what the bag does not tell by type and name.
        split: shares of train, validation and test; any numbers that are not negative.
        split_by: ``"time"``: blocks of time; ``"bag"``: whole bags.
        block_s: length of a block in seconds; None: `BLOCK_S`, shorter for short recordings.
        guard_s: what is left out between blocks of different parts; None: `GUARD_S`, at most a
            tenth of a block.
        max_gap_s: see `MAX_GAP_S`, which None takes.
        offset_s: time that is added to the truth's stamps; None: estimated.
        max_offset_s: largest offset of the clocks that is looked for.
        mounting: whether the rotation between the truth's body and the sensor is estimated and
            taken out (IMU).
        labels: how labels and frames meet: ``"exact"`` by equal stamps, ``"nearest"`` within
            ``max_gap_s``, ``"hold"`` until the next label; ``"auto"``: exact where stamps agree,
            nearest where they do not, hold for labels without stamps.
        hold_s: longest time that a label holds.
        classes: the classes in their order; empty: what the labels say.
        skip_labels: labels of pictures to leave out.
        anchors: places of UWB anchors, in the grammar of `uwb_text`; empty: from the bag.
        tags: lever arms of UWB tags likewise.
        size: pictures are stored as a network of this size takes them; 0: as they were recorded.
        keep_near_duplicates: whether pictures of one part may look like those of another.
        jobs: processes; 0: one for each core, and no more than there are bags.
        seed: of the split.
        skip_damaged: leave out bags that cannot be read instead of giving up.
        plots: whether `summary.html` and its pictures are made.
    """

    topics: Mapping[str, str] = field(default_factory=dict)
    split: tuple[float, float, float] = (70.0, 15.0, 15.0)
    split_by: str = "time"
    block_s: float | None = None
    guard_s: float | None = None
    max_gap_s: float | None = None
    offset_s: float | None = None
    max_offset_s: float = MAX_OFFSET_S
    mounting: bool = True
    labels: str = "auto"
    hold_s: float = HOLD_S
    classes: tuple[str, ...] = ()
    skip_labels: tuple[str, ...] = ()
    anchors: str = ""
    tags: str = ""
    size: int = 0
    keep_near_duplicates: bool = False
    jobs: int = 0
    seed: int = 0
    skip_damaged: bool = False
    plots: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if len(self.split) != 3 or not all(0.0 <= share < 1e9 for share in self.split):
            raise ConfigError(f"split is {self.split}; expected three shares, such as 70,15,15")
        if sum(self.split) <= 0.0:
            raise ConfigError("every share of the split is 0; expected such as 70,15,15")
        for name, value, known in (
            ("split-by", self.split_by, ("time", "bag")),
            ("labels", self.labels, ("auto", "exact", "nearest", "hold")),
        ):
            if value not in known:
                raise ConfigError(
                    f"{name} is '{value}'{nearest(value, known)}; expected {' or '.join(known)}"
                )
        for name in ("block_s", "max_gap_s", "max_offset_s", "hold_s"):
            seconds = getattr(self, name)
            if seconds is not None and not 0.0 < seconds < 1e6:
                raise ConfigError(f"{name} is {seconds}; expected seconds above 0")
        if self.guard_s is not None and not 0.0 <= self.guard_s < 1e6:
            raise ConfigError(f"guard_s is {self.guard_s}; expected seconds, 0 for none")
        if self.offset_s is not None and not abs(self.offset_s) < 1e10:
            raise ConfigError(f"offset_s is {self.offset_s}; expected seconds")
        if self.jobs < 0 or self.seed < 0 or not (self.size == 0 or 8 <= self.size <= 1024):
            raise ConfigError(
                f"jobs {self.jobs}, seed {self.seed}, size {self.size}: expected jobs and seed of "
                "0 or more, and a size of 8 to 1024 pixels, or 0"
            )

    def gap_s(self, kind: Kind) -> float:
        """Return `max_gap_s`, or its default for a kind."""
        return MAX_GAP_S[kind] if self.max_gap_s is None else self.max_gap_s


def kind_of(task: str) -> Kind:
    """Return what the recordings of a task are.

    Raises:
        DatasetError: no data set can be built for the task.
    """
    if task not in KINDS:
        raise DatasetError(
            f"no data set can be built for the task '{task}'{nearest(task, KINDS)}; expected one "
            f"of {', '.join(KINDS)}"
        )
    return KINDS[task]
