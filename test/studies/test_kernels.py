import cv2
import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.studies import kernels
from nn_perception.studies.kernels import (
    CREDIT,
    EDGES,
    KERNELS,
    FixedConvolution,
    cosine,
    drawn_picture,
    filtered,
    load_picture,
    nearest_kernel,
)


def test_fixed_convolutions_are_those_of_opencv():
    noise = np.random.RandomState(0).randint(0, 256, (17, 23)).astype(np.uint8)
    for picture in (noise, drawn_picture()):
        for name, answer in filtered(picture).items():
            expected = cv2.filter2D(picture, cv2.CV_64F, KERNELS[name])
            assert np.allclose(answer, expected, atol=1e-9), name
    assert not any(parameter.requires_grad for parameter in FixedConvolution(KERNELS).parameters())


def test_kernels_do_what_their_names_say():
    picture = drawn_picture()
    answers = filtered(picture)
    assert np.array_equal(answers["identity"], picture)
    assert EDGES == ("Sobel x", "Sobel y", "Laplace")
    plain = filtered(np.full((9, 9), 77, np.uint8))
    for name, answer in plain.items():
        assert np.allclose(answer, 0 if name in EDGES else 77), name
    ramp = np.tile(np.arange(0, 90, 10, dtype=np.uint8), (9, 1))
    inside = (slice(1, -1), slice(1, -1))
    assert np.all(filtered(ramp)["Sobel x"][inside] == 80)  # 8 times the slope
    assert np.all(filtered(ramp)["Sobel y"][inside] == 0)
    assert np.all(filtered(ramp)["Laplace"][inside] == 0)
    assert np.allclose(filtered(ramp)["sharpen"][inside], ramp[inside])
    assert answers["box blur"].std() < picture.std() < answers["sharpen"].std()


def test_the_nearest_kernel_of_weights():
    assert nearest_kernel(-2 * KERNELS["Sobel x"]) == ("Sobel x", pytest.approx(-1.0))
    assert nearest_kernel(np.full((3, 3), 0.3)) == ("box blur", pytest.approx(1.0))
    assert nearest_kernel(KERNELS["Sobel y"] + 0.1 * KERNELS["Laplace"])[0] == "Sobel y"
    assert nearest_kernel(np.zeros((3, 3)))[1] == 0.0
    assert cosine(KERNELS["Sobel x"], KERNELS["Sobel y"]) == 0.0


def test_pictures_to_see_kernels_on(tmp_path, monkeypatch):
    picture, source = load_picture(None)
    assert (picture.dtype, picture.ndim, picture.shape[1], source) == (np.uint8, 2, 320, CREDIT)
    file = tmp_path / "wide.png"
    cv2.imwrite(str(file), np.full((100, 640, 3), 50, np.uint8))
    mine, source = load_picture(file)
    assert (mine.shape, int(mine.max()), source) == ((50, 320), 50, "wide.png")
    (tmp_path / "no.png").write_text("no picture")
    for name in ("no.png", "nowhere.png"):
        with pytest.raises(DatasetError, match=f"{name}: expected a picture file"):
            load_picture(tmp_path / name)

    def missing(_):
        raise ModuleNotFoundError("no scikit-learn")

    monkeypatch.setattr(kernels.resources, "files", missing)
    drawn, source = load_picture(None)
    assert source == "a drawn picture"
    assert np.array_equal(drawn, drawn_picture())
