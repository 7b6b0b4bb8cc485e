"""Which topic of a bag is which input of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nn_perception.errors import BagError
from nn_perception.tasks.pipeline import InputSpec


def choose_topics(
    available: Mapping[str, Any],
    inputs: tuple[InputSpec, ...],
    truths: tuple[InputSpec, ...],
    wanted: Mapping[str, str],
) -> dict[str, str]:
    """Return the bag's topic of each input, and of each truth that the bag has.

    Args:
        available: topic -> information with ``.type``.
        inputs: what the pipeline needs.
        truths: what the evaluation can use.
        wanted: topics named by the user, by input name.

    Raises:
        BagError: a needed topic is missing, of a wrong type, or ambiguous, or the only one for
            several inputs.
    """
    known = {spec.name for spec in (*inputs, *truths)}
    for name in wanted:
        if name not in known:
            raise BagError(f"'{name}' is no input here; expected one of {', '.join(sorted(known))}")
    chosen: dict[str, str] = {}
    for spec in (*inputs, *truths):
        topic = _choose(available, spec, wanted.get(spec.name), needed=spec in inputs)
        if topic is not None:
            chosen[spec.name] = topic
    _check_shared(chosen, [spec for spec in (*inputs, *truths) if spec.name in chosen])
    return chosen


def _check_shared(chosen: Mapping[str, str], specs: Sequence[InputSpec]) -> None:
    first: dict[str, str] = {}
    for spec in specs:
        other = first.setdefault(chosen[spec.name], spec.name)
        if other != spec.name:
            raise BagError(
                f"{chosen[spec.name]} would be both '{other}' and '{spec.name}', expected a topic "
                f"for each; choose them with --topic {spec.name}=TOPIC, or set up fewer "
                "inputs"
            )


def _choose(
    available: Mapping[str, Any], spec: InputSpec, wanted: str | None, *, needed: bool
) -> str | None:
    listing = ", ".join(f"{topic} ({info.type})" for topic, info in available.items())
    types = " or ".join(spec.types)
    if wanted is not None:
        topic = wanted if wanted in available else f"/{wanted}"
        if topic not in available:
            raise BagError(f"the bag has no topic '{wanted}'; it has: {listing}")
        if available[topic].type not in spec.types:
            raise BagError(f"{topic} is {available[topic].type}; '{spec.name}' needs {types}")
        return topic
    fitting = [
        topic
        for topic, info in available.items()
        # A truth that was announced and never came is none; an input is told to be empty.
        if info.type in spec.types and (needed or info.count > 0)
    ]
    # Of an input with a prefix, such as tag0/range, every part: /tag0/uwb/range.
    parts = set(spec.name.split("/"))
    named = [topic for topic in fitting if parts <= set(topic.split("/"))]
    if len(named) == 1:
        return named[0]
    if len(fitting) == 1 and needed:
        return fitting[0]
    if not needed:
        return None
    if fitting:
        raise BagError(
            f"several topics could be '{spec.name}': {', '.join(fitting)}; choose one with "
            f"--topic {spec.name}=TOPIC"
        )
    raise BagError(f"the bag has no topic of type {types}; it has: {listing or 'no topics'}")
