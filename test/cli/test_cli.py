import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from nn_perception.bundle import load_bundle
from nn_perception.cli.main import COMMANDS, main
from nn_perception.datasets.bags import BagReader, record_labelled_images


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "bag"
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    record_labelled_images(path, images, [str(i % 10) for i in range(30)])
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures per class, of several sizes."""
    root = tmp_path_factory.mktemp("pictures")
    for digit in range(10):
        (root / str(digit)).mkdir()
        for number in range(12):
            image = np.zeros((40 + number, 40, 3), np.uint8)
            place = (8 + number % 3, 32 + number % 4)
            cv2.putText(image, str(digit), place, 0, 1.1, (255, 255, 255), 2 + number % 2)
            cv2.imwrite(str(root / str(digit) / f"{number}.png"), image)
    return root


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_python_m_runs_the_command_line():
    help_text = subprocess.run(
        [sys.executable, "-m", "nn_perception", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for command in COMMANDS:
        assert f"  {command} " in help_text
    assert "exit codes" in help_text


def test_help_imports_neither_torch_nor_ros():
    code = (
        "import sys\nfrom nn_perception.cli.main import build_parser\n"
        "build_parser().format_help()\n"
        "assert not {'torch', 'rclpy', 'cv2', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert len(capsys.readouterr().out) > 200


@pytest.mark.parametrize("words", [["trian"], ["train", "digit"], ["info", "/nowhere"]])
def test_wrong_words_give_exit_code_2_and_one_line(capsys, words):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "error" in err


def test_unknown_configuration_key_names_the_nearest(capsys, tmp_path):
    code, _, err = run(capsys, "train", "digits", "epoch=3", "--out", tmp_path / "m")
    assert code == 2
    assert "did you mean 'epochs'" in err
    (tmp_path / "c.yaml").write_text("batchsize: 3\n")
    code, _, err = run(capsys, "train", "digits", "--config", tmp_path / "c.yaml")
    assert code == 2
    assert "did you mean 'batch_size'" in err


def test_output_that_cannot_be_written_is_named_before_training(capsys, tmp_path, pictures):
    pytest.importorskip("torch")
    (tmp_path / "file").write_text("in the way")
    words = ["train", "digits", "network=mlp", "epochs=1", "--data", pictures]
    code, out, err = run(capsys, *words, "--out", tmp_path / "file" / "model")
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert "--out" in err
    assert "Traceback" not in err


def test_show_config_resolves_recipe_file_and_overrides(capsys, tmp_path):
    (tmp_path / "c.yaml").write_text("network: mlp\nepochs: 7\nseed: 3\n")
    code, out, _ = run(
        capsys, "train", "digits", "--config", tmp_path / "c.yaml", "--seed", 5,
        "augment.rotate_deg=1.5", "--show-config",
    )  # fmt: skip
    assert code == 0
    assert "network: mlp\n" in out
    assert "epochs: 7\n" in out
    assert "seed: 5\n" in out
    assert "rotate_deg: 1.5\n" in out


def test_train_evaluate_predict_info_on_pictures(capsys, tmp_path, pictures):
    """The whole line on a folder of pictures: train, then every command on the bundle."""
    pytest.importorskip("torch")
    bundle = tmp_path / "model"
    code, out, _ = run(
        capsys, "train", "digits", "--data", pictures, "--out", bundle, "network=mlp",
        "epochs=40", "batch_size=16", "validation_fraction=0.2", "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert load_bundle(bundle).id in out
    assert (bundle / "training" / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    code, out, _ = run(capsys, "evaluate", bundle, "--data", pictures, "--json", "-")
    figures = json.loads(out)
    assert code == 0
    assert figures["accuracy"] > 0.9
    assert figures["n"] == 120
    assert {"ece", "per_class", "confusion"} <= set(figures)
    files = [pictures / "3" / "0.png", pictures / "8" / "1.png"]
    for _ in range(2):  # a second measurement replaces the first
        assert run(capsys, "evaluate", bundle, "--data", pictures, "--card")[0] == 0
    card = (bundle / "README.md").read_text()
    assert card.count("## Measured") == 1
    assert f"{figures['accuracy']:.2%} of 120" in card
    assert load_bundle(bundle).id in card
    code, out, _ = run(capsys, "predict", bundle, *files, "--json", "-")
    answers = json.loads(out)["files"]
    assert code == 0
    assert [answer["label"] for answer in answers] == ["3", "8"]
    assert sum(answers[0]["scores"].values()) == pytest.approx(1.0)
    code, out, _ = run(capsys, "info", bundle)
    assert code == 0
    assert "101,770 parameters" in out
    assert "95.0 % above" in out
    assert "quantiles" not in out


def test_same_seed_gives_the_same_bundle(capsys, tmp_path, pictures):
    pytest.importorskip("torch")
    ids = []
    for seed in (1, 1, 2):
        out = tmp_path / f"model{len(ids)}"
        words = ["train", "digits", "--data", pictures, "--out", out, "--seed", seed]
        code, _, _ = run(capsys, *words, "network=mlp", "epochs=2", "--device", "cpu")
        assert code == 0
        ids.append(load_bundle(out).id)
    assert ids[0] == ids[1] != ids[2]


def test_evaluate_npz_and_write_report(capsys, tmp_path, tiny_bundle):
    draws = np.random.default_rng(0)
    path = tmp_path / "set.npz"
    images = draws.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    np.savez(path, images=images, labels=draws.integers(0, 10, 50))
    target = tmp_path / "figures" / "out.json"
    code, out, _ = run(
        capsys, "evaluate", tiny_bundle.path, "--data", path, "--json", target,
        "--report", tmp_path / "report",
    )  # fmt: skip
    assert code == 0
    assert "accuracy" in out
    assert json.loads(target.read_text())["n"] == 50
    assert "<img" in (tmp_path / "report" / "index.html").read_text()


def test_replay_prints_json_and_records_answers(capsys, tmp_path, bag, tiny_bundle):
    code, out, _ = run(
        capsys, "replay", bag, "--model", tiny_bundle.path, "--json", "-",
        "--out", tmp_path / "answers", "--report", tmp_path / "report",
    )  # fmt: skip
    figures = json.loads(out)
    assert code == 0
    assert figures["n"] == figures["replay"]["answered"] == 30
    with BagReader(tmp_path / "answers") as answers:
        assert answers.topics["/classification"].count == 30
    assert "latency" in (tmp_path / "report" / "index.html").read_text().lower()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "no_topic"])
def test_unusable_bag_gives_exit_code_2_and_one_line(capsys, tmp_path, bag, tiny_bundle, damage):
    path, words = tmp_path / "bag.mcap", []
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        data = next(bag.glob("*.mcap")).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif damage == "no_topic":
        path, words = bag, ["--topic", "image_raw=/nothing"]
    code, out, err = run(capsys, "replay", path, "--model", tiny_bundle.path, *words)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1


def test_predict_names_the_bad_file_and_answers_the_others(capsys, tmp_path, pictures, tiny_bundle):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    good = pictures / "1" / "0.png"
    code, out, err = run(
        capsys, "predict", tiny_bundle.path, tmp_path / "bad.png", good, "--json", "-"
    )
    files = json.loads(out)["files"]
    assert code == 2
    assert "bad.png" in err
    assert "error" in files[0]
    assert files[1]["label"] in "0123456789"


def test_tasks_lists_digits(capsys):
    code, out, _ = run(capsys, "tasks", "--json", "-")
    assert code == 0
    assert json.loads(out)[0]["name"] == "digits"


def test_download_of_an_unknown_set(capsys):
    code, _, err = run(capsys, "download", "mnits")
    assert code == 2
    assert "mnist" in err


def test_bench_lists_and_refuses_unknown_names(capsys):
    code, out, _ = run(capsys, "bench", "--list")
    assert code == 0
    assert "latency" in out
    code, _, err = run(capsys, "bench", "latncy")
    assert code == 2
    assert "did you mean 'latency'" in err
