"""Where anchors and tags are, and what a bundle knows of each pair of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nn_perception.bundle import Bundle
from nn_perception.datasets.uwb_text import (
    Anchor,
    Vector3,
    geometry_problem,
    parse_anchors,
    parse_tags,
)
from nn_perception.errors import ConfigError
from nn_perception.tasks.uwb.features import AnchorFrame
from nn_perception.tasks.uwb.model import Pair, RangeModel

ONLY_TAG = "tag0"
"""Name of the tag where none is named: it is taken to be at the origin of the body."""
NAMES = 5
"""Names in a text; there may be many."""


class Link(NamedTuple):
    """A tag and an anchor.

    Attributes:
        lever_m: the tag in the body's frame.
        anchor: the other end.
        pair: what the bundle knows of both.
    """

    lever_m: Vector3
    anchor: AnchorFrame
    pair: Pair


@dataclass(frozen=True)
class Site:
    """Anchors and tags as a pipeline needs them.

    Attributes:
        anchors: by name.
        tags: lever arms in the body's frame, metres, by name; at least one.
        links: by the names of tag and anchor, of those that the bundle knows.
        problem: what a user should know of them, in words; empty where there is nothing.
    """

    anchors: Mapping[str, Anchor]
    tags: Mapping[str, Vector3]
    links: Mapping[tuple[str, str], Link]
    problem: str


def find_site(bundle: Bundle, model: RangeModel, anchors: str, tags: str) -> Site:
    """Return the site that the texts describe.

    Args:
        bundle: of the task ``uwb``.
        model: of that bundle.
        anchors: in the grammar of `uwb_text`; empty: anchors and tags of the bundle's site.
        tags: likewise; empty where anchors are given: one tag at the origin of the body.

    Raises:
        ConfigError: a text is not of the grammar, there are no anchors, or the bundle knows no pair
            of them.
    """
    if not anchors.strip():
        anchors = str(bundle.config.preprocessing.get("anchors", ""))
        tags = tags if tags.strip() else str(bundle.config.preprocessing.get("tags", ""))
    mounted, levers = parse_anchors(anchors), parse_tags(tags) or {ONLY_TAG: (0.0, 0.0, 0.0)}
    if not mounted:
        raise ConfigError(
            f"anchors: no anchor is named, and {bundle.name} keeps none of its site "
            f"'{model.site}'; set anchors to 'NAME: x y z; NAME: x y z', metres in the frame of "
            "the pose"
        )
    frames = {name: AnchorFrame(anchor) for name, anchor in mounted.items()}
    links = {
        (tag, name): Link(lever, frame, pair)
        for tag, lever in levers.items()
        for name, frame in frames.items()
        if (pair := model.pair(tag, name)) is not None
    }
    if not links:
        known = sorted({(str(row[0]), str(row[1])) for row in bundle.config.calibration["pairs"]})
        raise ConfigError(
            f"{bundle.name} of the site '{model.site}' knows no pair of the tags {listed(levers)} "
            f"and the anchors {listed(mounted)}; it knows {listed(' - '.join(k) for k in known)}; "
            "rename tags and anchors, or train a bundle for these radios"
        )
    return Site(mounted, levers, links, _problem(mounted, levers, links))


def listed(names: Iterable[str]) -> str:
    """Return the first `NAMES` names, shortened, for a text."""
    every = list(names)
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in every[:NAMES])
    return f"{shown} and {len(every) - NAMES} more" if len(every) > NAMES else shown


def _problem(
    anchors: Mapping[str, Anchor],
    tags: Mapping[str, Vector3],
    links: Mapping[tuple[str, str], Link],
) -> str:
    problems = []
    geometry = geometry_problem([anchor.position_m for anchor in anchors.values()])
    if geometry:
        problems.append(f"anchors {listed(anchors)}: {geometry}")
    strange = [f"{tag} - {name}" for tag in tags for name in anchors if (tag, name) not in links]
    if strange:
        problems.append(f"the model does not know {listed(strange)}, whose ranges stay uncorrected")
    return "; ".join(problems)
