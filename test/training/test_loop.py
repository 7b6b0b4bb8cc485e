import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nn_perception.errors import ConfigError, TrainingError
from nn_perception.networks import build_network
from nn_perception.training.augment import AugmentConfig, apply, draw
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

CONFIG = TrainingConfig(
    network="mlp",
    network_arguments={"hidden": [16], "input_shape": [1, 8, 8], "classes": 4},
    epochs=4,
    batch_size=32,
    learning_rate=0.01,
    ema_decay=0.9,
    augment=AugmentConfig(shift_px=1.0),
    device="cpu",
)


class Quadrants:
    """Four classes: which quadrant of a noisy 8x8 picture is bright."""

    task = "quadrants"
    metric = "accuracy"
    higher_is_better = True
    data_id = "quadrants"

    def __init__(self, config, n=400):
        self.config = config
        draws = np.random.default_rng(0)
        labels = draws.integers(0, 4, n)
        images = draws.integers(0, 120, (n, 1, 8, 8)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 60
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.train_size = n - 100

    def build_network(self):
        return build_network(self.config.network, self.config.network_arguments)

    def move_to(self, device):
        pass

    def batch(self, indices, generator, share):
        params = draw(len(indices), self.config.augment, generator)[share]
        mine = indices[share]
        return (apply(self.images[mine], params),), self.labels[mine]

    def loss(self, outputs, targets):
        return F.cross_entropy(outputs, targets)

    def validate(self, predict):
        images, labels = self.images[-100:], self.labels[-100:]
        logits = predict(images)
        return {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
        }


def train(run_dir=None, on_epoch=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return Trainer(Quadrants(config), run_dir, on_epoch=on_epoch).fit()


def weights(fit):
    return torch.cat([value.flatten().double() for value in fit.network.state_dict().values()])


def test_training_learns_and_the_seed_decides():
    first, same, other = train(), train(), train(seed=1)
    assert first.history[-1]["validation_accuracy"] > 0.9
    assert torch.equal(weights(first), weights(same))
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        ("sgd", 0.5),
        ("momentum", 0.1),
        ("nesterov", 0.1),
        ("rmsprop", 0.003),
        ("adam", 0.01),
        ("adamw", 0.01),
    ],
)
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_every_optimiser_and_schedule_learns(optimizer, rate, schedule):
    fit = train(optimizer=optimizer, learning_rate=rate, schedule=schedule, step_epochs=3)
    assert fit.history[-1]["validation_accuracy"] > 0.85


def test_a_run_that_was_interrupted_resumes_exactly(tmp_path):
    arguments = {"network_arguments": {**CONFIG.network_arguments, "dropout": 0.2}}
    whole = train(**arguments)
    train(tmp_path / "run", on_epoch=lambda record: record["epoch"] == 2, **arguments)
    resumed = train(tmp_path / "run", **arguments)
    assert torch.equal(weights(whole), weights(resumed))
    drop = ("seconds",)
    for a, b in zip(whole.history, resumed.history, strict=True):
        assert {k: v for k, v in a.items() if k not in drop} == {
            k: v for k, v in b.items() if k not in drop
        }
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_resume_after_kill_between_the_two_renames(tmp_path):
    whole = train()
    train(tmp_path / "run", on_epoch=lambda record: record["epoch"] == 2)
    (tmp_path / "run" / "checkpoint").rename(tmp_path / "run" / ".checkpoint.old")
    assert torch.equal(weights(whole), weights(train(tmp_path / "run")))


def test_checkpoint_of_another_run_is_refused(tmp_path):
    train(tmp_path / "run", on_epoch=lambda record: True)
    with pytest.raises(TrainingError, match="another configuration"):
        train(tmp_path / "run", learning_rate=0.02)


def test_damaged_checkpoint_is_refused(tmp_path):
    train(tmp_path / "run", on_epoch=lambda record: True)
    path = tmp_path / "run" / "checkpoint" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged"):
        train(tmp_path / "run")


def test_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(tmp_path):
    class Diverges(Quadrants):
        def loss(self, outputs, targets):
            self.calls = getattr(self, "calls", 0) + 1
            return super().loss(outputs, targets) * (float("nan") if self.calls == 22 else 1.0)

    with pytest.raises(TrainingError, match=r"step 21 \(epoch 3\).*learning_rate"):
        Trainer(Diverges(CONFIG), tmp_path / "run").fit()
    state = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert state["epoch"] == 2
    assert torch.equal(weights(train()), weights(train(tmp_path / "run")))


def test_early_stopping_keeps_the_best_weights():
    class Worsens(Quadrants):
        seen = ()

        def validate(self, predict):
            figures = super().validate(predict)
            self.seen = (*self.seen, figures["loss"])
            return {"loss": figures["loss"], "accuracy": 1.0 - 0.1 * len(self.seen)}

    config = dataclasses.replace(CONFIG, epochs=10, early_stopping_patience=3)
    learning = Worsens(config)
    fit = Trainer(learning).fit()
    assert (len(fit.history), fit.best_epoch) == (4, 1)
    assert "no improvement for 3 epochs" in fit.stopped
    kept = Quadrants(config).validate(lambda images: fit.network(images).detach())
    assert kept["loss"] == pytest.approx(learning.seen[0])


def test_l2_shrinks_weights():
    long = {"epochs": 12, "ema_decay": 0.0}

    def first_layer(fit):
        return next(p for p in fit.network.parameters() if p.ndim > 1).detach()

    assert (
        first_layer(train(weight_decay=3.0, **long)).norm()
        < 0.8 * first_layer(train(**long)).norm()
    )


def test_averaged_weights_are_what_is_validated():
    """With a decay so high that the average hardly moves, the live weights would do better."""
    slow = train(ema_decay=0.9999, epochs=1, batch_size=300)
    live = train(ema_decay=0.0, epochs=1, batch_size=300)
    assert not torch.equal(weights(slow), weights(live))


def test_mixed_precision_trains_close_to_full_precision():
    full, mixed = train(mixed_precision="off"), train(mixed_precision="on")
    assert not torch.equal(weights(full), weights(mixed))
    assert mixed.history[-1]["train_loss"] == pytest.approx(full.history[-1]["train_loss"], rel=0.1)


def test_gradient_clip_limits_the_step():
    free = train(optimizer="sgd", epochs=1, ema_decay=0.0)
    clipped = train(optimizer="sgd", epochs=1, ema_decay=0.0, gradient_clip=1e-6)
    start = Quadrants(CONFIG)
    torch.manual_seed(CONFIG.seed)
    initial = torch.cat([v.flatten().double() for v in start.build_network().state_dict().values()])
    assert (weights(clipped) - initial).norm() < 1e-3 * (weights(free) - initial).norm()


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"learning_rate": -1.0}, {"momentum": 1.0}, {"validation_fraction": 0.0}],
)
def test_values_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        dataclasses.replace(CONFIG, **change)


SCRIPT = """
import sys, torch
sys.path.insert(0, {folder!r})
import importlib.util
spec = importlib.util.spec_from_file_location("loop_test", {file!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
from pathlib import Path
fit = module.train(Path({run!r}), **{changes!r})
if int(__import__("os").environ.get("RANK", 0)) == 0:
    torch.save(fit.network.state_dict(), {out!r})
"""


def script(tmp_path, run, **changes):
    path = tmp_path / "script.py"
    out = tmp_path / "out.pt"
    text = SCRIPT.format(
        folder=str(Path(__file__).parent),
        file=__file__,
        run=str(run),
        out=str(out),
        changes=changes,
    )
    path.write_text(text)
    return path, out


@pytest.mark.long
def test_two_processes_give_what_one_gives(tmp_path):
    """DistributedDataParallel over gloo, started by torchrun, on the same global batches."""
    path, out = script(tmp_path, tmp_path / "run", epochs=2)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, timeout=240, env=environment)
    both = torch.load(out, weights_only=True)
    one = train(epochs=2).network.state_dict()
    for name, value in one.items():
        torch.testing.assert_close(both[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_killed_process_resumes_exactly(tmp_path):
    """SIGKILL in the middle of a run, then the same command again."""
    path, out = script(tmp_path, tmp_path / "run", epochs=60)
    state = tmp_path / "run" / "checkpoint" / "checkpoint.json"
    process = subprocess.Popen([sys.executable, str(path)])
    deadline = time.monotonic() + 120
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists(), "the run ended before it could be killed"
    subprocess.run([sys.executable, str(path)], check=True, timeout=240)
    resumed = torch.load(out, weights_only=True)
    for name, value in train(epochs=60).network.state_dict().items():
        assert torch.equal(resumed[name], value), name
