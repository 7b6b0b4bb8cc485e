"""A trainer and a node that gets its models, which are killed again and again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from nn_perception.bench.kill_watching import Watch, children_of, ends, kill, write_pictures
from nn_perception.bundle import load_bundle
from nn_perception.errors import NnPerceptionError
from nn_perception.share import shipped_model

TRAINER, NODE = "trainer", "image_classifier"
OVERRIDES = "network=mlp augment={} compile=off batch_size=50 epochs=40"
END_S = 300.0


class Rig:
    """A directory of models with one in it, and processes that are ended on leaving.

    Attributes:
        out: the directory.
        problems: what was not as it must be.
    """

    def __init__(self, work: Path, domain_id: int, out: Path | None = None) -> None:
        """Prepare; nothing runs yet. Models lie in ``work``, where no other place is given."""
        from nn_perception.nodes.process import enter_ros_environment

        enter_ros_environment(domain_id)
        self.work, self.out = work, out or work / "models"
        self.problems: list[str] = []
        self._domain_id, self._started = domain_id, 0
        self._stack = contextlib.ExitStack()
        work.mkdir(parents=True, exist_ok=True)
        shutil.copytree(shipped_model("digits"), self.out / "old")

    def start(self, executable: str, **parameters: Any) -> Any:
        """Start a node."""
        from nn_perception.nodes.process import NodeProcess

        self._started += 1
        log = self.work / f"{executable}_{self._started}.log"
        process = NodeProcess(executable, domain_id=self._domain_id, log=log, parameters=parameters)
        self._stack.callback(kill, process)
        return process

    def client(self, target: str, process: Any) -> Any:
        """Return a connected client of a node."""
        from nn_perception.nodes.trainer_client import TrainerClient

        client = TrainerClient(target, alive=process.check_running)
        self._stack.callback(client.close)
        client.remote.wait_for_state("active", 60.0)
        return client

    def take_problems(self) -> list[str]:
        """Return the problems since the last call."""
        problems, self.problems = self.problems, []
        return problems

    def __enter__(self) -> Any:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes."""
        self._stack.close()


class KillRig(Rig):
    """A trainer whose runs are killed, and a target whose model must be the old or the new one.

    Attributes:
        new_files: hashes of the model that an undisturbed training gives. Not the bundle's
            identity: that also says which revision trained it.
    """

    def __init__(self, work: Path, domain_id: int) -> None:
        """Start both."""
        super().__init__(work, domain_id)
        self.new_files: dict[str, Any] = {}
        self._data = write_pictures(work / "pictures.npz")
        node = self.start(NODE, model_root=str(self.out), model="old")
        self._node = self.client(f"/{NODE}", node)
        self._target = self._make_target()
        self._start_trainer()
        self._watch = Watch(self.out)
        self._stack.callback(self._watch.stop)

    def reference(self) -> float:
        """Train once without a kill; return how long it took, in seconds."""
        self._begin()
        start = time.monotonic()
        status = self._trainer.wait_for_end(END_S)
        self.new_files = model_files(self.out / status["bundle"])
        if status["decision"] != "deployed":
            raise NnPerceptionError(f"the reference was not deployed: {status['message']}")
        return time.monotonic() - start

    def kill_child(self, after_s: float) -> list[str]:
        """Begin a training, kill its child after a while, go on to the end, and check."""
        self._begin()
        time.sleep(after_s)
        stage = self._trainer.status.get("state", "")
        victims = children_of(self._process.pid)
        for pid, handle in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._check_end(handle)
        state = self._trainer.wait_for_end(END_S)["state"]
        self._check_models()
        if state == "failed":
            self._go_on()
        self._check_result()
        return [f"killed while {stage}" if state == "failed" else "ended before"]

    def kill_trainer(self, after_s: float, behind: str = "") -> list[str]:
        """The same with the trainer itself, which is started again.

        Args:
            after_s: when it is killed.
            behind: a state from which that counts; empty: from the order on.
        """
        self._begin()
        if behind:
            self._trainer.wait_for_state(behind, timeout_s=END_S)
        time.sleep(after_s)
        stage = self._trainer.status.get("state", "")
        victims = children_of(self._process.pid)
        kill(self._process)
        self._trainer.close()  # each client is a participant, of which DDS has room for 120
        for _, handle in victims:
            self._check_end(handle)
        self._check_models()
        self._start_trainer()
        first = self._trainer.wait_for_status(lambda status: True)["state"]
        if stage == "done":
            self._check_result()
            return ["ended before"]
        self._wait_for_recovery()
        self._go_on()
        self._check_result()
        return [f"killed while {stage}, then {first}"]

    def _begin(self) -> None:
        """Let the node run the old model again, and order a training of the same kind."""
        self._trainer.forget()
        taken, reason = self._node.remote.set_parameter("model", "old")
        if not taken:
            self.problems.append(f"the node does not take the old model any more: {reason}")
        taken, reason = self._trainer.train()
        if not taken:
            self.problems.append(f"~/train was refused: {reason}")

    def _go_on(self) -> None:
        self._trainer.forget()
        taken, reason = self._trainer.train()
        status = self._trainer.wait_for_end(END_S) if taken else {"state": "", "message": reason}
        if status["state"] != "done":
            self.problems.append(f"it did not go on: {status['message']}")

    def _wait_for_recovery(self) -> None:
        """A deployment that was cut short is put right by the new trainer, by itself."""
        from nn_perception.jobs.history import History

        history = History(self.out / "history.jsonl")
        self._wait(lambda: history.unfinished() is None, "a deployment stays unfinished")

    def _check_models(self) -> None:
        running = self._target.read()
        if model_files(running.path) not in (model_files(self.out / "old"), self.new_files):
            self.problems.append(f"the node runs {running.id}, neither the old nor the new model")
        self.problems += self._watch.problems
        self._watch.problems.clear()

    def _check_result(self) -> None:
        self._check_models()
        running = self._target.read()
        if model_files(running.path) != self.new_files:
            self.problems.append(f"the node runs {running.id} in the end, not the new model")

    def _check_end(self, handle: int) -> None:
        if not ends(handle):
            self.problems.append("a child outlived its trainer")

    def _start_trainer(self) -> None:
        self._process = self.start(
            TRAINER,
            data=str(self._data),
            out=str(self.out),
            overrides=OVERRIDES,
            target_nodes=f"/{NODE}",
            device="cpu",
            keep=3,
            nice=0,
        )
        self._trainer = self.client(f"/{TRAINER}", self._process)

    def _make_target(self) -> Any:
        from nn_perception.nodes.target import RemoteTarget

        return RemoteTarget(self._node.node, f"/{NODE}")

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + 30.0
        while not condition():
            if time.monotonic() > deadline:
                self.problems.append(problem)
                return
            time.sleep(0.05)


def model_files(bundle: Path | None) -> dict[str, Any]:
    """Return sizes and hashes of a bundle's model; empty where there is no bundle."""
    return {} if bundle is None else load_bundle(bundle).config.files
