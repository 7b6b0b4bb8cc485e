import json

import pytest

from nn_perception.cli.main import main
from nn_perception.errors import ConfigError
from nn_perception.studies import STUDIES, load

QUICK = ("--steps", 3, "--batch", 4, "--points", 8, "--widths", "8,16", "--hidden", 8)


@pytest.fixture(autouse=True)
def few_pairs_of_made_up_shapes(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.studies.rotation_heads.PAIRS", 60)
    monkeypatch.setattr("nn_perception.studies.rotation_heads.VALIDATION_PAIRS", 20)
    monkeypatch.setattr("nn_perception.studies.clouds.MADE_UP_SHAPES", {"train": 20, "test": 10})


def run(capsys, *words):
    code = main(["study", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_prints_a_table_and_writes_the_report(capsys, tmp_path):
    code, out, _ = run(capsys, "rotation-heads", *QUICK, "--out", tmp_path / "report")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert {"head", "quaternion", "6d", "svd", "report"} <= set(lines)
    assert "made-up aeroplanes: 16 shapes for training" in out
    assert (tmp_path / "report" / "index.html").is_file()


def test_json_has_the_figures_and_repeats(capsys, tmp_path):
    words = ("rotation-heads", *QUICK, "--heads", "svd", "6d", "--seeds", 4, 2, "--json", "-")
    figures = []
    for name in ("a", "b"):
        code, out, err = run(capsys, *words, "--out", tmp_path / name)
        assert code == 0
        assert "svd, seed 4" in err
        figures.append(json.loads(out))
    first = figures[0]
    assert first["study"] == "rotation-heads"
    assert (first["test_pairs"], first["seeds"]) == (60, [4, 2])
    assert first["protocol"]["widths"] == [8, 16]
    assert first["data"]["test"]["shapes"] == 10
    assert list(first["heads"]) == ["svd", "6d"]
    svd = first["heads"]["svd"]
    assert {"mean_deg", "median_deg", "p95_deg", "by_rotation_angle", "runs"} <= set(svd)
    assert sum(part["pairs"] for part in svd["by_rotation_angle"]) == 60
    assert [entry["seed"] for entry in svd["runs"]] == [4, 2]
    for entry in figures:
        for head in entry["heads"].values():
            for part in head["runs"]:
                assert part.pop("seconds") > 0
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--heads", "euler"), "there are: quaternion, 6d, svd"),
        (("--steps", 0), "steps: got 0"),
        (("--widths", "64;128"), "widths: got '64;128'"),
        (("--seeds", -1), "seeds: got -1"),
        (("--threads", 0), "threads: got 0"),
        (("--points", 5000), "1 to 256 points"),
        (("--data", "/nowhere"), "no point clouds there"),
    ],
)
def test_bad_arguments_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, "rotation-heads", *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]


def test_a_directory_that_cannot_be_made_is_told_before_training(capsys, tmp_path, monkeypatch):
    monkeypatch.delattr("nn_perception.studies.alignment.train")
    (tmp_path / "file").touch()
    code, _, err = run(capsys, "rotation-heads", *QUICK, "--out", tmp_path / "file" / "report")
    assert code == 2
    assert "choose another --out" in err


def test_an_unknown_study_is_refused_with_the_nearest_name(capsys):
    code, out, err = run(capsys, "rotation-hats", "--seeds", 1)
    assert (code, out) == (2, "")
    assert "did you mean 'rotation-heads'" in err
    with pytest.raises(ConfigError, match="did you mean 'rotation-heads'"):
        load("rotation-hats")


def test_without_a_name_all_are_listed(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    lines = out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all(text in line for line, (_, text) in zip(lines, STUDIES.values(), strict=True))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_help(capsys, name):
    with pytest.raises(SystemExit) as stopped:
        main(["study", name, "--help"])
    assert stopped.value.code == 0
    assert "--out" in capsys.readouterr().out
