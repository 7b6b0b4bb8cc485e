"""One training from its beginning to the deployment."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nn_perception.config import to_mapping
from nn_perception.errors import NnPerceptionError
from nn_perception.jobs import history as events
from nn_perception.jobs import status as states
from nn_perception.jobs.cancelling import Cancellation, CancelledError
from nn_perception.jobs.child import EVALUATE, TRAIN
from nn_perception.jobs.comparing import read_comparison
from nn_perception.jobs.decision import IF_BETTER, NEVER, Compared, Decision, decide
from nn_perception.jobs.files import JobError, read_json, write_json
from nn_perception.jobs.history import History, previous_of
from nn_perception.jobs.process import JobProcess
from nn_perception.jobs.retention import remove_old
from nn_perception.jobs.rollout import (
    RolloutError,
    Running,
    Target,
    check_target,
    roll_out,
)
from nn_perception.jobs.spec import NEW, Comparison, JobSpec
from nn_perception.jobs.status import Status

Tell = Callable[[Status], None]


@dataclass(frozen=True)
class Policy:
    """What becomes of a bundle.

    Attributes:
        deploy: one of `nn_perception.jobs.decision.POLICIES`.
        margin: by how much it must be better.
        keep: how many bundles stay.
    """

    deploy: str
    margin: float
    keep: int


class Flow:
    """Runs one training in the calling thread.

    Attributes:
        status: the present one; also given to ``tell`` at each change.
    """

    def __init__(
        self,
        spec: JobSpec,
        policy: Policy,
        targets: Sequence[Target],
        *,
        lock: int | None,
        tell: Tell,
        cancellation: Cancellation,
        say: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            spec: what is to be trained.
            policy: what becomes of it.
            targets: nodes that may get it; asked even where nothing is deployed in the end.
            lock: descriptor that the child inherits.
            tell: called with each new status.
            cancellation: by which somebody else asks to cancel.
            say: writes a line into the log.
        """
        self._spec, self._policy = spec, policy
        self._targets = () if policy.deploy == NEVER else tuple(targets)
        self._place, self._history = spec.workplace, History(spec.workplace.history)
        self._lock, self._tell, self._cancellation, self._say = lock, tell, cancellation, say
        self.status = Status(states.PREPARING, f"training of {spec.task} on {spec.data}")

    def run(self) -> Status:
        """Do it all; return the last status. Raises nothing."""
        try:
            self._run()
        except CancelledError as error:
            self._end(states.CANCELLED, f"{error}; ~/train goes on from there")
        except NnPerceptionError as error:
            self._end(states.FAILED, str(error))
        except Exception as error:
            self._say(traceback.format_exc())
            self._end(states.FAILED, f"internal error, {type(error).__name__}: {error}")
        return self.status

    def _run(self) -> None:
        self._change()
        self._place.prepare()
        self._place.log.unlink(missing_ok=True)
        self._place.ended.unlink(missing_ok=True)
        self._read_targets()  # what is wrong with them is told before hours of training
        self._spec.save()
        self._child(TRAIN, self._place.specification)
        published = read_json(self._place.published)
        bundle, identity = str(published["bundle"]), str(published["id"])
        self._change(states.EVALUATING, f"{bundle} is trained", bundle=bundle, bundle_id=identity)
        running = self._read_targets()
        score, found = self._compare(str(published.get("test_data", "")), running)
        new = found.get(NEW, Compared(identity, error="not evaluated: no held-out data"))
        active = {
            node: _as_it_runs(found.get(node), each) if each.id else None
            for node, each in running.items()
        }
        self._record_trained(new, score.key if score else "")
        decision = decide(self._policy.deploy, self._policy.margin, score, new, active)
        self._change(
            score=score.key if score else "",
            new=new.value,
            active={node: str(each) if each else "nothing ran" for node, each in active.items()},
        )
        self._say(f"{bundle}: {'to be deployed' if decision.deploy else 'kept'}: {decision.reason}")
        self._act(decision, running)

    def _read_targets(self) -> dict[str, Running]:
        found = {}
        for target in self._targets:
            found[target.name] = target.read()
            check_target(target.name, found[target.name], self._spec.task, self._spec.out)
        return found

    def _child(self, stage: str, file: Any) -> None:
        """Run a stage in a child process.

        Raises:
            CancelledError: it was cancelled.
            JobError: it failed; the message says why.
        """
        self._check_cancelled()
        child = JobProcess(stage, file, log=self._place.log, lock=self._lock)
        ended = child.watch(self._on_progress, self._cancellation.is_asked)
        if ended.cancelled:
            self._check_cancelled()
        if ended.reason:
            raise JobError(ended.reason)

    def _check_cancelled(self) -> None:
        self._cancellation.check(f"while {self.status.progress}")

    def _on_progress(self, line: Mapping[str, Any]) -> None:
        stage = str(line.get("stage", ""))
        if stage == states.TRAINING:
            self._change(stage, "", **states.epoch_fields(line))
        elif stage == states.EVALUATING:
            which = line.get("bundle", "")
            what = "the new bundle" if which == NEW else f"what {which} runs"
            done = f", {line['done']} done" if "done" in line else ""
            self._change(stage, f"evaluating {what}{done}" if which else "")
        elif stage == states.PREPARING:
            extra = ", ".join(f"{key} {line[key]}" for key in line if key != "stage")
            self._change(stage, extra or f"preparing {self._spec.data}")

    def _compare(
        self, data: str, running: Mapping[str, Running]
    ) -> tuple[Any, dict[str, Compared]]:
        """Evaluate the new bundle and what runs on the same held-out data."""
        if not data:
            return None, {}
        paths = {NEW: self._place.out / self.status.bundle}
        paths |= {node: each.path for node, each in running.items() if each.path is not None}
        bundles = {name: str(path) for name, path in paths.items()}
        comparison = Comparison(self._spec.task, data, bundles, self._spec.nice)
        self._place.scores.unlink(missing_ok=True)
        write_json(self._place.comparison, to_mapping(comparison))
        try:
            self._child(EVALUATE, self._place.comparison)
        except CancelledError:
            raise
        except JobError as error:
            if self._policy.deploy == IF_BETTER:
                raise
            self._say(f"not evaluated: {error}")
            return None, {}
        return read_comparison(self._place.scores)

    def _record_trained(self, new: Compared, key: str) -> None:
        known = self._history.bundles()
        if self.status.bundle not in known:  # an interrupted job may have been here before
            self._history.add(
                events.TRAINED,
                bundle=self.status.bundle,
                id=self.status.bundle_id,
                task=self._spec.task,
                score=key,
                new=None if math.isnan(new.value) else new.value,
                data=self._spec.data,
            )

    def _act(self, decision: Decision, running: Mapping[str, Running]) -> None:
        """Deploy or keep, record it, and clean up."""
        status = self.status
        facts: dict[str, Any] = {"bundle": status.bundle, "id": status.bundle_id}
        facts |= {"scores": {NEW: f"{status.new:.6g}", **status.active}, "score": status.score}
        if not decision.deploy:
            self._history.add(events.KEPT, **facts, reason=decision.reason)
            self._conclude("kept", decision.reason, running, {})
            return
        before = {node: each.ran for node, each in running.items()}
        self._history.add(
            events.DEPLOYING, **facts, reason=decision.reason, previous=previous_of(before)
        )
        self._change(states.DEPLOYING, f"setting {status.bundle} on {', '.join(running)}")
        try:
            bundle = self._place.out / status.bundle
            roll_out(self._targets, bundle, status.bundle_id, running, self._cancellation)
        except RolloutError as error:
            self._history.add(events.WITHDRAWN, **facts, reason=str(error))
            if self._cancellation.is_asked():
                raise CancelledError(f"cancelled while deploying: {error}") from error
            self._conclude("refused", str(error), running, {})
            return
        self._history.add(events.DEPLOYED, **facts)
        changed = dict.fromkeys(running, status.bundle_id)
        self._conclude("deployed", decision.reason, running, changed)

    def _conclude(
        self,
        decision: str,
        reason: str,
        running: Mapping[str, Running],
        changed: Mapping[str, str],
    ) -> None:
        now = {node: each.id for node, each in running.items()} | dict(changed)
        removed = remove_old(self._place, self._policy.keep, [*now.values(), self.status.bundle_id])
        for name in removed:
            self._say(f"removed {name}: keep is {self._policy.keep}")
        self._place.finish()
        state = states.FAILED if decision == "refused" else states.DONE
        self._change(
            state, f"{self.status.bundle} {decision}: {reason}", decision=decision, reason=reason
        )

    def _end(self, state: str, message: str) -> None:
        with contextlib.suppress(JobError):  # a full disk may be what the message says
            write_json(self._place.ended, {"state": state, "message": message})
        self._change(state, message)

    def _change(self, state: str = "", message: str | None = None, **changes: Any) -> None:
        changes |= {"state": state} if state else {}
        changes |= {} if message is None else {"message": message}
        if changes.get("state") not in (None, states.TRAINING):
            changes.setdefault("eta_s", math.nan)
        self.status = dataclasses.replace(self.status, **changes)
        self._tell(self.status)


def _as_it_runs(found: Compared | None, running: Running) -> Compared:
    """Return how the bundle of a node did; its files may not be those that the node loaded."""
    if found is None:
        return Compared(running.id, error="not evaluated")
    if found.id and found.id != running.id:
        return Compared(running.id, error=f"{running.path} holds another bundle ({found.id}) now")
    return dataclasses.replace(found, id=running.id)
