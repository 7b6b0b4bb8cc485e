"""Each distortion of values does what its name says; blur, resolution and JPEG as OpenCV's."""

import math

import cv2
import numpy as np
import pytest
import torch

from nn_perception.errors import ConfigError
from nn_perception.training.augment import AugmentConfig, AugmentParams, apply, augment
from nn_perception.training.augment_photometry import colour_maps


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_stroke_thickens_and_thins():
    image = torch.zeros(2, 1, 9, 9)
    image[:, :, 3:6, :] = 200.0
    result = apply(image, AugmentParams(stroke=torch.tensor([1.0, -1.0])))
    assert (result > 100).sum(dim=(1, 2, 3)).tolist() == [45, 9]
    half = apply(image, AugmentParams(stroke=torch.tensor([0.5, 0.0])))
    assert half[0, 0, 2, 4] == 100
    assert torch.equal(half[1], image[1])


def test_contrast_and_brightness(images):
    image = torch.tensor([50.0, 150.0]).reshape(1, 1, 1, 2)
    result = apply(
        image, AugmentParams(contrast=torch.tensor([0.5]), brightness=torch.tensor([10.0]))
    )
    assert result.flatten().tolist() == [85.0, 135.0]
    bright = apply(images, AugmentParams(brightness=torch.full((16,), 200.0)))
    assert bright.max() == 255


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.7])
def test_blur_is_that_of_opencv(images, sigma):
    result = apply(images, AugmentParams(blur=torch.full((16,), sigma)))
    inside = (slice(8, -8), slice(8, -8))
    for image, blurred in zip(images.float().numpy(), result.numpy(), strict=True):
        for channel in range(3):
            expected = cv2.GaussianBlur(image[channel], (17, 17), sigma)
            np.testing.assert_allclose(blurred[channel][inside], expected[inside], atol=0.05)


def test_blur_keeps_a_constant_image_up_to_the_border():
    image = torch.full((1, 1, 9, 12), 77.0)
    torch.testing.assert_close(apply(image, AugmentParams(blur=torch.tensor([3.0]))), image)


@pytest.mark.parametrize("factor", [2.0, 2.5])
def test_pixelate_is_a_reduction_and_an_enlargement(images, factor):
    result = apply(images, AugmentParams(pixelate=torch.full((16,), factor)))
    small = (round(28 / factor), round(20 / factor))
    for image, changed in zip(images.float().numpy(), result.numpy(), strict=True):
        reduced = cv2.resize(image.transpose(1, 2, 0), small, interpolation=cv2.INTER_AREA)
        expected = cv2.resize(reduced, (28, 20), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(changed.transpose(1, 2, 0), expected, atol=0.05)


def test_noise_has_its_strength_and_differs_between_images_and_channels():
    grey = torch.full((4, 3, 64, 64), 128.0)
    noise = torch.tensor([[4.0, 0.1], [8.0, 0.5], [8.0, 0.9], [8.0, 0.5]])
    added = apply(grey, AugmentParams(noise=noise)) - grey
    assert added.flatten(1).std(dim=1).tolist() == pytest.approx([4, 8, 8, 8], rel=0.03)
    assert added.flatten(1).mean(dim=1).abs().max() < 0.3
    assert torch.equal(added[1], added[3])
    rows = added[:3].reshape(9, -1)
    assert (torch.corrcoef(rows) - torch.eye(9)).abs().max() < 0.06


@pytest.mark.parametrize("quality", [10, 30, 60, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_close_to_that_of_libjpeg(quality, channels):
    """Rounding of colours apart, which libjpeg does at every stage."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (7, 9, channels), dtype=np.uint8), (40, 24))
    picture = smooth.reshape(24, 40, channels)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).reshape(picture.shape)[..., ::-1]
    image = torch.from_numpy(picture).permute(2, 0, 1)[None]
    result = apply(image, AugmentParams(jpeg=torch.tensor([float(quality)])))
    difference = result[0].permute(1, 2, 0).numpy() - expected
    assert np.abs(difference).mean() < (0.5 if channels == 1 else 2.5)


def test_jpeg_takes_sizes_that_are_no_multiple_of_a_block(images):
    odd = images[:, :, :19, :27]
    params = AugmentParams(jpeg=torch.full((16,), 100.0))
    result = apply(odd, params)
    assert result.shape == odd.shape
    assert (result - odd).abs().mean() < 50  # random colours lose much at half the resolution
    grey = apply(odd[:, :1], params)
    assert (grey - odd[:, :1]).abs().max() < 3


def test_gamma_keeps_black_and_white():
    image = torch.tensor([0.0, 63.75, 255.0]).reshape(1, 1, 1, 3)
    result = apply(image, AugmentParams(gamma=torch.tensor([0.5])))
    assert result.flatten().tolist() == pytest.approx([0, 127.5, 255])


def test_colour_maps_keep_luminance_and_grey():
    saturation, hue = torch.tensor([0.0, 0.5, 1.3, 1.0]), torch.tensor([0.0, 1.0, -2.0, math.tau])
    maps = colour_maps(saturation, hue)
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(luma @ maps, luma.expand(4, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(maps @ torch.ones(3), torch.ones(4, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(maps[0], luma.expand(3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(maps[3], torch.eye(3), atol=1e-6, rtol=0)


def test_a_third_of_a_turn_of_hue_exchanges_the_channels():
    """But for the luminance, which stays: differences of channels move on by one."""
    rgb = torch.tensor([200.0, 90.0, 30.0])
    turned = colour_maps(torch.ones(1), torch.tensor([math.tau / 3]))[0] @ rgb
    torch.testing.assert_close(turned - turned.roll(1), rgb.roll(1) - rgb.roll(2))


def test_colours_need_rgb(images):
    with pytest.raises(ConfigError, match="1 channels"):
        augment(images[:, :1], AugmentConfig(saturation=0.5), seeded())
