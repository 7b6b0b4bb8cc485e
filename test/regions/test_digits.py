from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from nn_perception.evaluation.detection import intersection_over_union
from nn_perception.regions.digits import DigitFinder, DigitFinderSettings

DATA = os.environ.get("NN_PERCEPTION_DATA")
needs_photographs = pytest.mark.skipif(
    not DATA or not (Path(DATA) / "camera").is_dir(), reason="needs camera/ in NN_PERCEPTION_DATA"
)
ROWS = ([(60 + 62 * n, 60) for n in range(8)], [(90 + 62 * n, 200) for n in range(5)])
CORNERS = ROWS[0] + ROWS[1] + [(60 + 62 * n, 340) for n in range(7)]
LINES = [0] * 8 + [1] * 5 + [2] * 7


def likeness(first, second):
    """Correlation of pictures, row by row."""
    return np.array(
        [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    )


@pytest.fixture(scope="module")
def written(tiles, write, page):
    return write(page(), tiles[: len(CORNERS)], CORNERS, 48)


@pytest.fixture(scope="module")
def found(written):
    return DigitFinder()(written)


@pytest.fixture(scope="module")
def truth(tiles):
    """Boxes of the ink on the page."""
    boxes = []
    for tile, (left, top) in zip(tiles, CORNERS, strict=False):
        large = cv2.resize(tile, (48, 48), interpolation=cv2.INTER_CUBIC)
        x, y, w, h = cv2.boundingRect((large > 110).astype(np.uint8))
        boxes.append((left + x, top + y, w, h))
    return np.array(boxes, np.float32)


def test_all_digits_are_found_where_they_are_and_in_reading_order(found, truth):
    assert found.lines.tolist() == LINES
    assert found.dropped == 0
    assert found.boxes_xywh.dtype == np.float32
    assert found.lines.dtype == np.int32
    overlap = intersection_over_union(found.boxes_xywh, truth)
    assert np.diag(overlap).min() > 0.85
    assert np.diag(overlap).mean() > 0.93


def test_crops_are_what_was_written(found, tiles):
    assert found.crops.shape == (len(CORNERS), 28, 28)
    assert found.crops.dtype == np.uint8
    alike = likeness(found.crops, tiles[: len(CORNERS)])
    assert alike.min() > 0.85
    assert np.median(alike) > 0.95
    assert (found.crops.reshape(len(CORNERS), -1).max(1) > 240).all()


def test_a_digit_at_its_own_size_comes_back(tiles, write, page):
    crops = DigitFinder()(write(page(noise=0.5), tiles[:10], CORNERS[:5] + CORNERS[8:13], 28)).crops
    assert len(crops) == 10
    assert np.median(likeness(crops, tiles[:10])) > 0.93
    assert np.abs(crops.astype(float) - tiles[:10]).mean() < 20.0


def test_crops_keep_to_mnists_box_and_centre(found):
    for crop in found.crops.astype(np.float64):
        rows, columns = np.nonzero(crop > 60)
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 18 <= longer <= 20
        weight = crop.sum()
        assert abs((crop.sum(1) @ np.arange(28)) / weight - 14.0) <= 0.51
        assert abs((crop.sum(0) @ np.arange(28)) / weight - 14.0) <= 0.51


def test_chalk_on_a_board_is_the_same_as_ink_on_paper(written, found):
    board = DigitFinder()(255 - written)
    np.testing.assert_allclose(board.boxes_xywh, found.boxes_xywh, atol=1.0)
    np.testing.assert_array_equal(board.lines, found.lines)
    assert likeness(board.crops, found.crops).min() > 0.99


def test_ink_and_chalk_in_one_frame(tiles, write, page):
    half = write(page(), tiles[:8], CORNERS[:8], 48)
    half[:, 301:] = 255 - half[:, 301:]  # between two digits
    found = DigitFinder()(half)
    near = found.boxes_xywh[(found.boxes_xywh[:, 1] > 50) & (found.boxes_xywh[:, 3] > 20)]
    assert (near[:, 0] < 301).sum() == 4
    assert (near[:, 0] > 301).sum() == 4


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_light_that_falls_off_changes_little(written, truth, corner):
    y, x = np.mgrid[0:480, 0:640]
    x, y = (639 - x if corner[0] else x), (479 - y if corner[1] else y)
    light = 1.0 - 0.7 * np.hypot(x / 639, y / 479) / np.sqrt(2)
    found = DigitFinder()(np.rint(written * light).astype(np.uint8))
    assert found.lines.tolist() == LINES
    assert np.diag(intersection_over_union(found.boxes_xywh, truth)).min() > 0.8


@pytest.mark.parametrize("degrees", [-24.0, -12.0, 6.0, 18.0])
def test_turned_pages_read_the_same(tiles, write, page, degrees):
    corners = [(left, top) for left, top in CORNERS if 100 < left < 490]
    lines = [line for line, (left, _) in zip(LINES, CORNERS, strict=True) if 100 < left < 490]
    chosen = tiles[: len(corners)]
    flat = write(page(noise=0.0), chosen, corners, 48)
    turn = cv2.getRotationMatrix2D((320, 240), -degrees, 1.0)
    turned = cv2.warpAffine(flat, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    found = DigitFinder()(turned)
    assert found.lines.tolist() == lines
    assert np.median(likeness(found.crops, chosen)) > 0.93
    assert likeness(found.crops, chosen).min() > 0.75


@pytest.mark.parametrize("scale", [2, 3])
def test_a_large_frame_is_searched_small_and_cut_in_full(found, written, truth, scale, tiles):
    height, width = 480 * scale - 1, 640 * scale - 1
    large = cv2.resize(written, (width, height), interpolation=cv2.INTER_CUBIC)
    got = DigitFinder()(large)
    assert got.lines.tolist() == LINES
    assert np.diag(intersection_over_union(got.boxes_xywh, truth * scale)).min() > 0.85
    assert np.median(likeness(got.crops, tiles[: len(CORNERS)])) > 0.95


@pytest.mark.parametrize(
    ("left", "top", "width", "height"), [(100, 80, 30, 44), (301, 203, 41, 63)]
)
def test_boxes_of_drawn_strokes_are_exact(page, left, top, width, height):
    picture = page(noise=0.0)
    picture[top : top + height, left : left + width] = 40
    picture[top + 6 : top + height - 6, left + 6 : left + width - 6] = 200
    boxes = DigitFinder()(picture).boxes_xywh
    np.testing.assert_array_equal(boxes, [(left, top, width, height)])


def test_specks_blobs_labels_rules_and_frames_are_no_digits(page):
    picture = page()
    draw = np.random.default_rng(1)
    for x, y in draw.integers(20, 460, (40, 2)).tolist():
        cv2.circle(picture, (x, y), 2, 60, -1)  # specks
    cv2.circle(picture, (560, 100), 30, 60, -1)  # a blob
    cv2.rectangle(picture, (480, 180), (620, 280), 60, -1)  # a label
    cv2.line(picture, (10, 300), (630, 310), 60, 2)  # a rule
    cv2.rectangle(picture, (40, 40), (610, 450), 60, 2)  # a frame
    assert len(DigitFinder()(picture).boxes_xywh) == 0


def test_digits_inside_a_drawn_frame_are_found(written, truth):
    framed = written.copy()
    cv2.rectangle(framed, (30, 40), (610, 440), 60, 2)
    found = DigitFinder()(framed)
    assert (intersection_over_union(truth, found.boxes_xywh).max(1) > 0.85).all()


def test_a_digit_that_the_edge_cuts_is_left_out(written, truth):
    cut = written[:, : int(truth[7, 0] + 0.5 * truth[7, 2])]
    found = DigitFinder()(np.ascontiguousarray(cut))
    assert found.lines.tolist() == LINES[:7] + LINES[8:]


def test_a_neighbour_that_reaches_into_the_box_is_not_in_the_crop(page):
    picture = page(noise=0.0)
    for left in (100, 126, 152):
        cv2.line(picture, (left, 260), (left + 40, 200), 60, 6, cv2.LINE_AA)
    found = DigitFinder()(picture)
    assert len(found.crops) == 3
    boxes = found.boxes_xywh
    assert (boxes[:-1, 0] + boxes[:-1, 2] > boxes[1:, 0] + 10).all()  # they overlap
    for crop in found.crops:
        assert cv2.connectedComponents((crop > 40).astype(np.uint8))[0] == 2
    assert likeness(found.crops[:1], found.crops[1:2])[0] > 0.98


def test_no_more_than_max_regions_and_the_rest_is_counted(written):
    found = DigitFinder(DigitFinderSettings(max_regions=6))(written)
    assert len(found.boxes_xywh) == len(found.lines) == len(found.crops) == 6
    assert found.dropped == len(CORNERS) - 6
    assert np.all(np.diff(found.lines) >= 0)


def test_what_is_dropped_is_the_least_likely(written, truth):
    picture = written.copy()
    draw = np.random.default_rng(3)
    picture[300:, 500:] = draw.integers(0, 255, (180, 140))  # cluttered
    found = DigitFinder(
        DigitFinderSettings(max_regions=13, min_likeness=-40.0, min_likeness_alone=-40.0)
    )(picture)
    clear = truth[:13]  # far from the clutter
    assert found.dropped > 0
    assert (intersection_over_union(found.boxes_xywh, truth).max(1) > 0.8).sum() >= 12
    assert len(clear) == len(found.boxes_xywh)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((0, 0), np.uint8),
        np.zeros((0, 7), np.uint8),
        np.full((1, 1), 9, np.uint8),
        noise(1, 640),
        noise(480, 1),
        noise(3, 5),
        noise(17, 2000),
        np.zeros((480, 640), np.uint8),
        np.full((480, 640), 255, np.uint8),
        noise(481, 643),
        np.where(np.indices((900, 1100)).sum(0) % 2, 255, 0).astype(np.uint8),
        np.kron(noise(120, 160) // 128 * 255, np.ones((4, 4), np.uint8)),
        noise(2000, 2001),
        noise(480, 1280)[:, ::2],
    ],
    ids=lambda frame: "x".join(map(str, frame.shape)),
)
def test_any_frame_is_answered(frame):
    before = frame.copy()
    found = DigitFinder()(frame)
    count = len(found.boxes_xywh)
    assert found.boxes_xywh.shape == (count, 4)
    assert found.crops.shape == (count, 28, 28)
    assert found.lines.shape == (count,)
    assert count <= DigitFinderSettings().max_regions
    ends = found.boxes_xywh[:, :2] + found.boxes_xywh[:, 2:]
    assert (found.boxes_xywh >= 0).all()
    assert (ends <= np.array(frame.shape[::-1])).all()
    assert (found.boxes_xywh[:, 2:] > 0).all()
    np.testing.assert_array_equal(frame, before)


def test_frames_of_other_sizes_leave_nothing_behind(written, found):
    finder = DigitFinder()
    finder(noise(333, 111))
    for one, other in zip(finder(written), found, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_photographs
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("handwritten_photo_1", ["05221859"]),
        ("handwritten_photo_2", ["12345", "6879", "88888", "66666", "77777"]),
    ],
)
def test_photographs_of_handwriting_are_read(name, texts):
    pytest.importorskip("onnxruntime")
    from nn_perception.share import shipped_models
    from nn_perception.tasks.loading import open_pipeline

    grey = cv2.imread(str(Path(DATA) / "camera" / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    found = DigitFinder()(grey)
    assert found.lines.tolist() == [n for n, text in enumerate(texts) for _ in text]
    logits = np.asarray(open_pipeline(shipped_models() / "digits").engine(found.crops[:, None]))
    answers = logits.reshape(len(found.crops), -1)[:, :10].argmax(1)
    assert "".join(map(str, answers)) == "".join(texts)


@needs_photographs
def test_photographs_of_streets_give_few_candidates():
    finder = DigitFinder()
    counts = {
        path.name: len(finder(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)).boxes_xywh)
        for path in sorted((Path(DATA) / "camera").glob("*.jpg"))
        if not path.name.startswith("handwritten")
    }
    assert len(counts) > 5
    assert max(counts.values()) < 100, counts
    assert np.median(list(counts.values())) < 40, counts
