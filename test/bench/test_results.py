import json

import pytest

from nn_perception.bench import BENCHMARKS, Measurement, environment, load
from nn_perception.bench.results import merge, update_readme
from nn_perception.errors import ConfigError

ROW = Measurement("speed | of light", 299_792.0, "km/s", "≥ 1", True, "in vacuum")


def test_every_benchmark_can_be_imported():
    pytest.importorskip("torch")
    for name in BENCHMARKS:
        assert callable(load(name))


def test_results_of_several_runs_are_merged(tmp_path):
    target = str(tmp_path / "a" / "bench.json")
    merge(target, {"one": [ROW]})
    merge(target, {"two": [ROW, ROW]})
    results = json.loads((tmp_path / "a" / "bench.json").read_text())
    assert {name: len(e["measurements"]) for name, e in results["benchmarks"].items()} == {
        "one": 1,
        "two": 2,
    }
    assert results["environment"]["python"] == environment()["python"]


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ConfigError):
        merge(str(tmp_path / "x.json"), {"one": [ROW]})
    assert (tmp_path / "x.json").read_text() == "[1]"


def test_readme_gets_the_table_between_its_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    missed = Measurement("x", 0.5, goal="≤ 0.1", passed=False)
    update_readme(readme, merge(None, {"one": [ROW, missed]}))
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| speed \\| of light | **299,792 km/s** ✓ | ≥ 1 | in vacuum |" in text
    assert "✗ missed" in text
    assert "`nn-perception bench one`" in text
    (tmp_path / "plain.md").write_text("no marks")
    with pytest.raises(ConfigError, match="marks"):
        update_readme(tmp_path / "plain.md", merge(None, {}))
