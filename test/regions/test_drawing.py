"""Pictures with boxes and text: what is drawn where, and that it can be told from any ground."""

import numpy as np
import pytest

from nn_perception.regions.drawing import PALETTE, Marked, draw


def ground(value, shape=(480, 640, 3)):
    return np.full(shape, value, np.uint8)


BOX = Marked((200.0, 150.0, 100.0, 80.0), "car", 0.93, 0)


def test_the_picture_itself_stays_and_nothing_is_drawn_of_nothing():
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    before = image.copy()
    np.testing.assert_array_equal(draw(image, []), before)
    draw(image, [BOX], ["above"], ["below"])
    np.testing.assert_array_equal(image, before)
    image.flags.writeable = False  # as a view of a message is
    assert draw(image[:, ::-1], [BOX]).shape == image.shape


@pytest.mark.parametrize("value", [0, 90, 128, 200, 255, *(int(np.mean(c)) for c in PALETTE)])
@pytest.mark.parametrize("colour", range(len(PALETTE)))
def test_lines_can_be_seen_on_any_ground(value, colour):
    """The line's colour or its dark edge differs from the ground by a quarter of the range."""
    found = draw(ground(value), [BOX._replace(colour=colour)])
    column = found[190, 195:206].astype(int)  # across the left line, below the label
    assert np.abs(column - value).max(axis=1).max() > 64
    assert np.abs(column[0] - value).max() == 0


def test_a_box_is_drawn_around_its_region_and_leaves_it_visible():
    found = draw(ground(128), [BOX])
    ys, xs = np.nonzero((found != 128).any(axis=2))
    assert 197 <= xs.min() <= 200
    assert 299 <= xs.max() <= 302
    assert 229 <= ys.max() <= 232
    assert ys.min() < 150  # its label stands above
    assert (found[160:220, 210:290] == 128).all()


def test_a_label_is_written_in_black_or_white_on_the_colour_of_its_class():
    for colour, ground_colour in enumerate(PALETTE):
        found = draw(ground(128), [BOX._replace(colour=colour)])[130:148, 202:222].reshape(-1, 3)
        assert (found == ground_colour).all(axis=1).mean() > 0.4
        contrast = np.abs(found.astype(int) - ground_colour).max(axis=1)
        assert (contrast > 100).mean() > 0.03


def test_a_label_hides_a_score_before_it_and_no_class():
    """Two narrow boxes side by side: the first one's class is as it is without the second."""
    first = Marked((200.0, 150.0, 14.0, 40.0), "7", 0.88, 1)
    second = Marked((216.0, 150.0, 14.0, 40.0), "4", 0.88, 2)
    alone, both = draw(ground(128), [first]), draw(ground(128), [first, second])
    np.testing.assert_array_equal(both[120:148, 200:214], alone[120:148, 200:214])
    assert (alone[120:148, 216:250] != 128).any()  # the score, behind the class
    assert (both[120:148, 216:225] == PALETTE[2]).all(axis=2).any()


def test_text_stands_at_the_edges_and_within_the_picture():
    found = (draw(ground(128), [], ["12345", "678"], ["30 results/s"]) != 128).any(axis=2)
    rows = np.flatnonzero(found.any(axis=1))
    assert rows.min() <= 4
    assert rows.max() >= 470
    assert not found[100:400].any()
    assert found[:, :4].any()


@pytest.mark.parametrize(
    "box",
    [
        (-50.0, -50.0, 2000.0, 2000.0),
        (630.0, 470.0, 50.0, 50.0),
        (-90.0, 10.0, 20.0, 20.0),
        (0.0, 0.0, 1.0, 1.0),
        (1e9, -1e9, 1e12, 5.0),
        (639.0, 0.0, 0.0, 0.0),
    ],
)
def test_boxes_that_leave_the_picture(box):
    found = draw(ground(128), [Marked(box, "motorcycle", 0.5, 3)])
    assert found.shape == (480, 640, 3)
    assert (found == PALETTE[3]).all(axis=2).any()  # the label stays within the picture


@pytest.mark.parametrize(
    "shape", [(1, 1), (28, 28), (28, 28, 3), (1, 4000), (10, 400), (239, 1000, 3)]
)
def test_small_pictures_are_enlarged_by_a_whole_number(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plain = draw(image, [])
    factor = plain.shape[0] // shape[0]
    assert plain.shape == (shape[0] * factor, shape[1] * factor, 3)
    assert min(plain.shape[:2]) >= 240 or 480 < max(plain.shape[:2]) <= 960 or factor == 1
    grey = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(plain[::factor, ::factor], grey)
    marked = draw(image, [Marked((0.0, 0.0, 1.0, 1.0), "1", 1.0, 0)], ["1"], ["2"])
    assert marked.shape == plain.shape


def test_large_pictures_get_larger_text():
    def rows(shape):
        found = (draw(ground(128, shape), [], ["text"]) != 128).any(axis=2)
        return np.flatnonzero(found.any(axis=1)).max()

    assert rows((1080, 1920, 3)) > 1.5 * rows((480, 640, 3))


def test_letters_that_the_font_lacks_do_no_harm():
    found = draw(ground(128), [BOX._replace(label="Füßgänger")], ["文字"])
    assert (found != 128).any()
