import json

import numpy as np
import pytest

from nn_perception.datasets.point_clouds import random_rotations
from nn_perception.evaluation.html_page import plain
from nn_perception.studies.protocol import Protocol
from nn_perception.studies.rotation_errors import Run, StudyErrors
from nn_perception.studies.rotation_report import RANDOM_DEG, plot_curves, plot_errors, write_report

ROTATION = random_rotations(np.random.RandomState(0), 400)
CURVE = ((0, 126.0), (5, 40.0), (10, 20.0))


def run(head, seed, errors):
    return Run(head, seed, np.asarray(errors, np.float64), CURVE, 1.5)


@pytest.fixture
def errors():
    low, high = np.linspace(1, 3, 400), np.linspace(2, 6, 400)
    runs = [run("svd", 0, low), run("6d", 0, high), run("svd", 1, low + 2), run("6d", 1, high)]
    return StudyErrors(("6d", "svd"), runs, ROTATION)


def test_the_table_takes_the_seeds_together(errors):
    six, svd = errors.rows()
    assert len(six) == len(errors.HEADER)
    assert six[:3] == ("6d", 4.0, 4.0)
    assert svd[:3] == ("svd", 3.0, 3.0)
    assert svd[4] == "2.00 4.00"
    assert svd[-1] == 2


def test_errors_by_angle_belong_to_that_angle():
    angle = np.array([10.0, 70.0, 170.0, 175.0])
    radians = np.radians(angle)
    turns = np.zeros((4, 3, 3))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(radians)
    turns[:, 1, 0], turns[:, 0, 1] = np.sin(radians), -np.sin(radians)
    turns[:, 2, 2] = 1
    errors = StudyErrors(("svd",), [run("svd", 0, [1, 2, 3, 5])], turns)
    assert np.allclose(errors.angle_deg, angle)
    assert errors.by_angle("svd", 120, 180) == (4.0, 4.0, 2)
    assert errors.by_angle("svd", 0, 30) == (1.0, 1.0, 1)
    mean, _, pairs = errors.by_angle("svd", 90, 120)
    assert (np.isnan(mean), pairs) == (True, 0)
    assert errors.rows()[0][5:8] == (1.0, 2.0, 4.0)
    json.dumps(errors.to_dict(), allow_nan=False)


def test_the_report_has_its_parts(errors, tmp_path):
    facts = {
        "data": {
            name: {"source": "<planes>", "shapes": 5} for name in ("train", "validation", "test")
        },
        "test_pairs": 400,
        "seeds": [0, 1],
        "environment": {"cpu": "a quick one"},
    }
    page = write_report(tmp_path / "report", errors, Protocol(), facts)
    text = page.read_text(encoding="utf-8")
    assert "5 of &lt;planes&gt;" in text
    assert "a quick one" in text
    assert text.count("data:image/png") == 2
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["heads"]["svd"] == plain(errors.to_dict()["heads"]["svd"])
    with np.load(page.parent / "errors.npz") as arrays:
        assert arrays["errors_deg"].shape == (4, 400)
        assert arrays["heads"].tolist() == ["svd", "6d", "svd", "6d"]
        assert arrays["seeds"].tolist() == [0, 0, 1, 1]


def test_pictures_are_drawn_also_of_perfect_and_of_few_errors(errors, tmp_path):
    for pairs in (1, 400):
        perfect = StudyErrors(("svd",), [run("svd", 0, np.zeros(pairs))], ROTATION[:pairs])
        assert plot_errors(perfect).startswith(b"\x89PNG")
    assert plot_curves(errors, tmp_path / "curves.png") == (tmp_path / "curves.png").read_bytes()


def test_chance_is_the_mean_angle_of_uniform_rotations():
    many = random_rotations(np.random.RandomState(1), 20_000)
    angle = StudyErrors((), [], many).angle_deg
    assert angle.mean() == pytest.approx(RANDOM_DEG, abs=1)
