"""What the policy grants is what running nodes have in the graph: all of it, and nothing else."""

import contextlib
import signal
import time
import xml.etree.ElementTree as ET

import pytest

from nn_perception.nodes.process import NodeProcess, ros_environment
from nn_perception.nodes.remote import RemoteNode
from nn_perception.nodes.spinning import SpinThread
from nn_perception.share import share_path

SIMULATED = {"use_sim_time": True}
ANCHORS = "one: 0 0 2; two: 8 0 1; three: 8 6 2.5; four: 0 6 1"
# Namespace -> executable and parameters: together all that the tables of topics name.
RUNS = {
    "a": ("image_classifier", SIMULATED),
    "b": ("image_classifier", {"regions": "detections", **SIMULATED}),
    "c": ("image_classifier", {"image_transport": "compressed", **SIMULATED}),
    "d": ("attitude_estimator", SIMULATED),
    "e": ("gyro_corrector", SIMULATED),
    "f": ("uwb_corrector", {"model": "uwb_drone", "anchors": ANCHORS, **SIMULATED}),
}
WAYS = {
    ("topics", "publish"): "get_publisher_names_and_types_by_node",
    ("topics", "subscribe"): "get_subscriber_names_and_types_by_node",
    ("services", "reply"): "get_service_names_and_types_by_node",
    ("services", "request"): "get_client_names_and_types_by_node",
}


def resolved(name, namespace, node):
    """Return the full name, by the rules of sros2's permissions template."""
    prefix = namespace.rstrip("/")
    if name.startswith("/"):
        return name
    return f"{prefix}/{node}{name[1:]}" if name.startswith("~") else f"{prefix}/{name}"


def granted(namespace, enclave):
    """Return (node, kind, way, full name) of everything an enclave's nodes are granted."""
    root = ET.parse(share_path("config") / "sros2_policy.xml").getroot()
    (element,) = [e for e in root.iter("enclave") if e.get("path") == f"/nn_perception/{enclave}"]
    return {
        (profile.get("node"), group.tag, way, resolved(item.text, namespace, profile.get("node")))
        for profile in element.iter("profile")
        for group in profile
        for way in group.attrib
        for item in group
    }


def in_graph(looker, namespace):
    """Return the same of everything that the nodes of a namespace have."""
    found = set()
    for node, space in looker.get_node_names_and_namespaces():
        if space != namespace:
            continue
        for (kind, way), method in WAYS.items():
            for name, _ in getattr(looker, method)(node, space):
                found.add((node, kind, way, name))
    return found


@pytest.fixture
def graph(domain_id, tmp_path, monkeypatch):
    """A node that looks, in a context of its own, and a function that starts what it looks at."""
    import rclpy

    for name, value in ros_environment(domain_id).items():
        monkeypatch.setenv(name, value)
    context = rclpy.Context()
    context.init(domain_id=domain_id)
    with contextlib.ExitStack() as stack:
        stack.callback(context.try_shutdown)
        looker = rclpy.create_node("looker", context=context)
        stack.callback(looker.destroy_node)
        spin = SpinThread(looker, lambda error: None)
        stack.callback(spin.stop)

        def run(namespace, executable, parameters):
            return stack.enter_context(
                NodeProcess(
                    executable,
                    domain_id=domain_id,
                    log=tmp_path / f"{namespace}.log",
                    parameters=parameters,
                    remappings={"__ns": f"/{namespace}"},
                )
            )

        yield looker, run


def wait_until(condition, process, looker):
    """Wait for discovery, which nobody announces."""
    deadline = time.monotonic() + 20.0
    while not condition():
        process.check_running()
        assert time.monotonic() < deadline, "not in the graph within 20 s"
        time.sleep(0.05)  # between two looks, not instead of one


def test_perception_nodes_have_what_they_are_granted_and_no_more(graph):
    looker, run = graph
    processes = {space: run(space, name, values) for space, (name, values) in RUNS.items()}
    seen = {}
    for space, (executable, _) in RUNS.items():
        remote = RemoteNode(looker, f"/{space}/{executable}", processes[space].check_running)
        remote.wait_for_state("active")
        allowed = granted(f"/{space}", executable)
        hidden = (f"_{executable}_io", "topics", "publish", "/parameter_events")
        clock = (executable, "topics", "subscribe", "/clock")
        wait_until(
            lambda space=space, hidden=hidden, clock=clock: (
                {hidden, clock} <= in_graph(looker, f"/{space}")
            ),
            processes[space],
            looker,
        )
        found = in_graph(looker, f"/{space}")
        assert found <= allowed, f"{executable} has what it is not granted: {found - allowed}"
        there = {
            (n, kind, way, name.replace(f"/{space}/", "/_/", 1)) for n, kind, way, name in found
        }
        seen.setdefault(executable, set()).update(there)
    for process in processes.values():
        process.send_signal(signal.SIGINT)  # all at once
    for process in processes.values():
        assert process.wait() == 0
    for executable, found in seen.items():
        unused = granted("/_", executable) - found
        assert unused == set(), f"{executable} is granted what it never has: {unused}"


def test_the_trainer_has_what_it_is_granted_and_no_more(graph, tmp_path):
    from std_srvs.srv import Trigger

    from nn_perception.nodes.registry import PERCEPTION_NODES

    looker, run = graph
    values = {
        "data": str(tmp_path / "nothing"),
        "out": str(tmp_path / "out"),
        "target_nodes": ", ".join(f"/t/{name}" for name in PERCEPTION_NODES),
        **SIMULATED,
    }
    process = run("t", "trainer", values)
    RemoteNode(looker, "/t/trainer", process.check_running).wait_for_state("active")
    train = looker.create_client(Trigger, "/t/trainer/train")
    assert train.wait_for_service(10.0)
    train.call_async(Trigger.Request())  # it fails for want of data, but knows its targets then
    allowed = granted("/t", "trainer")
    wait_until(lambda: in_graph(looker, "/t") >= allowed, process, looker)
    assert in_graph(looker, "/t") == allowed


def test_one_process_has_the_profiles_of_all_its_nodes():
    together = granted("/", "perception")
    apart = [granted("/", name) for name, _ in RUNS.values()]
    assert together == set().union(*apart)
