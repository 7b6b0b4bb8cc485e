"""The standard state machine of lifecycle nodes, asked of a live node: all transitions, all states.

https://design.ros2.org/articles/node_lifecycle.html: what a state does not allow is refused and
changes nothing; a node that was shut down stays finalized.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from lifecycle_msgs.msg import Transition
from rclpy.node import Node, NodeNameNonExistentError

from nn_perception.nodes.remote import RemoteNode

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"

GOALS: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        (UNCONFIGURED, Transition.TRANSITION_CONFIGURE): INACTIVE,
        (INACTIVE, Transition.TRANSITION_ACTIVATE): ACTIVE,
        (ACTIVE, Transition.TRANSITION_DEACTIVATE): INACTIVE,
        (INACTIVE, Transition.TRANSITION_CLEANUP): UNCONFIGURED,
        (UNCONFIGURED, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN): FINALIZED,
        (INACTIVE, Transition.TRANSITION_INACTIVE_SHUTDOWN): FINALIZED,
        (ACTIVE, Transition.TRANSITION_ACTIVE_SHUTDOWN): FINALIZED,
    }
)
"""(State, transition) -> the state that follows. All others are forbidden."""

IDS = tuple(sorted({getattr(Transition, n) for n in dir(Transition) if n.startswith("TRANSITION")}))
"""All transitions that lifecycle_msgs names; most belong to the state machine itself."""

LABELS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "configure": (Transition.TRANSITION_CONFIGURE,),
        "activate": (Transition.TRANSITION_ACTIVATE,),
        "deactivate": (Transition.TRANSITION_DEACTIVATE,),
        "cleanup": (Transition.TRANSITION_CLEANUP,),
        "shutdown": tuple(i for (_, i), goal in GOALS.items() if goal == FINALIZED),
        "create": (),
        "destroy": (),
        "transition_success": (),
        "transition_error": (),
        "no such transition": (),
    }
)
"""What may stand in place of a number, and the transitions that it names."""


class Attempt(NamedTuple):
    """One request for a transition, by number or, where it is not empty, by label."""

    state: str
    number: int
    label: str = ""

    @property
    def goal(self) -> str | None:
        """The state that must follow; None: the request must be refused."""
        numbers = LABELS[self.label] if self.label else (self.number,)
        return next((GOALS[self.state, n] for n in numbers if (self.state, n) in GOALS), None)

    def __str__(self) -> str:
        return f"'{self.label or self.number}' in {self.state}"


def attempts(state: str, *, final: bool = False) -> Iterator[Attempt]:
    """Yield every request in a state: those that shut down only, or all others."""
    every = [Attempt(state, number) for number in IDS]
    every += [Attempt(state, 0, label) for label in LABELS]
    return (one for one in every if (one.goal == FINALIZED) == final)


class Walk:
    """Asks one node for transitions, and compares what it does with the state machine.

    Attributes:
        count: requests so far.
        deviations: what was not as it should be, in words.
    """

    def __init__(self, remote: RemoteNode, state: str = UNCONFIGURED) -> None:
        """Begin with a node that is in a state."""
        self.count = 0
        self.deviations: list[str] = []
        self.state = state
        self._remote = remote

    def round(self) -> None:
        """Make every request that does not shut down, in every state; end where it began."""
        began = self.state
        for state in (UNCONFIGURED, INACTIVE, ACTIVE):
            for attempt in attempts(state):
                self.go(state)
                self.make(attempt)
        self.go(began)

    def finish(self, attempt: Attempt) -> None:
        """Shut the node down from a state, then make every request in vain."""
        self.go(attempt.state)
        self.make(attempt)
        for vain in attempts(FINALIZED):
            self.make(vain)

    def go(self, state: str) -> None:
        """Bring the node to one of the states that it can leave, step by step."""
        up = (UNCONFIGURED, INACTIVE, ACTIVE)
        while self.state != state and self.state in up:
            here = up.index(self.state)
            following = up[here + (1 if up.index(state) > here else -1)]
            number = next(n for (s, n), g in GOALS.items() if (s, g) == (self.state, following))
            if not self.make(Attempt(self.state, number)):
                return

    def make(self, attempt: Attempt) -> bool:
        """Make a request; return whether the node did what it must."""
        self.count += 1
        success = self._remote.change_state(attempt.number, label=attempt.label)
        self.state = self._remote.state()
        goal = attempt.goal
        if success == (goal is not None) and self.state == (goal or attempt.state):
            return True
        expected = "refused" if goal is None else goal
        self.deviations.append(
            f"{self._remote.target}: {attempt} gave success {success} and {self.state}, expected "
            f"{expected}"
        )
        return False


def entities(observer: Node, name: str) -> dict[str, int]:
    """Return how much of a node of the root namespace the graph holds, its hidden one included.

    Publishers and subscriptions are counted one by one: a forgotten one may share its topic with
    one in use.
    """
    names = [each for each in observer.get_node_names() if each in (name, f"_{name}_io")]
    publishers = subscriptions = services = 0
    for each in set(names):
        with suppress(NodeNameNonExistentError):  # it went away meanwhile
            for topic, _ in observer.get_publisher_names_and_types_by_node(each, "/"):
                publishers += _of(each, observer.get_publishers_info_by_topic(topic))
            for topic, _ in observer.get_subscriber_names_and_types_by_node(each, "/"):
                subscriptions += _of(each, observer.get_subscriptions_info_by_topic(topic))
            services += len(observer.get_service_names_and_types_by_node(each, "/"))
    return {
        "nodes": len(names),
        "publishers": publishers,
        "subscriptions": subscriptions,
        "services": services,
    }


def _of(name: str, endpoints: Iterable[Any]) -> int:
    return sum(endpoint.node_name == name for endpoint in endpoints)


def settled_entities(
    observer: Node, name: str, expected: Mapping[str, int], timeout_s: float = 5.0
) -> dict[str, int]:
    """Return `entities` once they are no more than expected, or as they are after the time.

    The graph tells what is gone a little later.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        counts = entities(observer, name)
        more = any(counts[what] > limit for what, limit in expected.items() if what in counts)
        if not more or time.monotonic() > deadline_s:
            return counts
        time.sleep(0.01)  # between two questions, not instead of one
