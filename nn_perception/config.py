"""Configuration as nested dataclasses: read from YAML, changed by ``key=value``, written back.

A dataclass field is the one place of a key's name, type and default. Unknown keys and values
of a wrong type are errors that name the nearest key.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nn_perception.errors import ConfigError, nearest

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from a file.

    Raises:
        ConfigError: the file is missing, is no YAML, or does not hold a mapping.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror or error}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(
            f"{path} holds a {type(loaded).__name__}; expected 'key: value' lines at the top level"
        )
    return loaded


def from_mapping(cls: type[T], values: Mapping[str, Any], *, base: T | None = None) -> T:
    """Build the dataclass ``cls`` from a mapping, starting from ``base`` or the defaults.

    Nested dataclasses take nested mappings; a plain ``dict`` field is merged with the base's.

    Raises:
        ConfigError: no mapping, an unknown key, or a value of a wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"got {values!r}; expected a mapping with keys of {cls.__name__}")
    return _build(cls, values, base, prefix="")


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a dataclass into plain nested dictionaries and lists that YAML and JSON can hold."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def to_yaml(config: Any) -> str:
    """Return the YAML text of a configuration, keys in their declared order."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse ``key=value`` arguments into a nested mapping (``a.b=1`` is ``{"a": {"b": 1}}``).

    Values are read as YAML, so ``1e-3``, ``true`` and ``[1, 2]`` work.

    Raises:
        ConfigError: an argument without ``=``, or a value that is not YAML.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        key, separator, text = argument.partition("=")
        if not separator or not key:
            raise ConfigError(f"'{argument}' is not of the form key=value, such as epochs=10")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"the value of '{argument}' cannot be read as YAML") from None
    return unflatten(values)


def unflatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn keys with dots into nested mappings: ``{"a.b": 1}`` is ``{"a": {"b": 1}}``.

    Raises:
        ConfigError: a key goes below another one that has a value.
    """
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = str(key).split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError(f"'{key}' goes below '{parent}', which has already a value")
        if isinstance(target.get(last), dict) and isinstance(value, Mapping):
            target[last].update(unflatten(value))
        else:
            target[last] = unflatten(value) if isinstance(value, Mapping) else value
    return nested


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _build(cls: type[T], values: Mapping[str, Any], base: T | None, prefix: str) -> T:
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            known = ", ".join(fields)
            raise ConfigError(
                f"unknown key '{prefix}{key}'{nearest(key, fields)} (known keys: {known})"
            )
        current = getattr(base, key) if base is not None else None
        changes[key] = _convert(hints[key], value, current, f"{prefix}{key}")
    try:
        return cls(**changes) if base is None else _replace(base, changes)
    except TypeError as error:
        raise ConfigError(f"incomplete configuration: {error}") from None


def _replace(base: T, changes: dict[str, Any]) -> T:
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


def _convert(hint: Any, value: Any, current: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) == 1:
            return _convert(inner[0], value, current, key)
        if any(isinstance(value, choice) for choice in inner if isinstance(choice, type)):
            return value
        raise _wrong(key, value, " or ".join(str(choice) for choice in inner))
    if origin is typing.Literal:
        if isinstance(value, bool):  # YAML 1.1 reads on and off, without quotes, as truth values
            value = "on" if value else "off"
        if value in arguments:
            return value
        near = nearest(str(value), [str(choice) for choice in arguments])
        raise _wrong(key, value, "one of " + ", ".join(map(str, arguments)), near)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong(key, value, "a group of keys")
        return _build(typing.cast(type, hint), value, current, f"{key}.")
    if origin in (tuple, list):
        return _convert_sequence(origin, arguments, value, key)
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, Mapping):
            raise _wrong(key, value, "a mapping")
        return {**(current or {}), **value}
    return _convert_scalar(hint, value, key)


def _convert_sequence(origin: Any, arguments: tuple[Any, ...], value: Any, key: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _wrong(key, value, "a list")
    inner = arguments[0] if arguments else Any
    return origin(_convert(inner, item, None, key) for item in value)


def _convert_scalar(hint: Any, value: Any, key: str) -> Any:
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is bool and isinstance(value, bool):
        return value
    if isinstance(value, bool) and hint is not bool:
        raise _wrong(key, value, hint.__name__)
    if hint is float:
        return _as_float(value, key)
    if hint is int and isinstance(value, int):
        return value
    if hint is str and isinstance(value, str):
        return value
    raise _wrong(key, value, getattr(hint, "__name__", str(hint)))


def _as_float(value: Any, key: str) -> float:
    # YAML 1.1 reads "1e-3" as a string, since it wants "1.0e-3": accept what people write.
    if isinstance(value, (int, float, str)):
        try:
            return float(value)
        except ValueError:
            pass
    raise _wrong(key, value, "a number")


def _wrong(key: str, value: Any, expected: str, hint: str = "") -> ConfigError:
    return ConfigError(f"'{key}' is {value!r} ({type(value).__name__}); expected {expected}{hint}")
