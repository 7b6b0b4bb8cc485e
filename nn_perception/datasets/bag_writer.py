"""Write bags without ROS, as ``ros2 bag`` does, and make the messages that go into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bag_types import default_typestore, message_class, require_rosbags
from nn_perception.datasets.vision_msgs import CLASSIFICATION, OBJECT_HYPOTHESIS
from nn_perception.errors import BagError

if TYPE_CHECKING:
    from rosbags.interfaces import Qos
    from rosbags.rosbag2 import Writer

IMAGE = "sensor_msgs/msg/Image"
IMAGE_TOPIC = "/image_raw"
LABEL_TOPIC = "/label"
START_NS = 1_700_000_000 * 10**9  # fixed, so that the same recording is the same file

#: Version of metadata.yaml: 8 (Iron) is read by Humble, Jazzy and Kilted; 9 not by Humble.
METADATA_VERSION: Literal[8] = 8

Storage = Literal["mcap", "sqlite3"]


class BagWriter:
    """A new rosbag2 directory that is open for writing; use it in a ``with`` statement.

    ``metadata.yaml`` is written at the end: a bag whose writing failed lacks it and is refused by
    every reader.

    Args:
        path: the directory to make; it must not exist.
        storage: ``"mcap"`` or ``"sqlite3"``.

    Raises:
        BagError: on entering: something is there already, the storage is unknown, or rosbags is
            not installed.
    """

    def __init__(self, path: Path, storage: Storage = "mcap") -> None:
        self.path = Path(path)
        self.storage = storage
        self._writer: Writer | None = None
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        require_rosbags()
        from rosbags.rosbag2 import StoragePlugin, Writer

        plugins = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
        if self.storage not in plugins:
            raise BagError(f"storage is {self.storage!r}, expected 'mcap' or 'sqlite3'")
        if self.path.exists():
            raise BagError(f"{self.path}: is there already; remove it or give another path")
        writer = Writer(self.path, version=METADATA_VERSION, storage_plugin=plugins[self.storage])
        try:
            writer.open()
        except OSError as error:
            raise BagError(
                f"{self.path}: cannot be made ({error.strerror or error}); give another path"
            ) from error
        self._writer = writer
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(kind, error, trace)
        return False

    def add_topic(self, name: str, msgtype: str) -> None:
        """Announce a topic; it is played back reliable, volatile, with a depth of 10.

        Raises:
            BagError: the topic was added before, or the type is not known.
        """
        if name in self._connections:
            raise BagError(f"{self.path}: topic {name!r} was added before; add each topic once")
        message_class(msgtype)
        self._connections[name] = self._open().add_connection(
            name, msgtype, typestore=default_typestore(), offered_qos_profiles=[_qos()]
        )

    def write(self, topic: str, time_ns: int, message: Any) -> None:
        """Append a message.

        Args:
            topic: added with :meth:`add_topic`.
            time_ns: bag time, ns since the epoch.
            message: an instance of :func:`bag_types.message_class`.

        Raises:
            BagError: the topic was not added, or the message is not of its type.
        """
        connection = self._connection(topic)
        try:
            data = default_typestore().serialize_cdr(message, connection.msgtype)
        except Exception as error:  # a wrong object raises whatever the first wrong field raises
            raise BagError(
                f"{self.path}: {type(message).__name__} for topic {topic!r} is no "
                f"{connection.msgtype} ({error}); make it with message_class"
            ) from error
        self._open().write(connection, time_ns, data)

    def write_raw(self, topic: str, time_ns: int, data: bytes) -> None:
        """Append a message that is serialised (CDR) already; see `write`.

        Raises:
            BagError: the topic was not added.
        """
        self._open().write(self._connection(topic), time_ns, data)

    def _connection(self, topic: str) -> Any:
        connection = self._connections.get(topic)
        if connection is None:
            raise BagError(f"{self.path}: topic {topic!r} was not added; call add_topic first")
        return connection

    def _open(self) -> Writer:
        if self._writer is None:
            raise BagError(f"{self.path}: is not open; use 'with BagWriter(path) as bag:'")
        return self._writer


def _qos() -> Qos:
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


def header(stamp_ns: int, frame_id: str) -> Any:
    """Make a std_msgs/Header from a stamp in ns since the epoch."""
    sec, nanosec = divmod(int(stamp_ns), 10**9)
    stamp = message_class("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return message_class("std_msgs/msg/Header")(stamp=stamp, frame_id=frame_id)


def image_message(
    image: NDArray[Any],
    encoding: str,
    stamp_ns: int,
    frame_id: str = "camera",
    step: int | None = None,
    big_endian: bool = False,
) -> Any:
    """Make a sensor_msgs/Image.

    Args:
        image: (H, W) or (H, W, C), of the type that the encoding wants: uint8, uint16 for
            ``mono16``, float32 for ``32FC1``. Whether it fits the encoding is not checked.
        encoding: such as ``mono8``, ``rgb8``, ``bayer_rggb8``; ``yuv422_yuy2`` wants (H, W, 2).
        stamp_ns: header stamp, ns since the epoch.
        frame_id: header frame.
        step: bytes from one row to the next; larger than a row pads each with zeros.
        big_endian: store values of several bytes with the highest first.

    Raises:
        BagError: the image has another number of axes, or a row is longer than ``step``.
    """
    if image.ndim not in (2, 3):
        raise BagError(f"image has the shape {image.shape}, expected (H, W) or (H, W, C)")
    order: Literal[">", "<"] = ">" if big_endian else "<"
    values = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder(order))
    height, width = image.shape[:2]
    row_bytes = values.nbytes // height if height else 0
    rows = values.reshape(-1).view(np.uint8).reshape(height, row_bytes)
    if step is not None and step != row_bytes:
        if step < row_bytes:
            raise BagError(f"step is {step} bytes, expected at least the {row_bytes} of a row")
        rows = np.pad(rows, ((0, 0), (0, step - row_bytes)))
    return message_class(IMAGE)(
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def classification_message(
    labels: Sequence[str], scores: Sequence[float], stamp_ns: int, frame_id: str = "camera"
) -> Any:
    """Make a vision_msgs/Classification with one hypothesis for each label.

    Raises:
        BagError: there are not as many scores as labels.
    """
    if len(labels) != len(scores):
        raise BagError(f"{len(labels)} labels but {len(scores)} scores, expected as many of both")
    hypothesis = message_class(OBJECT_HYPOTHESIS)
    return message_class(CLASSIFICATION)(
        header=header(stamp_ns, frame_id),
        results=[
            hypothesis(class_id=str(label), score=float(score))
            for label, score in zip(labels, scores, strict=True)
        ],
    )


def record_labelled_images(
    path: Path,
    images: Iterable[NDArray[Any]],
    labels: Iterable[str],
    rate_hz: float = 30.0,
    *,
    storage: Storage = "mcap",
    encoding: str | None = None,
    frame_id: str = "camera",
    start_ns: int = START_NS,
    image_topic: str = IMAGE_TOPIC,
    label_topic: str = LABEL_TOPIC,
) -> int:
    """Record a bag of camera frames with their true labels.

    Args:
        path: the rosbag2 directory to make.
        images: (H, W) or (H, W, 1) grey, or (H, W, 3) RGB, uint8; an (N, H, W, C) array too.
        labels: one class name for each image, for example ``set.class_names[i]``.
        rate_hz: frames per second.
        storage: ``"mcap"`` or ``"sqlite3"``.
        encoding: of the Image messages; None: ``mono8`` or ``rgb8`` by the channels.
        frame_id: of both headers.
        start_ns: stamp and bag time of the first frame, ns since the epoch.
        image_topic: gets sensor_msgs/Image.
        label_topic: gets vision_msgs/Classification, one hypothesis with score 1, same stamp.

    Returns:
        The number of frames.

    Raises:
        BagError: the bag cannot be made, there are no images, not one label for each, or the rate
            is not above zero.
    """
    if not 0.0 < rate_hz < float("inf"):
        raise BagError(f"rate is {rate_hz} Hz, expected above 0")
    frames = 0
    with BagWriter(path, storage) as bag:
        bag.add_topic(image_topic, IMAGE)
        bag.add_topic(label_topic, CLASSIFICATION)
        for image, label in zip_longest(images, labels):
            if image is None or label is None:
                missing = "image" if image is None else "label"
                raise BagError(f"{path}: no {missing} number {frames}, expected as many of both")
            stamp_ns = start_ns + round(frames * 1e9 / rate_hz)
            grey = image.ndim == 2 or image.shape[2] == 1
            kind = encoding or ("mono8" if grey else "rgb8")
            bag.write(image_topic, stamp_ns, image_message(image, kind, stamp_ns, frame_id))
            truth = classification_message([label], [1.0], stamp_ns, frame_id)
            bag.write(label_topic, stamp_ns, truth)
            frames += 1
        if not frames:
            raise BagError(f"{path}: there are no images to record; give at least one")
    return frames
