"""A node executable as a process of its own: for the demo, the benchmark and the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from nn_perception.errors import NnPerceptionError
from nn_perception.module_command import module_command
from nn_perception.share import share_path

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILTED = 9
"""Major version of its rclpy; Jazzy's is 7."""


class NodeProcessError(NnPerceptionError):
    """A node process that did not start, ended too early, or ended badly."""


def ros_environment(domain_id: int) -> dict[str, str]:
    """Return variables that keep DDS on this machine, in a domain, with large messages allowed.

    Raises:
        NodeProcessError: see `check_domain`.
    """
    check_domain(domain_id)
    return {
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **dds_profile(),
    }


def check_domain(domain_id: int) -> None:
    """Check a ROS_DOMAIN_ID.

    Raises:
        NodeProcessError: the domain is not one that needs no special ports (0 to 101).
    """
    if not 0 <= domain_id <= 101:
        raise NodeProcessError(f"ROS_DOMAIN_ID is {domain_id}, expected 0 to 101")


def dds_profile() -> dict[str, str]:
    """Return the variable that names the package's Fast DDS profile; empty when it has none.

    Without the profile, best-effort messages above 512 KB between processes are lost. Fast DDS
    reads it once in a process, with the first participant.
    """
    profile = share_path("config") / "fastdds.xml"
    if not profile.is_file():
        return {}
    try:
        release = int(version("rclpy").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        release = 99
    # Fast DDS 3, since Kilted, has a name of its own for it and warns about the older one.
    prefix = "FASTRTPS" if release < KILTED else "FASTDDS"
    return {f"{prefix}_DEFAULT_PROFILES_FILE": str(profile)}


def enter_ros_environment(domain_id: int) -> None:
    """Set `ros_environment` in this process; before its first ROS context."""
    os.environ.update(ros_environment(domain_id))


LOOK_S = 0.2
"""A signal that comes just before the main thread blocks is handled only when it wakes: it has to
look again after this time."""


def on_stop_signals(handler: Callable[[int, object], None]) -> dict[int, Any]:
    """Let a handler get the signals that ask this process to end; return the handlers before.

    To be called in the main thread.
    """
    before: dict[int, Any] = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:  # nohup: the end of a session is not to end it
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, handler)
    return before


def spawn(
    command: Sequence[str], environment: Mapping[str, str], output: BinaryIO | int
) -> subprocess.Popen[bytes]:
    """Start a program without input; standard output and errors go to the same place."""
    # A session of its own: Ctrl-C in the terminal reaches the caller only, which then stops the
    # program in an order of its choice.
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class NodeProcess:
    """Runs ``python -m nn_perception.nodes.<executable>`` until it is stopped.

    As a context manager it ends the process on leaving, whatever happened.
    """

    def __init__(
        self,
        executable: str,
        *,
        domain_id: int,
        log: Path,
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            executable: a module of `nn_perception.nodes`, such as ``"image_classifier"``.
            domain_id: ROS_DOMAIN_ID, 0 to 101.
            log: file for its output, overwritten.
            parameters: values for ``-p``.
            remappings: rules for ``-r``, such as ``{"image_raw": "camera/image", "__ns": "/r1"}``.
            arguments: put before ``--ros-args``.
            environment: further variables.
        """
        command = [*module_command(f"nn_perception.nodes.{executable}"), *arguments]
        command += ros_arguments(parameters or {}, remappings or {})
        variables = {**os.environ, **ros_environment(domain_id), **(environment or {})}
        self.log = log
        with log.open("wb") as output:
            self._process = spawn(command, variables, output)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, negative when a signal ended it."""
        return self._process.poll()

    def log_text(self) -> str:
        """Return what the process has printed so far."""
        return self.log.read_text(errors="replace")

    def check_running(self) -> None:
        """Raise when the process has ended.

        Raises:
            NodeProcessError: it has; the message holds the end of its output.
        """
        if self.exit_code is not None:
            raise NodeProcessError(
                f"the node ended with exit code {self.exit_code}; the end of {self.log}:\n"
                f"{self._log_end()}"
            )

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 15.0) -> int:
        """Wait for the end and return the exit code.

        Raises:
            NodeProcessError: it did not end within the time.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NodeProcessError(
                f"the node did not end within {timeout_s:.0f} s; the end of {self.log}:\n"
                f"{self._log_end()}"
            ) from None

    def stop(self, number: int = signal.SIGINT, timeout_s: float = 15.0) -> None:
        """Send a signal, wait, and check that the end was clean.

        Raises:
            NodeProcessError: it ended by itself before, not in time, or with an exit code.
        """
        self.check_running()
        self.send_signal(number)
        code = self.wait(timeout_s)
        if code != 0:
            raise NodeProcessError(
                f"the node ended with exit code {code}, expected 0; the end of {self.log}:\n"
                f"{self._log_end()}"
            )

    def resident_bytes(self) -> int:
        """Return the resident memory of the process (Linux)."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Return the CPU time that the process has used so far, in seconds (Linux)."""
        # The name in brackets may hold blanks; user and system time are the 14th and 15th field.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def loaded_libraries(self) -> set[str]:
        """Return the files mapped into the process (Linux)."""
        lines = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        return {line.split(maxsplit=5)[5] for line in lines if line.count("/")}

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.exit_code is not None:
            return
        if kind is None:
            self.stop()
            return
        self.send_signal(signal.SIGINT)
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _log_end(self, lines: int = 20) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])


def ros_arguments(parameters: Mapping[str, Any], remappings: Mapping[str, str]) -> list[str]:
    """Return ``--ros-args`` with parameters and remappings; empty when there are none."""
    rules = [("-p", name, _yaml(value)) for name, value in parameters.items()]
    rules += [("-r", name, target) for name, target in remappings.items()]
    words = [word for flag, name, value in rules for word in (flag, f"{name}:={value}")]
    return ["--ros-args", *words] if words else []


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Quoted: an unquoted "" or "1" would not be a string for ROS.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
