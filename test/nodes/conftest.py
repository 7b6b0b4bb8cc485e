"""Real rclpy over Fast DDS. In-process tests see nothing but this process; others this machine."""

import os
import threading

import numpy as np
import pytest

from nn_perception.nodes.process import dds_profile, ros_environment

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # unchecked, a wrong type is sent as garbage
DOMAIN_ID = 1 + os.getpid() % 100
os.environ["ROS_DOMAIN_ID"] = str(DOMAIN_ID)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "OFF"
os.environ.update(dds_profile())  # read once in a process, with its first participant

NO_ROS = (
    "test_bag_commands",
    "test_frame_gate",
    "test_intake",
    "test_launch",
    "test_launch_arguments",
    "test_parameter_files",
    "test_parameters",
    "test_playback",
    "test_registry",
    "test_slots",
    "test_statistics",
    "test_supervisor",
)


def missing_ros():
    try:
        import rclpy  # noqa: F401
        import vision_msgs.msg  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


MISSING_ROS = missing_ros()


class SkippedModule(pytest.Module):
    """A module that imports ROS and is shown as skipped where there is none."""

    def collect(self):
        pytest.skip(f"needs ROS: {MISSING_ROS}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if MISSING_ROS and module_path.stem not in NO_ROS:
        return SkippedModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def domain_id():
    return DOMAIN_ID


@pytest.fixture(scope="session")
def outer_domain(domain_id):
    """The domain of nodes in processes of their own, apart from that of the tests' own nodes."""
    return domain_id % 100 + 1


@pytest.fixture(scope="module")
def observer(outer_domain):
    """A node that sees those of other processes, in a ROS context of its own.

    The discovery range is read when a context is made; the other tests' one keeps its own.
    """
    from rclpy import Context
    from rclpy.node import Node

    from nn_perception.nodes.spinning import SpinThread

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ros_environment(outer_domain).items():
            patch.setenv(name, value)
        context = Context()
        context.init(domain_id=outer_domain)
        node = Node("observer", context=context)
        spin = SpinThread(node, lambda error: None)
        yield node
        spin.stop()
        node.destroy_node()
        context.try_shutdown()


LABELS = tuple(str(digit) for digit in range(10))


# Of a model that knows bright pictures: the score of a picture is its mean, 0 to 255.
BRIGHTNESS = {"score": "background", "quantiles": [[50.0, 150.0], [99.0, 100.0], [99.9, 50.0]]}


def write_model(
    path, *, answer=None, bias=0.0, labels=LABELS, seed=0, task="digits", rejects_dark=False
):
    """Write a linear digit model without torch.

    ``answer`` makes it always give that class; one that ``rejects_dark`` knows what is bright.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save

    from nn_perception.bundle import ArraySpec, BundleConfig, NetworkSpec
    from nn_perception.bundle_writer import save_bundle
    from nn_perception.tasks.digits.pipeline import PREPROCESSING

    classes = len(labels)
    random = np.random.default_rng(seed)
    weight = (random.standard_normal((784, classes)) * 2e-3).astype(np.float32)
    bias = np.full(classes, bias, np.float32)
    if answer is not None:
        bias[answer] = 100.0
    if rejects_dark:
        weight[:] = 0.0
        weight = np.column_stack((weight, np.full(784, -1.0 / 784, np.float32)))
        bias = np.append(bias - np.log(np.exp(bias).sum()), np.float32(0.0)).astype(np.float32)
    outputs = len(bias)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["float"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    config = BundleConfig(
        format=1,
        task=task,
        network=NetworkSpec("mlp", {}, weight.size + classes),
        inputs=(ArraySpec("image", (None, 1, 28, 28), "uint8"),),
        outputs=(ArraySpec("logits", (None, outputs), "float32"),),
        preprocessing=vars(PREPROCESSING),
        labels=tuple(labels),
        calibration={"temperature": 1.0} | ({"rejection": BRIGHTNESS} if rejects_dark else {}),
        training={},
        metrics={},
        parity=0.0,
        files={},
    )
    tensors = save({"linear.weight": weight, "linear.bias": bias})
    return save_bundle(path, config, tensors, model.SerializeToString())


@pytest.fixture(scope="session")
def save_model():
    """Return the function that writes a linear digit model."""
    return write_model


@pytest.fixture(scope="session")
def model_root(tmp_path_factory):
    """Models that tests must not change; ``bright`` looks at the brightness of a picture."""
    root = tmp_path_factory.mktemp("models")
    write_model(root / "digits")
    write_model(root / "three", answer=3)
    write_model(root / "seven", answer=7)
    write_model(root / "letters", answer=1, labels=("a", "b", "c"))
    write_model(root / "bright", rejects_dark=True)
    return root


@pytest.fixture(scope="session")
def ros(domain_id):
    """The one ROS context of the session. Two of them would not see each other here."""
    import rclpy

    context = rclpy.Context()
    context.init(domain_id=domain_id)
    yield context
    context.try_shutdown()


@pytest.fixture(scope="module")
def outer(domain_id):
    """A ROS context that sees other processes of this machine, and the domain that it is in.

    The discovery range is read when a context is made; the other tests' one keeps its own.
    """
    import rclpy

    domain = domain_id % 100 + 1
    before = dict(os.environ)
    os.environ.update(ros_environment(domain))
    context = rclpy.Context()
    context.init(domain_id=domain)
    yield context, domain
    context.try_shutdown()
    os.environ.clear()
    os.environ.update(before)


class Spinner:
    """Spins the nodes under test as `run` does, in a thread."""

    def __init__(self, context):
        from rclpy.executors import SingleThreadedExecutor

        self.executor = SingleThreadedExecutor(context=context)
        self.errors = []
        self._running = True
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self):
        while self._running:
            try:
                self.executor.spin_once(timeout_sec=0.1)
            except Exception as error:
                self.errors.append(error)

    def stop(self):
        self._running = False
        self.executor.wake()
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        self.executor.shutdown()
        return self.errors


@pytest.fixture
def start(ros, model_root):
    """Return a function that starts a spinning node, a classifier by default; they end later."""
    from rclpy.parameter import Parameter

    from nn_perception.nodes.image_classifier import ImageClassifier

    started = []

    def make(*, autostart=True, cli=(), namespace=None, node_class=ImageClassifier, **parameters):
        values = {"model_root": str(model_root), "diagnostics_period_s": 0.1, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = node_class(
            context=ros,
            parameter_overrides=overrides,
            cli_args=["--ros-args", *cli] if cli else None,
            namespace=namespace,
        )
        if autostart:
            node.autostart()
        spinner = Spinner(ros)
        spinner.executor.add_node(node)
        started.append((node, spinner))
        return node

    yield make
    errors = []
    for node, spinner in started:
        errors += spinner.stop()
        node.destroy_node()
    assert errors == []


@pytest.fixture
def connect(ros):
    """Return a function that makes a client of a classifier; they are closed afterwards."""
    from nn_perception.nodes.client import ClassifierClient

    clients = []

    def make(node, *, connected=True, **arguments):
        client = ClassifierClient(node.get_fully_qualified_name(), context=ros, **arguments)
        clients.append(client)
        if connected:
            client.connect()
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def classifier(start, connect):
    """An active classifier with the model ``digits`` in an ordered queue, and a connected client.

    The queue keeps every frame, so that a test can count them.
    """
    node = start(queue_size=1000, qos_depth=1000)
    return node, connect(node)


@pytest.fixture
def frame():
    """Return a function that makes an image message; every call has a stamp of its own."""
    from sensor_msgs.msg import Image

    from nn_perception.messages import array_to_image_fields

    count = 0

    def make(pixels=None, encoding="mono8", frame_id="camera", damage=None):
        nonlocal count
        count += 1
        if pixels is None:
            pixels = np.random.default_rng(count).integers(0, 256, (28, 28), dtype=np.uint8)
        message = Image(**array_to_image_fields(pixels, encoding))
        for name, value in (damage or {}).items():
            setattr(message, name, value)
        message.header.frame_id = frame_id
        message.header.stamp.sec = 1000
        message.header.stamp.nanosec = count
        return message

    return make


@pytest.fixture
def ask():
    """Return a function that sends a message and returns the one answer to it."""
    from rclpy.serialization import serialize_message

    def send_and_wait(client, message, timeout_s=5.0):
        stamp_ns, _ = client.publish(serialize_message(message))
        assert client.wait_for_answer(stamp_ns, timeout_s), "no answer"
        (answer,) = client.answers(stamp_ns)
        return answer

    return send_and_wait
