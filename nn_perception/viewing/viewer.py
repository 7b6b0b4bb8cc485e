"""The Rerun viewer, as a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nn_perception.errors import NnPerceptionError
from nn_perception.module_command import module_command


def open_viewer(recording: Path) -> None:
    """Show a recording, and wait until the viewer is closed.

    Raises:
        NnPerceptionError: it cannot be started, or failed.
    """
    # With "auto" a viewer that runs already does not take the recording over.
    code = subprocess.run(
        [*module_command("rerun"), "--port", "auto", str(recording)], check=False
    ).returncode
    if code != 0:
        raise NnPerceptionError(
            f"the Rerun viewer ended with code {code}: see above; without a screen, copy "
            f"{recording} to a machine with one, and run 'rerun {recording.name}' there"
        )
