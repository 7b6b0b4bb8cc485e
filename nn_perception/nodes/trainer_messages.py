"""Messages of the trainer node: ``~/status`` and ``/diagnostics``."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from nn_perception.jobs import status as states
from nn_perception.jobs.status import Status

_WARNINGS = (states.CANCELLED, states.INTERRUPTED)


def status_message(node: str, task: str, status: Status) -> DiagnosticStatus:
    """Build the message for ``~/status``; one of ``/diagnostics`` is the same.

    Args:
        node: fully qualified name of the node.
        task: what it trains.
        status: what it does.
    """
    level = DiagnosticStatus.OK
    if status.state == states.FAILED:
        level = DiagnosticStatus.ERROR
    elif status.state in _WARNINGS:
        level = DiagnosticStatus.WARN
    message = f"{status.progress}: {status.message}" if status.message else status.progress
    return DiagnosticStatus(
        level=level,
        name=f"{node.lstrip('/')}: {task}",
        message=message,
        hardware_id="none",
        values=[KeyValue(key=key, value=value) for key, value in status.rows().items()],
    )


def diagnostics(message: DiagnosticStatus, stamp: Time) -> DiagnosticArray:
    """Build the message for ``/diagnostics``."""
    array = DiagnosticArray(status=[message])
    array.header.stamp = stamp
    return array
