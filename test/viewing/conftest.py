"""Bags of all kinds of messages, and what stands in a recording."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bags import BagWriter

START_NS = 1_700_000_000 * 10**9
MS = 1_000_000


def at(ms):
    return START_NS + round(ms * MS)


@pytest.fixture(autouse=True)
def _no_real_data(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


@pytest.fixture(autouse=True)
def _needs_rerun(request):
    if "without_rerun" not in request.keywords:
        pytest.importorskip("rerun", reason="needs rerun-sdk: pip install nn-perception[view]")


@pytest.fixture
def write_bag(tmp_path):
    """Return a function that writes (topic, type, bag time, message) as a bag, in this order."""

    def write(name, entries):
        path = tmp_path / name
        with BagWriter(path) as bag:
            added = set()
            for topic, kind, time_ns, message in entries:
                if topic not in added:
                    bag.add_topic(topic, kind)
                    added.add(topic)
                bag.write(topic, time_ns, message)
        return path

    return write


def make(kind, *values, **fields):
    return message_class(kind)(*values, **fields)


class Recorded:
    """What a recording holds, by entity: stamps and component values in order of the stamps."""

    def __init__(self, path):
        from rerun.chunk import RrdReader

        self.path = path
        self.static, self.timelines, rows = {}, set(), {}
        for chunk in RrdReader(str(path)).stream().to_chunks():
            batch = chunk.to_record_batch()
            entity = chunk.entity_path.lstrip("/")
            columns = {
                name: batch.column(name).to_pylist() for name in batch.schema.names if ":" in name
            }
            if chunk.is_static:
                values = {name: column[0] for name, column in columns.items()}
                self.static.setdefault(entity, {}).update(values)
                continue
            self.timelines.update(chunk.timeline_names)
            stamps = np.asarray(batch.column("ros_time").to_numpy(zero_copy_only=False))
            for row, stamp in enumerate(stamps.astype("datetime64[ns]").astype(np.int64).tolist()):
                values = {name: column[row] for name, column in columns.items()}
                rows.setdefault(entity, []).append((stamp, values))
        self.rows = {
            entity: sorted(found, key=lambda row: row[0]) for entity, found in rows.items()
        }

    def stamps(self, entity):
        return [stamp for stamp, _ in self.rows[entity]]

    def values(self, entity, component):
        """The values of a component, a list for each row."""
        return [values[component] for _, values in self.rows[entity]]

    def numbers(self, entity):
        return np.array(self.values(entity, "Scalars:scalars"))

    def quaternions(self, entity):
        return np.array(self.values(entity, "Transform3D:quaternion"))[:, 0]

    def positions(self, entity):
        return np.array(self.values(entity, "Transform3D:translation"))[:, 0]

    def boxes_xywh(self, entity):
        """(N, 4) of each row."""
        rows = []
        for _, values in self.rows[entity]:
            centres = np.reshape(values["Boxes2D:centers"], (-1, 2))
            halves = np.reshape(values["Boxes2D:half_sizes"], (-1, 2))
            rows.append(np.concatenate((centres - halves, 2 * halves), axis=1))
        return rows


@pytest.fixture
def record(tmp_path):
    """Return a function that makes a recording of bags and reads it back."""
    from nn_perception.viewing.view import ViewSettings, view_bags

    count = 0

    def view(*paths, models=(), **settings):
        nonlocal count
        count += 1
        out = tmp_path / f"view_{count}.rrd"
        summary = view_bags(paths, out, models, ViewSettings(**settings))
        return SimpleNamespace(summary=summary, found=Recorded(out), path=out)

    return view


def verified(path):
    """What Rerun's own program says of a file."""
    command = [sys.executable, "-m", "rerun", "rrd", "verify", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)
