"""Runs a pipeline, one thread at a time: a worker's, or the intake's while the worker is idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic

from nn_perception.nodes.intake import Intake, Item

DIRECT_AFTER_S = 0.5e-3
"""Items that come sooner than this after an answer belong together, and go to the worker."""


class Worker(Generic[Item]):
    """Takes items from an intake, in a thread of its own, until it is stopped.

    With a ``limit`` above 1, an item that comes alone is handled at once in the thread that gives
    it: waking another one costs more than an IMU's sample does. Items that come close together go
    through the intake, so that they make a group. ``direct`` False is for items that take long,
    such as frames: nothing could be taken in meanwhile.

    ``handle`` gets the items in order, those that wait together but ``limit`` at most at a time,
    and must not raise: whatever can go wrong with an item is its business. Should it raise all the
    same, ``on_death`` gets the exception, since a worker that dies in silence would look like a
    camera that sends nothing.
    """

    def __init__(
        self,
        name: str,
        intake: Intake[Item],
        handle: Callable[[list[Item]], None],
        on_death: Callable[[BaseException], None],
        limit: int = 1,
        *,
        direct: bool = True,
    ) -> None:
        self._intake = intake
        self._handle = handle
        self._on_death = on_death
        self._limit = limit
        self._direct = direct and limit > 1
        self._ended_s = 0.0  # when the last item was handled directly
        # A daemon: a network call that hangs (a lost GPU) must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def give(self, item: Item, now_s: float) -> bool:
        """Handle an item or put it into the intake; to be called by one thread only.

        Args:
            item: the item.
            now_s: `time.perf_counter`.

        Returns:
            False when an older item was dropped for it, as `Intake.put`.
        """
        sparse = self._direct and now_s - self._ended_s > DIRECT_AFTER_S
        if not (sparse and self._intake.taker_waits):
            return self._intake.put(item)
        try:
            self._handle([item])
        except BaseException as error:
            self._on_death(error)
            raise
        self._ended_s = time.perf_counter()
        return True

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Close the intake and wait for the items in work; return False when it did not end."""
        self._intake.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._intake.closed:
                items = self._intake.get_many(self._limit)
                if items:
                    self._handle(items)
        except BaseException as error:
            self._on_death(error)
