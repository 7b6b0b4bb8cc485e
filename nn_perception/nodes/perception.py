"""Several perception nodes in one process, with one GPU context and each network loaded once."""

from __future__ import annotations

import sys

from nn_perception.errors import NnPerceptionError
from nn_perception.nodes.registry import (
    PERCEPTION_NODES,
    node_class,
    node_module,
    parse_instances,
)
from nn_perception.nodes.run import EXIT_OK, NodeStartError, asks_for_help, serve
from nn_perception.nodes.table_node import TableNode

NAME = "perception"

HELP = f"""\
usage: {NAME} [NAME=]EXECUTABLE ... [--ros-args -p NODE:PARAMETER:=VALUE ... -r NODE:FROM:=TO ...
       --params-file FILE]

Runs several nodes in one process. Each is the ordinary node, with a name, parameters, services and
threads of its own: none waits for another. Nodes with the same model share the loaded network, and
all of them one GPU context. Without words, one of each EXECUTABLE runs.

executables
{{executables}}

"EXECUTABLE --help" tells topics and parameters. Those of one node are set behind its name:
  {NAME} objects=image_classifier attitude_estimator --ros-args \\
      -p objects:task:=objects -r objects:image_raw:=front/image_raw --params-file FILE
where FILE has a section for each name ("/**/objects: ros__parameters: ...").

A node whose model cannot be loaded stays unconfigured and says so in /diagnostics; the others run.
A parameter that cannot be used ends the start of all, with exit code 2.
"""


def help_text() -> str:
    """Return the text of ``--help``."""
    width = max(map(len, PERCEPTION_NODES))
    rows = (f"  {name:<{width}} {_summary(name)}" for name in PERCEPTION_NODES)
    return HELP.format(executables="\n".join(rows)).rstrip()


def choose(words: list[str]) -> dict[str, type[TableNode]]:
    """Return name -> class of the nodes that words ask for; see `parse_instances`.

    Raises:
        ConfigError: the words cannot be used.
        NodeStartError: what a node needs is not installed.
    """
    return {name: _class(executable) for name, executable in parse_instances(words).items()}


def _class(executable: str) -> type[TableNode]:
    try:
        found: type[TableNode] = node_class(executable)
    except ImportError as error:
        raise NodeStartError(
            f"{executable} cannot be imported: {error}; install what is missing (rosdep), or name "
            "the nodes to run and leave this one out"
        ) from None
    return found


def _summary(executable: str) -> str:
    """Return an executable's sentence; its imports must not take the help away."""
    try:
        summary: str = node_module(executable).EXECUTABLE.summary
    except (ImportError, NnPerceptionError) as error:
        return f"(cannot be imported: {error})"
    return summary


def main(args: list[str] | None = None) -> int:
    """Run the nodes until they are told to stop; return the exit code."""
    args = sys.argv if args is None else args
    if asks_for_help(args):
        print(help_text())
        return EXIT_OK
    return serve(choose, args)


if __name__ == "__main__":
    sys.exit(main())
