"""Rows of ranges that are made up, and recordings in the place of the simulated ones."""

import numpy as np
import pytest

from nn_perception.datasets import uwb_data
from nn_perception.rotations import quat_exp, quat_to_matrix
from nn_perception.tasks.uwb.data import RangeData, RangeRows


@pytest.fixture(scope="session")
def make_rows():
    """Return a function: N, seed -> rows with random poses and errors of about 0.1 m."""

    def make(n=60, seed=0, *, tags=2, anchors=4, rooms=1):
        draw = np.random.default_rng(seed)
        places = np.random.default_rng(99)
        at = places.uniform(0.0, 6.0, (rooms, anchors, 3))
        turns = quat_to_matrix(quat_exp(places.normal(0.0, 1.0, (rooms, anchors, 3))))
        room, anchor = draw.integers(rooms, size=n), draw.integers(anchors, size=n)
        return RangeRows(
            error_m=draw.normal(0.0, 0.1, n),
            tag=draw.integers(tags, size=n),
            anchor=anchor,
            room=room,
            block=draw.integers(5, size=n),
            tag_m=draw.uniform(0.0, 6.0, (n, 3)),
            body=quat_to_matrix(quat_exp(draw.normal(0.0, 1.0, (n, 3)))),
            anchor_m=at[room, anchor],
            anchor_body=turns[room, anchor],
            count=draw.integers(1, 7, n).astype(float),
        )

    return make


@pytest.fixture(scope="session")
def data_of():
    """Return a function: rows -> the data of a training run, with names for tags and anchors."""

    def make(rows, tags=2, anchors=4, rooms=1):
        names = tuple(f"tag{n}" for n in range(tags)), tuple(f"anchor{n}" for n in range(anchors))
        return RangeData(rows, "test", *names, rooms, (), {})

    return make


@pytest.fixture
def recordings(monkeypatch):
    """Return a function: these recordings are what training loads without a path."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)

    def install(*found):
        monkeypatch.setattr(uwb_data, "simulated_uwb", lambda seeds: list(found))

    return install
