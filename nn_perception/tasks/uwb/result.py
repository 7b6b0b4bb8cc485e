"""What the pipeline answers to a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

RESET, OUTLIER = "reset", "outlier"


class UwbResult(NamedTuple):
    """One range.

    Attributes:
        stamp_ns: stamp of the range.
        frame_id: the anchor.
        range_m: corrected, or as measured where ``corrected`` says so; above 0.
        sigma_m: standard deviation of what is left.
        bias_m: taken off; 0 where nothing was.
        raw_m: as measured.
        tag: name of the tag.
        anchor: name of the anchor.
        outlier: whether it does not fit to the pose; its ``sigma_m`` then is the misfit.
        corrected: False where it is passed through.
        flags: ``reset`` (the poses' clock jumped back), ``outlier``, or why it is not corrected.
        stage_s: seconds per stage.
    """

    stamp_ns: int
    frame_id: str
    range_m: float
    sigma_m: float
    bias_m: float
    raw_m: float
    tag: str
    anchor: str
    outlier: bool
    corrected: bool
    flags: tuple[str, ...]
    stage_s: Mapping[str, float]
