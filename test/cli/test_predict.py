"""``predict``: digits in picture files, what is not known, drawings."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from nn_perception.cli.main import main
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.share import shipped_model

READER = shipped_model("digit_reader")
PHOTOGRAPHS = Path(os.environ.get("NN_PERCEPTION_DATA", "/nowhere")) / "camera"
WRITTEN = {
    "handwritten_photo_1.jpg": ["05221859"],
    "handwritten_photo_2.jpg": ["12345", "6879", "88888", "66666", "77777"],
}


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def sheet(tmp_path):
    """A picture file with 4 1 / 7 in ink on paper, of the digits that come with scikit-learn."""
    data = load_builtin_digits("test")
    paper = np.full((300, 400), 225, np.uint8)
    for digit, x, y in ((4, 60, 40), (1, 150, 40), (7, 60, 170)):
        tile = data.images[np.flatnonzero(data.labels == digit)[3], :, :, 0]
        large = cv2.resize(tile, (84, 84), interpolation=cv2.INTER_CUBIC)
        paper[y : y + 84, x : x + 84] -= (large * 0.7).astype(np.uint8)
    path = tmp_path / "sheet.png"
    cv2.imwrite(str(path), paper)
    return path


def test_digits_come_in_reading_order_with_boxes_and_lines(capsys, sheet):
    code, out, err = run(
        capsys, "predict", READER, sheet, "--regions", "digits", "--keep", 100, "--json", "-"
    )
    (answer,) = json.loads(out)["files"]
    assert code == 0
    assert answer["lines"] == ["41", "7"]
    assert "41 / 7" in err
    assert [(region["label"], region["line"]) for region in answer["regions"]] == [
        ("4", 0),
        ("1", 0),
        ("7", 1),
    ]
    for region, (x, y) in zip(answer["regions"], ((60, 40), (150, 40), (60, 170)), strict=True):
        left, top, width, height = region["box_xywh"]
        assert x <= left
        assert y <= top
        assert left + width <= x + 84
        assert top + height <= y + 84
        assert 0.5 < region["score"] <= 1.0


def test_what_shows_no_digit_has_no_label(capsys, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    words = ["predict", shipped_model("digits"), tmp_path / "noise.png", "--json", "-"]
    _, out, err = run(capsys, *words)
    (answer,) = json.loads(out)["files"]
    assert (answer["label"], answer["score"]) == (None, None)
    assert sum(answer["scores"].values()) == pytest.approx(1.0)
    assert err.splitlines()[-1].split()[1:] == ["-", "-"]
    _, out, _ = run(capsys, *words, "--keep", 100)
    assert json.loads(out)["files"][0]["label"] in "0123456789"


def test_drawings_show_boxes_and_leave_the_files_alone(capsys, sheet, tmp_path):
    before = sheet.read_bytes()
    code, _, _ = run(
        capsys, "predict", READER, sheet, "--regions", "digits", "--keep", 100,
        "--draw", tmp_path / "drawn",
    )  # fmt: skip
    drawn = cv2.imread(str(tmp_path / "drawn" / "sheet.png"))
    assert code == 0
    assert sheet.read_bytes() == before
    assert drawn.shape == (300, 400, 3)
    assert (drawn.max(axis=2) - drawn.min(axis=2)).max() > 100  # colour in a grey picture


def test_a_directory_is_told_from_a_missing_file(capsys, tmp_path):
    code, _, err = run(capsys, "predict", shipped_model("digits"), tmp_path, tmp_path / "no.png")
    first, second = err.splitlines()
    assert code == 2
    assert first.endswith("is a directory; name the picture files in it")
    assert second.endswith("there is no such file")


def test_no_drawing_takes_the_place_of_a_file_or_of_another(capsys, sheet, tmp_path):
    other = tmp_path / "other" / "sheet.jpg"
    other.parent.mkdir()
    cv2.imwrite(str(other), 255 - cv2.imread(str(sheet)))
    before = sheet.read_bytes()
    code, _, _ = run(
        capsys, "predict", shipped_model("digits"), sheet, other, "--draw", tmp_path
    )  # fmt: skip
    assert code == 0
    assert sheet.read_bytes() == before
    first, second = (cv2.imread(str(tmp_path / f"sheet_{n}.png")) for n in (2, 3))
    assert first[150, 300].min() > 200
    assert second[150, 300].max() < 55


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--keep", "30"], "keep_percent is 30"),
        (["--keep", "nan"], "keep_percent is nan"),
        (["--draw", "/proc/nothing"], "cannot write"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(capsys, sheet, words, reason):
    code, out, err = run(capsys, "predict", READER, sheet, "--regions", "digits", *words)
    assert code == 2
    assert reason in err
    assert "Traceback" not in err + out


def test_a_bundle_that_takes_no_pictures_is_told_as_such(capsys, sheet):
    code, _, err = run(capsys, "predict", shipped_model("attitude"), sheet)
    assert code == 2
    assert "attitude is for the task 'attitude', which takes no pictures" in err


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="needs $NN_PERCEPTION_DATA/camera")
@pytest.mark.parametrize("name", WRITTEN)
def test_photographs_of_handwriting_are_read(capsys, name):
    _, out, _ = run(
        capsys, "predict", READER, PHOTOGRAPHS / name, "--regions", "digits", "--json", "-"
    )
    assert json.loads(out)["files"][0]["lines"] == WRITTEN[name]
