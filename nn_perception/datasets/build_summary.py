"""What was built, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.datasets.build_settings import PARTS


@dataclass(frozen=True)
class DatasetSummary:
    """A data set that was written.

    Attributes:
        path: its directory.
        manifest: what its ``dataset.json`` holds.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each part."""
        return {part: int(self.manifest["parts"][part]["rows"]) for part in PARTS}

    def __str__(self) -> str:
        rows = " / ".join(f"{count:,}" for count in self.rows.values())
        bags = len(self.manifest["sources"])
        return f"{self.path.name}: {rows} {unit(self.manifest)} of {bags} bag(s)"

    def table(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        manifest = self.manifest
        split = manifest["split"]
        how = f"blocks of {split['block_s']:g} s, {split['guard_s']:g} s between parts"
        found: list[tuple[str, object]] = [
            ("bags", len(manifest["sources"])),
            (f"{unit(manifest)}, train / validation / test", _slashed(self.rows)),
            ("split", "whole bags" if split["by"] == "bag" else how),
        ]
        if manifest["kind"] == "images":
            for name in manifest["classes"]:
                counts = {part: manifest["parts"][part]["counts"][name] for part in PARTS}
                found.append((f"class {name}", _slashed(counts)))
        for source in manifest["sources"]:
            found += _of_source(source)
        found += [(f"left out: {why}", f"{n:,}") for why, n in manifest["dropped"].items()]
        found += [(f"skipped: {each['name']}", each["reason"]) for each in manifest["skipped"]]
        return found


def unit(manifest: Mapping[str, Any]) -> str:
    """Return what a data set has rows of."""
    return {"images": "pictures", "imu": "samples", "uwb": "ranges"}[manifest["kind"]]


def alignment_text(alignment: Mapping[str, Any]) -> str:
    """Say how truth and sensor were brought together."""
    parts = []
    if alignment["offset_s"] is not None:
        parts.append(f"{1e3 * alignment['offset_s']:+.2f} +- {1e3 * alignment['sigma_s']:.2f} ms")
    applied = alignment["applied_s"]
    parts.append(f"{1e3 * applied:+.2f} ms applied" if applied else "nothing applied")
    if alignment["drift_ppm"] is not None and abs(alignment["drift_ppm"]) >= 1.0:
        parts.append(f"drift {alignment['drift_ppm']:+.1f} ppm")
    if alignment["mounting_deg"] is not None:
        taken = " (taken out)" if alignment["mounting_xyzw"][3] != 1.0 else ""
        parts.append(f"mounting {alignment['mounting_deg']:.2f} deg{taken}")
    if alignment["note"]:
        parts.append(alignment["note"])
    return ", ".join(parts)


def _of_source(source: Mapping[str, Any]) -> list[tuple[str, object]]:
    rates = ", ".join(f"{name} {rate:.1f} Hz" for name, rate in source["rates_hz"].items())
    found: list[tuple[str, object]] = [(source["name"], f"{source['rows']:,} rows; {rates}")]
    if "labels" in source:
        found.append((f"{source['name']}: labels", source["labels"]))
    if "alignment" in source:
        found.append((f"{source['name']}: clocks", alignment_text(source["alignment"])))
    return found


def _slashed(counts: Mapping[str, int]) -> str:
    return " / ".join(f"{count:,}" for count in counts.values())
