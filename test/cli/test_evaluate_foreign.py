"""evaluate --foreign and --shifts on a digit bundle with untrained weights."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from nn_perception.cli.main import main


@pytest.fixture
def few(monkeypatch):
    """Small foreign sets: their size is of no matter here."""
    from nn_perception.evaluation import foreign

    monkeypatch.setattr(foreign.foreign_set, "__defaults__", (12, 0))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    draws = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "set.npz"
    images = draws.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    np.savez(path, images=images, labels=draws.integers(0, 10, 40))
    return path


def evaluate(capsys, *words):
    code = main(["evaluate", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.usefixtures("few")
def test_foreign_sets_and_shifts_are_printed_and_written(capsys, tmp_path, labelled, tiny_bundle):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((60, 60, 3), np.uint8))
    words = ["--foreign", "letters", f"textures:{tmp_path}", "--foreign", labelled, "--shifts"]
    target, page = tmp_path / "out.json", tmp_path / "page"
    code, out, _ = evaluate(
        capsys, tiny_bundle.path, "--data", labelled, *words, "--json", target, "--report", page
    )
    assert code == 0
    figures = json.loads(target.read_text())
    assert figures["n"] == 40
    sets = figures["foreign"]["sets"]
    assert list(sets) == ["letters", "textures", "set.npz"]
    assert [entry["n"] for entry in sets.values()] == [12, 12, 40]
    assert sets["set.npz"]["auroc"] == 0.5  # the known pictures against themselves
    assert sets["set.npz"]["fpr95"] == 0.95
    assert "foreign: set.npz" in out
    assert "AUROC 50.00%, FPR95 95.00%" in out
    assert figures["shifts"].keys() >= {"blurred", "mean"}
    assert "accuracy, blurred" in out
    assert "set.npz" in (page / "foreign" / "index.html").read_text()
    assert "<img" in (page / "index.html").read_text()


def test_without_them_nothing_changes(capsys, labelled, tiny_bundle):
    code, out, _ = evaluate(capsys, tiny_bundle.path, "--data", labelled, "--json", "-")
    assert code == 0
    assert not {"foreign", "shifts"} & set(json.loads(out))


def test_a_mistyped_set_is_told_before_anything_is_computed(capsys, labelled, tiny_bundle):
    words = (tiny_bundle.path, "--data", labelled, "--foreign", "leters")
    code, out, err = evaluate(capsys, *words)
    assert (code, out) == (2, "")
    assert "no foreign set 'leters'" in err
    assert "letters" in err


@pytest.mark.parametrize("words", [["--foreign", "letters"], ["--shifts"]])
def test_other_tasks_have_no_pictures(capsys, tmp_path, make_uwb_bundle, words):
    code, out, err = evaluate(capsys, make_uwb_bundle().path, "--data", tmp_path, *words)
    assert (code, out) == (2, "")
    assert "are for classifiers of pictures" in err
