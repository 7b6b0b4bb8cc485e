"""``nn-perception tune`` from its arguments to a bundle of the best configuration."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from nn_perception.cli.main import main

SPACE = """
learning_rate: [1e-3, 1e-2]
batch_size: [16, 32]
fixed:
  network: mlp
  epochs: 2
  compile: "off"
  network_arguments: {hidden: [4]}
  task_arguments: {samples: 120}
"""


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE)


def tune(*more):
    words = ["tune", "digits", "--space", "space.yaml", "--data", "builtin", "--workers", "0"]
    return main([*words, "--out", "found", *more])


def test_from_a_space_to_a_trained_network(tmp_path, capsys):
    grid = ("--sampler", "grid", "--folds", "2", "--pruner", "none")
    assert tune(*grid, "--trials", "1") == 0
    assert tune(*grid) == 0
    out = capsys.readouterr().out
    assert "train   nn-perception train digits --config found/best.yaml" in out
    assert len((tmp_path / "found" / "trials.csv").read_text().splitlines()) == 5
    assert "--space space.yaml" in (tmp_path / "found" / "best.yaml").read_text()
    assert (tmp_path / "found" / "index.html").is_file()
    best = ["train", "digits", "--config", "found/best.yaml", "--data", "builtin"]
    assert main([*best, "--out", "bundle"]) == 0
    assert (tmp_path / "bundle" / "model.onnx").is_file()
    assert tune(*grid, "epochs=3") == 2
    error = capsys.readouterr().err
    assert "configuration: epochs: 2 there, 3 here" in error
    assert "--out" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "--folds is 1; expected 2 or more"),
        (["--trials", "0"], "--trials is 0"),
        (["epochs=0"], "'epochs' is 0"),
        (["batch_size=8"], "set by the command line"),
        (["--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--folds", "500"], "cannot make 500 folds"),
        (["--storage", "mysqll://user:secret@host/name"], "cannot open the storage"),
        (["--recipe", "mlpp"], "did you mean 'mlp'"),
        (["--space", "gone.yaml"], "gone.yaml"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys, tmp_path):
    assert tune(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert not list(tmp_path.glob("found/*.yaml"))


def test_without_optuna_the_command_says_what_to_install(monkeypatch, capsys):
    from nn_perception.tuning import plan

    def missing(name):
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(plan.importlib, "import_module", missing)
    with pytest.raises(Exception, match=r"pip install 'nn-perception\[tune\]'"):
        plan.require_optuna()
