"""Which messages of a stream were answered, when, and whether more than once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Kept = Callable[[int, int, int, bytes], None]
"""Gets the stamp of a message, when it was sent and when answered (system clock), and the answer;
all times in ns."""

REMEMBERED = 50_000
"""Answered stamps in which a second answer is looked for: more than a minute of any stream."""


class Ledger:
    """Accounts for one topic of answers. One thread sends, another takes the answers.

    Its memory does not grow with the length of the run; what `keep` does may.

    Attributes:
        sent: messages so far.
        answered: those with an answer.
        twice: answers to a message that had one.
        strays: answers to no message of this stream.
    """

    def __init__(self, keep: Kept = lambda *_: None) -> None:
        """Start empty; ``keep`` is called for each first answer, in the receiving thread."""
        self.sent = self.answered = self.twice = self.strays = 0
        self._keep = keep
        self._open: dict[int, int] = {}
        self._done: set[int] = set()
        self._order: deque[int] = deque()

    def send(self, stamp_ns: int, now_ns: int) -> None:
        """Note a message that is about to be published."""
        self._open[stamp_ns] = now_ns
        self.sent += 1

    def answer(self, stamp_ns: int, answered_ns: int, raw: bytes) -> None:
        """Note an answer."""
        sent_ns = self._open.pop(stamp_ns, None)
        if sent_ns is None:
            if stamp_ns in self._done:
                self.twice += 1
            else:
                self.strays += 1
            return
        self.answered += 1
        self._done.add(stamp_ns)
        self._order.append(stamp_ns)
        if len(self._order) > REMEMBERED:
            self._done.discard(self._order.popleft())
        self._keep(stamp_ns, sent_ns, answered_ns, raw)

    @property
    def missing(self) -> int:
        """Messages without an answer; those that are on their way among them."""
        return len(self._open)
