"""The image node with several cameras, regions, boxes, rejection, throttle and debug images."""

import contextlib
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray

from nn_perception.detections_cdr import MAXIMUM_BOXES
from nn_perception.engine import cuda_is_likely
from nn_perception.errors import ConfigError
from nn_perception.image_cdr import image_from_cdr
from nn_perception.messages import decode_image
from nn_perception.nodes import debug_images
from nn_perception.nodes.camera_client import CameraClient, boxes, compressed_frame, frame
from nn_perception.nodes.stream_client import FIRST_STAMP_NS
from nn_perception.tasks.loading import open_pipeline

MS = 1_000_000
LEFT, RIGHT = "left/classification", "right/classification"


def at(ms):
    return FIRST_STAMP_NS + round((10_000 + ms) * MS)


def noise(seed, shape=(28, 28)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def bright(value, shape=(28, 28)):
    """A picture whose mean, as the model ``bright`` sees it, is about the value."""
    pixels = np.full(shape, value, np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0  # a dark border: it is not taken for paper
    return pixels


def sheet():
    """Ink on paper: two lines of strokes that the finder takes for digits."""
    page = np.full((240, 320), 230, np.uint8)
    for row in (60, 160):
        for column in (60, 130, 200):
            cv2.ellipse(page, (column, row), (12, 20), 0, 0, 360, 20, 5, cv2.LINE_AA)
    return page


@pytest.fixture
def connect_cameras(ros):
    clients = []

    def make(node, **arguments):
        client = CameraClient(node.get_fully_qualified_name(), context=ros, **arguments)
        clients.append(client)
        client.connect()
        return settled(client)

    yield make
    for client in clients:
        client.close()


def settled(client):
    """Wait until every probe is counted, and keep the counts to compare with."""
    seen = None
    while seen != (now := client.next_diagnostics()["received"]):
        seen = now
    client.before = client.diagnostics
    return client


def since(client, key):
    return int(client.diagnostics.get(key, 0)) - int(client.before.get(key, 0))


def wait_since(client, **counts):
    """Wait until these counts have risen by so much."""
    keys = {key.replace("__", "."): count for key, count in counts.items()}
    client.wait_for(lambda: all(since(client, key) >= n for key, n in keys.items()))
    assert {key: since(client, key) for key in keys} == keys


def answers(client, topic, count):
    kind = Detection2DArray if topic.endswith("detections") else Classification
    return [deserialize_message(a.raw, kind) for a in client.wait_for_answers(count, topic)]


def offline(model_root, model="digits", **settings):
    return open_pipeline(model_root / model, device="cpu", settings=settings)


def assert_scores(answer, result, frame_id):
    expected = sorted(zip(result.scores, result.labels, strict=True), key=lambda pair: -pair[0])
    assert [h.class_id for h in answer.results] == [label for _, label in expected]
    # A batch may differ from single pictures in the last bits.
    np.testing.assert_allclose([h.score for h in answer.results], [s for s, _ in expected], 1e-6)
    assert answer.header.frame_id == frame_id
    stamp = answer.header.stamp
    assert stamp.sec * 1_000_000_000 + stamp.nanosec == result.stamp_ns


@contextlib.contextmanager
def held(node):
    """Hold the worker in its first call of the network; gives the batch sizes of all calls."""
    classifier = node._inference.model.pipeline._classifier
    engine, sizes = classifier._engine, []
    entered, release = threading.Event(), threading.Event()

    def run(*inputs):
        sizes.append(len(inputs[0]))
        entered.set()
        assert release.wait(10.0)
        return engine(*inputs)

    classifier._engine = run
    yield entered, sizes
    release.set()


def test_each_camera_is_answered_on_its_own_topic(start, connect_cameras, model_root):
    node = start(cameras="left, /rig/right", queue_size=50, qos_depth=50)
    client = connect_cameras(node, cameras=("left", "/rig/right"))
    pipeline = offline(model_root)
    for number in range(10):
        for camera in range(2):
            pixels = noise(2 * number + camera)
            raw = frame(at(number), pixels, "mono8", f"eye_{camera}")
            client.publish(raw, camera)
    for camera, topic in enumerate((LEFT, "/rig/right/classification")):
        for number, answer in enumerate(answers(client, topic, 10)):
            raw = frame(at(number), noise(2 * number + camera), "mono8", f"eye_{camera}")
            result = pipeline.process("image_raw", image_from_cdr(raw))
            assert_scores(answer, result, f"eye_{camera}")
    wait_since(client, received=20, published=20)


def test_a_fast_camera_does_not_drive_out_a_slow_one(start, connect_cameras):
    """What waits while the worker is busy is one batch: the newest frame of each camera."""
    node = start(cameras="left,right", qos_depth=50)
    client = connect_cameras(node, cameras=("left", "right"))
    with held(node) as (entered, sizes):
        client.publish(frame(at(0), noise(0), "mono8"), 0)
        assert entered.wait(10.0)
        client.publish(frame(at(1), noise(1), "mono8"), 1)
        for number in range(2, 8):
            client.publish(frame(at(number), noise(number), "mono8"), 0)
        wait_since(client, received=8, dropped=5)
    assert [a.stamp_ns for a in client.wait_for_answers(2, LEFT)] == [at(0), at(7)]
    assert [a.stamp_ns for a in client.wait_for_answers(1, RIGHT)] == [at(1)]
    assert sizes == [1, 2]
    wait_since(client, published=3)
    assert client.diagnostics["dropped.left/image_raw"] == "5"
    assert client.diagnostics["dropped.right/image_raw"] == "0"


def test_a_dead_camera_is_named_and_the_others_go_on(start, connect_cameras):
    node = start(cameras="left,right", warn_after_s=0.3)
    client = connect_cameras(node, cameras=("left", "right"))
    number = 0

    def right_only(values):
        nonlocal number
        number += 1
        client.publish(frame(at(number), noise(number), "mono8"), 1)
        return "on left/image_raw" in values.get("message", "")

    values = client.wait_for_diagnostics(right_only)
    assert values["level"] == "WARN"
    assert "right" not in values["message"]
    client.wait_for_answers(1, RIGHT)


def test_a_camera_that_changes_its_format(start, connect_cameras, model_root):
    node = start(queue_size=50, qos_depth=50)
    client, pipeline = connect_cameras(node), offline(model_root)
    raws = [
        frame(at(0), noise(0), "mono8"),
        frame(at(1), noise(1, (480, 640, 3)), "rgb8"),
        frame(at(2), noise(2, (32, 24, 3)), "bgr8"),
        frame(at(3), noise(3, (240, 320, 2)), "yuv422_yuy2"),
        frame(at(4), noise(4, (28, 28)), "bayer_rggb8"),
        frame(at(5), noise(5, (1, 1)), "mono8"),
        frame(at(6), noise(6), "mono8"),
    ]
    for raw in raws:
        client.publish(raw)
    for raw, answer in zip(raws, answers(client, "classification", len(raws)), strict=True):
        assert_scores(answer, pipeline.process("image_raw", image_from_cdr(raw)), "camera")


def test_compressed_images_of_two_cameras(start, connect_cameras):
    node = start(cameras="left,right", image_transport="compressed")
    assert [topic.topic for topic in node._topics] == [
        "/left/image_raw/compressed", "/right/image_raw/compressed",
    ]  # fmt: skip
    client = connect_cameras(node, cameras=("left", "right"), compressed=True)
    client.publish(compressed_frame(at(0), noise(0)), 1)
    assert len(answers(client, RIGHT, 1)[0].results) == 10


def test_damaged_bytes_are_counted(start, connect_cameras):
    client = connect_cameras(start(queue_size=50, qos_depth=50))
    raw = frame(at(0), noise(0), "mono8")
    damaged = [raw[:20], raw[:-1], raw.replace(b"mono8", b"m\xffno8")]
    for one in damaged:
        client.publish(one)
    client.publish(raw)
    client.wait_for_answers(1)
    wait_since(client, bad=3, bad__undecodable=3)


def test_digits_are_answered_in_reading_order(start, connect_cameras, model_root):
    node = start(regions="digits", model="digits", keep_percent=100.0)
    client = connect_cameras(node, regions="digits")
    raw = frame(at(0), sheet(), "mono8", "desk")
    client.publish(raw)
    (answer,) = answers(client, "detections", 1)
    result = offline(model_root, regions="digits").process("image_raw", image_from_cdr(raw))
    assert len(result.lines) == 6
    found = answer.detections
    assert [one.id for one in found] == ["0/0", "0/1", "0/2", "1/0", "1/1", "1/2"]
    for one, box, scores in zip(found, result.boxes_xywh, result.scores, strict=True):
        centre = one.bbox.center.position
        size = one.bbox.size_x, one.bbox.size_y
        np.testing.assert_allclose((centre.x, centre.y), box[:2] + box[2:] / 2)
        np.testing.assert_allclose(size, box[2:])
        best = np.argsort(-scores, kind="stable")[:3]
        assert [h.hypothesis.class_id for h in one.results] == [result.labels[i] for i in best]
        np.testing.assert_allclose([h.hypothesis.score for h in one.results], scores[best], 1e-6)
        assert one.header == answer.header
    assert answer.header.frame_id == "desk"
    wait_since(client, regions=6, regions_not_known=0)


def test_a_frame_without_regions_is_answered_with_none(start, connect_cameras):
    client = connect_cameras(start(regions="digits", model="digits"), regions="digits")
    client.publish(frame(at(0), np.full((240, 320), 230, np.uint8), "mono8"))
    (answer,) = answers(client, "detections", 1)
    assert len(answer.detections) == 0
    assert answer.header.frame_id == "camera"


@pytest.fixture
def boxed(start, connect_cameras):
    """A node that gets boxes, and a client; publisher 0 is the images', 1 the boxes'."""
    node = start(regions="detections", queue_size=50, qos_depth=100, keep_percent=100.0)
    return connect_cameras(node, regions="detections")


@pytest.mark.parametrize("first", [0, 1])
def test_boxes_and_image_meet_in_either_order(boxed, first):
    image = frame(at(0), noise(0, (100, 120)), "mono8", "front")
    given = boxes(at(0), [(10, 10, 30, 40), (80, 50, 20, 20)], "front")
    messages = {0: image, 1: given}
    for number in (first, 1 - first):
        boxed.publish(messages[number], number)
        wait_since(boxed, received=1 if number == first else 2)
    (answer,) = answers(boxed, "detections", 1)
    centres = [(d.bbox.center.position.x, d.bbox.center.position.y) for d in answer.detections]
    assert centres == [(25.0, 30.0), (90.0, 60.0)]
    assert answer.header.frame_id == "front"
    assert answer.header.stamp.nanosec == at(0) % 1_000_000_000


def test_boxes_that_cannot_be_looked_at_are_counted(boxed):
    boxed.publish(frame(at(0), noise(0, (100, 120)), "mono8"))
    strange = [
        (10, 10, 30, 40),
        (500, 10, 30, 40),
        (50, 50, 1, 1),
        (-20, -20, 60, 60),
        (float("nan"), 0, 10, 10),
        (10, 10, -5, 20),
    ]
    boxed.publish(boxes(at(0), strange), 1)
    (answer,) = answers(boxed, "detections", 1)
    assert 1 <= len(answer.detections) <= 3
    boxed.wait_for(lambda: since(boxed, "published") == 1)
    refused = sum(since(boxed, k) for k in boxed.diagnostics if k.startswith("regions_refused."))
    assert refused == len(strange) - len(answer.detections)
    assert since(boxed, "bad") == 0
    assert since(boxed, "internal_errors") == 0


def test_ten_thousand_boxes_are_bounded_and_more_are_refused(boxed):
    many = [(x % 90, 10, 20, 20) for x in range(MAXIMUM_BOXES)]
    boxed.publish(frame(at(0), noise(0, (100, 120)), "mono8"))
    boxed.publish(boxes(at(0), many), 1)
    (answer,) = answers(boxed, "detections", 1)
    assert len(answer.detections) == 128
    wait_since(boxed, regions=128, regions_refused__too_many=MAXIMUM_BOXES - 128)
    boxed.publish(boxes(at(1), [*many, many[0]]), 1)
    wait_since(boxed, bad__too_many_boxes=1)


def test_images_without_boxes_and_boxes_without_images_are_counted(boxed):
    boxed.publish(frame(at(0), noise(0), "mono8"))
    boxed.publish(boxes(at(10), [(0, 0, 10, 10)]), 1)
    wait_since(boxed, received=2)
    boxed.publish(frame(at(2000), noise(1), "mono8"))  # by stamps the timeout is over
    boxed.publish(boxes(at(2000), [(0, 0, 10, 10)]), 1)
    (answer,) = answers(boxed, "detections", 1)
    assert answer.header.stamp.nanosec == at(2000) % 1_000_000_000
    wait_since(boxed, bad__no_boxes=1, bad__no_image=1, published=1)
    assert "match_timeout_s" in boxed.diagnostics["last_error"]


def test_boxes_whose_frame_is_replaced_behind_them_are_no_error(start, connect_cameras):
    node = start(regions="detections", qos_depth=50, keep_percent=100.0)
    client = connect_cameras(node, regions="detections")
    given = [(10, 10, 30, 40)]
    with held(node) as (entered, _):
        client.publish(frame(at(0), noise(0, (100, 120)), "mono8"), 0)
        client.publish(boxes(at(0), given), 1)
        assert entered.wait(10.0)
        for ms in (1, 2):
            client.publish(frame(at(ms), noise(ms, (100, 120)), "mono8"), 0)
            client.publish(boxes(at(ms), given), 1)
            wait_since(client, received=2 + 2 * ms)
    client.wait_for_answers(2)
    # By stamps the time of the boxes at 1 ms is over now.
    client.publish(frame(at(2000), noise(3, (100, 120)), "mono8"), 0)
    client.publish(boxes(at(2000), given), 1)
    assert [a.stamp_ns for a in client.wait_for_answers(3)] == [at(0), at(2), at(2000)]
    wait_since(client, published=3, dropped=1, throttled__boxes=1, bad=0)


def test_nothing_waits_over_a_deactivation(start, connect_cameras):
    node = start(regions="detections", queue_size=50, keep_percent=100.0)
    client = connect_cameras(node, regions="detections")
    client.publish(frame(at(0), noise(0, (100, 120)), "mono8"), 0)
    wait_since(client, received=1)
    (matcher,) = node._inference.model.pipeline._matchers.values()
    client.wait_for(lambda: bool(matcher._waiting["image"]))
    node.trigger_deactivate()
    assert not matcher._waiting["image"]
    node.trigger_activate()
    client.connect()
    client.publish(frame(at(100), noise(0, (100, 120)), "mono8"), 0)
    client.publish(boxes(at(100), [(10, 10, 30, 40)]), 1)
    (answer,) = client.wait_for_answers(1)
    assert answer.stamp_ns == at(100)


def test_what_is_not_known_gets_an_empty_answer(start, connect_cameras):
    client = connect_cameras(start(model="bright", queue_size=50))
    for number, value in enumerate((250, 30)):
        client.publish(frame(at(number), bright(value), "mono8"))
    known, unknown = answers(client, "classification", 2)
    assert (len(known.results), len(unknown.results)) == (10, 0)
    assert unknown.header.frame_id == "camera"
    wait_since(client, published=2, frames_not_known=1, bad=0)
    assert 100.0 < float(client.diagnostics["known_threshold"]) < 150.0


def test_how_much_is_kept_may_be_changed_while_the_node_runs(start, connect_cameras):
    node = start(model="bright", queue_size=50)
    client = connect_cameras(node)
    count = 0

    def is_answered(value):
        nonlocal count
        client.publish(frame(at(count), bright(value), "mono8"))
        count += 1
        return bool(answers(client, "classification", count)[-1].results)

    assert not is_answered(90)
    assert client.remote.set_parameter("keep_percent", 99.9) == (True, "")
    assert is_answered(90)
    assert not is_answered(30)
    refused, reason = client.remote.set_parameter("keep_percent", 30.0)
    assert (refused, "expected 50 to 99.9" in reason) == (False, True)
    assert is_answered(90)
    assert client.remote.set_parameter("keep_percent", 100.0) == (True, "")
    assert is_answered(0)
    client.wait_for_diagnostics(lambda d: (d["swaps"], d["refused_swaps"]) == ("2", "1"))


@pytest.mark.parametrize(("name", "value"), [("regions", "digits"), ("cameras", "a,b")])
def test_what_topics_are_made_from_is_fixed(start, connect_cameras, name, value):
    client = connect_cameras(start())
    accepted, reason = client.remote.set_parameter(name, value)
    assert (accepted, "read-only" in reason) == (False, True)


def test_half_precision_is_refused_where_there_is_no_gpu(start, connect_cameras):
    if cuda_is_likely():
        pytest.skip("there may be a GPU")
    client = connect_cameras(start(queue_size=50))
    accepted, reason = client.remote.set_parameter("precision", "half")
    assert (accepted, "on the CPU" in reason) == (False, True)
    assert client.remote.set_parameter("precision", "auto") == (True, "")
    client.publish(frame(at(0), noise(0), "mono8"))
    assert len(answers(client, "classification", 1)[0].results) == 10


def test_names_that_cannot_be_used_are_refused_at_start(start):
    for names in ("left,left", "left,/left", "left,1right", "a b"):
        with pytest.raises(ConfigError, match="cameras"):
            start(cameras=names)


def test_a_whole_number_for_a_double_is_refused_with_what_to_write(start):
    with pytest.raises(ConfigError, match=r"'keep_percent' must be a double, .* such as 95\.0"):
        start(keep_percent=95)


def test_frames_above_the_rate_are_left_out_and_counted(start, connect_cameras):
    node = start(queue_size=50, qos_depth=50)
    client = connect_cameras(node)
    assert client.remote.set_parameter("max_rate_hz", 0.001) == (True, "")
    for number in range(6):
        client.publish(frame(at(number), noise(number), "mono8"))
    wait_since(client, received=6, throttled=5, throttled__image_raw=5, published=1, dropped=0)
    assert client.remote.set_parameter("max_rate_hz", 0.0) == (True, "")
    client.publish(frame(at(6), noise(6), "mono8"))
    assert [a.stamp_ns for a in client.wait_for_answers(2)] == [at(0), at(6)]


@pytest.fixture
def drawings(monkeypatch):
    """What was drawn so far."""
    found = []

    def draw(*arguments, draw=debug_images.draw_result):
        found.append(arguments)
        return draw(*arguments)

    monkeypatch.setattr(debug_images, "draw_result", draw)
    return found


@pytest.mark.parametrize("regions", ["full", "digits", "detections"])
def test_a_debug_image_is_drawn_for_a_subscriber_only(start, connect_cameras, drawings, regions):
    node = start(
        regions=regions,
        model="digits",
        debug_max_rate_hz=0.0,
        cameras="left,right",
        keep_percent=100.0,
    )
    client = connect_cameras(node, regions=regions, cameras=("left", "right"))
    topic = "left/classification" if regions == "full" else "left/detections"

    def send(number):
        client.publish(frame(at(number), sheet(), "mono8", "desk"), 0)
        if regions == "detections":
            client.publish(boxes(at(number), [(40, 30, 40, 60)], "desk"), 1)
        client.wait_for_answers(number + 1, topic)

    send(0)
    assert drawings == []
    images = []
    client.subscribe(
        Image, f"{client.remote.target}/left/debug/image", images.append, QoSProfile(depth=9)
    )
    publisher = node._debug._cameras["left/"].publisher
    client.wait_for(lambda: publisher.get_subscription_count() == 1)
    send(1)
    client.wait_for(lambda: len(images) == 1)
    (_, result, rate), (image,) = drawings[0], images
    assert (
        len(getattr(result, "boxes_xywh", ())) == {"full": 0, "digits": 6, "detections": 1}[regions]
    )
    assert rate.endswith("results/s")
    assert (image.encoding, image.header.frame_id) == ("rgb8", "desk")
    assert image.header.stamp.nanosec == at(1) % 1_000_000_000
    drawn = decode_image(image, 3)
    assert drawn.shape == (240, 320, 3)
    changed = (drawn != cv2.cvtColor(sheet(), cv2.COLOR_GRAY2RGB)).any(axis=2)
    assert 0.01 < changed.mean() < 0.5


def test_debug_images_keep_to_their_rate(start, connect_cameras, drawings):
    node = start(debug_max_rate_hz=0.001)
    client, images = connect_cameras(node), []
    client.subscribe(
        Image, f"{client.remote.target}/debug/image", images.append, QoSProfile(depth=9)
    )
    publisher = node._debug._cameras[""].publisher
    client.wait_for(lambda: publisher.get_subscription_count() == 1)
    for number in range(4):
        client.publish(frame(at(number), noise(number), "mono8"))
        client.wait_for_answers(number + 1)
    client.wait_for(lambda: len(images) == 1)
    assert len(drawings) == 1


def test_the_newest_of_frames_with_one_stamp_is_drawn():
    camera = debug_images._Camera(None)
    camera.frames.extend([(1, "a"), (0, "b"), (0, "c"), (2, "d")])
    assert camera.take(3) is None
    assert camera.take(0) == "c"
    assert list(camera.frames) == [(2, "d")]


def test_the_rate_of_results_does_not_count_the_time_without_subscribers(monkeypatch):
    class Publisher:
        subscribers = 1

        def get_subscription_count(self):
            return self.subscribers

    times = iter([0.0, 0.1, 100.0, 100.1])
    monkeypatch.setattr(debug_images.time, "perf_counter", lambda: next(times))
    publisher = Publisher()
    images = debug_images.DebugImages({"": publisher}, lambda: 0.0)
    for number in range(5):
        publisher.subscribers = int(number != 2)
        image = image_from_cdr(frame(at(number), noise(number), "mono8"))
        images.frame("", image)
        images.result("", SimpleNamespace(stamp_ns=at(number)))
    assert images._cameras[""].rate_hz == pytest.approx(10.0)
