import numpy as np
import pytest
import torch

from nn_perception.studies.probing import probe_batch
from nn_perception.studies.some_digits import ChangedPictures, moved
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer


@pytest.fixture(scope="module")
def digits():
    config = TrainingConfig(
        network="mlp",
        network_arguments={"hidden": (8,)},
        epochs=1,
        batch_size=50,
        device="cpu",
        compile="off",
        task_arguments={"samples": 600},
        seed=1,
    )
    return DigitLearning(config, "builtin")


def pictures_of(learning):
    images, targets = probe_batch(learning, learning.train_size)
    return images.numpy(), targets.numpy()


def validation_of(learning):
    seen = []

    def predict(images):
        seen.append(images)
        return torch.zeros(len(images), 10)

    learning.validate(predict)
    return torch.cat(seen).numpy()


def test_fewer_pictures_are_among_more_and_of_all_classes(digits):
    every = {image.tobytes() for image in pictures_of(digits)[0]}
    few, some = (ChangedPictures(digits, count) for count in (50, 200))
    (images, targets), (more, _) = pictures_of(few), pictures_of(some)
    assert few.train_size == len(images) == 50
    assert abs(some.train_size - 200) <= 5  # the share of each class is rounded
    assert {i.tobytes() for i in images} <= {i.tobytes() for i in more} <= every
    assert np.bincount(targets, minlength=10).tolist() == [5] * 10
    assert np.array_equal(validation_of(few), validation_of(digits))
    for count in (0, digits.train_size, 10**6):
        assert ChangedPictures(digits, count).train_size == digits.train_size


def test_scrambled_pictures_have_their_pixels_in_one_other_order(digits):
    scrambled = ChangedPictures(digits, scrambled=True)
    plain, mixed = pictures_of(digits)[0], pictures_of(scrambled)[0]
    assert np.array_equal(
        np.sort(plain.reshape(len(plain), -1)), np.sort(mixed.reshape(len(mixed), -1))
    )
    assert not np.array_equal(plain, mixed)
    # One order: a picture's pixels tell where those of another have gone.
    order = torch.randperm(784, generator=torch.Generator().manual_seed(1)).numpy()
    for before, after in ((plain, mixed), (validation_of(digits), validation_of(scrambled))):
        flat = before.reshape(len(before), -1)
        assert np.array_equal(flat[:, order], after.reshape(len(after), -1))


def test_they_train_like_any_other(digits):
    changed = ChangedPictures(digits, 100, scrambled=True)
    fit = Trainer(changed).fit()
    assert fit.history[0]["step"] == 2
    assert changed.metric == "accuracy"


def test_moving_loses_what_leaves_and_brings_black():
    images = torch.arange(1, 26, dtype=torch.uint8).reshape(1, 1, 5, 5)
    assert torch.equal(moved(images, 0, 0), images)
    for down, right in ((1, 0), (-2, 0), (0, 2), (0, -1), (2, -1)):
        expected = np.roll(images.numpy(), (down, right), axis=(2, 3))
        rows, columns = np.indices((5, 5))
        outside = ~((rows >= down) & (rows - down < 5))
        outside |= ~((columns >= right) & (columns - right < 5))
        expected[:, :, outside] = 0
        assert np.array_equal(moved(images, down, right).numpy(), expected)
