import json
import math

import pytest

from nn_perception.errors import ConfigError
from nn_perception.studies.uwb_adaptation_report import plot_curves, write_report
from nn_perception.studies.uwb_curves import (
    ADAPTED,
    CONSTANTS,
    OTHERS,
    SCRATCH,
    Curves,
    FlightCurve,
    Point,
    checked_minutes,
    judged_from_s,
)

MINUTES = (0.0, 1.0, 2.0)


def point(minutes, value):
    few = None if minutes == 0 else value
    return Point(minutes, {ADAPTED: value, SCRATCH: few, CONSTANTS: few, OTHERS: 0.5})


def flight(name, values):
    points = tuple(point(m, v) for m, v in zip(MINUTES, values, strict=False))
    return FlightCurve(name, 300.0, 120.0, 1000, 0.3, points)


@pytest.fixture
def curves():
    return Curves(MINUTES, [flight("long", (0.4, 0.2, 0.1)), flight("short", (0.2, 0.1))])


def test_means_are_over_the_flights_that_have_the_point(curves):
    assert curves.common == (0.0, 1.0)
    rows = curves.rows()
    assert [row[:2] for row in rows] == [("0", "2 of 2"), ("1", "2 of 2"), ("2", "1 of 2")]
    assert [row[2] for row in rows] == pytest.approx([0.3, 0.15, 0.1])
    assert rows[0][3:] == (None, None, 0.5)
    assert all(len(row) == len(curves.HEADER) for row in rows)
    assert all(len(row) == len(curves.FLIGHT_HEADER) for row in curves.flight_rows())
    assert len(curves.flight_rows()) == 5
    figures = json.loads(json.dumps(curves.to_dict(), allow_nan=False))
    assert [entry["flights"] for entry in figures["mean_rmse_m"]][-1] == ["long"]
    assert math.isclose(figures["mean_rmse_m"][1][ADAPTED], 0.15)
    assert figures["flights"][1]["points"][0]["rmse_m"][SCRATCH] is None


def test_no_more_than_three_fifths_of_a_flight_are_given():
    assert judged_from_s(300.0, (0.0, 1.0)) == 60.0
    assert judged_from_s(90.0, (0.0, 1.0)) == pytest.approx(54.0)


@pytest.mark.parametrize("minutes", [(), (0.0,), (1.0, 1.0), (-1.0,), (math.nan,), (61.0,)])
def test_impossible_minutes_are_refused(minutes):
    with pytest.raises(ConfigError, match="give 0"):
        checked_minutes(minutes)


def test_minutes_are_put_in_order():
    assert checked_minutes((2.0, 0.0, 0.5)) == (0.0, 0.5, 2.0)


def test_the_picture_and_the_page_are_made_of_any_curves(curves, tmp_path):
    data = plot_curves(curves, tmp_path / "curves.png")
    assert data == (tmp_path / "curves.png").read_bytes()
    lone = Curves((0.0, 1.0), [flight("<one>", (0.4,))])
    assert plot_curves(lone).startswith(b"\x89PNG")
    facts = {
        "site": "drone",
        "data": {"long": "0" * 64},
        "seed": 0,
        "training": {"seed": 0},
        "notes": ["short lasts 100 s"],
        "environment": {"cpu": "a quick one"},
    }
    page = write_report(tmp_path / "report", lone, facts)
    text = page.read_text(encoding="utf-8")
    assert "&lt;one&gt;" in text
    assert "short lasts 100 s." in text
    assert "a quick one" in text
    assert json.loads((page.parent / "metrics.json").read_text())["flights"][0]["name"] == "<one>"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another --out"):
        write_report(tmp_path / "file" / "report", curves, facts)
