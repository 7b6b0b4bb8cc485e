"""Files of a trainer: whole or not at all, and what killed writers leave is swept away."""

import json
import os

import pytest

from nn_perception.jobs.files import JobError, Workplace, read_json, remove_tree, write_json


@pytest.fixture
def place(tmp_path):
    place = Workplace(tmp_path / "models")
    place.prepare()
    return place


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5, "ü"]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5, "ü"]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b'{"x": 1', b"[1, 2]", b"\xff\xfe\x00"])
def test_what_is_no_json_object_counts_as_nothing(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") == {}
    assert read_json(tmp_path / "absent.json") == {}


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"old": True})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobError, match="No space left on device"):
        write_json(tmp_path / "a.json", {"new": True})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": True}


def test_a_directory_is_never_half_gone(place, monkeypatch):
    """Whoever looks while it is being removed sees it whole, or not at all."""
    bundle = place.out / "bundle"
    bundle.mkdir()
    for name in "abc":
        (bundle / name).write_text("x")
    seen = []

    def look(path, **_):
        seen.append((path.name.startswith("."), bundle.exists(), len(list(path.iterdir()))))

    monkeypatch.setattr("shutil.rmtree", look)
    remove_tree(bundle)
    assert seen == [(True, False, 3)]


def test_sweeping_takes_what_killed_writers_left_and_nothing_else(place):
    stay = [place.out / "digits", place.out / ".mine", place.job / "bundle.run", place.job / "x"]
    go = [place.out / ".b.gone.12ab34cd", place.job / ".bundle.abc123", place.job / ".run.gone.1"]
    for path in (*stay, *go):
        path.mkdir()
        (path / "file").write_text("x")
    (place.job / ".job.json.0a1b2c3d").write_text("{")
    (place.job / "job.json").write_text("{}")
    place.sweep()
    assert all(path.is_dir() for path in stay)
    assert not any(path.exists() for path in go)
    assert not (place.job / ".job.json.0a1b2c3d").exists()
    assert (place.job / "job.json").exists()


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(JobError, match="'out'"):
        Workplace(tmp_path / "file" / "models").prepare()
