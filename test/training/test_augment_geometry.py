"""Each distortion that moves pixels, or hides some, does what its name says."""

import math

import pytest
import torch

from nn_perception.training.augment import AugmentConfig, AugmentParams, apply, augment, draw


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear_map(rows):
    return AugmentParams(affine=torch.tensor([rows], dtype=torch.float32))


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


def test_erase_sets_one_rectangle_to_the_mean():
    image = torch.zeros(1, 1, 10, 20)
    image[..., :10] = 200.0
    params = AugmentParams(erase=torch.tensor([[0.25, 0.5, 4.0, 2.0]]))
    erased = apply(image, params)[0, 0] == 100.0
    assert erased.sum() == 8
    assert erased[4:6, 3:7].all()
