"""Foreign sets, and the figures of a stand-in for a classifier whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nn_perception.datasets.arrays import ImageSet
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.evaluation import foreign_textures
from nn_perception.evaluation.foreign import (
    ForeignEvaluation,
    evaluate_foreign,
    foreign_set,
    foreign_sets,
)
from nn_perception.evaluation.foreign_letters import LETTERS, TYPEFACES, letters
from nn_perception.evaluation.foreign_textures import BACKGROUNDS, ink_of, noise, textures
from nn_perception.tasks.classification import ImagePreprocessing

GREY = ImagePreprocessing(1, 28, 28, "center_crop", "bright_on_dark")
COLOUR = ImagePreprocessing(3, 32, 32, "center_crop", "as_is")


class BrightnessPipeline:
    """Takes bright pictures for known ones: the score is the mean of the picture."""

    def __init__(self, quantiles: list[list[float]] | None = None) -> None:
        calibration = {}
        if quantiles is not None:
            calibration["rejection"] = {"score": "background", "quantiles": quantiles}
        self.preprocessing = GREY
        self.bundle = SimpleNamespace(
            name="bright",
            labels=("a", "b"),
            config=SimpleNamespace(
                calibration=calibration, outputs=(SimpleNamespace(shape=(None, 3)),)
            ),
        )

    def known_scores(self, images: object) -> np.ndarray:
        return np.array([float(np.mean(image)) for image in images])  # type: ignore[attr-defined]


def even(*levels: int) -> np.ndarray:
    """Even pictures of these levels."""
    return np.stack([np.full((28, 28), level, np.uint8) for level in levels])


def known_set() -> ImageSet:
    images = even(*range(101, 201))
    return ImageSet.create(images, np.zeros(100, np.int64), ("a", "b"), "bright pictures")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs, one in colour, and files that are none."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(small, (160, 90)))
    cv2.imwrite(str(tmp_path / "b.png"), rng.integers(0, 256, (70, 80)).astype(np.uint8))
    (tmp_path / "README.md").write_text("no picture")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return tmp_path


def test_figures_by_hand() -> None:
    """Known means 101 to 200; the threshold that keeps 95 of 100 is 106."""
    sets = {"dark": even(0, 50), "half": even(106, 105, 100, 250)}
    result = evaluate_foreign(BrightnessPipeline([[90, 150.0], [95, 120.0]]), known_set(), sets)
    dark, half = result.sets["dark"], result.sets["half"]
    assert (dark.auroc, dark.fpr95, dark.answered_percent) == (1.0, 0.0, 0.0)
    assert half.fpr95 == 0.5
    assert half.auroc == pytest.approx((94.5 + 95.5 + 100 + 0) / 400)
    assert half.answered_percent == 25.0  # only 250 reaches the stored 120
    assert result.threshold == 120.0
    assert result.known_answered_percent == 81.0
    assert result.mean_fpr95 == 0.25
    figures = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert figures["sets"]["half"] == {
        "auroc": half.auroc, "fpr95": 0.5, "n": 4, "answered_percent": 25.0,
    }  # fmt: skip
    assert figures["known"] == 100


def test_a_bundle_without_thresholds_has_all_other_figures() -> None:
    result = evaluate_foreign(BrightnessPipeline(), known_set(), {"dark": even(0)})
    assert result.threshold is None
    assert result.sets["dark"].answered_percent is None
    assert result.sets["dark"].auroc == 1.0


def test_no_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="no foreign set"):
        evaluate_foreign(BrightnessPipeline(), known_set(), {})
    with pytest.raises(DatasetError, match="foreign scores"):
        evaluate_foreign(BrightnessPipeline(), known_set(), {"nothing": even(1)[:0]})


def test_letters_are_all_there_in_mnists_format() -> None:
    kinds = len(LETTERS) * len(TYPEFACES)
    pictures = letters(kinds, 0)
    assert pictures.shape == (kinds, 28, 28)
    assert not pictures[:, 0].any()  # fitted to the box, so that the border is black
    mass = pictures.sum(axis=(1, 2), dtype=float)
    axis = np.arange(28.0)
    x = pictures.sum(axis=1, dtype=float) @ axis / mass
    y = pictures.sum(axis=2, dtype=float) @ axis / mass
    assert np.hypot(x - 13.5, y - 13.5).max() < 1.1
    assert len(np.unique(pictures.reshape(kinds, -1), axis=0)) == kinds
    np.testing.assert_array_equal(letters(20, 0), pictures[:20])
    assert (letters(20, 1) != pictures[:20]).any(axis=(1, 2)).all()
    assert not set("OoQDIlSsZzBbgqG") & set(LETTERS)


def test_letters_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ConfigError, match="needs matplotlib and Pillow"):
        letters(1, 0)


def test_textures_are_squares_out_of_the_photographs(photographs: Path) -> None:
    patches = textures(photographs, 40, 0)
    whole = [
        cv2.cvtColor(cv2.imread(str(photographs / name)), cv2.COLOR_BGR2RGB)
        for name in ("a.png", "b.png")
    ]
    sides = set()
    for number, patch in enumerate(patches):
        height, width, channels = patch.shape
        assert height == width >= foreign_textures.SMALLEST_PX
        assert channels == 3
        sides.add(height)
        match = cv2.matchTemplate(whole[number % 2], patch, cv2.TM_SQDIFF)
        assert match.min() <= 1e-3 * patch.size * 255
    assert len(sides) > 5


def test_only_the_listed_parts_of_a_known_photograph_are_used(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[50:, 100:] = 255
    cv2.imwrite(str(photographs / "a.png"), picture)
    monkeypatch.setitem(BACKGROUNDS, "a.png", ((50, 50, 100, 100),))
    monkeypatch.setitem(BACKGROUNDS, "b.png", ())
    assert min(patch.min() for patch in textures(photographs, 20, 0)) == 255


def test_listed_parts_lie_within_their_photographs() -> None:
    for boxes in BACKGROUNDS.values():
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= 100
            assert 0 <= top < bottom <= 100


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no directory"):
        textures(tmp_path / "nothing", 1, 0)
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((23, 90), np.uint8))
    with pytest.raises(DatasetError, match="at least 24 pixels"):
        textures(tmp_path, 1, 0)


def test_ink_of_patches_is_fitted_and_no_bar() -> None:
    patch = np.full((60, 60, 3), 200, np.uint8)
    cv2.line(patch, (10, 10), (50, 50), (20, 20, 20), 3)
    cv2.line(patch, (10, 50), (50, 10), (20, 20, 20), 3)
    pieces = ink_of([patch], 12, 0)
    assert len(pieces) == 12
    assert all(piece.shape == (28, 28) and piece.any() for piece in pieces)
    bar = np.full((60, 60, 3), 200, np.uint8)
    cv2.line(bar, (30, 10), (30, 50), (20, 20, 20), 3)
    level = [np.mean(piece > 0) for piece in ink_of([bar], 12, 0)]
    assert min(level, default=1.0) > 0.3  # the ground around the bar, never the bar
    assert ink_of([], 3, 0) == []


def test_noise_is_of_four_kinds() -> None:
    pictures = noise(40, 0, 20, 24, 3)
    assert pictures.shape == (40, 20, 24, 3)
    spread = pictures.astype(float).std(axis=(1, 2))
    assert (spread[3::4] == 0).all()
    assert spread[0::4].mean() == pytest.approx(255 / np.sqrt(12), rel=0.05)
    assert all(len(np.unique(picture)) <= 3 for picture in pictures[2::4])
    np.testing.assert_array_equal(pictures, noise(40, 0, 20, 24, 3))


def test_sets_are_found_by_name_and_path(tmp_path: Path, photographs: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, images=np.zeros((6, 10, 12), np.uint8), labels=np.arange(6))
    name, images = foreign_set(str(path), COLOUR)
    assert (name, np.shape(images)) == ("other.npz", (6, 32, 32, 3))
    assert np.shape(foreign_set("letters", GREY, 5)[1]) == (5, 28, 28)
    assert np.shape(foreign_set("noise", COLOUR, 5)[1]) == (5, 32, 32, 3)
    patches = foreign_set(f"textures:{photographs}", COLOUR, 6)[1]
    assert [patch.ndim for patch in patches] == [3] * 6
    with_ink = foreign_set(f"textures:{photographs}", GREY, 6)[1]
    assert sorted(patch.ndim for patch in with_ink) == [2, 2, 2, 3, 3, 3]


def test_sets_of_one_name_stay_apart(tmp_path: Path) -> None:
    texts = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        texts.append(str(tmp_path / folder / "set.npz"))
        np.savez(texts[-1], images=np.zeros((2, 8, 8), np.uint8), labels=np.arange(2))
    assert list(foreign_sets([*texts, texts[0]], GREY)) == ["set.npz", "set.npz 2"]


@pytest.mark.parametrize("text", ["leters", "textures", "/nothing/there", "noise:3"])
def test_unknown_sets_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match=f"no foreign set '{text}'"):
        foreign_set(text, GREY)


def test_report_shows_every_set(tmp_path: Path) -> None:
    from nn_perception.evaluation.foreign_plots import add_foreign, plot_foreign
    from nn_perception.evaluation.html_page import Report

    sets = {"dark <set>": even(0, 50), "one": even(120)}
    for quantiles in (None, [[90.0, 150.0], [95.0, 120.0]]):
        result = evaluate_foreign(BrightnessPipeline(quantiles), known_set(), sets)
        assert plot_foreign(result)[:4] == b"\x89PNG"
        report = Report("t")
        add_foreign(report, result)
        page = report.write(tmp_path).read_text()
        assert "dark &lt;set&gt;" in page
        assert json.loads((tmp_path / "metrics.json").read_text())["foreign"]["known"] == 100


def test_plot_survives_scores_without_spread() -> None:
    from nn_perception.evaluation.foreign_plots import plot_foreign

    result = evaluate_foreign(BrightnessPipeline(), known_set(), {"one": even(120)})
    same = ForeignEvaluation(np.full(3, 2.0), None, result.sets)
    assert plot_foreign(same)[:4] == b"\x89PNG"
