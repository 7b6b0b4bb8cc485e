"""All transitions from all states, over the services of a real process with all four nodes."""

import os

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import GetAvailableStates, GetAvailableTransitions

from nn_perception.nodes.lifecycle_walk import (
    ACTIVE,
    FINALIZED,
    GOALS,
    IDS,
    INACTIVE,
    LABELS,
    UNCONFIGURED,
    Attempt,
    Walk,
    attempts,
    entities,
    settled_entities,
)
from nn_perception.nodes.node_client import NodeClient
from nn_perception.nodes.process import NodeProcess
from nn_perception.nodes.registry import PERCEPTION_NODES

ENDS = [end for state in (UNCONFIGURED, INACTIVE, ACTIVE) for end in attempts(state, final=True)]


ARROWS = (
    "unconfigured -configure-> inactive -activate-> active -deactivate-> inactive",
    "inactive -cleanup-> unconfigured",
    "unconfigured -shutdown-> finalized",
    "inactive -shutdown-> finalized",
    "active -shutdown-> finalized",
)
NUMBERS = {1: "configure", 2: "cleanup", 3: "activate", 4: "deactivate"}
SHUTDOWNS = {5: "unconfigured", 6: "inactive", 7: "active"}


class Machine:
    """The standard state machine as the design's picture has it, written down another way."""

    target = "/machine"

    def __init__(self):
        self._state = "unconfigured"
        self.next = {}
        for line in ARROWS:
            words = line.split()
            for start, arrow, goal in zip(words[::2], words[1::2], words[2::2], strict=False):
                self.next[start, arrow.strip("->")] = goal

    def state(self):
        return self._state

    def change_state(self, number, *, label=""):
        if not label:
            label = NUMBERS.get(number, "")
            if SHUTDOWNS.get(number) == self._state:
                label = "shutdown"
        goal = self.next.get((self._state, label))
        self._state = goal or self._state
        return goal is not None


def test_the_table_is_the_standard_state_machine():
    walk = Walk(Machine())
    walk.round()
    assert walk.deviations == []
    assert walk.state == UNCONFIGURED
    for end in ENDS:
        walk = Walk(Machine())
        walk.finish(end)
        assert (walk.deviations, walk.state) == ([], FINALIZED)
    assert len(ENDS) == 6


def test_every_request_is_made_in_every_state():
    made = [one for state in (UNCONFIGURED, INACTIVE, ACTIVE) for one in attempts(state)] + ENDS
    assert len(made) == len(set(made)) == 3 * (len(IDS) + len(LABELS))
    assert len(IDS) == 30
    allowed = [one for one in made if one.goal is not None]
    assert len(allowed) == 2 * len(GOALS)  # by number and by label


class Lenient(Machine):
    """Lets an inactive node be deactivated."""

    def change_state(self, number, *, label=""):
        super_number = 99 if (self._state, number) == ("inactive", 4) else number
        return super().change_state(super_number, label=label) or super_number == 99


class Deaf(Machine):
    """Knows no labels."""

    def change_state(self, number, *, label=""):
        return False if label else super().change_state(number)


class Undead(Machine):
    """Comes back from a shutdown."""

    def change_state(self, number, *, label=""):
        if self._state == "finalized" and number == 1:
            self._state = "unconfigured"
        return super().change_state(number, label=label)


class Liar(Machine):
    """Says yes to an activation that it does not do."""

    def change_state(self, number, *, label=""):
        return number == 3 or super().change_state(number, label=label)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Lenient, "'4' in inactive gave success True and inactive, expected refused"),
        (
            Deaf,
            "'configure' in unconfigured gave success False and unconfigured, expected inactive",
        ),
        (Undead, "'1' in finalized gave success True and inactive, expected refused"),
        (Liar, "'3' in inactive gave success True and inactive, expected active"),
    ],
)
def test_a_node_that_deviates_is_found_out(machine, said):
    walk = Walk(machine())
    walk.round()
    walk.finish(ENDS[0])
    assert any(said in text for text in walk.deviations), walk.deviations[:3]


@pytest.fixture(scope="module")
def process(outer, tmp_path_factory):
    """One process with a node of each kind, and two more to be shut down; none is configured."""
    names = {name: name for name in PERCEPTION_NODES}
    names |= {"fifth": "gyro_corrector", "sixth": "image_classifier"}
    parameters = {f"{name}:autostart": False for name in names}
    process = NodeProcess(
        "perception",
        domain_id=outer[1],
        log=tmp_path_factory.mktemp("lifecycle") / "perception.log",
        parameters={**parameters, "uwb_corrector:tags": "tag0: 0 0 0"},
        arguments=tuple(f"{name}={executable}" for name, executable in names.items()),
    )
    with process:
        yield process
    assert "Traceback" not in process.log_text()


@pytest.fixture
def client_of(outer, process):
    clients = []

    def make(name):
        client = NodeClient(f"/{name}", context=outer[0], alive=process.check_running)
        clients.append(client)
        client.spin()
        client.remote.wait_for_state(UNCONFIGURED)
        return client

    yield make
    for client in clients:
        client.close()


def held(process):
    return [len(os.listdir(f"/proc/{process.pid}/{kind}")) for kind in ("task", "fd")]


@pytest.mark.parametrize("name", PERCEPTION_NODES)
def test_every_transition_from_every_state_and_nothing_is_left(process, client_of, name):
    client = client_of(name)
    walk = Walk(client.remote)
    walk.round()
    unconfigured = settled_entities(client.node, name, {"nodes": 1, "subscriptions": 0})
    assert (unconfigured["nodes"], unconfigured["subscriptions"]) == (1, 0)
    walk.go(ACTIVE)
    first, threads_and_files = entities(client.node, name), held(process)
    assert first["subscriptions"] > 0
    assert first["nodes"] == 2
    walk.round()  # ends where it began: active
    assert settled_entities(client.node, name, first) == first
    assert held(process) == threads_and_files
    walk.go(UNCONFIGURED)
    assert walk.deviations == []
    assert settled_entities(client.node, name, unconfigured) == unconfigured


def test_services_tell_the_standard_states_and_transitions(client_of):
    client = client_of("attitude_estimator")
    ask = client.remote._call
    states = client.node.create_client(
        GetAvailableStates, "/attitude_estimator/get_available_states"
    )
    found = ask(states, GetAvailableStates.Request(), 10.0).available_states
    primary = {s.label for s in found if State.PRIMARY_STATE_UNCONFIGURED <= s.id <= 4}
    assert primary == {UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED}
    transitions = client.node.create_client(
        GetAvailableTransitions, "/attitude_estimator/get_available_transitions"
    )
    for state in (UNCONFIGURED, INACTIVE, ACTIVE):
        Walk(client.remote, client.remote.state()).go(state)
        found = ask(transitions, GetAvailableTransitions.Request(), 10.0).available_transitions
        wanted = {number for start, number in GOALS if start == state}
        assert {one.transition.id for one in found} == wanted
        assert {one.start_state.label for one in found} == {state}
    Walk(client.remote, ACTIVE).go(UNCONFIGURED)


@pytest.mark.parametrize("number", range(len(ENDS)))
def test_shutdown_from_every_state_is_final(process, client_of, number):
    name = (*PERCEPTION_NODES, "fifth", "sixth")[number]
    client = client_of(name)
    walk = Walk(client.remote)
    walk.finish(ENDS[number])
    assert (walk.deviations, walk.state) == ([], FINALIZED)
    left = settled_entities(client.node, name, {"nodes": 1, "subscriptions": 0})
    assert (left["nodes"], left["subscriptions"]) == (1, 0)
    process.check_running()


def test_an_attempt_says_what_it_asks_for():
    assert str(Attempt(ACTIVE, Transition.TRANSITION_CLEANUP)) == "'2' in active"
    assert str(Attempt(ACTIVE, 0, "cleanup")) == "'cleanup' in active"
