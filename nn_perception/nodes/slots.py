"""The hand-over of camera frames: a slot for each input, so that none drives out another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nn_perception.nodes.intake import Intake, Item


class Slots(Intake[Item]):
    """As an `Intake`, with a bound of its own for each input.

    With a depth of 1 it keeps the newest frame of each camera: a fast one replaces its own frames
    and nobody else's. What waits is taken in the order of arrival; taken as a whole, it holds
    ``depth`` items of an input at most, so that no camera has to wait for another's second frame.
    """

    def __init__(
        self,
        depths: Mapping[str, int],
        name_of: Callable[[Item], str],
        on_drop: Callable[[Item], object] = lambda _: None,
    ) -> None:
        """Make open, empty slots.

        Args:
            depths: how many items of each input may wait.
            name_of: gives the input of an item.
            on_drop: called by the putting thread with what it dropped; must be quick.

        Raises:
            ValueError: there is no input, or a depth is below 1.
        """
        if not depths or min(depths.values()) < 1:
            raise ValueError(f"each slot holds at least 1 item, got the depths {dict(depths)}")
        super().__init__(sum(depths.values()))
        self._depths = dict(depths)
        self._name_of = name_of
        self._on_drop = on_drop
        self._waits = dict.fromkeys(depths, 0)  # items of each input

    def put(self, item: Item) -> bool:
        """Add an item; return False when the input's oldest was dropped for it, or it is closed."""
        name = self._name_of(item)
        with self._lock:
            if self._closed:
                return False
            full = self._waits[name] >= self._depths[name]
            if full:
                self._drop_oldest(name)
            self._items.append(item)
            self._waits[name] += 1
            self._wake_up()
            return not full

    def _take(self, limit: int) -> list[Item]:
        taken = super()._take(limit)
        for item in taken:
            self._waits[self._name_of(item)] -= 1
        return taken

    def _drop_oldest(self, name: str) -> None:
        place = next(n for n, item in enumerate(self._items) if self._name_of(item) == name)
        self._on_drop(self._items[place])
        del self._items[place]
        self._waits[name] -= 1
        self._dropped += 1
