"""What the live benchmarks share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nn_perception.bench.streaming import (
    SWITCH_INTERVAL_S,
    model_parameters,
    quick_thread_switches,
    with_stamp,
)
from nn_perception.cdr import read_header
from nn_perception.detections_cdr import Found, boxes_from_cdr, detections_to_cdr
from nn_perception.image_cdr import RawHeader, Stamp


def test_only_the_stamp_changes():
    found = [Found((8.0, 6.0, 4.0, 2.0), (("car", 0.5),), "0/0")]
    template = detections_to_cdr(RawHeader(Stamp(7, 8), "camera"), found)
    stamped = with_stamp(template, 1_234_567_890_123)
    assert read_header(stamped, "boxes")[1:3] == (1_234_567_890_123, "camera")
    assert boxes_from_cdr(stamped).detections == boxes_from_cdr(template).detections
    assert with_stamp(stamped, 7_000_000_008) == template


def test_thread_switches_are_as_before_even_after_an_error():
    def fail():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
        raise KeyError

    before = sys.getswitchinterval()
    with pytest.raises(KeyError), quick_thread_switches():
        fail()
    assert sys.getswitchinterval() == before


def test_a_node_finds_a_bundle_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = model_parameters(Path("models/digits"))
    assert found == {"model_root": str(tmp_path.resolve() / "models"), "model": "digits"}
