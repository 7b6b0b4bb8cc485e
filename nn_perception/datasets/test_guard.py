"""The test part of every data set behind a lock, for who must not learn from it.

A search chooses by what it measures: what it chose by can no longer tell how good the choice is.
Every loader of a test part asks `check_test_part`, so that a mistake is an error and no better
figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nn_perception.errors import HeldOutError

_REASONS: list[str] = []
"""Of the locks that hold, in all threads; a process that is started has none."""


@contextmanager
def lock_test_parts(reason: str) -> Iterator[None]:
    """Let every loader of a test part raise `HeldOutError` meanwhile.

    Args:
        reason: who must not see it, such as ``"a search of configurations"``.
    """
    _REASONS.append(reason)
    try:
        yield
    finally:
        _REASONS.pop()


def are_test_parts_locked() -> bool:
    """Whether a lock holds."""
    return bool(_REASONS)


def check_test_part(what: str) -> None:
    """Refuse to read a test part while a lock holds.

    Args:
        what: the part that would be read.

    Raises:
        HeldOutError: a lock holds.
    """
    if _REASONS:
        raise HeldOutError(
            f"{what} is held out for the test, and {_REASONS[-1]} must not see it: take training "
            "data here, and measure the result afterwards with 'nn-perception evaluate'"
        )
