"""The training loop: the same few lines for every task.

Everything random comes from (seed, epoch, step) and not from a running generator, so that a run
that was killed resumes exactly, and any number of processes sees the same data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nn_perception.bundle import Bundle
from nn_perception.engine_torch import network_from_bundle
from nn_perception.errors import DivergedError, TrainingError
from nn_perception.training import distributed
from nn_perception.training.checkpoint import (
    Checkpoint,
    fingerprint,
    load_checkpoint,
    load_optimizer,
    optimizer_tensors,
)
from nn_perception.training.closed_form import solve
from nn_perception.training.config import CLOSED_FORM
from nn_perception.training.devices import (
    autocast,
    choose_threads,
    deterministic,
    seed_device,
    select_device,
)
from nn_perception.training.initialisation import initialise
from nn_perception.training.learning import Learning
from nn_perception.training.log import RunLog
from nn_perception.training.optimisers import (
    WeightAverage,
    make_optimizer,
    rate_factor,
    set_rate,
    shrink,
    split_parameters,
    zero_share,
)
from nn_perception.training.randomness import generator, mix

EpochCallback = Callable[[dict[str, Any]], bool | None]
"""Called after each epoch with its record; returning True stops the training."""


@dataclass
class Fit:
    """What a training run gave.

    Attributes:
        network: with the kept weights, in evaluation mode.
        history: one record per epoch, as in ``metrics.jsonl``.
        best_epoch: the epoch with the best validation metric, counted from 1.
        stopped: why training ended before its last epoch, or an empty string.
    """

    network: nn.Module
    history: list[dict[str, Any]]
    best_epoch: int
    stopped: str = ""


@dataclass
class _Progress:
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    best: dict[str, torch.Tensor] = field(default_factory=dict)


class Trainer:
    """Trains one network on one task's data.

    Args:
        learning: data, network and loss.
        run_dir: where logs and checkpoints go; None keeps the run in memory.
        show_progress: draw a progress bar on standard error.
        on_epoch: see `EpochCallback`.
        init: a bundle whose weights training begins with.
    """

    def __init__(
        self,
        learning: Learning,
        run_dir: Path | None = None,
        *,
        show_progress: bool = False,
        on_epoch: EpochCallback | None = None,
        init: Bundle | None = None,
    ) -> None:
        self.learning = learning
        self.config = learning.config
        self.device = select_device(self.config.device)
        self.ranks = distributed.join(self.device)
        self._run_dir = run_dir
        self._show_progress = show_progress and self.ranks.is_first
        self._on_epoch = on_epoch
        self._init = init
        self._solves = self.config.optimizer == CLOSED_FORM
        self._epochs = 1 if self._solves else self.config.epochs
        self._batch = min(self.config.batch_size or learning.train_size, learning.train_size)
        self._share = self.ranks.share(self._batch)
        self._steps_per_epoch = 1 if self._solves else max(1, learning.train_size // self._batch)
        self._random = torch.Generator()
        begun = f" from {init.id}" if init else ""
        self._fingerprint = fingerprint(self.config, learning.data_id + begun)

    def fit(self) -> Fit:
        """Train, or go on from the checkpoint in the run directory.

        Raises:
            DivergedError: the loss is not finite.
            TrainingError: the checkpoint belongs to another run.
        """
        with (
            deterministic(self.config.deterministic),
            RunLog(
                self._run_dir if self.ranks.is_first else None,
                self._epochs * self._steps_per_epoch,
                show=self._show_progress,
            ) as log,
        ):
            self._prepare()
            self._resume()
            log.start(self.config, self._progress.history, self._progress.epoch)
            stopped = self._run_epochs(log)
        return self._finish(stopped)

    def _prepare(self) -> None:
        torch.manual_seed(self.config.seed)
        self.learning.move_to(self.device)
        self.network = self.learning.build_network()
        initialise(self.network, self.config.initialisation)
        if self._init is not None:
            self._begin_with(self._init)
        self.network.to(self.device)
        # Convolutions are faster so, on every kind of device; other tensors stay as they are.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            indices = torch.arange(self._batch)
            inputs, _ = self.learning.batch(indices, generator(0), self._share)
            torch.set_num_threads(choose_threads(self.network, inputs))
        compiled = self.config.compile == "on" or (
            self.config.compile == "auto" and self.device.type == "cuda"
        )
        if compiled:
            # A network that loops over time names its step: unrolled, it would compile for hours.
            part = getattr(self.network, "recurrent", self.network)
            part.compile(dynamic=False)
        self._model = distributed.wrap(self.network, self.ranks, self.device)
        self._optimizer = make_optimizer(self.network, self.config)
        self._weights, others = split_parameters(self.network)
        self._parameters = self._weights + others
        self._average = (
            WeightAverage(self.network, self.config.ema_decay) if self.config.ema_decay else None
        )
        self._progress = _Progress()

    def _begin_with(self, bundle: Bundle) -> None:
        weights = network_from_bundle(bundle).state_dict()
        try:
            self.learning.bundle_network(self.network).load_state_dict(weights)
        except RuntimeError as error:  # the number of classes, say, is the data's
            raise TrainingError(
                f"the network of {bundle.name} does not fit this data: {error}; choose another "
                "--init, or data of the same kind"
            ) from None

    def _run_epochs(self, log: RunLog) -> str:
        progress = self._progress
        while progress.epoch < self._epochs:
            start = time.perf_counter()
            train_loss = self._solve(log) if self._solves else self._train_epoch(log)
            seconds = time.perf_counter() - start
            progress.epoch += 1
            record = self._validate(train_loss, seconds)
            progress.history.append(record)
            log.epoch(record)
            self._save_checkpoint()
            if self._on_epoch is not None and self._on_epoch(record):
                return f"stopped by the caller after epoch {progress.epoch}"
            patience = self.config.early_stopping_patience
            if patience and progress.epoch - progress.best_epoch >= patience:
                return f"no improvement for {patience} epochs"
        return ""

    def _solve(self, log: RunLog) -> float:
        everything = torch.arange(self.learning.train_size, device=self.device)
        loss = solve(self.network, self.learning, everything)
        log.step()
        return loss

    def _train_epoch(self, log: RunLog) -> float:
        config, epoch = self.config, self._progress.epoch
        self._model.train()
        order = torch.randperm(self.learning.train_size, generator=generator(config.seed, epoch, 1))
        order = order.to(self.device)
        total = torch.zeros((), device=self.device)
        check_every = 1 if self.device.type == "cpu" else 50
        for index in range(self._steps_per_epoch):
            step = epoch * self._steps_per_epoch + index
            chosen = order[index * self._batch : (index + 1) * self._batch]
            loss = self._step(step, chosen)
            total += loss
            if step % check_every == 0 and not math.isfinite(total.item()):
                raise DivergedError(self._not_finite(step))
            log.step()
        if not math.isfinite(total.item()):
            raise DivergedError(self._not_finite((epoch + 1) * self._steps_per_epoch - 1))
        return float(total) / self._steps_per_epoch

    def _step(self, step: int, chosen: torch.Tensor) -> torch.Tensor:
        config = self.config
        seed_device(mix(config.seed, step, 2 + self.ranks.rank), self.device)  # dropout
        random = self._random.manual_seed(mix(config.seed, step, 0))
        inputs, targets = self.learning.batch(chosen, random, self._share)
        total_steps = config.epochs * self._steps_per_epoch
        factor = rate_factor(config, step, total_steps, self._steps_per_epoch)
        set_rate(self._optimizer, config.learning_rate * factor)
        with autocast(config.mixed_precision, self.device):
            outputs = self._model(*inputs)
        loss = self.learning.loss(outputs.float(), targets)
        for parameter in self._parameters:  # zero_grad of torch takes ten times as long
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        if config.gradient_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        self._optimizer.step()
        if config.l1:
            shrink(self._optimizer, self._weights, config.l1)
        if self._average is not None:
            self._average.update()
        return loss.detach()

    def _validate(self, train_loss: float, seconds: float) -> dict[str, Any]:
        """Validate in float32, as the bundle will run; every process does the same work."""
        progress, learning = self._progress, self.learning
        live = {name: value.clone() for name, value in self.network.state_dict().items()}
        if self._average is not None:
            self.network.load_state_dict(self._average.state)
        figures = learning.validate(self.predict())
        zeros = {"zero_weights": zero_share(self._weights)} if self.config.l1 else {}
        value = figures[learning.metric]
        best = progress.best_value
        if best is None or (value >= best if learning.higher_is_better else value <= best):
            progress.best_value, progress.best_epoch = value, progress.epoch
            progress.best = {k: v.clone() for k, v in self.network.state_dict().items()}
        if self._average is not None:
            self.network.load_state_dict(live)
        return {
            "epoch": progress.epoch,
            "step": progress.epoch * self._steps_per_epoch,
            "train_loss": train_loss,
            **{f"validation_{name}": figure for name, figure in figures.items()},
            **zeros,
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "seconds": seconds,
        }

    def predict(self) -> Callable[..., torch.Tensor]:
        """Return a function that runs the network in evaluation mode, without gradients."""
        self.network.eval()

        @torch.inference_mode()
        def predict(*inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.network(*inputs)
            return outputs.float()

        return predict

    def _save_checkpoint(self) -> None:
        if self._run_dir is None or not self.ranks.is_first:
            return
        progress = self._progress
        tensors = {
            "network": self.network.state_dict(),
            "best": progress.best,
            "optimizer": optimizer_tensors(self._optimizer),
        }
        if self._average is not None:
            tensors["average"] = self._average.state
        state = {
            "fingerprint": self._fingerprint,
            "epoch": progress.epoch,
            "best_epoch": progress.best_epoch,
            "best_value": progress.best_value,
            "history": progress.history,
            "average_steps": self._average.steps if self._average is not None else 0,
        }
        Checkpoint(tensors, state).save(self._run_dir / "checkpoint")

    def _resume(self) -> None:
        checkpoint = load_checkpoint(self._run_dir / "checkpoint") if self._run_dir else None
        if checkpoint is None:
            return
        state, tensors = checkpoint.state, checkpoint.tensors
        if state.get("fingerprint") != self._fingerprint:
            raise TrainingError(
                f"the checkpoint in {self._run_dir} belongs to a run with another configuration "
                "or other data: choose another --out, or remove that directory"
            )
        self.network.load_state_dict(tensors["network"])
        load_optimizer(self._optimizer, tensors["optimizer"])
        if self._average is not None:
            self._average.load(tensors["average"], state["average_steps"])
        best = {name: value.to(self.device) for name, value in tensors["best"].items()}
        self._progress = _Progress(
            state["epoch"], state["history"], state["best_epoch"], state["best_value"], best
        )

    def _finish(self, stopped: str) -> Fit:
        if self.config.keep == "best":
            self.network.load_state_dict(self._progress.best)
        elif self._average is not None:
            self.network.load_state_dict(self._average.state)
        return Fit(self.network.eval(), self._progress.history, self._progress.best_epoch, stopped)

    def _not_finite(self, step: int) -> str:
        epoch = self._progress.epoch
        kept = f"; the checkpoint of epoch {epoch} stays" if self._run_dir and epoch else ""
        return (
            f"the training loss is not finite at step {step} (epoch {epoch + 1}): "
            f"lower learning_rate (now {self.config.learning_rate:g}) or set gradient_clip{kept}"
        )
