"""Input subscriptions on a hidden node with an executor and a thread of their own.

A parameter callback blocks its executor while it loads a model. On one executor that made gaps of
300 ms in a 200 Hz stream; on two, of 7 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from nn_perception.nodes.spinning import SpinThread


@dataclass(frozen=True)
class InputTopic:
    """One subscription.

    Attributes:
        name: the pipeline's input name.
        topic: resolved.
        message_type: the message class.
        qos: of the subscription.
        raw: whether messages come as their serialised bytes, which costs a fraction.
        waiting: how many messages may wait for the pipeline, where each input has its own slots;
            None: as the parameter ``queue_size`` says.
    """

    name: str
    topic: str
    message_type: Any
    qos: QoSProfile
    raw: bool = False
    waiting: int | None = None


class InputNode:
    """The hidden node ``_<owner>_io`` with the input subscriptions of its owner."""

    def __init__(
        self,
        owner: Node,
        topics: Iterable[InputTopic],
        store: Callable[[str, Any], None],
        undecodable: Callable[[Exception], None],
        executor: str = "auto",
    ) -> None:
        """Subscribe and start the thread.

        Args:
            owner: the node whose context and namespace are used. Topic names come resolved, so
                that the owner's remappings count and no rule is applied twice.
            topics: what to subscribe.
            store: called in the thread with (input name, message); must only store.
            undecodable: called in the thread with the error when a message cannot be deserialised.
            executor: see `SpinThread`.

        Raises:
            ConfigError: see `SpinThread`.
        """
        self._node = Node(
            f"_{owner.get_name()}_io",
            context=owner.context,
            namespace=owner.get_namespace(),
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        try:
            for topic in topics:
                self._subscribe(topic, store)
            self._thread = SpinThread(self._node, undecodable, executor)
        except BaseException:
            self._node.destroy_node()
            raise

    def stop(self) -> bool:
        """Stop the thread, then destroy the node; return False when the thread did not end."""
        if not self._thread.stop():
            return False
        self._node.destroy_node()
        return True

    def _subscribe(self, topic: InputTopic, store: Callable[[str, Any], None]) -> None:
        callback = functools.partial(store, topic.name)
        self._node.create_subscription(
            topic.message_type, topic.topic, callback, topic.qos, raw=topic.raw
        )
