"""Readers of public formats and of bags: files in, arrays with units out. NumPy only."""

from __future__ import annotations

from nn_perception.datasets.arrays import ImageSet, stratified_split

__all__ = ["ImageSet", "stratified_split"]
