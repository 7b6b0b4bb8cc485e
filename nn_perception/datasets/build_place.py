"""The hidden directory in which a data set is built, and what of it stays after an error."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nn_perception.datasets.build_bag import RESULT
from nn_perception.errors import DatasetError, NnPerceptionError

BAGS, DATASET = "bags", "dataset"
"""In the hidden directory: a directory for each bag that was read, and what is being written."""


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Give the hidden directory beside the data set, to one build at a time."""
    place = out.with_name(f".{out.name}.building")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DatasetError(
                    f"{out}: another process builds it; wait for it, or give another directory"
                ) from error
            try:
                yield place
            except (NnPerceptionError, OSError) as error:
                count = _keep_staged(place)
                if count and isinstance(error, NnPerceptionError):
                    raise type(error)(f"{error}; {_kept(place, count)}") from error
                raise
            except Exception:  # one that the next build would meet too
                shutil.rmtree(place, ignore_errors=True)
                raise
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        count = len(_staged(place))
        raise DatasetError(
            f"{out}: cannot be written ({error.strerror or error}); make room, or give another "
            f"directory{'; ' + _kept(place, count) if count else ''}"
        ) from error


def _staged(place: Path) -> list[Path]:
    return sorted(file.parent for file in place.glob(f"{BAGS}/*/{RESULT}"))


def _keep_staged(place: Path) -> int:
    """After an error, keep the bags that were read whole, and nothing else; return how many.

    Reading the others takes long, and the repair (a bag recovered or left out, room made, another
    split) does not touch them.
    """
    staged = _staged(place)
    if not staged:
        shutil.rmtree(place, ignore_errors=True)
        return 0
    shutil.rmtree(place / DATASET, ignore_errors=True)
    for folder in place.glob(f"{BAGS}/*"):
        if folder not in staged:
            shutil.rmtree(folder, ignore_errors=True)
    return len(staged)


def _kept(place: Path, count: int) -> str:
    return (
        f"{count} bag(s) that were read need not be read again: they are kept in {place}, which "
        "you may remove"
    )
