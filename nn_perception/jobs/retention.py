"""Keeps the last bundles of a trainer and removes older ones."""

from __future__ import annotations

from collections.abc import Iterable

from nn_perception.jobs.files import Workplace, remove_tree
from nn_perception.jobs.history import History


def remove_old(workplace: Workplace, keep: int, running_ids: Iterable[str] = ()) -> list[str]:
    """Remove bundles that a trainer wrote, but for the last ``keep`` of them.

    A bundle that runs, that the history says was last deployed, or that a rollback would bring
    back is never removed. What no trainer wrote is not touched.

    Args:
        workplace: where the bundles and the history lie.
        keep: how many stay, 1 or more.
        running_ids: identities of what runs now.

    Returns:
        The names of those removed.
    """
    history = History(workplace.history)
    used = set(running_ids) | history.ids_to_keep()
    there = {n: i for n, i in history.bundles().items() if (workplace.out / n).is_dir()}
    removed = [name for name in list(there)[:-keep] if there[name] not in used]
    for name in removed:
        remove_tree(workplace.out / name)
    return removed
