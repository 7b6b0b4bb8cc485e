"""What a trainer that was killed left, and how the next one goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nn_perception.errors import NnPerceptionError
from nn_perception.jobs import history as events
from nn_perception.jobs import status as states
from nn_perception.jobs.files import Workplace, read_json
from nn_perception.jobs.history import History
from nn_perception.jobs.rollout import Running, Target, set_back
from nn_perception.jobs.status import Status


def look_back(place: Workplace) -> Status:
    """Return the status of a trainer that starts: idle, or what an earlier one left undone."""
    if not place.specification.is_file():
        return Status(states.IDLE, "~/train begins a training")
    task = read_json(place.specification).get("task", "")
    line = read_json(place.progress)
    fields = states.epoch_fields(line)
    name = read_json(place.published).get("bundle")
    where = f"epoch {fields['epoch']} of {fields['epochs'] or '?'}"
    where = f"{name} is trained" if name else where
    ended = read_json(place.ended)
    if ended:
        how = f"the last training of {task} was {ended.get('state')} ({ended.get('message')})"
        return Status(states.IDLE, how, **fields)
    return Status(
        states.INTERRUPTED,
        f"a training of {task} was interrupted ({where}): ~/train with the same parameters goes on",
        **fields,
    )


def undo_unfinished(history: History, target_of: Callable[[str], Target]) -> str:
    """Set back the nodes of a deployment that the trainer did not live to conclude.

    Args:
        history: where it is recorded.
        target_of: gives the node of a name.

    Returns:
        What was done in words; empty when there was nothing.
    """
    event = history.unfinished()
    if event is None:
        return ""
    before: dict[str, Running] = {}
    changed: list[Target] = []
    texts: list[str] = []
    for node, values in event.get("previous", {}).items():
        target = target_of(node)
        try:
            running = target.read()
        except NnPerceptionError as error:
            texts.append(f"; {node} does not answer: {error}")
            continue
        if running.id == event.get("id"):
            before[node] = dataclasses.replace(
                running, model=str(values.get("model", "")), id=str(values.get("id", ""))
            )
            changed.append(target)
    facts = {"bundle": event.get("bundle"), "id": event.get("id")}
    text = f"the trainer was killed while it deployed {facts['bundle']}"
    if len(changed) == len(event.get("previous", {})):
        history.add(events.DEPLOYED, **facts)
        return f"{text}; it runs on all targets"
    text += set_back(changed, before) + "".join(texts)
    history.add(events.WITHDRAWN, **facts, reason=text)
    return text
