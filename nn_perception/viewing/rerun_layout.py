"""The layout of a recording: cameras to the left, spaces in the middle, plots to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nn_perception.viewing.rerun_recording import TIMELINE, require_rerun
from nn_perception.viewing.views import View

MANY = 4
"""Views of a kind from which on they stand behind one another."""


def layout(views: Mapping[View, Sequence[str]]) -> Any:
    """Return Rerun's blueprint for the views of a recording and their entities."""
    require_rerun()
    import rerun.blueprint as rrb

    made: dict[str, list[Any]] = {}
    groups = {view.group for view in views}
    for view, entities in views.items():
        title = f"{view.name} · {view.group}" if len(groups) > 1 else view.name
        made.setdefault(view.kind, []).append(_view(rrb, view, title, entities))
    plots = list(made.get("plot", []))
    if "detail" in made:
        plots.append(rrb.Tabs(*made["detail"], name="Ranges"))
    plots += made.get("last", [])
    pictures, texts = _stacked(rrb, made.get("picture", [])), _stacked(rrb, made.get("text", []))
    columns = [
        _column(rrb, [*pictures, *texts], [*(3 for _ in pictures), *(1 for _ in texts)]),
        _column(rrb, _stacked(rrb, made.get("space", []))),
        rrb.Grid(*plots, grid_columns=2) if len(plots) >= 2 * MANY else _column(rrb, plots),
    ]
    filled = [(column, share) for column, share in zip(columns, (4, 3, 4), strict=True) if column]
    rows = []
    if filled:
        shares = [share for _, share in filled]
        rows.append(rrb.Horizontal(*(column for column, _ in filled), column_shares=shares))
    return rrb.Blueprint(
        _column(rrb, [*rows, *made.get("log", [])], [5 for _ in rows]),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        auto_views=False,
    )


def _view(rrb: Any, view: View, title: str, entities: Sequence[str]) -> Any:
    if view.kind == "picture":
        return rrb.Spatial2DView(origin=entities[0], name=title)
    if view.kind == "text":
        return rrb.TextDocumentView(origin=entities[0], name=title)
    contents = [f"{entity}/**" for entity in entities]
    if view.kind == "log":
        return rrb.TextLogView(origin="/", contents=contents, name=title)
    if view.kind == "space":
        # The space around the first entity: the path above it.
        origin = entities[0].rpartition("/")[0]
        return rrb.Spatial3DView(origin=origin, name=title)
    return rrb.TimeSeriesView(origin="/", contents=contents, name=title)


def _stacked(rrb: Any, views: list[Any]) -> list[Any]:
    return [rrb.Tabs(*views)] if len(views) >= MANY else views


def _column(rrb: Any, views: list[Any], shares: Sequence[int] = ()) -> Any:
    """Return views one below the other; those without a share have 1."""
    if len(views) < 2:
        return next(iter(views), None)
    more = [1] * (len(views) - len(shares))
    return rrb.Vertical(*views, row_shares=[*shares, *more])
