import dataclasses

import cv2
import numpy as np
import pytest

from nn_perception.datasets.bags import image_message
from nn_perception.engine import OnnxEngine
from nn_perception.errors import BundleError, DatasetError, EngineError, MessageError
from nn_perception.tasks.classification import (
    ImagePreprocessing,
    border_mean,
    center_crop,
    prepare_image,
    softmax,
)
from nn_perception.tasks.digits.pipeline import PREPROCESSING, DigitPipeline
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.picture_files import process_picture

STRETCH = dataclasses.replace(PREPROCESSING, fit="stretch")


@pytest.fixture
def pipeline(tiny_bundle):
    return open_pipeline(tiny_bundle, device="cpu")


@pytest.fixture
def digit():
    image = np.zeros((28, 28), np.uint8)
    cv2.putText(image, "4", (6, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    return image


def with_config(bundle, **changes):
    return dataclasses.replace(bundle, config=dataclasses.replace(bundle.config, **changes))


def test_mnist_size_passes_unchanged(digit):
    assert np.array_equal(prepare_image(digit, PREPROCESSING), digit[None])


def test_ink_on_paper_is_inverted_and_then_stays(digit):
    prepared = prepare_image(255 - digit, PREPROCESSING)
    assert np.array_equal(prepared[0], digit)
    assert np.array_equal(prepare_image(prepared[0], PREPROCESSING), prepared)
    as_is = dataclasses.replace(PREPROCESSING, polarity="as_is")
    assert np.array_equal(prepare_image(255 - digit, as_is)[0], 255 - digit)


def test_center_crop_keeps_the_middle_of_a_wide_frame(digit):
    frame = np.zeros((280, 500), np.uint8)
    frame[:, 110:390] = cv2.resize(digit, (280, 280), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(prepare_image(frame, PREPROCESSING)[0], digit)
    assert not np.array_equal(prepare_image(frame, STRETCH)[0], digit)


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (640, 1), (27, 29), (480, 640), (480, 640, 3)])
def test_any_shape_becomes_the_input_shape(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for settings in (PREPROCESSING, STRETCH):
        prepared = prepare_image(image, settings)
        assert prepared.shape == (1, 28, 28)
        assert prepared.dtype == np.uint8


def test_colour_pipelines_take_grey_and_rgb():
    colour = ImagePreprocessing(3, 8, 4, "stretch", "as_is")
    image = np.zeros((8, 4, 3), np.uint8)
    image[..., 0] = 200
    assert prepare_image(image, colour).shape == (3, 8, 4)
    assert prepare_image(image, colour)[0].min() == 200  # red first
    assert (prepare_image(image[..., 0], colour) == 200).all()


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10), (7, 7)])
def test_crop_is_the_largest_square(height, width):
    assert center_crop(np.zeros((height, width), np.uint8), 1.0).shape == (min(height, width),) * 2


def test_border_mean_counts_each_border_pixel_once():
    image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    inside = np.zeros((5, 6), bool)
    inside[1:-1, 1:-1] = True
    assert border_mean(image) == pytest.approx(image[~inside].mean())


def test_softmax_is_stable_and_the_temperature_divides():
    logits = np.array([[1000.0, 999.0], [-1000.0, 1000.0]], np.float32)
    np.testing.assert_allclose(softmax(logits).sum(1), 1.0)
    odds = softmax(logits, 2.0)[0]
    assert np.log(odds[0] / odds[1]) == pytest.approx(0.5)


def test_scores_are_calibrated_by_the_temperature_of_the_bundle(tiny_bundle, digit):
    cool = DigitPipeline(tiny_bundle, OnnxEngine(tiny_bundle)).classify([digit])[0]
    warm_bundle = with_config(tiny_bundle, calibration={"temperature": 2.5})
    warm = DigitPipeline(warm_bundle, OnnxEngine(warm_bundle)).classify([digit])[0]
    np.testing.assert_allclose(np.diff(np.log(warm)), np.diff(np.log(cool)) / 2.5, rtol=1e-6)


def test_message_file_and_array_give_the_same_scores(pipeline, digit, tmp_path):
    frame = cv2.resize(digit, (64, 64))
    message = image_message(frame, "mono8", stamp_ns=123_000_000_456, frame_id="cam")
    result = pipeline.process("image_raw", message)
    assert (result.stamp_ns, result.frame_id) == (123_000_000_456, "cam")
    assert result.scores.sum() == pytest.approx(1.0)
    assert result.best == (result.labels[result.scores.argmax()], result.scores.max())
    assert set(result.stage_s) == {"decode", "preprocess", "engine", "postprocess"}
    np.testing.assert_allclose(pipeline.classify([frame])[0], result.scores, atol=1e-6)
    for name in ("a.png", "b.bmp", "c.pgm"):
        cv2.imwrite(str(tmp_path / name), frame)
        assert np.array_equal(process_picture(pipeline, tmp_path / name).scores, result.scores)


def test_batches_do_not_change_the_answer(pipeline):
    images = np.random.default_rng(1).integers(0, 256, (70, 28, 28), dtype=np.uint8)
    np.testing.assert_allclose(
        pipeline.classify(images, 32), pipeline.classify(images, 1), atol=1e-6
    )
    assert pipeline.classify(images[:0]).shape == (0, 10)


def test_bad_message_raises_only_message_error_and_the_next_is_answered(pipeline, digit):
    message = image_message(digit, "mono8", stamp_ns=0)
    bad = image_message(digit, "mono8", stamp_ns=0)
    object.__setattr__(bad, "data", bad.data[:-1])
    with pytest.raises(MessageError):
        pipeline.process("image_raw", bad)
    assert pipeline.process("image_raw", message).labels == tuple("0123456789")


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_file_that_is_no_picture(pipeline, tmp_path, content):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError):
        process_picture(pipeline, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing": {}},
        {"preprocessing": {**vars(PREPROCESSING), "height": 32}},
        {"preprocessing": {**vars(PREPROCESSING), "polarity": "sideways"}},
        {"calibration": {}},
        {"calibration": {"temperature": 0.0}},
        {"labels": ("0", "1")},
    ],
)
def test_description_that_does_not_fit_is_refused_never_guessed(tiny_bundle, changes):
    bundle = with_config(tiny_bundle, **changes)
    with pytest.raises(BundleError):
        DigitPipeline(bundle, OnnxEngine(bundle))


def test_scores_that_are_not_finite_are_never_published(tiny_bundle, digit):
    class Broken(OnnxEngine):
        def __call__(self, *inputs):
            return (super().__call__(*inputs)[0] * np.nan,)

    pipeline = DigitPipeline(tiny_bundle, Broken(tiny_bundle))
    with pytest.raises(EngineError, match="not finite"):
        pipeline.process("image_raw", image_message(digit, "mono8", stamp_ns=0))
