"""Damaged messages, one after the other, through the code of `fuzz_targets`.

After any of them a valid one must be answered.
"""

from __future__ import annotations

from random import Random

from nn_perception.bench.fuzz_targets import TARGETS, FuzzError, stamped
from nn_perception.bench.mutations import mutate
from nn_perception.errors import MessageError

FIRST_STAMP_NS = 1_000_000_000_000
HEALTH_EVERY = 100
"""Damaged messages between two looks whether valid ones are still answered."""
RECOVERY_NS = 6_000_000_000
"""Time of the stamps within which a valid message must be answered: a stamp that is ahead, by less
than what counts as a jump of the clock, makes others late for so long."""


class Fuzzer:
    """Gives one target damaged messages, each made from (seed, kind, index) alone.

    The target's state is that of all messages before, as in a node.
    """

    def __init__(self, kind: str, seed: int) -> None:
        """Open the target.

        Args:
            kind: one of `TARGETS`.
            seed: of the damage.
        """
        self._kind, self._seed = kind, seed
        self._target = TARGETS[kind]()
        self._stamp_ns = FIRST_STAMP_NS

    def message(self, index: int, stamp_ns: int) -> bytes:
        """Return the damaged message of an index."""
        random = Random(f"{self._seed}/{self._kind}/{index}")
        templates = self._target.big if random.random() < 0.25 else self._target.templates
        valid = stamped(random.choice(templates), stamp_ns)
        return mutate(random, valid, templates)

    def run(self, index: int) -> bool:
        """Feed one damaged message, and valid ones now and then.

        Returns:
            Whether the message was refused by a `MessageError`.

        Raises:
            FuzzError: an answer is not finite, or valid messages get none.
            Exception: whatever else came out.
        """
        self._stamp_ns += self._target.period_ns
        try:
            self._target.feed(self.message(index, self._stamp_ns), self._stamp_ns)
            refused = False
        except MessageError:
            refused = True
        if index % HEALTH_EVERY == HEALTH_EVERY - 1:
            self.check_health()
        return refused

    def check_health(self) -> None:
        """Feed valid messages until one is answered.

        Raises:
            FuzzError: none is.
        """
        last: Exception | None = None
        count = RECOVERY_NS // self._target.period_ns
        for number in range(count):
            self._stamp_ns += self._target.period_ns
            valid = self._target.templates[number % len(self._target.templates)]
            self._target.prepare(self._stamp_ns)
            try:
                if self._target.feed(stamped(valid, self._stamp_ns), self._stamp_ns):
                    return
            except MessageError as error:
                last = error
        raise FuzzError(f"{count} valid messages got no answer; the last: {last}")
