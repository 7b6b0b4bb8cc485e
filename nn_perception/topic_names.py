"""Names of sensors that stand before their topics, such as ``left`` in ``left/image_raw``."""

from __future__ import annotations

import re

from nn_perception.errors import ConfigError

_NAME = re.compile(r"/?[A-Za-z]\w*(/[A-Za-z]\w*)*")


def parse_names(parameter: str, text: str) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas.

    Args:
        parameter: whose value it is, for the error.
        text: the list; empty: no name.

    Raises:
        ConfigError: one cannot stand in a topic, or stands there twice.
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    for name in names:
        if not _NAME.fullmatch(name) or "__" in name:
            raise ConfigError(
                f"parameter '{parameter}' got '{text}': '{name}' is no name for a topic; expected "
                "names of letters, digits and _ that begin with a letter, separated by commas"
            )
        # With and without a slash in front is the same sensor, or one whose results clash.
        if [each.lstrip("/") for each in names].count(name.lstrip("/")) > 1:
            raise ConfigError(f"parameter '{parameter}' got '{text}': '{name}' stands there twice")
    return names


def prefixes(parameter: str, text: str) -> tuple[str, ...]:
    """Return what stands before the topics of each sensor; one that is empty without any name.

    Raises:
        ConfigError: as `parse_names`.
    """
    return tuple(f"{name}/" for name in parse_names(parameter, text)) or ("",)
