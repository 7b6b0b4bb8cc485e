"""What a run leaves: ``config.yaml``, ``metrics.jsonl``, TensorBoard events, a progress bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nn_perception.config import to_yaml
from nn_perception.progress import progress_bar
from nn_perception.training.config import TrainingConfig

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Writes a run's log. Without a directory it only draws the progress bar.

    Args:
        run_dir: the run's directory, or None.
        total_steps: length of the progress bar.
        show: whether to draw it.
    """

    def __init__(self, run_dir: Path | None, total_steps: int, *, show: bool) -> None:
        self._run_dir = run_dir
        self._bar = progress_bar(total_steps, "training", "step", show=show)
        self._tensorboard: Any = None

    def start(self, config: TrainingConfig, history: list[dict[str, Any]], epoch: int) -> None:
        """Write the resolved configuration, and the metrics of epochs done before a resume."""
        if epoch and history:
            self._bar.update(int(history[-1]["step"]))
        if self._run_dir is None:
            return
        self._run_dir.mkdir(parents=True, exist_ok=True)
        (self._run_dir / CONFIG_FILE).write_text(to_yaml(config), encoding="utf-8")
        lines = "".join(json.dumps(record) + "\n" for record in history)
        (self._run_dir / METRICS_FILE).write_text(lines, encoding="utf-8")
        self._tensorboard = _tensorboard_writer(self._run_dir)

    def step(self) -> None:
        """Count one training step."""
        self._bar.update()

    def epoch(self, record: dict[str, Any]) -> None:
        """Write the record of one epoch."""
        shown = {k.removeprefix("validation_"): v for k, v in record.items() if "validation" in k}
        self._bar.set_postfix({k: f"{v:.4f}" for k, v in shown.items()}, refresh=False)
        if self._run_dir is None:
            return
        with (self._run_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._tensorboard is not None:
            for name, value in record.items():
                self._tensorboard.add_scalar(name, value, record["step"])

    def __enter__(self) -> RunLog:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar and the event file."""
        self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of ``metrics.jsonl``; an empty list when there is none."""
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _tensorboard_writer(run_dir: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run_dir / "tensorboard"))
