"""Where recordings lie: what the loaders of all kinds of recordings share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from nn_perception.errors import DatasetError

BAG_FILES = (".mcap", ".db3")


class Named(Protocol):
    """A recording."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


Recording = TypeVar("Recording", bound=Named)


def find_sources(path: Path, is_recording: Callable[[Path], bool], expected: str) -> list[Path]:
    """Return the recordings at a path: itself, or the files and bags of a directory.

    Args:
        path: a file, a bag, or a directory, which is searched one level deep.
        is_recording: tells files of the kind that is looked for; bags count without it.
        expected: what there should be, for the error.

    Raises:
        DatasetError: nothing is there.
    """
    path = Path(path)
    if path.is_file() or _is_bag_directory(path):
        return [path]
    if not path.is_dir():
        raise DatasetError(f"{path}: does not exist, {expected}; correct the path")
    found = [child for child in sorted(path.iterdir()) if is_recording(child) or is_bag(child)]
    if not found:
        raise DatasetError(f"{path}: holds no recording, {expected}; name the right directory")
    return found


def is_bag(path: Path) -> bool:
    """Whether it is a bag: its directory or a bare file of one."""
    return path.suffix in BAG_FILES or _is_bag_directory(path)


def in_order_of_name(found: Sequence[Recording], path: Path) -> list[Recording]:
    """Return recordings in order of their names.

    Raises:
        DatasetError: two have one name.
    """
    names = Counter(sequence.name for sequence in found)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DatasetError(
            f"{path}: {names[twice[0]]} recordings are called {twice[0]!r}, expected different "
            "names, by which figures are listed; rename one"
        )
    return sorted(found, key=lambda sequence: sequence.name)


@contextmanager
def naming(source: Path) -> Iterator[None]:
    """Let each `DatasetError` name the recording it is about."""
    try:
        yield
    except DatasetError as error:
        if str(source) in str(error):
            raise
        raise DatasetError(f"{source}: {error}") from error


def _is_bag_directory(path: Path) -> bool:
    """One without metadata.yaml too, to be refused by name."""
    if not path.is_dir():
        return False
    if (path / "metadata.yaml").is_file():
        return True
    # Bare files beside each other are recordings of their own; a single one is a broken bag.
    files = [child for child in path.iterdir() if child.suffix in BAG_FILES]
    return len(files) == 1 and files[0].stem.startswith(path.name)
