"""What a replay gives about an inertial sensor: samples, answers and truth, kept as numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_truth import StampedRows, pose_from_cdr, truth_at
from nn_perception.inertial.readings import ImuReading

_MEASURED = 6


class ImuRecording:
    """Grows with each answered sample; numbers only, since an hour has a million of them.

    Attributes:
        dropped: answers whose stamp does not come after the one before.
        delay_s: `ImuSequence.sensor_delay_s`, where the bag states it.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.delay_s = 0.0
        self._poses, self._moving = StampedRows(), StampedRows()
        self._stamps = array("q")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._stamps)

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one message of ``pose`` (serialised), ``moving`` or ``sensor_delay``."""
        if name == "pose":
            pose = pose_from_cdr(message)
            if pose is not None:
                self._poses.add(*pose)
        elif name == "moving":
            self._moving.add(time_ns, (float(message.data),))
        else:
            self.delay_s = float(message.data)

    def add(self, reading: ImuReading, answer: Iterable[float]) -> None:
        """Take one sample and its answer: as many numbers each time."""
        stamp = reading.stamp_ns
        if self._stamps and stamp <= self._stamps[-1]:
            self.dropped += 1
            return
        self._stamps.append(stamp)
        values = self._values
        values.extend(reading.gyro_rad_s.tolist())
        values.extend(reading.accel_m_s2.tolist())
        values.extend(answer)

    def sequence(self, name: str) -> tuple[ImuSequence, Float64Array] | None:
        """Return the answered samples with their truth, and the answers (N, K).

        None where there are fewer than 2 samples.
        """
        if len(self) < 2:
            return None
        stamps = np.array(self._stamps, np.int64)
        rows = np.array(self._values, np.float64).reshape(len(stamps), -1)
        start_ns = int(stamps[0])
        time_s = (stamps - start_ns).astype(np.float64) * 1e-9
        sequence = ImuSequence(
            name=name,
            time_s=time_s,
            gyro_rad_s=rows[:, :3],
            accel_m_s2=rows[:, 3:_MEASURED],
            source="bag",
            start_ns=start_ns,
            sensor_delay_s=self.delay_s,
            **truth_at(time_s, start_ns, self._poses, self._moving),
        )
        return sequence, rows[:, _MEASURED:]
