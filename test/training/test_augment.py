"""What is drawn, from which generator, for whole batches and their parts."""

import dataclasses

import pytest
import torch

from nn_perception.errors import ConfigError
from nn_perception.training.augment import AugmentConfig, AugmentParams, apply, augment, draw
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


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_default_changes_nothing(images):
    result = augment(images, AugmentConfig(), seeded())
    assert result.dtype == torch.float32
    assert torch.equal(result, images.float())


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


def test_autocast_does_not_coarsen_the_reading_places(images):
    expected = augment(images, STRONG, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(images, STRONG, seeded()), expected)
