"""A lifecycle node whose parameters are the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.publisher import Publisher

from nn_perception.errors import ConfigError
from nn_perception.nodes import parameters
from nn_perception.nodes.compat import answer_forbidden_transitions, report_errors
from nn_perception.nodes.declaration import check_set, declare

SUCCESS = TransitionCallbackReturn.SUCCESS


class TableNode(LifecycleNode):
    """Declares the rows of its table, and refuses what does not fit them, in words.

    Attributes:
        executable: key of its table, and its name where none is given; a subclass sets it.
        table: its parameters by name.
    """

    executable = ""

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        """Create the node; `declare_table` is for the subclass to call.

        Args:
            name: of the node; several of one executable may run in one process.
            kwargs: of `rclpy.lifecycle.LifecycleNode`.
        """
        super().__init__(name or self.executable, **kwargs)
        answer_forbidden_transitions(self)
        report_errors(self)
        self.table = parameters.index(parameters.TABLES[self.executable])

    def declare_table(self) -> None:
        """Declare every row.

        Raises:
            ConfigError: a value given at start cannot be used.
        """
        declare(self, self.table.values())

    def value(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self.get_parameter(name).value

    def create_diagnostics(self, publish: Callable[[], None]) -> Publisher:
        """Return the publisher of ``/diagnostics``; ``publish`` is called once a period for it."""
        publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: the health of a node is of interest while simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self.value("diagnostics_period_s"), publish, clock=steady)
        return publisher

    def autostart(self) -> None:
        """Configure and activate when the parameter ``autostart`` says so."""
        if self.value("autostart") and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """Refuse wrong types and unknown names in words; rclpy gives numbers and empty lists."""
        try:
            check_set(self, self.table, {p.name: p.value for p in parameter_list})
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return super().set_parameters_atomically(parameter_list)

    def values(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the value of every row, with changes to them."""
        return {name: self.value(name) for name in self.table} | dict(changes or {})
