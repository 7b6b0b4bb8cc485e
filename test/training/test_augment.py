"""Each distortion does what its name says, to the whole batch, from one generator."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch

from nn_perception.errors import ConfigError
from nn_perception.training.augment import (
    AugmentConfig,
    AugmentParams,
    apply,
    augment,
    draw,
)
from nn_perception.training.augment_photometry import colour_maps

STRONG = AugmentConfig(
    rotate_deg=20,
    shift_px=3,
    scale=0.2,
    stretch=0.2,
    shear_deg=15,
    elastic_px=1.0,
    mirror=0.5,
    stroke=0.5,
    contrast=0.3,
    brightness=20,
    erase_px=8,
)


@pytest.fixture
def images():
    """16 random images of 3 x 20 x 28."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (16, 3, 20, 28), generator=generator, dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear_map(rows):
    return AugmentParams(affine=torch.tensor([rows], dtype=torch.float32))


def test_default_changes_nothing(images):
    result = augment(images, AugmentConfig(), seeded())
    assert result.dtype == torch.float32
    assert torch.equal(result, images.float())


def test_identity_map_changes_nothing(images):
    params = linear_map([[1, 0, 0], [0, 1, 0]])
    torch.testing.assert_close(apply(images[:1], params), images[:1].float(), atol=1e-2, rtol=0)


def test_affine_reads_at_the_source_pixel(images):
    image = images[:1].float()
    moved = apply(image, linear_map([[1, 0, 3], [0, 1, -2]]))
    torch.testing.assert_close(moved[..., 2:, :-3], image[..., :-2, 3:], atol=1e-2, rtol=0)
    assert moved[..., :2, :].abs().max() < 1e-2
    assert moved[..., -3:].abs().max() < 1e-2


def test_padding_border(images):
    params = AugmentParams(affine=torch.tensor([[[1.0, 0, 5], [0, 1, 0]]]), padding="border")
    moved = apply(images[:1], params)
    expected = images[:1, :, :, -1:].float().expand(-1, -1, -1, 5)
    torch.testing.assert_close(moved[..., -5:], expected, atol=1e-2, rtol=0)


def test_quarter_turn_about_the_centre():
    image = torch.rand(1, 1, 9, 9) * 255
    turned = apply(image, linear_map([[0, -1, 0], [1, 0, 0]]))
    torch.testing.assert_close(turned, torch.rot90(image, 1, (2, 3)), atol=1e-2, rtol=0)


def test_mirror(images):
    result = augment(images, AugmentConfig(mirror=1.0), seeded())
    torch.testing.assert_close(result, images.float().flip(3), atol=1e-2, rtol=0)
    half = draw(4000, AugmentConfig(mirror=0.5), seeded()).affine
    assert 0.45 < (half[:, 0, 0] < 0).float().mean() < 0.55


def test_constant_displacement_of_all_control_points_is_a_shift(images):
    image = images[:1].float()
    params = AugmentParams(
        affine=torch.eye(2, 3).unsqueeze(0), elastic=torch.zeros(1, 2, 5, 5), padding="border"
    )
    torch.testing.assert_close(apply(image, params), image, atol=1e-2, rtol=0)
    params.elastic[:, 1] = 100.0  # y far down: every pixel reads the last row
    result = apply(image, params)
    torch.testing.assert_close(result, image[:, :, -1:].expand_as(image), atol=1e-2, rtol=0)


def test_elastic_has_the_standard_deviation_it_names():
    # Images of a ramp tell where they were read.
    batch, side = 500, 64
    ramp = torch.arange(side, dtype=torch.float32).expand(batch, 1, side, side)
    result = augment(ramp, AugmentConfig(elastic_px=1.5, padding="border"), seeded())
    moved = (result - ramp)[..., 8:-8, 8:-8]
    assert moved.std().item() == pytest.approx(1.5, rel=0.05)
    assert (moved[..., 1:] - moved[..., :-1]).abs().mean() < 0.15  # smooth


@pytest.mark.parametrize(
    ("config", "measure", "bound"),
    [
        (AugmentConfig(rotate_deg=30), lambda a: torch.atan2(a[:, 1, 0], a[:, 0, 0]), math.pi / 6),
        (AugmentConfig(shift_px=2), lambda a: a[:, 0, 2], 2.0),
        (AugmentConfig(shift_px=2), lambda a: a[:, 1, 2], 2.0),
        (AugmentConfig(scale=0.3), lambda a: a[:, 0, 0].log(), math.log(1.3)),
        (AugmentConfig(stretch=0.3), lambda a: (a[:, 0, 0] / a[:, 1, 1]).log(), math.log(1.3)),
        (AugmentConfig(shear_deg=20), lambda a: a[:, 0, 1].atan(), math.pi / 9),
    ],
)
def test_geometry_fills_its_range(config, measure, bound):
    values = measure(draw(2000, config, seeded()).affine)
    assert values.abs().max() <= bound * 1.0001
    assert values.max() > 0.97 * bound
    assert values.min() < -0.97 * bound
    assert values.mean().abs() < 0.05 * bound


def test_rotation_keeps_size_and_scale_keeps_angles():
    affine = draw(50, AugmentConfig(rotate_deg=90), seeded()).affine[:, :, :2]
    identity = torch.eye(2).expand(50, 2, 2)
    torch.testing.assert_close(affine @ affine.mT, identity)
    both = draw(50, AugmentConfig(rotate_deg=90, scale=0.5), seeded()).affine[:, :, :2]
    product = both @ both.mT
    torch.testing.assert_close(product[:, 0, 0], product[:, 1, 1])
    assert product[:, 0, 1].abs().max() < 1e-5


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


def test_erase_sets_one_rectangle_to_the_mean():
    image = torch.zeros(1, 1, 10, 20)
    image[..., :10] = 200.0
    params = AugmentParams(erase=torch.tensor([[0.25, 0.5, 4.0, 2.0]]))
    erased = apply(image, params)[0, 0] == 100.0
    assert erased.sum() == 8
    assert erased[4:6, 3:7].all()


def test_same_seed_same_images_and_other_seed_others(images):
    first = augment(images, STRONG, seeded(3))
    assert torch.equal(first, augment(images, STRONG, seeded(3)))
    assert not torch.equal(first, augment(images, STRONG, seeded(4)))


def test_generator_moves_on_and_is_the_only_source(images):
    generator = seeded(3)
    first = augment(images, STRONG, generator)
    torch.manual_seed(99)
    second = augment(images, STRONG, generator)
    assert not torch.equal(first, second)
    generator = seeded(3)
    torch.manual_seed(5)
    assert torch.equal(first, augment(images, STRONG, generator))


def test_ranks_together_see_the_whole_batch(images):
    params = draw(len(images), STRONG, seeded())
    whole = apply(images, params)
    for rank in range(3):
        part = apply(images[rank::3], params[rank::3])
        torch.testing.assert_close(part, whole[rank::3], atol=1e-3, rtol=0)


def test_images_of_one_batch_differ(images):
    same = images[:1].expand(8, -1, -1, -1)
    result = augment(same, STRONG, seeded())
    assert len({tuple(image.flatten().tolist()) for image in result}) == 8


def test_range_type_and_input_are_kept(images):
    before = images.clone()
    result = augment(images, STRONG, seeded())
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(images, before)
    assert torch.equal(result, augment(images.float(), STRONG, seeded()))


def test_autocast_does_not_coarsen_the_reading_places(images):
    expected = augment(images, STRONG, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(images, STRONG, seeded()), expected)


def test_batch_must_match_the_parameters(images):
    params = draw(8, STRONG, seeded())
    with pytest.raises(ConfigError, match="16 images for 8"):
        apply(images, params)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rotate_deg": -1}, "rotate_deg"),
        ({"rotate_deg": 181}, "rotate_deg"),
        ({"shift_px": float("nan")}, "shift_px"),
        ({"scale": "0.1"}, "scale"),
        ({"mirror": 1.5}, "mirror"),
        ({"stroke": True}, "stroke"),
        ({"elastic_grid": 1}, "elastic_grid"),
        ({"elastic_grid": 4.0}, "elastic_grid"),
        ({"degrade": 1.1}, "degrade"),
        ({"saturation": 1.5}, "saturation"),
        ({"jpeg_quality": 101}, "jpeg_quality"),
        ({"padding": "reflect"}, "did you mean 'reflection'"),
    ],
)
def test_wrong_configuration(values, message):
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**values)


@pytest.mark.parametrize("config", [STRONG, AugmentConfig(rotate_deg=10, elastic_px=0.7)])
def test_later_distortions_leave_the_numbers_of_the_first_ones_alone(config):
    """Recipes of trained bundles see the images that they saw."""
    generator, other = seeded(), seeded()
    first = draw(8, config, generator)
    assert not config.needs_more
    more = dataclasses.replace(config, gamma=0.2, hue_deg=10, blur_px=1, noise=5, jpeg_quality=30)
    both = draw(8, more, other)
    for name in ("affine", "elastic", "stroke", "contrast", "brightness", "erase"):
        before, after = getattr(first, name), getattr(both, name)
        assert (before is None and after is None) or torch.equal(before, after), name
    # 14 numbers an image and the displacements; nothing more is taken from the generator.
    plain = seeded()
    torch.rand((14, 8), generator=plain)
    torch.randn((8, 2, 5, 5), generator=plain)
    assert torch.equal(plain.get_state(), generator.get_state())


@pytest.mark.parametrize(
    ("config", "field", "low", "high"),
    [
        (AugmentConfig(gamma=0.5), "gamma", 1 / 1.5, 1.5),
        (AugmentConfig(blur_px=1.5, degrade=1), "blur", 0, 1.5),
        (AugmentConfig(pixelate=1.0, degrade=1), "pixelate", 1, 2),
        (AugmentConfig(jpeg_quality=20, degrade=1), "jpeg", 20, 100),
    ],
)
def test_values_fill_their_range(config, field, low, high):
    values = getattr(draw(2000, config, seeded()), field)
    span = high - low
    assert low * 0.9999 <= values.min() < low + 0.02 * span
    assert high - 0.02 * span < values.max() <= high * 1.0001


def test_degradations_happen_with_their_probability_and_independently():
    config = AugmentConfig(degrade=0.3, blur_px=1, pixelate=1, noise=5, jpeg_quality=50)
    drawn = draw(4000, config, seeded())
    done = torch.stack((drawn.blur > 0, drawn.pixelate > 1, drawn.noise[:, 0] > 0, drawn.jpeg > 0))
    assert ((done.float().mean(dim=1) - 0.3).abs() < 0.03).all()
    assert (torch.corrcoef(done.float()) - torch.eye(4)).abs().max() < 0.06
    assert draw(10, dataclasses.replace(config, degrade=0), seeded()).blur.tolist() == [0.0] * 10


def test_what_is_not_done_to_an_image_leaves_it_as_it_is(images):
    zero = torch.zeros(16)
    params = AugmentParams(
        gamma=zero + 1,
        colour=colour_maps(zero + 1, zero),
        blur=zero,
        pixelate=zero + 1,
        noise=torch.zeros(16, 2),
        jpeg=zero,
    )
    torch.testing.assert_close(apply(images, params), images.float(), atol=1e-2, rtol=0)


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


def test_seed_decides_and_parts_are_the_whole_with_everything_on(images):
    config = dataclasses.replace(
        STRONG,
        gamma=0.3,
        saturation=0.5,
        hue_deg=20,
        degrade=0.7,
        blur_px=1.0,
        pixelate=1.0,
        noise=10,
        jpeg_quality=20,
    )
    whole = augment(images, config, seeded(3))
    assert torch.equal(whole, augment(images, config, seeded(3)))
    assert whole.min() >= 0
    assert whole.max() <= 255
    params = draw(len(images), config, seeded(3))
    for rank in range(3):
        part = apply(images[rank::3], params[rank::3])
        # A value beside a rounding limit of JPEG may fall on the other side.
        assert ((part - whole[rank::3]).abs() > 0.01).float().mean() < 0.01
