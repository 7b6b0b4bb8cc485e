"""Message types for bags, without ROS: those of a distribution, and those that a bag carries.

``rosbags`` is imported on first use: it is needed for bags only.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nn_perception.datasets.vision_msgs import DEFINITIONS
from nn_perception.errors import BagError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore


def require_rosbags() -> None:
    """Raise BagError with the repair unless ``rosbags`` can be imported."""
    try:
        importlib.import_module("rosbags.rosbag2")
    except ImportError as error:
        raise BagError(
            f"bags are read and written with rosbags, which cannot be imported ({error}); "
            "pip install nn_perception[eval]"
        ) from error


@lru_cache(maxsize=1)
def default_typestore() -> Typestore:
    """Return the types of ROS 2 Kilted (those used here are the same in Humble and Jazzy) and ours.

    Raises:
        BagError: rosbags is not installed.
    """
    require_rosbags()
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_KILTED)
    types: dict[str, Any] = {}
    for name, text in DEFINITIONS.items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


def message_class(msgtype: str) -> Any:
    """Return the class of a message type such as ``sensor_msgs/msg/Image``.

    Raises:
        BagError: the type is not known.
    """
    try:
        return default_typestore().types[msgtype]
    except KeyError as error:
        raise BagError(
            f"message type {msgtype!r} is not known, expected one of ROS 2's common interfaces or "
            "vision_msgs, written as 'package/msg/Name'"
        ) from error


def typestore_for(connection: Any) -> Typestore:
    """Return a store that decodes the messages of a connection of a rosbags reader.

    The definition that the bag carries counts; the default types stand in where it carries none.

    Raises:
        BagError: there is no definition, it cannot be read, or its hash is another one.
    """
    from rosbags.interfaces import MessageDefinitionFormat

    msgtype, digest = connection.msgtype, connection.digest
    if connection.msgdef.format == MessageDefinitionFormat.NONE:
        store = default_typestore()
        if msgtype not in store.fielddefs:
            raise BagError(
                f"topic {connection.topic!r}: the bag carries no definition of {msgtype}, and it "
                "is not among the known types; record again with a current ros2 bag"
            )
    else:
        try:
            store = _embedded(connection.msgdef.format.name, connection.msgdef.data, msgtype)
            store.get_msgdef(msgtype)
        except Exception as error:  # whatever rosbags' parser makes of a damaged text
            raise BagError(
                f"topic {connection.topic!r}: the definition of {msgtype} in the bag cannot be "
                f"used ({error}); record again"
            ) from error
    if digest and store.hash_rihs01(msgtype) != digest:
        raise BagError(
            f"topic {connection.topic!r}: {msgtype} was recorded with another definition "
            f"({digest}) than the one at hand; record again with a current ros2 bag"
        )
    return store


@lru_cache(maxsize=64)
def _embedded(form: str, text: str, msgtype: str) -> Typestore:
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    if form == "MSG":
        store.register(get_types_from_msg(text, msgtype))
        return store
    line = "=" * 80 + "\n"
    types: dict[str, Any] = {}
    for part in text.split(line):
        idl = part.split("\n", 1)[1] if part.startswith("IDL: ") else part
        if idl.strip():
            types.update(get_types_from_idl(idl))
    store.register(types)
    return store
