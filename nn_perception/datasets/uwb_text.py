"""Anchors and tags of UWB ranging as text: one grammar for parameters, bags and the command line.

    anchors: "anchor1: 0.1 -2 1.5; anchor2: 1 2 3 0 0 0.7071 0.7071"
    tags:    "tag0: 0 0 0; tag1: 0.2 0 0.1"

An anchor is x y z in metres in the world frame, and qx qy qz qw where its orientation is known. A
tag is x y z in metres in the body's frame. Blanks and line breaks count the same; an entry without
any text is passed over, so that a list may end with a semicolon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nn_perception.errors import ConfigError, DatasetError

Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NAME_RULE = "letters, digits and _ that begin with a letter, as in frames and topics"
_UNIT_TOLERANCE = 1e-3
_COINCIDENT_M = 0.01
_COLLINEAR_M = 0.05


@dataclass(frozen=True)
class Anchor:
    """Where an anchor is mounted.

    Attributes:
        position_m: x, y, z in the world frame, metres.
        orientation_xyzw: of its antenna, anchor to world, made unit here; None where unknown.

    Raises:
        DatasetError: not as many finite numbers, or no unit quaternion.
    """

    position_m: Vector3
    orientation_xyzw: Quaternion | None = None

    def __post_init__(self) -> None:
        x, y, z = check_vector(self.position_m, "position of an anchor")
        object.__setattr__(self, "position_m", (x, y, z))
        if self.orientation_xyzw is None:
            return
        quat = tuple(float(part) for part in self.orientation_xyzw)
        norm = math.hypot(*quat)
        if len(quat) != 4 or not abs(norm - 1.0) <= _UNIT_TOLERANCE:
            raise DatasetError(
                f"orientation of an anchor is {quat} with the norm {norm:.4g}, expected a unit "
                "quaternion qx, qy, qz, qw; divide it by its norm, or leave it out"
            )
        object.__setattr__(self, "orientation_xyzw", tuple(part / norm for part in quat))


def check_vector(values: Vector3, what: str) -> Vector3:
    """Return three finite numbers as floats.

    Raises:
        DatasetError: that is not what they are.
    """
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise DatasetError(
            f"{what} is {numbers}, expected finite x, y, z in metres; measure it again"
        )
    return numbers[0], numbers[1], numbers[2]


def check_name(name: str, what: str) -> None:
    """Refuse a name that could not be a frame or a part of a topic.

    Raises:
        ConfigError: it could not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what}: name {name!r}, expected {_NAME_RULE}; rename it")


def parse_anchors(text: str) -> dict[str, Anchor]:
    """Return the anchors of a text by name, in its order; none of an empty text.

    Raises:
        ConfigError: the text is not of the grammar above; the message names the entry.
    """
    anchors: dict[str, Anchor] = {}
    for name, numbers, entry in _entries(text, "anchors", "x y z or x y z qx qy qz qw", (3, 7)):
        x, y, z, *quat = numbers
        try:
            if quat:
                anchors[name] = Anchor((x, y, z), (quat[0], quat[1], quat[2], quat[3]))
            else:
                anchors[name] = Anchor((x, y, z))
        except DatasetError as error:
            raise ConfigError(f"anchors: {entry!r}: {error}") from error
    return anchors


def parse_tags(text: str) -> dict[str, Vector3]:
    """Return the lever arms of a text by the tag's name, metres; none of an empty text.

    Raises:
        ConfigError: the text is not of the grammar above; the message names the entry.
    """
    return {
        name: (numbers[0], numbers[1], numbers[2])
        for name, numbers, _ in _entries(text, "tags", "x y z", (3,))
    }


def format_anchors(anchors: Mapping[str, Anchor]) -> str:
    """Return the text of which `parse_anchors` makes the same anchors."""
    return "; ".join(
        f"{name}: {_numbers(anchor.position_m + (anchor.orientation_xyzw or ()))}"
        for name, anchor in anchors.items()
    )


def format_tags(tags: Mapping[str, Vector3]) -> str:
    """Return the text of which `parse_tags` makes the same lever arms."""
    return "; ".join(f"{name}: {_numbers(lever)}" for name, lever in tags.items())


def geometry_problem(positions: ArrayLike) -> str:
    """Say why ranges to anchors at these places (K, 3), metres, give no position; empty: they do.

    Anchors in one plane are accepted, although a position and its mirror image in that plane have
    the same ranges: who solves for positions has to know the side.
    """
    places = np.asarray(positions, np.float64).reshape(-1, 3)
    if len(places) < 3:
        return f"{len(places)} anchors, expected 3 or more; add anchors"
    apart_m = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    apart_m[np.tril_indices(len(places))] = np.inf
    if apart_m.min() < _COINCIDENT_M:
        one, other = np.unravel_index(apart_m.argmin(), apart_m.shape)
        return (
            f"anchors {one} and {other} (counted from 0) are {apart_m.min() * 1e3:.1f} mm apart, "
            f"expected {_COINCIDENT_M * 1e3:.0f} or more; correct their positions"
        )
    spread_m = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)[1]
    if spread_m < _COLLINEAR_M:
        return (
            f"all anchors lie on one line within {spread_m:.3f} m, expected {_COLLINEAR_M} m or "
            "more across it; move one aside"
        )
    return ""


def _entries(
    text: str, what: str, form: str, counts: tuple[int, ...]
) -> Iterator[tuple[str, list[float], str]]:
    """Name, numbers and text of each entry."""
    names: set[str] = set()
    for entry in (" ".join(part.split()) for part in text.split(";")):
        if not entry:
            continue
        name, colon, rest = (part.strip() for part in entry.partition(":"))
        if not colon:
            raise ConfigError(f"{what}: {entry!r} has no colon, expected 'name: {form}'; add it")
        check_name(name, f"{what}: {entry!r}")
        if name in names:
            raise ConfigError(
                f"{what}: {name!r} is named twice, expected each name once; rename one"
            )
        names.add(name)
        numbers = [_number(word, f"{what}: {entry!r}") for word in rest.split()]
        if len(numbers) not in counts:
            wanted = " or ".join(map(str, counts))
            raise ConfigError(
                f"{what}: {entry!r} has {len(numbers)} numbers, expected {wanted}; write 'name: "
                f"{form}'"
            )
        yield name, numbers, entry


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError as error:
        raise ConfigError(
            f"{where}: {word!r} is no number, expected metres such as 1.5; separate numbers by "
            "blanks"
        ) from error
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {word!r} is not finite, expected a finite number; correct it")
    return value


def _numbers(values: tuple[float, ...]) -> str:
    # The shortest digits that give the same double, without an exponent.
    return " ".join(np.format_float_positional(value, trim="-") for value in values)
