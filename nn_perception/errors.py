"""The exceptions of the package, below one root.

Every message says what was got, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NnPerceptionError(Exception):
    """Root of every error that this package raises on purpose."""


class ConfigError(NnPerceptionError):
    """A configuration, parameter or command line that cannot be used."""


class TaskError(NnPerceptionError):
    """An unknown or doubly registered task or network."""


class DatasetError(NnPerceptionError):
    """Data that is missing, damaged or not of the expected kind."""


class HeldOutError(DatasetError):
    """A test part that was about to be read where nobody may learn from it."""


class BagError(DatasetError):
    """A recorded bag that cannot be read or lacks a topic."""


class DownloadError(NnPerceptionError):
    """A download that failed on every mirror, or did not match its checksum."""


class BundleError(NnPerceptionError):
    """A model bundle that is missing, damaged, foreign or unsafe."""


class EngineError(NnPerceptionError):
    """A network that could not be run."""


class DeviceError(EngineError):
    """A device that was asked for by name and is not there."""


class TrainingError(NnPerceptionError):
    """Training that cannot go on (a loss that is not finite, a foreign checkpoint)."""


class DivergedError(TrainingError):
    """A training loss that is not finite."""


class MessageError(NnPerceptionError):
    """A message that cannot be used.

    Attributes:
        kind: short stable name of what is wrong (``"encoding"``, ``"size"``, ``"data_short"``,
            ``"not_finite"``, ...), by which nodes count and throttle.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name nearest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""
