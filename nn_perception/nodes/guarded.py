"""``python -m nn_perception.nodes.guarded PARENT MODULE ...``: a module that ends with its parent.

Whoever starts nodes may be killed without a word. Linux then sends the node SIGTERM, on which it
ends cleanly; what was asked for here outlives the ``exec``. A process of its own does it and not
``preexec_fn``, which is not safe where there are threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from nn_perception.module_command import module_command

PR_SET_PDEATHSIG = 1


def guarded_command(module: str) -> list[str]:
    """Return the beginning of a command that runs a module as long as this process is there.

    The process counts as gone, too, when the thread that starts the command ends.
    """
    return [*module_command("nn_perception.nodes.guarded"), str(os.getpid()), module]


def main() -> int:
    """Ask for the signal and become the module; return only when the parent is gone already."""
    parent, module, *words = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have gone before it was asked for.
    if os.getppid() != int(parent):
        return 1
    os.execv(sys.executable, [*module_command(module), *words])


if __name__ == "__main__":
    sys.exit(main())
