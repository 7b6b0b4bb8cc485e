"""What the pipelines of inertial sensors share: gates, sensors told apart by name, batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from nn_perception.bundle import Bundle
from nn_perception.datasets.imu import ImuSequence
from nn_perception.engine import Engine
from nn_perception.errors import MessageError
from nn_perception.inertial.gate import GAP, Limits, Passed, StreamGate
from nn_perception.inertial.readings import ImuReading, reading_from_message
from nn_perception.tasks.pipeline import InputSpec


class Waiting(NamedTuple):
    """A sample that passed its gate.

    Attributes:
        place: its index among the arrivals.
        reading: what it measured.
        passed: what the gate says of it.
    """

    place: int
    reading: ImuReading
    passed: Passed


class Core(Protocol):
    """State and arithmetic of all sensors; rows are sensors."""

    def add_sensor(self) -> int:
        """Make room for one more sensor; return its row."""
        ...

    def adopt(self, previous: Any) -> None:
        """Take over the state of another core of the same class."""
        ...

    def settle(self) -> None:
        """Do what is due and need not keep an answer waiting."""
        ...


class ImuPipeline(ABC):
    """Takes samples of any number of sensors, alone or many at a time.

    A subclass makes the `Core` and answers the samples that its gates let pass.
    """

    inputs: ClassVar[tuple[InputSpec, ...]] = (InputSpec("imu", ("sensor_msgs/msg/Imu",), "every"),)

    def __init__(self, bundle: Bundle, engine: Engine, limits: Limits) -> None:
        self.bundle = bundle
        self.engine = engine
        self._limits = limits
        self.reset()

    @abstractmethod
    def _new_core(self) -> Core:
        """Return a core without sensors."""

    @abstractmethod
    def _answer(self, waiting: Mapping[int, Sequence[Waiting]], answers: list[Any]) -> None:
        """Put an answer for each waiting sample (row -> samples in order) at its index."""

    def reset(self) -> None:
        """Forget all sensors."""
        self._core = self._new_core()
        self._gates: dict[str, StreamGate] = {}
        self._rows: dict[str, int] = {}

    def adopt(self, previous: Any) -> bool:
        """Go on where another pipeline stands; False, and a reset, when it is of another kind.

        The physical state goes on with any network; a network's memory only when it fits.
        """
        if type(previous) is not type(self):
            self.reset()
            return False
        self._gates, self._rows = previous._gates, previous._rows
        for gate in self._gates.values():
            gate.limits = self._limits
        self._core = self._new_core()
        self._core.adopt(previous._core)
        return True

    def process(self, name: str, message: Any) -> Any:
        """Take one sample of the sensor ``name``.

        Args:
            name: tells sensors apart; any text.
            message: sensor_msgs/Imu, or an `ImuReading`.

        Raises:
            MessageError: the sample cannot be used; see `inertial.readings` and `inertial.gate`.
        """
        (answer,) = self.process_many([(name, message)])
        if isinstance(answer, MessageError):
            raise answer
        return answer

    def process_many(self, arrivals: Sequence[tuple[str, Any]]) -> list[Any]:
        """Take samples of any sensors in order of arrival; return an answer or error for each."""
        answers: list[Any] = [None] * len(arrivals)
        waiting: dict[int, list[Waiting]] = {}
        for index, (name, message) in enumerate(arrivals):
            try:
                reading = reading_from_message(message)
                passed = self._gate(name).check(reading)
            except MessageError as error:
                answers[index] = error
                continue
            waiting.setdefault(self._rows[name], []).append(Waiting(index, reading, passed))
        self._answer(waiting, answers)
        return answers

    def settle(self) -> None:
        """Do what is due and need not keep an answer waiting; else the next samples do it."""
        self._core.settle()

    def _run(self, sequence: ImuSequence) -> list[Any]:
        """Answer a whole recording from a reset, as a live node would."""
        self.reset()
        stamps = np.round(sequence.time_s * 1e9).astype(np.int64).tolist()
        samples = zip(stamps, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
        answers = self.process_many([("imu", ImuReading(t, "", w, a)) for t, w, a in samples])
        self.reset()
        for answer in answers:
            if isinstance(answer, MessageError):
                raise answer
        return answers

    def _gate(self, name: str) -> StreamGate:
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = StreamGate(self._limits)
            self._rows[name] = self._core.add_sensor()
        return gate


def rounds(
    waiting: Mapping[int, Sequence[Waiting]],
    is_last: Callable[[int, float], bool] = lambda _row, _elapsed: False,
) -> Iterator[tuple[list[int], list[Sequence[Waiting]]]]:
    """Cut waiting samples into pieces of equal length for all sensors in them.

    A single sensor's samples go on together, those of several sensors one by one, all sensors
    together. A sample that starts a stream, or ends a gap, stands alone.

    Args:
        waiting: row -> samples in order.
        is_last: whether a piece ends after so many seconds since its first sample.
    """
    if len(waiting) == 1:
        ((row, samples),) = waiting.items()
        at = 0
        while at < len(samples):
            size = _piece(row, samples, at, is_last)
            yield [row], [samples[at : at + size]]
            at += size
        return
    for k in range(max((len(samples) for samples in waiting.values()), default=0)):
        rows = [row for row, samples in waiting.items() if len(samples) > k]
        yield rows, [waiting[row][k : k + 1] for row in rows]


def _piece(
    row: int, samples: Sequence[Waiting], at: int, is_last: Callable[[int, float], bool]
) -> int:
    elapsed = 0.0
    for k in range(at, len(samples)):
        passed = samples[k].passed
        if passed.starts or GAP in passed.flags:
            return max(1, k - at)
        elapsed += passed.dt_s
        if is_last(row, elapsed):
            return k - at + 1
    return len(samples) - at
