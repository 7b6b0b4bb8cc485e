"""Recorded messages in a recording for Rerun: all of them, at their stamps, with their values."""

import cv2
import numpy as np
import pytest

from nn_perception.datasets.bag_writer import classification_message, header, image_message
from nn_perception.datasets.detection_messages import detections_message, truth_message
from nn_perception.datasets.imu_bags import imu_message
from nn_perception.datasets.uwb_bag_writer import range_message
from nn_perception.errors import BagError
from nn_perception.viewing import rerun_recording
from nn_perception.viewing.views import View

from .conftest import at, make, verified

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
BOXES, CLASSES = "vision_msgs/msg/Detection2DArray", "vision_msgs/msg/Classification"
IMU, POSE, ODOM = (
    "sensor_msgs/msg/Imu",
    "geometry_msgs/msg/PoseStamped",
    "nav_msgs/msg/Odometry",
)
RANGE, STRING = "sensor_msgs/msg/Range", "std_msgs/msg/String"
FLOAT, BOOL = "std_msgs/msg/Float64", "std_msgs/msg/Bool"
TWIST = "geometry_msgs/msg/TwistStamped"


def smooth(seed, shape=(120, 160, 3)):
    """A picture that survives JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, shape[1::-1], interpolation=cv2.INTER_CUBIC).reshape(shape)


def decoded(blob):
    return cv2.imdecode(np.array(blob, np.uint8), cv2.IMREAD_UNCHANGED)


def pose(stamp, position=(0.0, 0.0, 0.0), quat=(0.0, 0.0, 0.0, 1.0)):
    return make(
        POSE,
        header=header(stamp, "map"),
        pose=make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", *map(float, position)),
            orientation=make("geometry_msgs/msg/Quaternion", *map(float, quat)),
        ),
    )


def images(encoding="rgb8", count=5, topic="/image_raw", period_ms=100.0):
    for number in range(count):
        picture = smooth(number) if encoding == "rgb8" else smooth(number)[..., 0]
        stamp = at(number * period_ms)
        # Bag time is later than the stamp: the stamp counts.
        yield topic, IMAGE, stamp + 7_000_000, image_message(picture, encoding, stamp)


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
def test_images_are_small_files_at_their_stamps(write_bag, record, encoding):
    made = record(write_bag("bag", images(encoding)))
    found = made.found
    assert found.timelines == {"ros_time"}
    assert found.stamps("camera/image_raw") == [at(100 * n) for n in range(5)]
    files = found.values("camera/image_raw", "EncodedImage:blob")
    assert found.values("camera/image_raw", "EncodedImage:media_type") == [["image/jpeg"]] * 5
    for number, (blob,) in enumerate(files):
        picture = decoded(blob)
        expected = smooth(number)[..., ::-1] if encoding == "rgb8" else smooth(number)[..., 0]
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 4.0
        assert len(blob) < expected.nbytes / 3
    assert verified(made.path).returncode == 0


def test_small_pictures_lose_nothing_and_files_are_handed_on(write_bag, record):
    tiny = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    file = cv2.imencode(".jpg", smooth(1))[1].tobytes()
    packed = make(
        COMPRESSED,
        header=header(at(0), "camera"),
        format="jpeg",
        data=np.frombuffer(file, np.uint8),
    )
    found = record(
        write_bag(
            "bag",
            [
                ("/left/image_raw", IMAGE, at(0), image_message(tiny, "mono8", at(0))),
                ("/right/image_raw/compressed", COMPRESSED, at(0), packed),
            ],
        )
    ).found
    ((blob,),) = found.values("camera/left.image_raw", "EncodedImage:blob")
    assert (decoded(blob) == tiny).all()
    ((blob,),) = found.values("camera/right.image_raw.compressed", "EncodedImage:blob")
    assert bytes(blob) == file


def test_images_a_second_are_limited_by_their_stamps(write_bag, record):
    bag = write_bag("bag", images(count=31, period_ms=100.0 / 3))
    stamps = np.array(record(bag, max_image_hz=10.0).found.stamps("camera/image_raw"))
    assert len(stamps) == 11
    assert np.allclose(np.diff(stamps) * 1e-9, 0.1, atol=1e-3)
    assert len(record(bag, max_image_hz=20.0).found.stamps("camera/image_raw")) == 21
    assert len(record(bag).found.stamps("camera/image_raw")) == 31


def test_after_a_jump_back_of_the_stamps_images_are_shown_again(write_bag, record):
    again = [(topic, kind, ns + 10**10, image) for topic, kind, ns, image in images(count=3)]
    found = record(write_bag("bag", [*images(count=10), *again]), max_image_hz=10.0).found
    assert len(found.stamps("camera/image_raw")) == 13


def test_boxes_lie_in_the_image_that_is_nearest_by_name(write_bag, record):
    boxes = np.array([[10.0, 20.0, 30.0, 40.0], [50.5, 60.5, 8.0, 9.0]], np.float32)
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    none = np.zeros((0, 4), np.float32)
    entries = []
    for camera in ("left", "right"):
        entries += list(images(topic=f"/{camera}/image_raw", count=2))
        answer = detections_message(boxes, ("car", "truck"), scores, at(0))
        entries.append((f"/{camera}/detections", BOXES, at(0), answer))
        nothing = detections_message(none, ("car", "truck"), np.zeros((0, 2)), at(100))
        entries.append((f"/{camera}/detections", BOXES, at(100), nothing))
        true = truth_message(boxes[:1], ["car"], at(0))
        entries.append((f"/{camera}/truth", BOXES, at(0), true))
    made = record(write_bag("bag", entries))
    for camera in ("left", "right"):
        entity = f"camera/{camera}.image_raw/{camera}.detections"
        first, second = made.found.boxes_xywh(entity)
        np.testing.assert_allclose(first, boxes, atol=1e-4)
        assert second.shape == (0, 4)  # boxes of the frame before must not stay
        assert made.found.values(entity, "Boxes2D:labels") == [["car 90%", "truck 80%"], []]
        truth = f"camera/{camera}.image_raw/{camera}.truth"
        assert made.found.values(truth, "Boxes2D:labels") == [["car"]]
        assert made.found.static[truth]["Boxes2D:show_labels"] == [False]
        assert "Boxes2D:show_labels" not in made.found.static.get(entity, {})


def test_classes_are_texts_best_first(write_bag, record):
    answer = classification_message(["cat", "dog", "cow", "ant"], [0.2, 0.5, 0.25, 0.05], at(0))
    entries = [
        ("/classification", CLASSES, at(0), answer),
        ("/classification", CLASSES, at(100), classification_message([], [], at(100))),
        ("/label", CLASSES, at(0), classification_message(["dog"], [1.0], at(0))),
    ]
    found = record(write_bag("bag", entries)).found
    texts = found.values("classification/classification", "TextDocument:text")
    assert texts == [["# dog  50.0%\n\ncow  25.0%\n\ncat  20.0%"], ["# not known"]]
    assert found.values("classification/label", "TextDocument:text") == [["# dog"]]


def test_inertial_samples_and_their_orientation(write_bag, record, monkeypatch):
    monkeypatch.setattr(rerun_recording, "ROWS", 7)  # written in several parts
    rng = np.random.default_rng(0)
    rates, forces = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    entries = []
    for number, (rate, force) in enumerate(zip(rates, forces, strict=True)):
        raw = imu_message(rate, force, at(5 * number))
        entries.append(("/imu/data_raw", IMU, at(5 * number), raw))
        if number % 2:
            full = imu_message(rate, force, at(5 * number))
            full.orientation.z, full.orientation.w = 0.6, 0.8
            full.orientation_covariance[0] = 0.01
            entries.append(("/imu/data", IMU, at(5 * number), full))
    made = record(write_bag("bag", entries))
    found = made.found
    np.testing.assert_array_equal(found.numbers("imu/imu.data_raw/rate"), rates)
    np.testing.assert_array_equal(found.numbers("imu/imu.data_raw/acceleration"), forces)
    assert found.stamps("imu/imu.data_raw/rate") == [at(5 * n) for n in range(50)]
    quats = found.quaternions("attitude/imu.data/sensor")
    np.testing.assert_allclose(quats, [[0.0, 0.0, 0.6, 0.8]] * 25, atol=1e-7)
    assert "attitude/imu.data_raw/sensor" not in found.rows  # it says that it has none
    assert View("space", "Attitude") in made.summary.views


def test_poses_and_their_line(write_bag, record):
    places = np.cumsum(np.full((20, 3), 0.1), axis=0)
    quat = np.array([0.1, -0.2, 0.3, 0.9])
    quat /= np.linalg.norm(quat)
    entries = [
        ("/truth/pose", POSE, at(10 * n), pose(at(10 * n), place, quat))
        for n, place in enumerate(places)
    ]
    odometry = make(
        ODOM,
        header=header(at(0), "map"),
        child_frame_id="base",
        pose=make(
            "geometry_msgs/msg/PoseWithCovariance",
            pose=pose(at(0), (1.0, 2.0, 3.0)).pose,
            covariance=np.zeros(36),
        ),
        twist=_no_twist(),
    )
    entries.append(("/odom", ODOM, at(0), odometry))
    found = record(write_bag("bag", entries)).found
    np.testing.assert_allclose(found.positions("world/truth.pose"), places, atol=1e-6)
    np.testing.assert_allclose(found.quaternions("world/truth.pose"), [quat] * 20, atol=1e-6)
    (line,) = found.static["world/truth.pose.trajectory"]["LineStrips3D:strips"]
    np.testing.assert_allclose(line, places, atol=1e-6)
    np.testing.assert_allclose(found.positions("world/odom"), [[1.0, 2.0, 3.0]])


def _no_twist():
    zero = make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    twist = make("geometry_msgs/msg/Twist", zero, zero)
    return make("geometry_msgs/msg/TwistWithCovariance", twist, np.zeros(36))


def test_single_numbers_and_diagnostics(write_bag, record):
    status = make(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=1,
        name="node: digits",
        message="no input for 3.0 s",
        hardware_id="cpu",
        values=[],
    )
    diagnostics = make(
        "diagnostic_msgs/msg/DiagnosticArray", header=header(at(10), ""), status=[status]
    )
    vector = make(
        "geometry_msgs/msg/Vector3Stamped",
        header=header(at(20), "imu"),
        vector=make("geometry_msgs/msg/Vector3", 0.1, 0.2, 0.3),
    )
    times = "/image_classifier/debug/processing_time_ms"
    entries = [
        (times, FLOAT, at(0), make(FLOAT, data=1.25)),
        ("/truth/moving", BOOL, at(1), make(BOOL, data=True)),
        ("/truth/moving", BOOL, at(2), make(BOOL, data=False)),
        ("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", at(11), diagnostics),
        ("/imu/gyro_bias", "geometry_msgs/msg/Vector3Stamped", at(21), vector),
        ("/note", STRING, at(3), make(STRING, data="hello")),
    ]
    found = record(write_bag("bag", entries)).found
    entity = "signals/image_classifier.debug.processing_time_ms"
    assert (found.numbers(entity).tolist(), found.stamps(entity)) == ([[1.25]], [at(0)])
    assert found.numbers("signals/truth.moving").tolist() == [[1.0], [0.0]]
    assert found.numbers("signals/imu.gyro_bias").tolist() == [[0.1, 0.2, 0.3]]
    assert found.values("log/diagnostics", "TextLog:text") == [["node: digits: no input for 3.0 s"]]
    assert found.values("log/diagnostics", "TextLog:level") == [["WARN"]]
    assert found.values("log/note", "TextLog:text") == [["hello"]]
    assert found.stamps("log/diagnostics") == [at(10)]


def test_what_cannot_be_shown_is_counted_and_named_and_the_rest_is_shown(write_bag, record):
    wrong = image_message(smooth(0), "rgb8", at(50))
    wrong.encoding = "rgb99"
    entries = [
        *images(count=2),
        ("/image_raw", IMAGE, at(50), wrong),
        ("/uwb/range", RANGE, at(0), range_message(float("inf"), "a", at(0))),
        ("/uwb/range", RANGE, at(1), range_message(2.0, "a", at(1))),
        ("/truth/pose", POSE, at(0), pose(at(0), quat=(0.0, 0.0, 0.0, 0.0))),
        ("/cmd", TWIST, at(0), _twist()),
    ]
    made = record(write_bag("bag", entries))
    (viewed,) = made.summary.bags
    assert viewed.shown == {"/image_raw": 2, "/uwb/range": 1}
    assert viewed.left_out == {"/cmd": TWIST}
    assert dict(viewed.bad) == {
        ("/image_raw", "encoding"): 1,
        ("/uwb/range", "not_finite"): 1,
        ("/truth/pose", "orientation"): 1,
    }
    assert "rgb99" in viewed.bad_example["/image_raw", "encoding"]
    assert len(made.found.rows["camera/image_raw"]) == 2


def _twist():
    zero = make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    return make(TWIST, header=header(at(0), ""), twist=make("geometry_msgs/msg/Twist", zero, zero))


def test_without_a_stamp_bag_time_counts(write_bag, record):
    entries = [("/uwb/range", RANGE, at(30), range_message(2.0, "a", 0))]
    assert record(write_bag("bag", entries)).found.stamps("ranges/tag/a/raw") == [at(30)]


def test_topics_can_be_chosen(write_bag, record):
    entries = [
        *images(count=2),
        ("/uwb/range", RANGE, at(1), range_message(2.0, "a", at(1))),
        ("/cmd", TWIST, at(0), _twist()),
    ]
    bag = write_bag("bag", entries)
    for name in ("/uwb/range", "uwb/range"):
        made = record(bag, topics=(name,))
        assert list(made.found.rows) == ["ranges/tag/a/raw"]
        assert made.summary.bags[0].left_out == {}


def test_several_bags_stand_below_their_names(write_bag, record):
    first, second = write_bag("first", images(count=2)), write_bag("second", images(count=3))
    found = record(first, second).found
    assert len(found.stamps("first/camera/image_raw")) == 2
    assert len(found.stamps("second/camera/image_raw")) == 3


def test_a_bag_without_anything_to_show_is_an_error_that_names_what_it_has(write_bag, record):
    path = write_bag("bag", [("/cmd", TWIST, at(0), _twist())])
    with pytest.raises(BagError, match=f"nothing that can be shown: /cmd is {TWIST}"):
        record(path)
