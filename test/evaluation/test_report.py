from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.evaluation.classification import (
    ClassificationAccumulator,
    classification_metrics,
)
from nn_perception.evaluation.report import Report, write_classification_report

EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data + "\n"


def write(tmp_path: Path, **changes) -> tuple[Page, dict]:
    names = ["0", "1", EVIL]
    scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3]])
    arguments = {
        "title": f"digits {EVIL}",
        "metrics": classification_metrics(scores, [0, 1, 2], names),
        "wrong": [(np.zeros((28, 28), np.uint8), EVIL, "1", 0.6)],
        "latency": {"decode": np.full(5, 1e-5), "engine": np.full(5, 2e-5)},
        "history": [{"epoch": 1, "train_loss": 0.5, "validation_accuracy": 0.9}],
        "facts": {"bundle": EVIL, "frames": 3, "gap": float("nan")},
    }
    path = write_classification_report(tmp_path / "a" / "report", **{**arguments, **changes})
    assert path == tmp_path / "a" / "report" / "index.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    return page, json.loads((path.parent / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _needs_matplotlib() -> None:
    pytest.importorskip("matplotlib")


def test_the_page_holds_the_figures_and_stands_alone(tmp_path: Path) -> None:
    page, metrics = write(tmp_path)
    assert "66.67 %" in page.text
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert metrics["latency_ms"]["engine"]["p50"] == pytest.approx(0.02)
    assert metrics["facts"] == {"bundle": EVIL, "frames": 3, "gap": None}
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 6
    for attributes in pictures:
        kind, data = str(attributes["src"]).split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert attributes["alt"]
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}


def test_every_text_is_escaped(tmp_path: Path) -> None:
    page, _ = write(tmp_path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(EVIL) >= 4  # title twice, fact, class table: as text


def test_pictures_lie_beside_the_page(tmp_path: Path) -> None:
    write(tmp_path)
    names = {path.name for path in (tmp_path / "a" / "report").glob("*.png")}
    assert names == {
        "confusion.png", "wrong_answers.png", "accuracy_per_class.png", "calibration.png",
        "latency.png", "learning_curve.png",
    }  # fmt: skip


def test_end_to_end_latency_is_the_sum_of_the_stages(tmp_path: Path) -> None:
    page, _ = write(tmp_path)
    row = page.text[page.text.rindex("all stages") :]
    assert row.split("\n")[1].strip() == "30 µs"
    page, _ = write(tmp_path, latency={"decode": [1e-5], "engine": [1e-5, 1e-5]})
    assert "all stages" not in page.text


def test_parts_without_data_are_left_out(tmp_path: Path) -> None:
    empty = ClassificationAccumulator(("a", "b")).metrics()
    page, metrics = write(
        tmp_path, metrics=empty, wrong=[], latency={"engine": []}, history=None, facts={}
    )
    assert metrics["accuracy"] is None
    assert "img" not in {tag for tag, _ in page.tags}
    perfect = classification_metrics([[1.0, 0.0]], [0], ("a", "b"))
    page, _ = write(tmp_path, metrics=perfect, wrong=[], latency=None, history=[])
    assert re.search(r"Wrong answers\s+None", page.text)


def test_the_most_confident_errors_come_first_and_are_limited(tmp_path: Path) -> None:
    blank = np.zeros((8, 8), np.uint8)
    page, _ = write(tmp_path, wrong=[(blank, "0", "1", score / 100) for score in range(60)])
    assert "48 of 1 wrong" in page.text


def test_parts_of_a_report(tmp_path: Path) -> None:
    report = Report("Title", "Subtitle")
    report.text("Words", "one & two", EVIL)
    report.keyvalues("Values", {EVIL: EVIL})
    rows = [("1", 1.23456, 12345, EVIL), ("2", float("nan"), None, "x")]
    report.table("Table", rows, ("name", "float", "count", "text"), caption=EVIL)
    report.figure(EVIL, b"\x89PNG\r\n\x1a\n" + bytes(20), EVIL)
    report.figure(EVIL, b"\x89PNG\r\n\x1a\n" + bytes(20))
    report.metrics = {"x": np.float32("inf"), "y": np.arange(2), "z": {"p": Path("q")}, "b": True}
    page = Page(report.write(tmp_path).read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    for text in ("one & two", "1.235", "12,345", "\N{EN DASH}"):
        assert text in page.text
    header = [attributes.get("class") for tag, attributes in page.tags if tag == "th"]
    assert header == [None, "number", "number", None]
    assert len(list(tmp_path.glob("*.png"))) == 2
    figures = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert figures == {"x": None, "y": [0, 1], "z": {"p": "q"}, "b": True}


@pytest.mark.parametrize("row", [("a", "b", "c"), ("a",)])
def test_a_table_with_a_row_of_a_wrong_length_is_refused(row: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        Report("Title").table("Table", [row], ("x", "y"))
