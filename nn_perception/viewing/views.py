"""What is to be seen in which view, without a word about the viewer."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["picture", "text", "log", "space", "plot", "detail", "last"]
"""``detail`` is a plot that stands behind others of its kind, ``last`` one below the others."""
Colour = tuple[int, int, int]

# Okabe and Ito's colours, as debug images have them.
TRUTH: Colour = (0, 158, 115)
RECORDED: Colour = (230, 159, 0)
OF_MODELS: tuple[Colour, ...] = ((86, 180, 233), (204, 121, 167), (240, 228, 66), (213, 94, 0))
X_Y_Z: tuple[Colour, ...] = ((213, 94, 0), (0, 158, 115), (86, 180, 233))


class View(NamedTuple):
    """One view of the layout.

    Attributes:
        kind: how it shows what it shows.
        name: its title.
        group: views of one bag stand together; empty where there is one bag.
    """

    kind: Kind
    name: str
    group: str = ""


class Source(NamedTuple):
    """Where numbers or boxes come from.

    Attributes:
        name: a topic, or a model.
        colour: of what it says.
        is_truth: whether others are compared with it.
    """

    name: str
    colour: Colour
    is_truth: bool = False


def path(*parts: str) -> str:
    """Return the path of an entity; characters that would have to be escaped become ``_``."""
    return "/".join(re.sub(r"[^\w.-]", "_", part, flags=re.ASCII) for part in parts if part)


def below(entity: str, *parts: str) -> str:
    """Return the path of a part of an entity."""
    return f"{entity}/{path(*parts)}"


def flat(topic: str) -> str:
    """Return a topic as one part of a path: ``left.image_raw`` of ``/left/image_raw``.

    As two parts, ``image_raw/compressed`` would be shown inside ``image_raw``.
    """
    return topic.strip("/").replace("/", ".")


def source_of(topic: str) -> Source:
    """Return a recorded topic as a source."""
    parts = topic.strip("/").split("/")
    is_truth = "truth" in parts or parts[-1] == "label"
    return Source(flat(topic), TRUTH if is_truth else RECORDED, is_truth)
