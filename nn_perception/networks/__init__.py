"""Network architectures by name; torch is imported when one is built, not before.

An image classifier takes a raw batch (N, C, H, W), uint8 or float in 0..255, and returns logits
(N, classes) as float32; what others take and return, each says.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError, TaskError, nearest

if TYPE_CHECKING:
    from torch import nn

_TARGETS: dict[str, str] = {}


def register_network(name: str, target: str) -> None:
    """Add a network to the registry.

    Args:
        name: the name in configurations and bundles.
        target: ``"module:attribute"`` of a callable that returns an ``nn.Module`` and whose
            parameters all have defaults; it is imported on first use.

    Raises:
        TaskError: the name is taken, or ``target`` is not of that form.
    """
    if name in _TARGETS:
        raise TaskError(
            f"network '{name}' is registered already as {_TARGETS[name]}; "
            f"choose another name for {target}"
        )
    module, separator, attribute = target.partition(":")
    if not (module and separator and attribute):
        raise TaskError(f"network '{name}': got target '{target}', expected 'module:attribute'")
    _TARGETS[name] = target


def network_names() -> tuple[str, ...]:
    """Return the names of all registered networks, sorted."""
    return tuple(sorted(_TARGETS))


def resolve_arguments(name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all arguments of a network, those not given filled with their defaults.

    A bundle stores this, so that a later change of a default cannot change an old network.
    Lists become tuples, as they come from YAML and JSON.

    Raises:
        TaskError: unknown network.
        ConfigError: an argument that the network does not have.
    """
    parameters = inspect.signature(_constructor(name)).parameters
    resolved = {key: parameter.default for key, parameter in parameters.items()}
    for key, value in (arguments or {}).items():
        if key not in parameters:
            raise ConfigError(
                f"network '{name}' has no argument '{key}'{nearest(key, parameters)} "
                f"(it has: {', '.join(parameters)})"
            )
        resolved[key] = _to_tuple(value)
    return resolved


def build_network(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network with freshly initialised weights.

    Args:
        name: a registered name, such as ``"digit_cnn"``.
        arguments: keyword arguments of its constructor; those not given keep their defaults.

    Raises:
        TaskError: unknown network (the nearest known name is in the message).
        ConfigError: an unknown argument (likewise) or a value that the network refuses.
    """
    resolved = resolve_arguments(name, arguments)
    try:
        network: nn.Module = _constructor(name)(**resolved)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in (arguments or {}).items())
        raise ConfigError(
            f"network '{name}' cannot be built with {given or 'its defaults'}: {error}"
        ) from error
    return network


def _constructor(name: str) -> Callable[..., nn.Module]:
    if name not in _TARGETS:
        raise TaskError(
            f"unknown network '{name}'{nearest(name, _TARGETS)} "
            f"(known: {', '.join(network_names())})"
        )
    module, _, attribute = _TARGETS[name].partition(":")
    constructor: Callable[..., nn.Module] = getattr(importlib.import_module(module), attribute)
    return constructor


def _to_tuple(value: Any) -> Any:
    return tuple(_to_tuple(item) for item in value) if isinstance(value, list | tuple) else value


register_network("mlp", "nn_perception.networks.mlp:Mlp")
register_network("lecture_cnn", "nn_perception.networks.cnn:LectureCnn")
register_network("lenet", "nn_perception.networks.cnn:LeNet")
register_network("digit_cnn", "nn_perception.networks.cnn:DigitCnn")
register_network("elman_rnn", "nn_perception.networks.recurrent:ElmanRnn")
register_network("gru", "nn_perception.networks.recurrent:Gru")
register_network("residual_cnn", "nn_perception.networks.residual:ResidualCnn")
register_network("timm_backbone", "nn_perception.networks.timm_backbone:TimmBackbone")
register_network("imu_noise", "nn_perception.networks.imu_noise:ImuNoise")
register_network("gyro_tcn", "nn_perception.networks.gyro_tcn:GyroTcn")
register_network("gyro_rnn", "nn_perception.networks.gyro_rnn:GyroRnn")
register_network("range_bias", "nn_perception.networks.range_bias:RangeBias")
