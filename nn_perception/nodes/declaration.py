"""Declares the rows of a parameter table, and the QoS overrides of a topic, on a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterException,
)
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from nn_perception.errors import ConfigError
from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.parameters import check_changes

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_LARGEST = 2**31 - 1
_POLICIES: dict[str, Any] = {
    "reliability": ReliabilityPolicy,
    "history": HistoryPolicy,
    "durability": DurabilityPolicy,
}


def declare(node: Node, table: Iterable[Parameter]) -> None:
    """Declare every row and check the values that the node was started with.

    Raises:
        ConfigError: a value given at start is of another type, or out of range.
    """
    for row in table:
        value = _declare(node, row.name, row.default, _descriptor(row), row.type)
        row.check(value)


def check_set(node: Node, table: Mapping[str, Parameter], changes: Mapping[str, Any]) -> None:
    """Check that all changes may be made to the running node, those of rclpy's parameters too.

    Raises:
        ConfigError: a name is unknown, or a value of another type or out of range.
    """
    foreign = {name for name in changes if name not in table and node.has_parameter(name)}
    check_changes(table, {name: changes[name] for name in changes if name not in foreign})
    # rclpy checks this one after our callback: its refusal would come too late for a swap that
    # was asked for in the same atomic set.
    if not isinstance(changes.get("use_sim_time", False), bool):
        raise ConfigError("parameter 'use_sim_time' got no bool: give true or false")


def sensor_qos(node: Node, topic: str, depth: int) -> QoSProfile:
    """Return the sensor-data QoS (best effort), with the topic's standard override parameters.

    Declares ``qos_overrides.<topic>.subscription.{reliability,history,depth,durability}`` on the
    node, as rclpy does for a subscription of its own; ours live on a hidden node.

    Raises:
        ConfigError: an override is not a policy that exists.
    """
    prefix = f"qos_overrides.{topic}.subscription"
    defaults = {"reliability": "best_effort", "history": "keep_last", "durability": "volatile"}
    chosen: dict[str, Any] = {}
    for policy, default in defaults.items():
        name = f"{prefix}.{policy}"
        chosen[policy] = _policy(name, _declare_override(node, name, default), _POLICIES[policy])
    depth = _declare_override(node, f"{prefix}.depth", depth)
    if not 1 <= depth <= _LARGEST:
        raise ConfigError(f"parameter '{prefix}.depth' got {depth}, expected 1 or more")
    return QoSProfile(depth=depth, **chosen)


def _declare_override(node: Node, name: str, default: Any) -> Any:
    if node.has_parameter(name):
        return node.get_parameter(name).value
    descriptor = ParameterDescriptor(
        description="QoS of the subscription, fixed at start", read_only=True
    )
    kind = "int" if isinstance(default, int) else "string"
    return _declare(node, name, default, descriptor, kind)


def _declare(
    node: Node, name: str, default: Any, descriptor: ParameterDescriptor, kind: str
) -> Any:
    try:
        return node.declare_parameter(name, default, descriptor).value
    except InvalidParameterTypeException as error:
        # ROS takes 95 for an integer and no double.
        wanted = "double, written with a point, such as 95.0" if kind == "double" else kind
        raise ConfigError(f"parameter '{name}' must be a {wanted}: {error}") from None
    except (InvalidParameterValueException, ParameterException) as error:
        raise ConfigError(f"parameter '{name}' cannot be used: {error}") from None


def _policy(name: str, value: str, kind: Any) -> Any:
    known = {policy.name.lower(): policy for policy in kind if policy.name != "UNKNOWN"}
    if value not in known:
        raise ConfigError(
            f"parameter '{name}' got '{value}', expected one of: {', '.join(sorted(known))}"
        )
    return known[value]


def _descriptor(row: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=row.name,
        description=row.description,
        additional_constraints=row.limits,
        read_only=row.read_only,
    )
    if row.minimum is None and row.maximum is None:
        return descriptor
    if row.type == "int":
        lowest = -_LARGEST if row.minimum is None else int(row.minimum)
        highest = _LARGEST if row.maximum is None else int(row.maximum)
        descriptor.integer_range = [IntegerRange(from_value=lowest, to_value=highest, step=0)]
    else:
        low = -1e308 if row.minimum is None else float(row.minimum)
        high = 1e308 if row.maximum is None else float(row.maximum)
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=low, to_value=high, step=0.0)
        ]
    return descriptor
