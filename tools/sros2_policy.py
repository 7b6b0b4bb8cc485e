"""Write config/sros2_policy.xml: what each node may publish, subscribe, serve and ask for.

Topics come from the same tables as README's (``EXECUTABLE.topics``); services are those of every
lifecycle node. A test compares the file with the graph of running nodes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.registry import PERCEPTION_NODES

POLICY = Path(__file__).parent.parent / "config" / "sros2_policy.xml"
PACKAGE = "/nn_perception"
TOGETHER = "perception"

EVENTS, ROSOUT, CLOCK = "/parameter_events", "/rosout", "/clock"
TYPE_DESCRIPTION = "~/get_type_description"
NODE_SERVICES = (
    "~/change_state",
    "~/describe_parameters",
    "~/get_available_states",
    "~/get_available_transitions",
    "~/get_parameter_types",
    "~/get_parameters",
    "~/get_state",
    "~/get_transition_graph",
    TYPE_DESCRIPTION,
    "~/list_parameters",
    "~/set_parameters",
    "~/set_parameters_atomically",
)
"""Of every lifecycle node: transitions and parameters."""
TARGET_SERVICES = ("get_parameters", "set_parameters")
"""What the trainer asks of the nodes whose models it sets."""

HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<!--
SROS 2 policy: one enclave for each executable, each granted its own topics and services, no more.
Made by tools/sros2_policy.py; a test keeps it in step with running nodes. How to use it, and what
to change for namespaces, remappings, several cameras or IMUs: docs/security.md.
-->
"""


class Profile(NamedTuple):
    """What one node is granted; names as in the node's own code, relative or with ~."""

    node: str
    publish: Sequence[str] = ()
    subscribe: Sequence[str] = ()
    reply: Sequence[str] = ()
    request: Sequence[str] = ()


def profiles(executable: str) -> tuple[Profile, ...]:
    """Return the profiles of an executable: of its node and of the hidden one beside it."""
    topics = importlib.import_module(f"nn_perception.nodes.{executable}").EXECUTABLE.topics
    by_way: dict[str, list[str]] = {"subscribes": [], "publishes": [], "serves": []}
    for way, topic, _ in topics:
        by_way[way].append(topic)
    node = Profile(
        executable,
        publish=[*by_way["publishes"], "~/transition_event", EVENTS, ROSOUT],
        subscribe=[CLOCK],
        reply=[*by_way["serves"], *NODE_SERVICES],
    )
    if executable in PERCEPTION_NODES:
        # Subscriptions live on a hidden node, whose thread nothing keeps waiting.
        hidden = Profile(f"_{executable}_io", publish=[EVENTS], subscribe=by_way["subscribes"])
        return node, hidden
    hidden = Profile(
        f"_{executable}_client",
        publish=[EVENTS],
        subscribe=[f"{name}/active_model" for name in PERCEPTION_NODES],
        reply=[TYPE_DESCRIPTION],
        request=[f"{name}/{service}" for name in PERCEPTION_NODES for service in TARGET_SERVICES],
    )
    return node, hidden


def enclaves() -> Mapping[str, tuple[Profile, ...]]:
    """Return the profiles of each enclave, the one of all perception nodes in one process too."""
    found = {f"{PACKAGE}/{name}": profiles(name) for name in TABLES}
    together = (profile for name in PERCEPTION_NODES for profile in profiles(name))
    return {**found, f"{PACKAGE}/{TOGETHER}": tuple(together)}


def policy() -> str:
    """Return the policy file."""
    lines = ['<policy version="0.2.0">', "  <enclaves>"]
    for path, members in enclaves().items():
        lines += [f'    <enclave path="{path}">', "      <profiles>"]
        for profile in members:
            lines += _profile(profile)
        lines += ["      </profiles>", "    </enclave>"]
    lines += ["  </enclaves>", "</policy>"]
    return HEADER + "\n".join(lines) + "\n"


def _profile(profile: Profile) -> list[str]:
    inner = [
        *_list("topics", "publish", profile.publish),
        *_list("topics", "subscribe", profile.subscribe),
        *_list("services", "reply", profile.reply),
        *_list("services", "request", profile.request),
    ]
    return [f'        <profile ns="/" node="{profile.node}">', *inner, "        </profile>"]


def _list(kind: str, way: str, names: Iterable[str]) -> list[str]:
    rows = [f"            <{kind[:-1]}>{escape(name)}</{kind[:-1]}>" for name in sorted(set(names))]
    if not rows:
        return []
    return [f'          <{kind} {way}="ALLOW">', *rows, f"          </{kind}>"]


def main() -> None:
    """Write the file."""
    POLICY.write_text(policy(), encoding="utf-8")


if __name__ == "__main__":
    main()
