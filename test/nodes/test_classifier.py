"""The image classifier over real DDS: what goes in, what comes out."""

import contextlib
import threading

import cv2
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from nn_perception.image_encodings import RAW_ENCODINGS
from nn_perception.messages import array_to_image_fields
from nn_perception.nodes.image_classifier import EXECUTABLE
from nn_perception.tasks.loading import open_pipeline

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def pixels_of(encoding, height=24, width=32, seed=5):
    """Random pixels in an encoding's own layout."""
    spec, random = RAW_ENCODINGS[encoding], np.random.default_rng(seed)
    rows = spec.rows(height)
    shape = (rows, width) if spec.samples == 1 else (rows, width, spec.samples)
    if spec.sample_bytes == 4:
        return random.random(shape, dtype=np.float32)
    return random.integers(0, 256**spec.sample_bytes, shape).astype(f"u{spec.sample_bytes}")


def check_equal(answer, message, pipeline):
    """The answer has the input's header and exactly the pipeline's scores, best first."""
    result = pipeline.process("image_raw", message)
    expected = sorted(zip(result.scores, result.labels, strict=True), key=lambda pair: -pair[0])
    assert [(h.score, h.class_id) for h in answer.results] == expected
    assert answer.header == message.header


@pytest.fixture(scope="module")
def pipeline(model_root):
    return open_pipeline(model_root / "digits", device="cpu")


def test_every_encoding_gives_the_header_and_all_scores(classifier, frame, ask, pipeline):
    _, client = classifier
    for number, encoding in enumerate(RAW_ENCODINGS):
        message = frame(pixels_of(encoding), encoding, frame_id=f"camera_{number}")
        answer = ask(client, message)
        check_equal(answer, message, pipeline)
        assert len(answer.results) == 10
        assert sum(h.score for h in answer.results) == pytest.approx(1.0)


def test_padded_rows_and_big_endian_pixels(classifier, frame, ask, pipeline):
    _, client = classifier
    plain = frame(pixels_of("mono8"))
    rows = np.frombuffer(plain.data, np.uint8).reshape(24, 32)
    padded = frame(
        pixels_of("mono8"), damage={"step": 40, "data": np.pad(rows, ((0, 0), (0, 8))).tobytes()}
    )
    wide = frame(pixels_of("mono16"), "mono16")
    big_endian = np.frombuffer(wide.data, np.uint16).byteswap().tobytes()
    swapped = frame(pixels_of("mono16"), "mono16", damage={"is_bigendian": 1, "data": big_endian})
    for first, second in ((plain, padded), (wide, swapped)):
        a, b = ask(client, first), ask(client, second)
        check_equal(b, second, pipeline)
        assert a.results == b.results


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_compressed_images(start, connect, frame, ask, pipeline, extension):
    client = connect(
        start(image_transport="compressed"),
        message_type="sensor_msgs/msg/CompressedImage",
        image_topic="/image_raw/compressed",
    )
    data = cv2.imencode(f".{extension}", pixels_of("bgr8"))[1].tobytes()
    message = CompressedImage(format=extension, data=data, header=frame().header)
    check_equal(ask(client, message), message, pipeline)


def test_random_frames_one_after_another(classifier, frame, ask, pipeline):
    _, client = classifier
    best = set()
    for _ in range(100):
        message = frame()
        answer = ask(client, message)
        check_equal(answer, message, pipeline)
        best.add(answer.results[0].class_id)
    assert len(best) > 3  # the model looks at the picture


BAD_FRAMES = {
    "size": {"width": 0, "height": 0, "step": 0, "data": b""},
    "step": {"step": 5},
    "data_short": {"data": b"\0" * 700},
    "encoding": {"encoding": "mono88"},
    "not_finite": {
        "encoding": "32FC1", "step": 112, "data": np.full(784, np.nan, np.float32).tobytes(),
    },
}  # fmt: skip


def test_bad_frames_are_skipped_counted_and_reported(classifier, frame, ask):
    _, client = classifier
    for kind, changes in BAD_FRAMES.items():
        bad_ns, _ = client.publish(serialize_message(frame(damage=changes)))
        ask(client, frame())  # the node lives, and frames are answered in order
        assert client.answers(bad_ns) == [], kind
    values = client.wait_for_diagnostics(lambda d: int(d["bad"]) == len(BAD_FRAMES))
    assert {key: v for key, v in values.items() if key.startswith("bad.")} == {
        f"bad.{kind}": "1" for kind in BAD_FRAMES
    }
    assert values["internal_errors"] == "0"


def test_wrong_channel_count_is_a_bad_frame(classifier, frame, ask):
    _, client = classifier
    grey_as_rgb = frame(encoding="mono8")
    grey_as_rgb.encoding = "rgb8"
    bad_ns, _ = client.publish(serialize_message(grey_as_rgb))
    ask(client, frame())
    assert client.answers(bad_ns) == []


def test_bad_compressed_images(start, connect, frame, ask):
    client = connect(
        start(image_transport="compressed", queue_size=10),
        message_type="sensor_msgs/msg/CompressedImage",
        image_topic="/image_raw/compressed",
    )
    good = cv2.imencode(".png", pixels_of("mono8"))[1].tobytes()
    for data in (b"", b"rubbish", good[: len(good) // 2]):
        message = CompressedImage(format="png", data=data, header=frame().header)
        client.publish(serialize_message(message))
    ask(client, CompressedImage(format="png", data=good, header=frame().header))
    client.wait_for_diagnostics(lambda d: d.get("bad.compressed") == "3")


@pytest.mark.parametrize("executor", ["events", "single_threaded"])
def test_messages_that_cannot_be_deserialised(start, connect, frame, ask, executor):
    """DDS drops them with a line on stderr; the frames after them are answered all the same."""
    client = connect(start(intake_executor=executor, queue_size=10))
    message = frame(frame_id="camera")
    raw = serialize_message(message)
    for end in (13, 40, len(raw) - 1):
        client.publish(raw[:end])
    not_utf8 = raw.replace(b"camera", b"cam\xffra")
    client.publish(not_utf8)
    answer = ask(client, frame())
    assert len(answer.results) == 10
    assert client.remote.state() == "active"


def test_each_kind_of_bad_frame_is_logged_once_in_its_period(classifier, frame, ask, capfd):
    _, client = classifier
    capfd.readouterr()
    for kind in ("encoding", "size") * 5:
        client.publish(serialize_message(frame(damage=BAD_FRAMES[kind])))
    ask(client, frame())
    client.wait_for_diagnostics(lambda d: int(d["bad"]) == 10)
    lines = [line for line in capfd.readouterr().err.splitlines() if "skipped" in line]
    assert len(lines) == 2
    assert "mono88" in lines[0]


@contextlib.contextmanager
def before_each_call(node, before):
    """Let the node's engine do something before it answers."""
    classifier = node._inference.model.pipeline._classifier
    engine = classifier._engine

    def run(*inputs):
        before()
        return engine(*inputs)

    classifier._engine = run
    yield
    classifier._engine = engine


def test_an_error_inside_the_pipeline_is_counted_and_the_node_lives(classifier, frame, ask):
    node, client = classifier

    def broken():
        raise ZeroDivisionError("as a bug would")

    with before_each_call(node, broken):
        client.publish(serialize_message(frame()))
        client.wait_for_diagnostics(lambda d: d["internal_errors"] == "1")
    ask(client, frame())
    values = client.wait_for_diagnostics(lambda d: "as a bug would" in d["last_error"])
    assert values["bad"] == "0"


def test_label_info_is_latched_and_follows_the_model(start, connect):
    node = start(model="letters")
    client = connect(node)
    seen = []
    client.subscribe(LabelInfo, "/label_info", seen.append, LATCHED)
    client.wait_for(lambda: len(seen) == 1)
    assert [(c.class_id, c.class_name) for c in seen[0].class_map] == [(0, "a"), (1, "b"), (2, "c")]
    assert client.remote.set_parameter("model", "digits") == (True, "")
    client.wait_for(lambda: len(seen) == 2)
    assert [c.class_name for c in seen[1].class_map] == list("0123456789")


@pytest.mark.parametrize(
    ("transport", "regions", "absent"),
    [
        ("raw", "full", {"detections"}),
        ("compressed", "digits", {"classification"}),
        ("raw", "detections", {"classification"}),
    ],
)
def test_help_names_the_topics_that_there_are(start, transport, regions, absent):
    node = start(image_transport=transport, regions=regions, model="digits")
    rows = {topic: (way, kind.split()[0].rstrip(",")) for way, topic, kind in EXECUTABLE.topics}
    found = dict(node.get_publisher_names_and_types_by_node(node.get_name(), "/"))
    for topic, (way, kind) in rows.items():
        full = node.resolve_topic_name(topic)
        if way == "publishes" and topic in absent:
            assert full not in found
        elif way == "publishes":
            assert [name.replace("/msg/", "/") for name in found[full]] == [kind]
    assert len(node._topics) == (2 if regions == "detections" else 1)
    for subscribed in node._topics:
        way, kind = rows[subscribed.topic.lstrip("/")]
        assert (way, kind.split("/")[-1]) == ("subscribes", subscribed.message_type.__name__)


def test_namespace_and_remapping(start, connect, frame, ask, pipeline):
    node = start(
        namespace="robot_1",
        cli=["-r", "image_raw:=camera/image", "-r", "classification:=digit", "-r", "__node:=eyes"],
    )
    assert node.get_fully_qualified_name() == "/robot_1/eyes"
    client = connect(node, image_topic="/robot_1/camera/image", result_topic="/robot_1/digit")
    message = frame()
    check_equal(ask(client, message), message, pipeline)
    names = set(client.node.get_node_names_and_namespaces())
    assert {("eyes", "/robot_1"), ("_eyes_io", "/robot_1")} <= names


@pytest.mark.parametrize(
    ("rule", "topic"),
    [
        ("image_raw:=/cam/image", "/cam/image/compressed"),
        ("image_raw/compressed:=/cam/jpeg", "/cam/jpeg"),
    ],
)
def test_remapping_of_compressed_images(start, rule, topic):
    node = start(image_transport="compressed", cli=["-r", rule])
    assert [info.node_name for info in node.get_subscriptions_info_by_topic(topic)] == [
        "_image_classifier_io"
    ]


def subscription_qos(node):
    (info,) = node.get_subscriptions_info_by_topic(node._topics[0].topic)
    return info.qos_profile


def test_qos_is_sensor_data_by_default(start):
    node = start(qos_depth=7)
    qos = subscription_qos(node)
    assert qos.reliability == ReliabilityPolicy.BEST_EFFORT
    assert qos.durability == DurabilityPolicy.VOLATILE
    assert node._topics[0].qos.depth == 7


def test_qos_overrides(start):
    prefix = "qos_overrides./image_raw.subscription"
    node = start(
        **{f"{prefix}.reliability": "reliable", f"{prefix}.durability": "transient_local",
           f"{prefix}.depth": 33}
    )  # fmt: skip
    qos = subscription_qos(node)
    assert qos.reliability == ReliabilityPolicy.RELIABLE
    assert qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert node._topics[0].qos.depth == 33
    assert node.get_parameter(f"{prefix}.history").value == "keep_last"


def test_newest_only_drops_the_others_and_counts_them(start, connect, frame, ask):
    """With the worker held in one frame, of those that come meanwhile only the last is answered."""
    node = start(qos_depth=100)
    client = connect(node)
    entered, release = threading.Event(), threading.Event()

    def held():
        entered.set()
        assert release.wait(10.0)

    before = int(client.wait_for_diagnostics(lambda d: int(d["received"]) > 0)["received"])
    with before_each_call(node, held):
        stamps = [client.publish(serialize_message(frame()))[0]]
        assert entered.wait(10.0)
        stamps += [client.publish(serialize_message(frame()))[0] for _ in range(5)]
        client.wait_for_diagnostics(lambda d: int(d["received"]) == before + 6)
        release.set()
        assert client.wait_for_answer(stamps[5], 10.0)
    assert [len(client.answers(stamp)) for stamp in stamps] == [1, 0, 0, 0, 0, 1]
    client.wait_for_diagnostics(lambda d: d["dropped"] == "4")


def test_large_images(classifier, ask, pipeline, frame):
    _, client = classifier
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    message = Image(**array_to_image_fields(picture, "rgb8"), header=frame().header)
    check_equal(ask(client, message), message, pipeline)
