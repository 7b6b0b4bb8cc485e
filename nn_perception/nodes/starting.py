"""Starts the perception nodes without ROS launch: the same set, from this package's modules."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from nn_perception.errors import ConfigError, NnPerceptionError
from nn_perception.nodes.guarded import guarded_command
from nn_perception.nodes.launch_arguments import LOG_LEVELS
from nn_perception.nodes.parameter_files import (
    USE_SIM_TIME,
    check_parameter_file,
    full_name,
    overrides_text,
)
from nn_perception.nodes.process import check_domain, dds_profile
from nn_perception.nodes.supervisor import Supervisor
from nn_perception.share import share_path

LOGGER = logging.getLogger(__name__)

TOGETHER = "perception"
"""The executable that runs several nodes in one process."""

_NAMESPACE = re.compile(r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class StartSettings:
    """What to start, and how.

    Attributes:
        nodes: name -> executable.
        params_file: for all nodes; None: the one of the package.
        namespace: of all nodes; empty: the root.
        single_process: all in one process instead of one each.
        domain_id: ROS_DOMAIN_ID; None: as the environment says.
        log_level: least severe messages that are logged.
        use_sim_time: take the time from /clock; False: as in the file.
        remappings: ``FROM:=TO`` for all nodes, ``NODE:FROM:=TO`` for one.
        respawn: start again what died.
    """

    nodes: Mapping[str, str]
    params_file: Path | None = None
    namespace: str = ""
    single_process: bool = False
    domain_id: int | None = None
    log_level: str = LOG_LEVELS[1]
    use_sim_time: bool = False
    remappings: tuple[str, ...] = ()
    respawn: bool = False


def start_nodes(settings: StartSettings) -> int:
    """Run the nodes until a signal comes or one dies; return the exit code (see `Supervisor`).

    Raises:
        NnPerceptionError: something cannot be used; nothing has been started then.
    """
    if importlib.util.find_spec("rclpy") is None:
        raise NnPerceptionError(
            "rclpy is not there: source a ROS 2 distribution, or pip install nn-perception[ros]"
        )
    environment = {**dds_profile(), **os.environ}
    if settings.domain_id is not None:
        check_domain(settings.domain_id)
        environment["ROS_DOMAIN_ID"] = str(settings.domain_id)
    if sys.stdout.isatty():
        environment.setdefault("RCUTILS_COLORIZED_OUTPUT", "1")
    with _folder(needed=settings.use_sim_time) as folder:
        found = commands(settings, Path(folder))
        return Supervisor(found, environment, respawn=settings.respawn).run()


def _folder(needed: bool) -> AbstractContextManager[str]:
    """Return a folder for overrides; none where nothing is written, which a kill would leave."""
    prefix = "nn_perception_up_"
    return tempfile.TemporaryDirectory(prefix=prefix) if needed else nullcontext("")


def commands(settings: StartSettings, folder: Path) -> dict[str, list[str]]:
    """Return the command of each process by its name; writes what is overridden into a folder.

    Raises:
        ConfigError: a name, a rule or the parameter file cannot be used.
    """
    if not _NAMESPACE.fullmatch(settings.namespace) or "__" in settings.namespace:
        raise ConfigError(
            f"'{settings.namespace}' is no namespace: expected names of letters, digits and _, "
            "not a digit first, with / between them"
        )
    arguments = _arguments(settings, folder)
    if settings.single_process:
        words = [f"{name}={executable}" for name, executable in settings.nodes.items()]
        return {TOGETHER: [*_module(TOGETHER), *words, *arguments]}
    return {
        name: [*_module(executable), *arguments, "-r", f"__node:={name}"]
        for name, executable in settings.nodes.items()
    }


def _module(executable: str) -> list[str]:
    return guarded_command(f"nn_perception.nodes.{executable}")


def _arguments(settings: StartSettings, folder: Path) -> list[str]:
    path = settings.params_file or share_path("config") / f"{TOGETHER}.yaml"
    names = {full_name(settings.namespace, name): each for name, each in settings.nodes.items()}
    silent = check_parameter_file(path, names)
    if silent and settings.params_file is not None:
        LOGGER.warning("%s says nothing about %s", path, ", ".join(silent))
    arguments = ["--ros-args", "--params-file", str(path)]
    if settings.use_sim_time:
        overrides = folder / "overrides.yaml"
        overrides.write_text(overrides_text({name: {USE_SIM_TIME.name: True} for name in names}))
        arguments += ["--params-file", str(overrides)]
    if settings.namespace:
        arguments += ["-r", f"__ns:={full_name(settings.namespace, '')}"]
    for rule in settings.remappings:
        source, given, target = rule.partition(":=")
        if not (source and given and target):
            raise ConfigError(f"'{rule}' is no remapping: expected FROM:=TO or NODE:FROM:=TO")
        arguments += ["-r", rule]
    return [*arguments, "--log-level", settings.log_level]
