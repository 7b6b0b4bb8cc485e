"""Pictures and tables that the studies leave for the guides."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from nn_perception.errors import ConfigError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run_studies(monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in ("run_studies", "update_docs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("run_studies")


def test_pictures_shown_are_the_first_or_those_of_titles(run_studies):
    from nn_perception.evaluation.html_page import Report

    one, two = b"\x89PNG" + bytes(20), b"\x89PNG" + bytes(range(20))
    report = Report("t")
    report.figure("one & first", one)
    report.figure("two", two)
    page = report.html()
    assert run_studies.shown_pictures(page) == {"one & first": one}
    both = run_studies.shown_pictures(page, ("two", "one & first"))
    assert list(both.items()) == [("two", two), ("one & first", one)]
    with pytest.raises(ConfigError, match="three"):
        run_studies.shown_pictures(page, ("two", "three"))
    with pytest.raises(ConfigError):
        run_studies.shown_pictures(Report("t").html())


def test_the_first_table_of_a_page_comes_as_text(run_studies):
    from nn_perception.evaluation.html_page import Report

    report = Report("t")
    report.keyvalues("Facts", {"a": 1})
    report.table("T", [("x < y", 1.5), ("z", 2)], ("name", "value"))
    report.table("U", [("n", 1)], ("name", "value"))
    found = run_studies.first_table(report.html())
    assert found == (["name", "value"], [["x < y", "1.5"], ["z", "2"]])
    with pytest.raises(ConfigError, match="table"):
        run_studies.first_table(Report("t").html())


def test_a_trial_never_gets_into_the_guides(run_studies, tmp_path, monkeypatch):
    from nn_perception.evaluation.html_page import Report

    monkeypatch.setattr(run_studies, "WORK", tmp_path / "work")
    monkeypatch.setattr(run_studies, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(run_studies, "reduced", lambda png: png)
    report = Report("t")
    report.figure("Rates", b"\x89PNG" + bytes(20))
    table = {"command": "c", "header": ["a"], "rows": [["1"]], "seconds": 1.0, "machine": ["m"]}
    for extra, wrong in ((["--epochs", "1"], 1), ([], 0)):
        page = report.write(tmp_path / "work" / "epochs")
        (page.parent / "outcome.json").write_text(json.dumps({**table, "extra": extra}))
        found = run_studies.run_all(["epochs"], [], tmp_path / "pictures", again=True)
        assert len(found) == wrong
        assert (tmp_path / "pictures" / "epochs.png").is_file() == (not wrong)
    late = {**table, "seconds": 181.0, "extra": []}
    (page.parent / "outcome.json").write_text(json.dumps(late))
    (found,) = run_studies.run_all(["epochs"], [], tmp_path / "pictures", again=True)
    assert "181 s, expected 180 s" in found


def test_a_large_picture_is_reduced(run_studies, monkeypatch):
    import io

    import numpy as np
    from PIL import Image

    monkeypatch.setattr(run_studies, "LARGEST_BYTES", 15_000)
    monkeypatch.setattr(run_studies, "_WIDTHS_PX", (320, 240, 160))
    draw = np.random.default_rng(0)
    rough = draw.integers(0, 256, (100, 320, 3), np.uint8)
    smooth = np.broadcast_to(np.arange(320)[:, None] // 8 * 6, rough.shape).astype(np.uint8)
    noisy = np.where(draw.random(rough.shape) < 0.8, rough, smooth)
    for pixels, narrower in ((smooth, False), (noisy, True)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "png")
        made = run_studies.reduced(buffer.getvalue())
        picture = Image.open(io.BytesIO(made))
        assert len(made) <= run_studies.LARGEST_BYTES
        assert (picture.width < 320) == narrower
        assert picture.height / picture.width == pytest.approx(100 / 320, rel=0.02)
        shown = np.asarray(picture.convert("RGB").resize((80, 25))).astype(float)
        whole = np.asarray(Image.fromarray(pixels).resize((80, 25))).astype(float)
        assert abs(shown - whole).mean() < 16
    monkeypatch.setattr(run_studies, "LARGEST_BYTES", 100)
    with pytest.raises(ConfigError, match="bytes"):
        run_studies.reduced(buffer.getvalue())


def test_what_was_run_becomes_a_table_in_a_page(run_studies, tmp_path, monkeypatch):
    from nn_perception.evaluation.html_page import Report
    from nn_perception.evaluation.plot_style import Canvas

    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run_studies, "SHOWN", {})
    monkeypatch.setattr(run_studies.update_docs, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(run_studies.update_docs, "ROOT", tmp_path)
    report = Report("t")
    with Canvas(2.0) as canvas:
        report.figure("Rates", canvas.png(None))
    outcome = {
        "command": "nn-perception study learning-rate --seeds 1",
        "header": ["rate", "loss"],
        "rows": [["a", "0.5"], ["b", "1e-05"]],
        "seconds": 12.3,
        "machine": ["2 cores", "torch 2"],
    }
    pictures = tmp_path / "docs" / "images" / "studies"
    run_studies.leave("learning-rate", outcome, report.html(), pictures)
    page = tmp_path / "docs" / "lectures" / "page.md"
    block = run_studies.update_docs.study_block("learning-rate", page, pytest.fail)
    assert block.startswith("![Rates](../images/studies/learning-rate.png)\n\n| rate | loss |")
    assert "| --- | ---: |\n| a | 0.5 |\n| b | 1e-05 |" in block
    assert "`nn-perception study learning-rate --seeds 1`, 12 s on 2 cores, torch 2." in block
    (pictures / "learning-rate.png").unlink()
    missing = []
    run_studies.update_docs.study_block("learning-rate", page, missing.append)
    assert len(missing) == 1
