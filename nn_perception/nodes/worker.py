"""The one thread that runs a pipeline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic

from nn_perception.nodes.intake import Intake, Item


class Worker(Generic[Item]):
    """Takes items from an intake, in a thread of its own, until it is stopped.

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
    ) -> None:
        self._intake = intake
        self._handle = handle
        self._on_death = on_death
        self._limit = limit
        # A daemon: a network call that hangs (a lost GPU) must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

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
