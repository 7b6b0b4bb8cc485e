"""Recordings in other formats to bags. A kind of source is one entry in `CONVERTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nn_perception.datasets import imu_simulated, uwb_simulated
from nn_perception.datasets.digit_frames_bags import SIMULATED_DIGITS, write_simulated_digits
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_files import load_imu_directory
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_files import is_uwb_file, load_uwb_file
from nn_perception.errors import DatasetError

UWB_PARAMETERS = "uwb_anchors.yaml"
"""In the bag's directory: anchors and tags as a ROS parameter file."""
SIMULATED_UWB = "simulated-uwb"
SIMULATED_WORDS = (imu_simulated.SIMULATED, SIMULATED_UWB, SIMULATED_DIGITS)


@dataclass(frozen=True)
class Converter:
    """One kind of source.

    Attributes:
        kind: short name.
        what: in words, for lists and errors.
        suffix: of its files, such as ``.npz`` or ``.csv.gz``.
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


def _uwb_to_bag(source: Path, bag: Path) -> int:
    return _write_uwb(load_uwb_file(source), bag)


def _write_uwb(sequence: UwbSequence, bag: Path) -> int:
    count = write_uwb_bag(sequence, bag)
    # Names and numbers only: no character of them has to be escaped between double quotes.
    (bag / UWB_PARAMETERS).write_text(
        "# Anchors and tags of this bag, for uwb_corrector: --params-file.\n"
        "/**:\n"
        "  ros__parameters:\n"
        f'    anchors: "{sequence.anchors_text}"\n'
        f'    tags: "{sequence.tags_text}"\n',
        encoding="utf-8",
    )
    return count


CONVERTERS: dict[str, Converter] = {
    "imu": Converter(
        kind="imu",
        what="recordings of inertial sensors with their truth (BROAD, EuRoC, TUM-VI as .npz)",
        suffix=".npz",
        recognises=lambda path: True,
        convert=_imu_to_bag,
    ),
    "uwb": Converter(
        kind="uwb",
        what="UWB ranges with their truth (a row for each range)",
        suffix=".csv.gz",
        recognises=is_uwb_file,
        convert=_uwb_to_bag,
    ),
}


def convert_to_bags(source: Path, out: Path) -> Iterator[tuple[Path, Path, int]]:
    """Convert a file, or all files of a directory that a converter knows.

    Args:
        source: a file, a directory with files, or the word ``simulated`` (inertial sensors),
            ``simulated-uwb`` or ``simulated-digits`` (camera frames).
        out: one bag for a file; for a directory the directory that gets one bag for each file.

    Returns:
        Iterator of (file, bag, messages), one after each conversion.

    Raises:
        DatasetError: nothing there is of a known kind, or a file cannot be read.
        BagError: a bag is there already, or cannot be made.
    """
    source, out = Path(source), Path(out)
    if str(source) in SIMULATED_WORDS and not source.exists():
        yield from _simulated(source, out)
        return
    if source.is_file():
        jobs = [(source, out)]
    else:
        files = sorted(path for path in source.glob("*") if _suffix_of(path))
        jobs = [(file, out / file.name.removesuffix(_suffix_of(file))) for file in files]
    if not jobs:
        raise DatasetError(f"{source}: {_expected()}; name a file, or a directory that holds some")
    if not source.is_file():
        _make(out)
    for file, bag in jobs:
        yield file, bag, find_converter(file).convert(file, bag)


def _simulated(word: Path, out: Path) -> Iterator[tuple[Path, Path, int]]:
    _make(out)
    if str(word) == SIMULATED_DIGITS:
        for bag, count in write_simulated_digits(out):
            yield word, bag, count
        return
    if str(word) == SIMULATED_UWB:
        for flight in uwb_simulated.simulated_uwb(uwb_simulated.TEST_SEEDS):
            yield word, out / flight.name, _write_uwb(flight, out / flight.name)
        return
    for motion in imu_simulated.simulated_recordings(imu_simulated.TEST_SEEDS):
        yield word, out / motion.name, write_imu_bag(motion, out / motion.name)


def _suffix_of(file: Path) -> str:
    """The suffix of the converters that a file has; empty: none. `Path.suffix` is the last only."""
    suffixes = [converter.suffix for converter in CONVERTERS.values()]
    return next((suffix for suffix in suffixes if file.name.endswith(suffix)), "")


def find_converter(file: Path) -> Converter:
    """Return the converter of a file.

    Raises:
        DatasetError: there is none.
    """
    for converter in CONVERTERS.values():
        if file.name.endswith(converter.suffix) and converter.recognises(file):
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
