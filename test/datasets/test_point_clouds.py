from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.point_clouds import (
    PointClouds,
    load_point_clouds,
    random_rotations,
    sample_pairs,
)
from nn_perception.errors import DatasetError

POINTS = np.random.default_rng(0).standard_normal((4, 64, 3)).astype(np.float16)
IDS = ("a", "b", "c", "d")
CLOUDS = PointClouds(POINTS, IDS, "made up")


def angles_deg(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    trace = np.einsum("nij,nij->n", left.astype(np.float64), right.astype(np.float64))
    return np.degrees(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))


def kabsch(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation with the least squares error (Kabsch 1976)."""
    source, target = source.astype(np.float64), target.astype(np.float64)
    u, _, vt = np.linalg.svd(target.transpose(0, 2, 1) @ source)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, np.newaxis]
    return u @ vt


@pytest.fixture(scope="module")
def planes_test() -> PointClouds:
    variable = os.environ.get("NN_PERCEPTION_DATA")
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for root in ([Path(variable)] if variable else []) + [beside]:
        for folder in (root / "rotation", root):
            if (folder / "planes_test.npz").is_file():
                return load_point_clouds(folder / "planes_test.npz")
    pytest.skip("no planes_test.npz in $NN_PERCEPTION_DATA or ../shared/data/rotation")


def test_a_file_is_read_as_float32(tmp_path):
    path = tmp_path / "planes_x.npz"
    np.savez(path, points=POINTS, ids=np.array(IDS), n_source_points=np.arange(4))
    clouds = load_point_clouds(path)
    assert clouds.points.dtype == np.float32
    assert np.array_equal(clouds.points, POINTS)
    assert (clouds.ids, clouds.source, len(clouds)) == (IDS, "planes_x", 4)
    assert clouds.sha256 == CLOUDS.sha256


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"points": POINTS}, "expected also ids"),
        ({"points": POINTS[:, :, :2], "ids": np.array(IDS)}, r"points is float16 of shape \(4, 64"),
        ({"points": POINTS, "ids": np.array(IDS[:3])}, r"\(4, 64, 3\), expected .*\(3, 64, 3\)"),
        ({"points": POINTS, "ids": np.array([*IDS[:3], "a"])}, "4 shapes but 3 names"),
        ({"points": POINTS * np.float16(np.nan), "ids": np.array(IDS)}, "not finite"),
        ({"points": POINTS, "ids": np.array([None] * 4)}, "ids cannot be read"),
        ({"points": POINTS[:0], "ids": np.array(IDS[:0], "U1")}, "not empty"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, arrays, words):
    path = tmp_path / "planes_x.npz"
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=words) as caught:
        load_point_clouds(path)
    assert str(path) in str(caught.value)
    assert "get the file again" in str(caught.value)


def test_target_is_the_turned_source():
    pairs = sample_pairs(CLOUDS, 20, 30, seed=1)
    assert pairs.source.shape == pairs.target.shape == (20, 30, 3)
    assert pairs.source.dtype == pairs.target.dtype == pairs.rotation.dtype == np.float32
    turned = np.einsum("nij,nkj->nki", pairs.rotation, pairs.source)
    assert np.allclose(turned, pairs.target, atol=1e-5)
    for cloud, index in zip(pairs.source, pairs.shape_index, strict=True):
        found = (cloud[:, np.newaxis] == CLOUDS.points[index]).all(axis=2).any(axis=1)
        assert found.all()


def test_disjoint_halves_share_no_point():
    pairs = sample_pairs(CLOUDS, 10, 32, seed=2, disjoint=True)
    back = np.einsum("nji,nkj->nki", pairs.rotation, pairs.target)
    both = np.concatenate([pairs.source, back], axis=1)
    for cloud, index in zip(both, pairs.shape_index, strict=True):
        distance = np.linalg.norm(cloud[:, np.newaxis] - CLOUDS.points[index], axis=2)
        assert sorted(distance.argmin(axis=1)) == list(range(64))  # each point once
        assert distance.min(axis=1).max() < 1e-5


def test_noise_has_the_size_asked_for_and_changes_nothing_else():
    clean, noisy = (sample_pairs(CLOUDS, 200, 64, seed=3, noise=noise) for noise in (0.0, 0.1))
    assert np.array_equal(clean.rotation, noisy.rotation)
    assert np.std(noisy.target - clean.target) == pytest.approx(0.1, rel=0.03)


def test_pairs_are_made_by_the_seed():
    hashes = {sample_pairs(CLOUDS, 3, 8, seed).target.tobytes() for seed in (1, (1, 0), (1, 1), 2)}
    assert len(hashes) == 4
    again = (sample_pairs(CLOUDS, 3, 8, (1, 1)).target.tobytes() for _ in range(2))
    assert set(again) < hashes


def test_rotations_are_uniform():
    rotation = random_rotations(np.random.RandomState(0), 20_000)
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(rotation), 1.0)
    assert np.abs(rotation.mean(axis=0)).max() < 0.02
    # On SO(3) the mean angle from any fixed rotation is pi/2 + 2/pi.
    expected = np.degrees(np.pi / 2 + 2 / np.pi)
    assert angles_deg(rotation, rotation[:1]).mean() == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"points": 0}, {"points": 65}, {"points": 33, "disjoint": True}, {"noise": -1}],
)
def test_what_cannot_be_drawn_is_refused(change):
    with pytest.raises(DatasetError, match="pairs of"):
        sample_pairs(**{"clouds": CLOUDS, "count": 1, "points": 8, "seed": 0, **change})


def test_real_clouds_have_the_pose_that_is_written_down(planes_test):
    assert planes_test.points.shape == (200, 1024, 3)
    extent = np.ptp(planes_test.points, axis=1).mean(axis=0)
    assert np.allclose(extent, [0.70, 0.19, 0.65], atol=0.03)
    centroid = np.linalg.norm(planes_test.points.mean(axis=1), axis=1)
    assert np.median(centroid) < 0.06


@pytest.mark.parametrize(("noise", "mean_deg"), [(0.0, 0.0), (0.01, 0.20), (0.05, 0.95)])
def test_kabsch_on_real_clouds_is_as_good_as_written_down(planes_test, noise, mean_deg):
    pairs = sample_pairs(planes_test, 400, 1024, seed=0, noise=noise)
    error_deg = angles_deg(kabsch(pairs.source, pairs.target), pairs.rotation)
    assert error_deg.mean() == pytest.approx(mean_deg, rel=0.06, abs=0.01)
