"""The code that damaged messages are given to: a node's reading, its pipeline, what it writes.

A `Target` does with bytes what a node does, without ROS. Nothing but a `MessageError` may come out
of it, or an answer with finite numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np

from nn_perception.bench.streaming import with_stamp
from nn_perception.cdr import read_header
from nn_perception.detections_cdr import boxes_from_cdr
from nn_perception.errors import MessageError, NnPerceptionError
from nn_perception.image_cdr import compressed_from_cdr, image_from_cdr
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.share import shipped_model
from nn_perception.tasks.image_results import RegionsResult
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr

PERIOD_NS = 5_000_000
SLOW_PERIOD_NS = 50_000_000
"""Of poses and boxes."""


class FuzzError(NnPerceptionError):
    """Damage had an effect that it must not have."""


Feed = Callable[[bytes, int], list[Any]]
"""Gets a message and the stamp that it was given; returns finite answers, or raises."""


class Target(NamedTuple):
    """One input of the package.

    Attributes:
        templates: valid messages, little-endian.
        big: the same, big-endian.
        feed: takes one in.
        prepare: called with a stamp before a valid message, where that needs a partner.
        period_ns: between two stamps.
    """

    templates: Sequence[bytes]
    big: Sequence[bytes]
    feed: Feed
    prepare: Callable[[int], object] = lambda _: None
    period_ns: int = PERIOD_NS


def stamped(template: bytes, stamp_ns: int) -> bytes:
    """Return a serialised message of either byte order under another stamp."""
    if template[1] == 1:
        return with_stamp(template, stamp_ns)
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return (
        template[:4] + seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big") + template[12:]
    )


def _finite(what: str, *values: Any) -> None:
    for value in values:
        if not np.isfinite(np.asarray(value, np.float64)).all():
            raise FuzzError(f"{what} is {value}, expected finite numbers")


# Inertial measurement units.


def _imu() -> Target:
    pipelines = [open_pipeline(shipped_model(name), device="cpu") for name in ("attitude", "gyro")]

    def feed(raw: bytes, _: int) -> list[Any]:
        cdr = ImuCdr(raw)
        reading = cdr.reading()
        results, error = [], None
        for pipeline in pipelines:
            try:
                results.append(_imu_answer(pipeline, reading, cdr))
            except MessageError as refusal:
                error = refusal
        if error is not None:
            raise error
        return results

    bodies = [_imu_fields(turn) for turn in range(8)]
    return Target(*_both_orders("sensor_msgs/msg/Imu", bodies), feed)


def _imu_answer(pipeline: Any, reading: Any, cdr: ImuCdr) -> Any:
    result = pipeline.process("imu", reading)
    pipeline.settle()
    if hasattr(result, "orientation_xyzw"):
        _finite("covariance", result.covariance_rad2)
        norm = math.hypot(*result.orientation_xyzw)
        if not abs(norm - 1.0) < 1e-6:
            raise FuzzError(f"orientation {result.orientation_xyzw}, expected a unit quaternion")
        answer = cdr.with_orientation(result.orientation_xyzw, result.covariance_rad2)
    else:
        _finite("rate and bias", result.gyro_rad_s, result.bias_rad_s)
        answer = cdr.with_angular_velocity(result.gyro_rad_s, result.covariance_rad2_s2)
        cdr.vector3_stamped(result.bias_rad_s)
    if len(answer) != len(cdr.buffer):
        raise FuzzError(f"{len(cdr.buffer)} bytes became {len(answer)}")
    return result


def _imu_fields(turn: int) -> Callable[[Any], Any]:
    def make(types: Any) -> Any:
        vector = types["geometry_msgs/msg/Vector3"]
        zeros = np.zeros(9)
        return types["sensor_msgs/msg/Imu"](
            header=_header(types, "imu_link"),
            orientation=types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
            orientation_covariance=np.array([-1.0, *zeros[1:]]),
            angular_velocity=vector(0.1 * math.sin(turn), 0.05 * turn, -0.1),
            angular_velocity_covariance=zeros,
            linear_acceleration=vector(0.1 * turn, 0.2, 9.8),
            linear_acceleration_covariance=zeros,
        )

    return make


# Images, raw and compressed, and boxes.


def _image() -> Target:
    shapes = [
        ("mono8", (28, 28), 1),
        ("rgb8", (32, 40), 3),
        ("bgra8", (30, 31), 4),
        ("mono16", (28, 28), 2),
        ("32FC1", (28, 28), 4),
        ("bayer_rggb8", (32, 32), 1),
        ("yuv422_yuy2", (28, 32), 2),
        ("nv12", (28, 32), 1),
    ]
    draws = np.random.default_rng(0)

    def fields(encoding: str, size: tuple[int, int], pixel_bytes: int, types: Any) -> Any:
        height, width = size
        rows = height * 3 // 2 if encoding == "nv12" else height
        data = draws.integers(0, 256, rows * width * pixel_bytes, np.uint8)
        if encoding == "32FC1":
            data = draws.random(height * width).astype("<f4").view(np.uint8)
        return types["sensor_msgs/msg/Image"](
            header=_header(types, "camera"),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=width * pixel_bytes,
            data=data,
        )

    bodies = [partial(fields, *shape) for shape in shapes]
    return Target(*_both_orders("sensor_msgs/msg/Image", bodies), _images(image_from_cdr))


def _compressed() -> Target:
    draws = np.random.default_rng(0)
    grey = draws.integers(0, 256, (32, 40), np.uint8)
    colour = draws.integers(0, 256, (36, 30, 3), np.uint8)
    smooth = cv2.resize(draws.integers(0, 256, (4, 4, 3), np.uint8), (64, 48))
    files = [
        (f"{kind}; jpeg compressed", cv2.imencode(ext, picture, list(options))[1])
        for kind, ext, picture, options in (
            ("mono8", ".png", grey, ()),
            ("rgb8", ".png", colour, ()),
            ("bgr8", ".jpg", colour, ()),
            ("mono8", ".jpg", grey, ()),
            ("rgb8", ".jpg", smooth, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
            ("bayer_rggb8", ".png", grey, ()),
        )
    ]

    def fields(name: str, data: Any, types: Any) -> Any:
        return types["sensor_msgs/msg/CompressedImage"](
            header=_header(types, "camera"), format=name, data=np.asarray(data).reshape(-1)
        )

    bodies = [partial(fields, *file) for file in files]
    return Target(
        *_both_orders("sensor_msgs/msg/CompressedImage", bodies), _images(compressed_from_cdr)
    )


def _images(read: Callable[[bytes], Any]) -> Feed:
    whole = open_pipeline(shipped_model("digits"), device="cpu", settings={"keep_percent": 100.0})
    found = open_pipeline(
        shipped_model("digit_reader"), device="cpu", settings={"regions": "digits"}
    )

    def feed(raw: bytes, stamp_ns: int) -> list[Any]:
        image = read(raw)
        answers = [whole.process("image_raw", image)]
        if stamp_ns // PERIOD_NS % 8 == 0:  # it takes longer
            answers.append(found.process("image_raw", image))
        for answer in answers:
            _check_image_answer(answer)
        return answers

    return feed


def _check_image_answer(answer: Any) -> None:
    _finite("score", answer.scores)
    if isinstance(answer, RegionsResult):
        _finite("box", answer.boxes_xywh)
    seconds = answer.stamp_ns // 1_000_000_000
    if not -(2**31) <= seconds < 2**31:
        raise FuzzError(f"an answer has the stamp {answer.stamp_ns} ns, which no message can carry")


def _boxes() -> Target:
    settings = {"regions": "detections", "keep_percent": 100.0}
    pipeline: Any = open_pipeline(shipped_model("digits"), device="cpu", settings=settings)
    picture = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)

    def frame(stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
        return SimpleNamespace(
            header=SimpleNamespace(stamp=stamp, frame_id="camera"),
            height=60,
            width=80,
            encoding="mono8",
            is_bigendian=0,
            step=80,
            data=picture.tobytes(),
        )

    def feed(raw: bytes, _: int) -> list[Any]:
        boxes = boxes_from_cdr(raw)
        answers = [pipeline.process("boxes", boxes)]
        # A frame of the stamp that the boxes ended up with, so that they are used.
        answers.append(pipeline.process("image_raw", frame(read_header(raw, "boxes")[1])))
        pipeline.overdue()
        given = [answer for answer in answers if answer is not None]
        for answer in given:
            _check_image_answer(answer)
        return given

    bodies = [partial(_detections, count) for count in (0, 1, 3, 9)]
    messages = _both_orders("vision_msgs/msg/Detection2DArray", bodies)
    return Target(*messages, feed, period_ns=SLOW_PERIOD_NS)


def _detections(count: int, types: Any) -> Any:
    pose = types["geometry_msgs/msg/PoseWithCovariance"](
        pose=types["geometry_msgs/msg/Pose"](
            position=types["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
            orientation=types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
        ),
        covariance=np.zeros(36),
    )
    hypothesis = types["vision_msgs/msg/ObjectHypothesis"](class_id="7", score=0.5)
    result = types["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis=hypothesis, pose=pose)

    def detection(number: int) -> Any:
        centre = types["vision_msgs/msg/Pose2D"](
            position=types["vision_msgs/msg/Point2D"](x=8.0 * number + 6.0, y=20.0), theta=0.1
        )
        return types["vision_msgs/msg/Detection2D"](
            header=_header(types, "camera"),
            results=[result] * (number % 3),
            bbox=types["vision_msgs/msg/BoundingBox2D"](center=centre, size_x=12.0, size_y=14.0),
            id=f"0/{number}",
        )

    return types["vision_msgs/msg/Detection2DArray"](
        header=_header(types, "camera"), detections=[detection(n) for n in range(count)]
    )


# UWB.

_ANCHORS = {"anchor0": (0.0, 0.0, 2.0), "anchor1": (6.0, 0.0, 2.0)}


def _uwb() -> Any:
    anchors = "; ".join(f"{name}: {x} {y} {z}" for name, (x, y, z) in _ANCHORS.items())
    settings = {"anchors": anchors, "tags": "tag0: 0 0 0", "pass_through": True}
    return open_pipeline(shipped_model("uwb_trolley"), device="cpu", settings=settings)


def _range() -> Target:
    pipeline = _uwb()
    pose = _both_orders("nav_msgs/msg/Odometry", [_odometry_fields])[0][0]

    def prepare(stamp_ns: int) -> None:
        pipeline.process("odom", odometry_from_cdr(stamped(pose, stamp_ns)))

    def feed(raw: bytes, _: int) -> list[Any]:
        cdr = RangeCdr(raw)
        return [_range_answer(pipeline.process("range", cdr.reading()), cdr)]

    bodies = [partial(_range_fields, name) for name in _ANCHORS]
    return Target(*_both_orders("sensor_msgs/msg/Range", bodies), feed, prepare)


def _range_answer(result: Any, cdr: RangeCdr) -> Any:
    range_m, variance_m2 = result.range_m, result.sigma_m**2
    if not (0.0 < range_m < math.inf and 0.0 < variance_m2 < math.inf):
        raise FuzzError(f"range {range_m} m, variance {variance_m2} m2, expected finite, above 0")
    cdr.with_range(range_m, variance_m2)
    return result


def _odometry() -> Target:
    pipeline = _uwb()
    ranges = _both_orders("sensor_msgs/msg/Range", [partial(_range_fields, "anchor0")])[0]

    def feed(raw: bytes, _: int) -> list[Any]:
        pipeline.process("odom", odometry_from_cdr(raw))
        stamp_ns = read_header(raw, "pose")[1]
        if not 0 <= stamp_ns < 2**31 * 1_000_000_000:
            return []
        cdr = RangeCdr(stamped(ranges[0], stamp_ns))
        return [_range_answer(pipeline.process("range", cdr.reading()), cdr)]

    messages = _both_orders("nav_msgs/msg/Odometry", [_odometry_fields])
    return Target(*messages, feed, period_ns=SLOW_PERIOD_NS)


def _range_fields(anchor: str, types: Any) -> Any:
    x, y, z = _ANCHORS[anchor]
    return types["sensor_msgs/msg/Range"](
        header=_header(types, anchor),
        radiation_type=0,
        field_of_view=0.1,
        min_range=0.0,
        max_range=50.0,
        range=math.dist((x, y, z), (2.0, 1.0, 1.0)),
        variance=0.01,
    )


def _odometry_fields(types: Any) -> Any:
    vector = types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](2.0, 1.0, 1.0),
        orientation=types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    return types["nav_msgs/msg/Odometry"](
        header=_header(types, "map"),
        child_frame_id="base_link",
        pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](
            twist=types["geometry_msgs/msg/Twist"](linear=vector, angular=vector),
            covariance=np.zeros(36),
        ),
    )


def _header(types: Any, frame_id: str) -> Any:
    stamp = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _both_orders(
    kind: str, bodies: Sequence[Callable[[Any], Any]]
) -> tuple[list[bytes], list[bytes]]:
    """Return messages in both byte orders."""
    from nn_perception.datasets.bag_types import default_typestore

    store = default_typestore()
    messages = [body(store.types) for body in bodies]
    small, big = (
        [bytes(store.serialize_cdr(one, kind, little_endian=little)) for one in messages]
        for little in (True, False)
    )
    return small, big


TARGETS: dict[str, Callable[[], Target]] = {
    "sensor_msgs/Imu": _imu,
    "sensor_msgs/Image": _image,
    "sensor_msgs/CompressedImage": _compressed,
    "sensor_msgs/Range": _range,
    "nav_msgs/Odometry": _odometry,
    "vision_msgs/Detection2DArray": _boxes,
}
"""Message type -> what opens its target."""
