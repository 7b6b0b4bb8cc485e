"""The child's first stage, in this process: what it makes, and how it goes on after any kill."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.bundle import load_bundle  # noqa: E402
from nn_perception.datasets.held_out import has_held_out_part  # noqa: E402
from nn_perception.errors import ConfigError, DatasetError  # noqa: E402
from nn_perception.jobs.files import read_json, write_json  # noqa: E402
from nn_perception.jobs.progress import ProgressWriter  # noqa: E402
from nn_perception.jobs.spec import JobSpec, load_spec  # noqa: E402
from nn_perception.tasks import get_task  # noqa: E402
from nn_perception.tasks.loading import open_pipeline  # noqa: E402
from nn_perception.training import job as job_module  # noqa: E402
from nn_perception.training.job import bags_of, find_held_out, train_job  # noqa: E402
from nn_perception.training.run import Trained  # noqa: E402

from .conftest import write_digits  # noqa: E402

OVERRIDES = {"epochs": 3, "network": "mlp", "batch_size": 50, "augment": {}, "compile": "off"}


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.fixture
def spec(tmp_path, digits):
    spec = JobSpec("digits", str(digits), tmp_path / "models", overrides=OVERRIDES)
    spec.workplace.prepare()
    return spec


def run(spec):
    """Run the job; return its lines of progress."""
    pipe = io.StringIO()
    train_job(spec, ProgressWriter(pipe, spec.workplace.progress))
    return [json.loads(line) for line in pipe.getvalue().splitlines()]


def kill_at(monkeypatch, name, when=1):
    """Let the call of a function of the job's module with this number be its last."""
    original, calls = getattr(job_module, name), []

    def dying(*arguments, **named):
        calls.append(1)
        if len(calls) == when:
            raise Killed
        return original(*arguments, **named)

    monkeypatch.setattr(job_module, name, dying)


def bundles(spec):
    return [path for path in spec.out.iterdir() if path.is_dir() and path.name[0] != "."]


@pytest.fixture
def trainings(monkeypatch, tiny_bundle):
    """Put a finished bundle in place of each training; gives a list with one entry for each."""
    calls = []

    def pretend(task, config, *, out, **_):
        calls.append(config)
        shutil.copytree(tiny_bundle.path, out)
        return Trained(None, load_bundle(out), out.with_name(out.name + ".run"))

    monkeypatch.setattr(job_module, "train_task", pretend)
    return calls


def test_it_leaves_a_bundle_with_a_name_of_its_own(spec):
    lines = run(spec)
    (bundle,) = bundles(spec)
    published = read_json(spec.workplace.published)
    assert bundle.name == published["bundle"]
    assert published["test_data"] == spec.data
    loaded = load_bundle(bundle, task="digits")
    assert bundle.name.startswith("digits-")
    assert bundle.name.endswith(f"-{loaded.id}")
    last = [line for line in lines if line["stage"] == "training"][-1]
    assert (last["epoch"], last["epochs"], last["metric"]) == (3, 3, "accuracy")
    assert last["eta_s"] == 0.0
    assert read_json(spec.workplace.progress) == last


def test_one_that_is_done_is_not_done_again(spec, trainings):
    run(spec)
    run(spec)
    assert (len(trainings), len(bundles(spec))) == (1, 1)


def test_it_is_signed_before_anybody_sees_it(spec, tmp_path, trainings, monkeypatch):
    pytest.importorskip("cryptography")
    from nn_perception.bundle_signature import new_key

    new_key(tmp_path / "key.pem")
    (public,) = set(tmp_path.glob("key*")) - {tmp_path / "key.pem"}
    signed = dataclasses.replace(spec, signing_key=str(tmp_path / "key.pem"))
    with monkeypatch.context() as patch:
        kill_at(patch, "publish")
        with pytest.raises(Killed):
            run(signed)
    run(signed)
    (bundle,) = bundles(spec)
    assert load_bundle(bundle, trusted_keys=public).signer
    assert len(trainings) == 1


def test_killed_before_the_bundle_has_its_name(spec, monkeypatch, trainings):
    with monkeypatch.context() as patch:
        kill_at(patch, "publish")
        with pytest.raises(Killed):
            run(spec)
    assert bundles(spec) == []
    run(spec)
    assert (len(trainings), len(bundles(spec))) == (1, 1)


def test_killed_between_the_name_and_the_rename(spec, monkeypatch, trainings):
    def die(path, target):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", die)
        with pytest.raises(Killed):
            run(spec)
    assert bundles(spec) == []
    name = read_json(spec.workplace.published)["bundle"]
    monkeypatch.setattr(job_module.time, "strftime", lambda *_: "later")
    run(spec)
    assert len(trainings) == 1
    assert [path.name for path in bundles(spec)] == [name]


def test_killed_in_an_epoch_it_goes_on_with_the_next(spec, monkeypatch):
    reference = dataclasses.replace(spec, out=spec.out.parent / "reference")
    reference.workplace.prepare()
    run(reference)

    def die_after_two(spec_, config, progress):
        def tell(record):
            if record["epoch"] == 2:
                raise Killed

        return tell  # fmt: skip

    with monkeypatch.context() as patch:
        patch.setattr(job_module, "_epochs", die_after_two)
        with pytest.raises(Killed):
            run(spec)
    lines = [line for line in run(spec) if line["stage"] == "training"]
    assert [line["begun_at"] for line in lines] == [3]
    (bundle,), (other,) = bundles(spec), bundles(reference)
    assert load_bundle(bundle).id == load_bundle(other).id  # exactly as if nothing had happened


@pytest.mark.parametrize("change", ["config", "data", "task_data"])
def test_another_job_starts_anew(spec, monkeypatch, trainings, change, digits):
    with monkeypatch.context() as patch:
        kill_at(patch, "publish")
        with pytest.raises(Killed):
            run(spec)
    other = spec
    if change == "config":
        other = dataclasses.replace(spec, overrides={**OVERRIDES, "seed": 7})
    elif change == "data":
        write_digits(digits, seed=1, count=210)  # other data under the same name
    else:
        other = dataclasses.replace(spec, data=str(write_digits(digits.with_name("more.npz"))))
    run(other)
    assert (len(trainings), len(bundles(spec))) == (2, 1)


def test_another_device_goes_on(spec, monkeypatch, trainings):
    with monkeypatch.context() as patch:
        kill_at(patch, "publish")
        with pytest.raises(Killed):
            run(spec)
    run(dataclasses.replace(spec, overrides={**OVERRIDES, "device": "cpu"}))
    assert len(trainings) == 1


def test_damaged_leftovers_are_made_again(spec, trainings):
    run(spec)
    (bundle,) = bundles(spec)
    place = spec.workplace
    bundle.rename(place.bundle)
    place.published.unlink()
    (place.bundle / "model.onnx").write_bytes(b"x")
    checkpoint = place.run / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "checkpoint.json").write_text("{")
    run(spec)
    (bundle,) = bundles(spec)
    load_bundle(bundle)
    assert not checkpoint.exists()
    assert len(trainings) == 2


def test_a_published_bundle_that_somebody_removed_is_trained_again(spec, trainings):
    run(spec)
    (bundle,) = bundles(spec)
    bundle.rename(spec.out.parent / "moved")
    run(spec)
    assert (len(trainings), len(bundles(spec))) == (2, 1)


def test_the_specification_survives_its_file(spec):
    full = dataclasses.replace(spec, config="c.yaml", recipe="mlp", init="x", nice=3)
    full.save()
    assert load_spec(spec.workplace.specification) == full
    write_json(spec.workplace.specification, {"task": "digits", "colour": "red"})
    with pytest.raises(ConfigError, match="colour"):
        load_spec(spec.workplace.specification)


def test_what_is_held_out(spec, tmp_path):
    assert find_held_out(spec) == spec.data
    test = dataclasses.replace(spec, test_data="builtin")
    assert find_held_out(test) == "builtin"
    plain = str(write_digits(tmp_path / "plain.npz", parts=("",)))
    with pytest.raises(DatasetError, match="'test_data'"):
        find_held_out(dataclasses.replace(spec, data=plain))
    assert find_held_out(dataclasses.replace(spec, data=plain, needs_test=False)) == ""
    for wrong in ({"data": "/no/such"}, {"test_data": "/no/such"}):
        with pytest.raises(DatasetError, match="/no/such"):
            find_held_out(dataclasses.replace(spec, **wrong))


def test_which_data_have_a_held_out_part(tmp_path, digits):
    for name in ("a/train", "a/test", "b/0", "b/1"):
        (tmp_path / name).mkdir(parents=True)
    assert has_held_out_part("builtin")
    assert has_held_out_part("simulated")
    assert has_held_out_part(str(digits))
    assert has_held_out_part(str(digits.parent))
    assert has_held_out_part(str(tmp_path / "a"))
    assert not has_held_out_part(str(tmp_path / "b"))
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK")
    assert not has_held_out_part(str(damaged))


def test_from_a_bag_to_a_bundle(tmp_path):
    """The real data set builder and the real training, on a small recording."""
    from nn_perception.datasets.bags import record_labelled_images

    with np.load(write_digits(tmp_path / "digits.npz", count=400)) as arrays:
        images, labels = arrays["train_images"], arrays["train_labels"]
    bag = tmp_path / "bag"
    record_labelled_images(bag, images, [str(label) for label in labels], rate_hz=10.0)
    spec = JobSpec(
        "digits", str(bag), tmp_path / "models", overrides=OVERRIDES,
        data_settings={"block_s": 2.0, "keep_near_duplicates": True, "plots": False},
    )  # fmt: skip
    spec.workplace.prepare()
    lines = run(spec)
    assert {"stage": "preparing", "bags": 1, "percent": 0} in lines
    (bundle,) = bundles(spec)
    test_data = read_json(spec.workplace.published)["test_data"]
    assert has_held_out_part(test_data)
    evaluation = get_task("digits").load_evaluation()(open_pipeline(bundle))
    metrics = evaluation.evaluate_data(Path(test_data))
    assert 20 <= metrics.n < 400


def test_what_is_a_bag(tmp_path):
    for name in ("one.mcap", "bags/a.mcap", "bags/b.db3", "mixed/a.mcap", "mixed/x.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert bags_of(str(tmp_path / "one.mcap")) == [tmp_path / "one.mcap"]
    names = [path.name for path in bags_of(str(tmp_path / "bags"))]
    assert names == ["a.mcap", "b.db3"]
    assert bags_of(str(tmp_path / "mixed")) == []
    assert bags_of("simulated") == []
    assert bags_of(str(tmp_path / "nowhere")) == []
