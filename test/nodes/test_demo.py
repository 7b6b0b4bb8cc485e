"""The demo as a user runs it: one command, real processes, real DDS, a report at the end."""

import json
import os
import subprocess
import sys

from nn_perception.bundle import load_bundle
from nn_perception.datasets.bags import BagReader

FRAMES = 60


def test_the_whole_loop_in_one_command(tmp_path, domain_id):
    environment = {k: v for k, v in os.environ.items() if k != "NN_PERCEPTION_DATA"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    words = ["demo", "--out", str(tmp_path / "out"), "--json", "-", "--domain-id", str(domain_id)]
    answer = subprocess.run(
        [sys.executable, "-m", "nn_perception", *words, "--frames", str(FRAMES)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    figures = json.loads(answer.stdout)
    assert figures["frames_in"] == figures["frames_out"] == figures["live_equals_replay"] == FRAMES
    assert figures["frames_lost"] == 0
    assert figures["accuracy"] > 0.9
    assert {"publish to result", "  node: engine"} <= set(figures["latency_ms"])
    for network in ("mlp", "digit_cnn"):
        assert load_bundle(tmp_path / "out" / "models" / network).id == figures["bundles"][network]
    with BagReader(tmp_path / "out" / "bag") as bag:
        assert bag.topics["/image_raw"].count == bag.topics["/label"].count == FRAMES
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert page.count("<img") >= 4
    assert "hot swap" in answer.stderr
