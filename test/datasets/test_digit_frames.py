from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from nn_perception.datasets import digit_frames
from nn_perception.datasets import digit_frames_camera as camera
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.digit_frames import (
    TEST_SEEDS,
    TRAIN_SEEDS,
    DigitFrames,
    FrameSettings,
    load_photographs,
    open_digit_frames,
)
from nn_perception.datasets.digit_frames_ink import widen
from nn_perception.datasets.digit_frames_layout import project, smallest_scale, view_of_sheet
from nn_perception.errors import DatasetError

CLEAR = FrameSettings(
    empty_share=0.0, full_share=1.0, ruled_share=0.0, min_contrast=100.0, min_light=1.0, noise=0.5
)  # fmt: skip
"""Even light, strong ink and no noise: what is written can be found by a threshold."""


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    """Digits of one stroke each, drawn with OpenCV: 20 pixels high, in tiles of 28."""
    tiles = []
    for digit in range(10):
        large = np.zeros((140, 140), np.uint8)
        cv2.putText(large, str(digit), (20, 110), cv2.FONT_HERSHEY_SIMPLEX, 4.0, 255, 13)
        x, y, width, height = cv2.boundingRect(large)
        box = cv2.resize(large[y : y + height, x : x + width], (max(4, 20 * width // height), 20))
        tile = np.zeros((28, 28), np.uint8)
        left = (28 - box.shape[1]) // 2
        tile[4:24, left : left + box.shape[1]] = box
        tiles.append(tile)
    names = [str(digit) for digit in range(10)]
    return ImageSet.create(np.stack(tiles), np.arange(10), names, "drawn")


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    return [cv2.resize(picture, (800, 600)) for picture in small]


def ink_boxes(image: np.ndarray) -> np.ndarray:
    """The boxes of what differs from the sheet, found another way than the generator knows them."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    ground = float(np.median(grey))
    difference = np.abs(grey - ground)
    ink = (difference > 0.5 * np.percentile(difference, 99.5)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    return stats[1:, :4]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = np.clip(high - low, 0, None).prod()
    return float(shared / (a[2:].prod() + b[2:].prod() - shared))


def test_boxes_are_those_of_the_ink_and_no_two_digits_touch(digits):
    frames = DigitFrames(digits, seed=1, settings=CLEAR)
    overlaps = []
    for index in range(12):
        frame = frames[index]
        found = ink_boxes(frame.image)
        # As many parts as digits: none is broken, and no two are one.
        assert len(found) == len(frame.boxes_xywh) > 0
        overlaps += [max(iou(box, other) for other in found) for box in frame.boxes_xywh]
    assert min(overlaps) > 0.6  # blur moves the borders of a bar of 3 pixels
    assert np.median(overlaps) > 0.85


def test_a_frame_is_the_same_whenever_it_is_asked_for(digits, photographs):
    first, second = (DigitFrames(digits, photographs, seed=3) for _ in range(2))
    frames = [first[index] for index in range(4)]
    for index in (2, 0, 3, 1):
        again = second[index]
        np.testing.assert_array_equal(again.image, frames[index].image)
        np.testing.assert_array_equal(again.boxes_xywh, frames[index].boxes_xywh)
        assert again.texts == frames[index].texts
    other = DigitFrames(digits, photographs, seed=4)[0]
    assert not np.array_equal(other.image, frames[0].image)
    assert not np.array_equal(frames[1].image, frames[0].image)


@pytest.mark.parametrize("size", [(480, 640), (240, 320)])
def test_truth_is_in_reading_order_and_within_the_frame(digits, photographs, size):
    frames = DigitFrames(digits, photographs, seed=5, size=size)
    written = 0
    for index in range(30):
        frame = frames[index]
        boxes, lines = frame.boxes_xywh, frame.lines
        assert frame.image.shape == (*size, 3)
        assert frame.image.dtype == np.uint8
        assert (boxes.dtype, boxes.shape) == (np.float32, (len(frame.labels), 4))
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= (size[1], size[0])).all()
        assert (boxes[:, 2:].max(axis=1, initial=0) >= 20.0).all() or not len(boxes)
        assert lines.tolist() == sorted(lines.tolist())
        assert set(lines.tolist()) == set(range(len(frame.texts)))
        for line, text in enumerate(frame.texts):
            mine = lines == line
            assert text == "".join(map(str, frame.labels[mine]))
            assert (np.diff(boxes[mine, 0] + boxes[mine, 2] / 2) > 0).all()
            written += len(text)
    assert written > 60


def test_lines_go_down_an_upright_sheet(digits):
    settings = replace(CLEAR, tilt_deg=0.0, turn_deg=0.0, height_px=(20.0, 30.0))
    frames = DigitFrames(digits, seed=9, settings=settings)
    several = 0
    for frame in (frames[index] for index in range(8)):
        bottoms, tops = frame.boxes_xywh[:, 1] + frame.boxes_xywh[:, 3], frame.boxes_xywh[:, 1]
        for line in range(1, len(frame.texts)):
            several += 1
            assert bottoms[frame.lines == line - 1].max() < tops[frame.lines == line].min()
    assert several > 5


def test_ink_can_be_told_from_the_sheet_in_every_frame(digits, photographs):
    settings = FrameSettings(empty_share=0.0)
    frames = DigitFrames(digits, photographs, seed=6, settings=settings)
    for index in range(25):
        frame = frames[index]
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for left, top, width, height in frame.boxes_xywh.astype(int):
            box = grey[top : top + height, left : left + width]
            # The border of a box is mostly sheet, and a tenth of its inside at least is ink.
            ring = grey[top - 2 : top + height + 2, left - 2 : left + width + 2].copy()
            ring[2:-2, 2:-2] = np.nan
            contrast = np.sort(np.abs(box - np.nanmedian(ring)).ravel())[-box.size // 10 :].mean()
            assert contrast > 0.6 * settings.min_contrast


def test_frames_without_digits(digits, photographs):
    frames = DigitFrames(digits, photographs, seed=7, settings=FrameSettings(empty_share=1.0))
    for index in range(4):
        frame = frames[index]
        assert frame.boxes_xywh.shape == (0, 4)
        assert (len(frame.labels), len(frame.lines), frame.texts) == (0, 0, ())


def test_settings_are_kept(digits):
    settings = replace(CLEAR, max_lines=1, max_digits=2, height_px=(40.0, 50.0), dark_share=0.0)
    frames = DigitFrames(digits, seed=8, settings=settings)
    for index in range(10):
        frame = frames[index]
        assert len(frame.texts) == 1
        assert len(frame.texts[0]) <= 2
        assert frame.boxes_xywh[:, 2:].max() >= 40.0
        assert np.median(frame.image) > 100  # a light sheet
    dark = DigitFrames(digits, seed=8, settings=replace(settings, dark_share=1.0))
    assert all(np.median(dark[index].image) < 100 for index in range(10))


def test_sheets_are_seen_as_by_a_camera():
    draw = np.random.default_rng(0)
    scales = []
    for _ in range(100):
        view = view_of_sheet(draw, (480, 640), 20.0, 10.0)
        np.testing.assert_allclose(project(view, np.zeros((1, 2))), [[320.0, 240.0]])
        # At the centre, lengths across the tilt are kept; along it they shrink by its cosine.
        scales.append(smallest_scale(view, np.zeros((1, 2))))
    tilts = np.degrees(np.arccos(np.clip(scales, -1.0, 1.0)))
    assert 15.0 < tilts.max() <= 20.01
    flat = view_of_sheet(draw, (480, 640), 0.0, 0.0)
    points = np.array([[0.0, 0.0], [100.0, -50.0], [-7.0, 3.0]])
    np.testing.assert_allclose(project(flat, points), points + np.array([320.0, 240.0]))


def test_a_pen_widens_strokes_and_keeps_the_digit(digits):
    for tile in digits.images[..., 0]:
        plain = widen(tile, 3.0, 0.0)
        thin, wide = widen(tile, 3.0, -0.4), widen(tile, 3.0, 0.5)
        assert thin.sum() < plain.sum() < wide.sum()
        assert abs(cv2.resize(plain, (28, 28)).sum() * 255 / tile.sum() - 1.0) < 0.2
        for pen in (-1.0, 2.0):  # would break strokes and fill loops
            holes = [euler(mask) for mask in (plain, widen(tile, 3.0, pen))]
            assert holes[0] == holes[1]


def euler(mask: np.ndarray) -> tuple[int, int]:
    """Outer and inner contours."""
    ink = np.pad((mask >= 0.5).astype(np.uint8), 1)
    _, tree = cv2.findContours(ink, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return int((tree[0, :, 3] < 0).sum()), int((tree[0, :, 3] >= 0).sum())


def test_colours_have_the_grey_value_that_is_asked_for():
    draw = np.random.default_rng(1)
    for _ in range(200):
        tint, grey = draw.uniform(-200, 200, 3).tolist(), float(draw.uniform(0, 255))
        colour = camera.with_luma(tint, grey)
        assert (colour > -1e-3).all()
        assert (colour < 255.001).all()
        assert 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] == pytest.approx(
            grey, abs=1e-3
        )


def test_light_is_a_share_and_blur_keeps_the_mean():
    draw = np.random.default_rng(2)
    for _ in range(10):
        field = camera.light(draw, (120, 160))
        assert field.shape == (120, 160)
        assert field.max() == pytest.approx(1.0)
        assert field.min() > 0.05
    flat = np.full((120, 160, 3), 77.0, np.float32)
    for _ in range(10):
        np.testing.assert_allclose(camera.blur(draw, flat, 60.0), flat, rtol=1e-4)


def test_noise_is_no_more_than_asked_for():
    draw = np.random.default_rng(3)
    flat = np.full((240, 320, 3), 128.0, np.float32)
    spreads = []
    for _ in range(20):
        image = camera.develop(draw, flat, 6.0)
        assert image.mean() == pytest.approx(128.0, abs=1.0)
        spreads.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).std())
    assert 3.0 < max(spreads) < 6.6


def test_photographs_are_divided_and_those_with_digits_left_out(tmp_path):
    for number, name in enumerate(
        ["b.png", "a.png", "handwritten_photo_1.png", "d.PNG", "c.png", "printed_digits_x.png"]
    ):
        cv2.imencode(".png", np.full((20, 30), 10 * number, np.uint8))[1].tofile(tmp_path / name)
    (tmp_path / "README.md").write_text("about")
    train, test = (load_photographs(tmp_path, split) for split in ("train", "test"))
    assert [int(picture[0, 0, 0]) for picture in test] == [10, 40]  # a and c
    assert [int(picture[0, 0, 0]) for picture in train] == [0, 30]  # b and d
    assert all(picture.shape == (20, 30, 3) for picture in train + test)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"b\.png: cannot be read"):
        load_photographs(tmp_path, "train")
    with pytest.raises(DatasetError, match="is no directory"):
        load_photographs(tmp_path / "missing", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no photograph for test"):
        load_photographs(tmp_path / "empty", "test")
    with pytest.raises(DatasetError, match="expected 'train' or 'test'"):
        load_photographs(tmp_path, "validation")


def test_without_data_frames_are_made_of_what_is_built_in(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(digit_frames, "find_mnist", lambda data: None)
    monkeypatch.setattr(digit_frames, "data_from_environment", lambda: None)
    frames = open_digit_frames("test", TEST_SEEDS[0], size=(240, 320))
    assert "scikit-learn digits" in frames.digits.source
    assert frames.backgrounds == ()
    assert frames[0].image.std() > 1.0


@pytest.mark.parametrize(
    ("split", "seed"), [("train", TEST_SEEDS[0]), ("test", TRAIN_SEEDS[-1]), ("test", -1)]
)
def test_a_seed_of_the_other_split_is_refused(split, seed):
    with pytest.raises(DatasetError, match=f"seed {seed} is none of {split} frames"):
        open_digit_frames(split, seed)


@pytest.mark.parametrize(
    "change",
    [
        {"height_px": (50.0, 40.0)}, {"height_px": (2.0, 40.0)}, {"max_lines": 0},
        {"max_digits": 0}, {"empty_share": 1.5}, {"full_share": -0.1}, {"dark_share": 2.0},
        {"ruled_share": float("nan")}, {"tilt_deg": 80.0}, {"turn_deg": -1.0},
        {"pen_tile_px": (1.0, 0.0)}, {"min_light": 0.1}, {"min_contrast": 90.0}, {"noise": 0.0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(change):
    with pytest.raises(DatasetError, match=f"{next(iter(change))} is .*expected"):
        FrameSettings(**change)


def test_what_frames_cannot_be_made_of_is_refused(digits):
    names = [f"class{k}" for k in range(10)]
    other = ImageSet.create(digits.images, digits.labels, names, "letters")
    with pytest.raises(DatasetError, match="letters: images of shape"):
        DigitFrames(other, seed=0)
    with pytest.raises(DatasetError, match="background 0 is float64"):
        DigitFrames(digits, [np.zeros((9, 9, 3))], seed=0)
    for wrong in ({"seed": -1}, {"seed": 0, "size": (100, 640)}):
        with pytest.raises(DatasetError, match="expected a seed from 0"):
            DigitFrames(digits, **wrong)
    with pytest.raises(IndexError, match="frame -1"):
        DigitFrames(digits, seed=0)[-1]


def test_real_digits_and_photographs():
    root = os.environ.get("NN_PERCEPTION_DATA", "")
    if not root or not (Path(root) / "camera").is_dir():
        pytest.skip("no $NN_PERCEPTION_DATA with camera")
    frames = open_digit_frames("train", 0, Path(root))
    assert frames.digits.source == "mnist/train"
    assert len(frames.backgrounds) == 10
    written = [frames[index] for index in range(10)]
    assert sum(len(frame.labels) for frame in written) > 50
    assert {len(frame.texts) for frame in written} > {1, 2}
