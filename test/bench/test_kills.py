"""Short forms of the benchmark with kills, and that it would notice half a bundle."""

import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nn_perception.bench import kill_storage
from nn_perception.bench.kill_storage import full_disk, killed_writer, small_disk
from nn_perception.bench.kill_watching import Watch
from nn_perception.bundle import load_bundle
from nn_perception.share import shipped_model


def silent(_text):
    pass


@pytest.fixture
def can_mount(tmp_path):
    with small_disk(tmp_path / "probe", 1 << 20) as (_, kind):
        if not kind:
            pytest.skip("no file system can be mounted here: it takes root")


def in_place(bundle, path):
    """Write a bundle as nobody should."""
    path.mkdir(exist_ok=True)
    for name in ("config.json", "model.onnx", "model.safetensors"):
        shutil.copyfile(bundle.path / name, path / name)


def test_full_disk_leaves_the_old_or_the_new_bundle(tmp_path, can_mount):
    result = full_disk(tmp_path / "disk", 12, np.random.default_rng(1), silent)
    assert result.passed, result.detail
    assert ": 0 writings refused" not in result.detail


def test_half_a_bundle_on_a_full_disk_would_be_seen(tmp_path, can_mount, monkeypatch):
    def careless(bundle, path):
        try:
            in_place(bundle, path)
        except OSError as error:
            raise kill_storage.BundleError(error.strerror) from None

    monkeypatch.setattr(kill_storage, "write", careless)
    result = full_disk(tmp_path / "disk", 12, np.random.default_rng(1), silent)
    assert not result.passed


def test_a_killed_writer_leaves_whole_bundles(tmp_path):
    result = killed_writer(tmp_path / "writer", 3, np.random.default_rng(2), silent)
    assert result.passed, result.detail


LIMITED = """
import resource, sys
from pathlib import Path
from nn_perception.bench.kill_storage import write
from nn_perception.bundle import load_bundle
from nn_perception.errors import BundleError
bundle = load_bundle(sys.argv[1])
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write(bundle, Path(sys.argv[2]) / "model")
except BundleError as error:
    print(error)
    sys.exit(7)
"""


def limited(place, limit):
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(shipped_model("digits")), str(place), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("limit", [0, 1000, 100_000])
def test_a_file_that_may_not_grow_leaves_nothing(tmp_path, limit):
    """EFBIG in place of ENOSPC, which anybody can have."""
    done = limited(tmp_path, limit)
    assert (done.returncode, done.stdout.count("\n")) == (7, 1), done.stderr
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_a_limit_it_is_written(tmp_path):
    done = limited(tmp_path, resource.RLIM_INFINITY)
    assert done.returncode == 0, done.stderr
    load_bundle(tmp_path / "model")


def test_eyes_on_a_directory_see_half_a_bundle(tmp_path):
    shutil.copytree(shipped_model("digits"), tmp_path / "whole")
    (tmp_path / ".hidden").mkdir()
    watch = Watch(tmp_path)
    (tmp_path / "half").mkdir()
    while watch.looked < 2:
        assert watch._thread.is_alive()
    watch.stop()
    assert any("half" in problem for problem in watch.problems)
    assert not any("hidden" in problem or "whole" in problem for problem in watch.problems)
