"""The card of a bundle: what it is, on what it was trained, how it was measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Export


def card_text(
    task: str, config: TrainingConfig, export: Export, network: nn.Module, command: str
) -> str:
    """Return the Markdown text of a bundle's README.md."""
    unit = export.data.get("unit", "samples")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    shapes = "; ".join(
        f"{spec.name} {_shape(spec.shape)} {spec.dtype} [{spec.unit}]" for spec in export.inputs
    )
    rows = {
        "task": f"`{task}`",
        "network": f"`{config.network}`, {parameters:,} parameters",
        "input": shapes,
        "output": ", ".join(f"{spec.name} {_shape(spec.shape)}" for spec in export.outputs),
        "labels": ", ".join(export.labels) or "none",
        "trained on": f"{export.data['source']}: {export.data['train']:,} {unit}",
        "watched on": _watched(export.data, unit),
        "seed": f"{config.seed}, {torch.get_num_threads()} CPU threads (OMP_NUM_THREADS)",
        "calibration": _figures(export.calibration),
        "validation": _figures(export.metrics),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    again = command or f"nn-perception train {task} network={config.network} --seed {config.seed}"
    return (
        f"# {task}: {config.network}\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        f"Made by\n\n    {again}\n\n"
        "The test split was not looked at in training. `training/` holds the configuration, the\n"
        "metrics of each epoch and the learning curve; `config.json` says all of it to machines.\n"
    )


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"


def _watched(data: dict[str, Any], unit: str) -> str:
    if not data["validation"]:
        return f"the training {unit}, for want of others"
    return f"{data['validation']:,} held-out {unit} of the same training data"


def _figures(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_number(value)}" for key, value in values.items())


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_number, value)) + "]"
    return str(value)
