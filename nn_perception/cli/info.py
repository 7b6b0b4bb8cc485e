"""``nn-perception info``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn_perception.bundle import Bundle

HELP = "verify a bundle and say what it is"
DESCRIPTION = "Verify a bundle (hashes, sizes, shapes, finite outputs) and say what it is."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_json_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--trusted-keys",
        type=Path,
        metavar="PATH",
        help="public key or directory of them (*.pub): verify who signed the bundle",
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify and describe."""
    from nn_perception.bundle import load_bundle
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.config import to_mapping
    from nn_perception.engine import OnnxEngine, warm_up

    bundle = load_bundle(arguments.bundle, trusted_keys=arguments.trusted_keys)
    warm_up(OnnxEngine(bundle), bundle)
    config = bundle.config
    data = config.training.get("data", {})
    rows: list[tuple[str, object]] = [
        ("bundle", bundle.name),
        ("id", bundle.id),
        ("task", bundle.task),
        ("network", f"{config.network.name}, {config.network.parameters:,} parameters"),
        *((f"input {s.name}", f"{_shape(s.shape)} {s.dtype} [{s.unit}]") for s in config.inputs),
        *((f"output {s.name}", f"{_shape(s.shape)} {s.dtype} [{s.unit}]") for s in config.outputs),
        ("labels", ", ".join(config.labels) or "-"),
        ("pre-processing", _pairs(config.preprocessing)),
        ("calibration", _pairs({k: v for k, v in config.calibration.items() if k != "rejection"})),
        *_rejection(config.calibration.get("rejection")),
        ("trained on", data.get("source", "unknown")),
        ("seed", config.training.get("configuration", {}).get("seed")),
        ("revision", config.training.get("git_revision", "unknown")),
        *((f"{split} figures", _pairs(values)) for split, values in config.metrics.items()),
        ("torch vs ONNX", f"largest difference {config.parity:.1e}"),
        *((name, f"{spec['bytes']:,} bytes") for name, spec in config.files.items()),
        ("signed by", _signers(bundle)),
        ("verified", "hashes, sizes, shapes, finite outputs" + ", signature" * bool(bundle.signer)),
    ]
    print(format_table(rows), file=text_stream(arguments.json))
    facts = {"id": bundle.id, "name": bundle.name, "signer": bundle.signer}
    write_json({**facts, **to_mapping(config)}, arguments.json)
    return 0


def _signers(bundle: Bundle) -> str:
    """Return the key that was verified, or those that the bundle merely names."""
    from nn_perception.bundle_signature import signed_by

    if bundle.signer:
        return f"{bundle.signer} (trusted)"
    names = ", ".join(signed_by(bundle.path))
    return f"{names} (not verified: give --trusted-keys)" if names else "nobody"


def _rejection(entry: object) -> list[tuple[str, object]]:
    """Return a row about how a classifier knows what it does not know; none without such a thing.

    A bundle's loading leaves this entry to the tasks: here it may hold anything.
    """
    if entry is None:
        return []
    if not isinstance(entry, dict) or not isinstance(entry.get("quantiles"), list):
        return [("answers", str(entry))]
    pairs = [pair for pair in entry["quantiles"] if isinstance(pair, list) and len(pair) == 2]
    shares = ", ".join(f"{percent} % above {threshold}" for percent, threshold in pairs)
    return [("answers", f"of true inputs by score '{entry.get('score')}': {shares}")]


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"


def _pairs(values: object) -> str:
    if not isinstance(values, dict):
        return str(values)
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )
