import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.errors import ConfigError, DatasetError
from nn_perception.networks import build_network
from nn_perception.tasks import get_task
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.objects.learning import ObjectLearning
from nn_perception.training.run import resolve_config, train_task

NAMES = ("disc", "cross", "bars")
RECIPES = ("residual_cnn", "lecture_cnn")


@pytest.fixture(autouse=True)
def no_data_around(monkeypatch):
    """Without --data nothing is meant, whatever this machine has."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


def shapes(count, size=32, seed=0):
    """Return coloured discs, crosses and bars on a coloured ground, and their labels."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, size, size, 3), np.uint8)
    labels = np.arange(count) % 3
    for image, label in zip(images, labels, strict=True):
        image[:] = rng.integers(0, 90, 3)
        colour = rng.integers(150, 256, 3).tolist()
        x, y = rng.integers(size * 3 // 8, size * 5 // 8, 2).tolist()
        if label == 0:
            cv2.circle(image, (x, y), size // 4, colour, -1)
        elif label == 1:
            cv2.line(image, (x - size // 3, y), (x + size // 3, y), colour, 3)
            cv2.line(image, (x, y - size // 3), (x, y + size // 3), colour, 3)
        else:
            image[:, x % 5 :: 6] = colour
            image[:, x % 5 + 1 :: 6] = colour
    return images, labels


@pytest.fixture
def npz(tmp_path):
    """A small set of three classes that is laid out as road4.npz is."""
    path = tmp_path / "data" / "objects" / "road4.npz"
    path.parent.mkdir(parents=True)
    images, labels = shapes(240)
    test_images, test_labels = shapes(60, seed=1)
    np.savez(
        path,
        train_images=images,
        train_labels=labels.astype(np.uint8),
        train_source=np.array(["drawn"] * 240),
        test_images=test_images,
        test_labels=test_labels,
        test_source=np.array(["drawn"] * 60),
        class_names=np.array(NAMES),
    )
    return path


def small(**changes):
    config = resolve_config("objects", {}, {"network": "residual_cnn", "compile": "off"})
    arguments = {"background": 0.0, **changes.pop("task_arguments", {})}
    return dataclasses.replace(
        config,
        network_arguments={"channels": [8, 16], "blocks": [1, 1], "stem_stride": 2},
        task_arguments=arguments,
        mixed_precision="off",
        batch_size=32,
        **changes,
    )


@pytest.mark.parametrize("network", RECIPES)
def test_every_recipe_is_a_whole_valid_configuration(network):
    config = ObjectLearning.recipe(network)
    assert config.network == network
    arguments = ObjectLearning.arguments_type(**config.task_arguments)
    size = arguments.input_size
    shape = {"input_shape": (3, size, size), "classes": 5}
    built = build_network(network, {**config.network_arguments, **shape})
    # The lecture's layers with colours at 50 x 50: 448 + 184,340 + 105, the last for 5 classes.
    limit = 500_000 if network == "residual_cnn" else 184_893
    assert sum(parameter.numel() for parameter in built.parameters()) <= limit


def test_default_data_comes_from_the_environment(npz, monkeypatch):
    with pytest.raises(DatasetError, match=r"NN_PERCEPTION_DATA.*objects/road4.npz"):
        ObjectLearning(small(), None)
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(npz.parent.parent))
    learning = ObjectLearning(small(), None)
    assert learning.data.class_names == NAMES
    assert len(learning.data) == 240  # the training split
    assert learning.data_id == ObjectLearning(small(), npz.parent).data_id


def test_folder_of_pictures_of_any_size_gives_its_classes(tmp_path):
    sizes = ((40, 60), (64, 50), (32, 32))
    for index, image in enumerate(shapes(12, size=64)[0]):
        folder = tmp_path / "set" / NAMES[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(image, sizes[index % 3]))
    config = small(task_arguments={"input_size": 50}, validation_fraction=0.25)
    learning = ObjectLearning(config, tmp_path / "set")
    assert learning.data.class_names == ("bars", "cross", "disc")
    assert learning.data.shape_hwc == (50, 50, 3)
    assert learning.network_arguments()["input_shape"] == (3, 50, 50)
    assert learning.network_arguments()["classes"] == 3


def test_pictures_keep_their_shape_and_lose_their_sides(tmp_path):
    """The middle of a wide picture is what the network sees, in RGB."""
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 20, 200)  # BGR
    for name in ("a", "b"):
        for index in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), wide)
    learning = ObjectLearning(small(validation_fraction=0.5), tmp_path)
    assert (learning.data.images == (200, 20, 10)).all()


def test_small_set_trains_to_a_working_bundle(npz, tmp_path):
    config = small(epochs=14, augment=dataclasses.replace(small().augment, erase_px=4.0))
    bundle = train_task("objects", config, data=npz, out=tmp_path / "m").bundle
    assert bundle.labels == NAMES
    assert bundle.config.preprocessing == {
        "channels": 3,
        "height": 32,
        "width": 32,
        "fit": "center_crop",
        "polarity": "as_is",
    }
    images, labels = shapes(60, seed=1)
    pipeline = open_pipeline(bundle, device="cpu")
    assert (pipeline.classify(images).argmax(1) == labels).mean() > 0.9
    large = np.stack([cv2.resize(image, (128, 128)) for image in images])
    assert (pipeline.classify(large).argmax(1) == labels).mean() > 0.9


def test_evaluation_takes_the_test_split_of_the_same_file(npz, tmp_path):
    bundle = train_task("objects", small(epochs=1), data=npz, out=tmp_path / "m").bundle
    evaluation = get_task("objects").load_evaluation()(open_pipeline(bundle, device="cpu"))
    assert evaluation.evaluate_data(npz).n == 60
    assert evaluation.evaluate_data(Path(npz).parent).n == 60


def test_background_is_learnt_from_made_and_scrambled_pictures(npz, tmp_path):
    arguments = {"background": 0.25, "negatives": 60, "class_weights": "balanced"}
    config = small(epochs=1, task_arguments=arguments)
    bundle = train_task("objects", config, data=npz, out=tmp_path / "m").bundle
    assert bundle.labels == NAMES
    assert bundle.config.outputs[0].shape == (None, 4)
    assert bundle.config.calibration["rejection"]["score"] == "background"


def test_negatives_follow_the_seed_and_are_half_scrambled():
    images = np.ascontiguousarray(shapes(20)[0].transpose(0, 3, 1, 2))
    made = ObjectLearning.negatives(images, 30, 4)
    assert made.shape == (30, 3, 32, 32)
    assert made.dtype == np.uint8
    assert np.array_equal(made, ObjectLearning.negatives(images, 30, 4))
    assert not np.array_equal(made, ObjectLearning.negatives(images, 30, 5))
    # Scenes know nothing of the pictures; the other half is made of them.
    other = ObjectLearning.negatives(255 - images, 30, 4)
    assert np.array_equal(made[:15], other[:15])
    assert all((a != b).any() for a, b in zip(made[15:], other[15:], strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 8}, "expected 16 to 512 pixels"),
        ({"input_sise": 32}, "did you mean 'input_size'"),
        ({"background": -1.0}, "background"),
    ],
)
def test_wrong_arguments(npz, arguments, message):
    with pytest.raises(ConfigError, match=message):
        ObjectLearning(small(task_arguments=arguments), npz)
