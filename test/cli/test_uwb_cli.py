"""evaluate and replay with UWB ranges and a bundle of random weights."""

from __future__ import annotations

import json

import pytest

from nn_perception.cli.main import main
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_simulated import simulate_uwb

pytest.importorskip("rosbags")

METHODS = {"raw", "constant", "learned"}


@pytest.fixture(scope="module")
def bundle(make_uwb_bundle):
    """Return the path of a bundle that keeps no anchors of its own."""
    return make_uwb_bundle().path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uwb")
    write_uwb_bag(simulate_uwb(3, duration_s=5.0, anchors=5), folder / "one")
    write_uwb_bag(simulate_uwb(4, duration_s=5.0, tags=2, anchors=5), folder / "two")
    return folder


def test_evaluate_takes_the_anchors_of_the_recordings(capsys, tmp_path, bundle, folder):
    pytest.importorskip("matplotlib")
    words = ["evaluate", str(bundle), "--data", str(folder), "--json", "-"]
    assert main([*words, "--report", str(tmp_path / "page")]) == 0
    figures = json.loads(capsys.readouterr().out)
    for key in ("range_rmse_m", "position_rmse_m", "position_p95_m", "normalised_innovation"):
        assert set(figures[key]) == {*METHODS, "per_sequence"}
        assert set(figures[key]["per_sequence"]) == {"one", "two"}
        assert set(figures[key]["per_sequence"]["one"]) == METHODS
    assert figures["left_out"] == {}
    assert (tmp_path / "page" / "index.html").is_file()
    assert main(["evaluate", str(bundle), "--data", str(folder), "--tum", str(tmp_path)]) == 2
    assert "the task 'uwb' has none" in capsys.readouterr().err


def test_evaluate_refuses_other_radios(capsys, bundle):
    assert main(["evaluate", str(bundle), "--data", "simulated"]) == 2
    assert "other radios: it is of 'simulated', the model of 'test'" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "tags"), [("one", 1), ("two", 2)])
def test_replay_takes_anchors_and_tags_of_the_bag(capsys, tmp_path, bundle, folder, name, tags):
    words = ["replay", str(folder / name), "--model", str(bundle), "--json", "-"]
    words += ["--set", "outliers=mark", "--set", "pass_through=true"]
    assert main([*words, "--out", str(tmp_path / "answers")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["range_rmse_m"]["per_sequence"]) == {name}
    ranges = [each for each in figures["replay"]["topics"] if each.endswith("range")]
    assert len(ranges) == tags
    assert figures["ranges"] == figures["replay"]["answered"]


def test_replay_takes_anchors_that_are_set(capsys, bundle, folder):
    words = ["replay", str(folder / "one"), "--model", str(bundle), "--json", "-"]
    words += ["--set", "anchors=anchor0: 1 2 3; anchor1: 0 0 1; anchor2: 5 0 2"]
    words += ["--set", "outliers=mark"]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["replay"]["bad_messages"]["unknown_anchor"] > 0
    assert figures["range_rmse_m"]["raw"] is None or figures["range_rmse_m"]["raw"] > 0.3
    assert main([*words[:4], "--set", "anchors=nonsense"]) == 2
    assert "anchor" in capsys.readouterr().err
