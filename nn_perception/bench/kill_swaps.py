"""A node that is killed while its model is being set."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from nn_perception.bench.kill_rig import NODE, Rig
from nn_perception.bench.kill_watching import kill
from nn_perception.bundle import load_bundle
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model


class SwapRig(Rig):
    """A node that is killed while its model is being set."""

    def __init__(self, work: Path, domain_id: int) -> None:
        """Prepare a second model."""
        super().__init__(work, domain_id)
        shutil.copytree(shipped_model("digit_reader"), self.out / "new")
        self._ids = {name: load_bundle(self.out / name).id for name in ("old", "new")}
        self._boot()

    def swap_time_s(self) -> float:
        """Return how long setting a model takes, in seconds."""
        took = []
        for name in ("new", "old", "new", "old"):
            start = time.monotonic()
            self._client.remote.set_parameter("model", name)
            took.append(time.monotonic() - start)
        return max(took)

    def kill_during_swap(self, after_s: float) -> str:
        """Set a model, kill the node after a while, start it again, and check; say how far it was.

        The node runs again what it is started with, whatever it was about to run.
        """
        answered = threading.Event()
        self._client.remote.request_parameter("model", "new", lambda *_: answered.set())
        time.sleep(after_s)
        kill(self._process)
        done = answered.is_set()
        self._client.close()
        for name, identity in self._ids.items():
            try:
                whole = load_bundle(self.out / name).id == identity
            except BundleError:
                whole = False
            if not whole:
                self.problems.append(f"{name} is not whole any more")
        self._boot()
        running = self._target.read()
        if (running.model, running.id) != ("old", self._ids["old"]):
            self.problems.append(f"started with 'old' it runs '{running.model}' ({running.id})")
        return "killed behind the swap" if done else "killed during the swap"

    def _boot(self) -> None:
        from nn_perception.nodes.target import RemoteTarget

        self._process = self.start(NODE, model_root=str(self.out), model="old")
        self._client = self.client(f"/{NODE}", self._process)
        self._target = RemoteTarget(self._client.node, f"/{NODE}")
