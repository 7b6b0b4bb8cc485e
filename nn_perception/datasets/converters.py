"""Recordings in other formats to bags. A kind of source is one entry in `CONVERTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_files import load_imu_directory
from nn_perception.datasets.imu_simulated import SIMULATED, TEST_SEEDS, simulated_recordings
from nn_perception.errors import DatasetError


@dataclass(frozen=True)
class Converter:
    """One kind of source.

    Attributes:
        kind: short name.
        what: in words, for lists and errors.
        suffix: of its files.
        recognises: whether a file with that suffix is of this kind; it may raise `DatasetError`.
        convert: writes one file as the bag of a path, returns the number of messages of its input.
    """

    kind: str
    what: str
    suffix: str
    recognises: Callable[[Path], bool]
    convert: Callable[[Path, Path], int]


def _imu_to_bag(source: Path, bag: Path) -> int:
    return write_imu_bag(load_imu_directory(source)[0], bag)


CONVERTERS: dict[str, Converter] = {
    "imu": Converter(
        kind="imu",
        what="recordings of inertial sensors with their truth (BROAD, EuRoC, TUM-VI as .npz)",
        suffix=".npz",
        recognises=lambda path: True,
        convert=_imu_to_bag,
    ),
}


def convert_to_bags(source: Path, out: Path) -> Iterator[tuple[Path, Path, int]]:
    """Convert a file, or all files of a directory that a converter knows.

    Args:
        source: a file, a directory with files, or the word ``simulated``.
        out: one bag for a file; for a directory the directory that gets one bag for each file.

    Returns:
        Iterator of (file, bag, messages), one after each conversion.

    Raises:
        DatasetError: nothing there is of a known kind, or a file cannot be read.
        BagError: a bag is there already, or cannot be made.
    """
    source, out = Path(source), Path(out)
    if str(source) == SIMULATED and not source.exists():
        _make(out)
        for sequence in simulated_recordings(TEST_SEEDS):
            bag = out / sequence.name
            yield source, bag, write_imu_bag(sequence, bag)
        return
    if source.is_file():
        jobs = [(source, out)]
    else:
        suffixes = {converter.suffix for converter in CONVERTERS.values()}
        files = sorted(path for path in source.glob("*") if path.suffix in suffixes)
        jobs = [(file, out / file.stem) for file in files]
    if not jobs:
        raise DatasetError(f"{source}: {_expected()}; name a file, or a directory that holds some")
    if not source.is_file():
        _make(out)
    for file, bag in jobs:
        yield file, bag, find_converter(file).convert(file, bag)


def find_converter(file: Path) -> Converter:
    """Return the converter of a file.

    Raises:
        DatasetError: there is none.
    """
    for converter in CONVERTERS.values():
        if file.suffix == converter.suffix and converter.recognises(file):
            return converter
    raise DatasetError(f"{file}: is of no kind that can be converted, {_expected()}")


def _expected() -> str:
    kinds = "; ".join(f"{each.suffix}: {each.what}" for each in CONVERTERS.values())
    return f"expected one of: {kinds}"


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{directory}: cannot be made ({error.strerror or error}); give another directory"
        ) from error
