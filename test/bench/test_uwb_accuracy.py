"""The pieces that the benchmark of the task `uwb` is judged on."""

import numpy as np
import pytest

from nn_perception.bench import BENCHMARKS, LONG
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.tasks.uwb.data import BLOCKS, piece_of_time


def test_it_runs_only_when_named():
    """It trains for long, and looks at test data."""
    assert BENCHMARKS["uwb-accuracy"][0] == "nn_perception.bench.uwb_accuracy:run"
    assert "uwb-accuracy" in LONG
    assert set(LONG) <= set(BENCHMARKS)


@pytest.mark.parametrize("duration_s", [1.0, 7.3, 60.0])
def test_each_range_is_in_one_fifth_of_the_time(duration_s):
    flight = simulate_uwb(1, duration_s=duration_s, anchors=3)
    pieces = piece_of_time(flight)
    assert pieces.shape == (len(flight),)
    assert set(pieces) == set(range(BLOCKS)) == set(range(5))
    assert (np.diff(pieces) >= 0).all()
    lasting = np.bincount(pieces) / len(flight)
    np.testing.assert_allclose(lasting, 0.2, atol=2.0 / len(flight))
    # The pieces go by time, not by rows: with half of the last rows gone the borders stay.
    thinned = np.arange(len(flight)) % 2 == 0
    thinned[: len(flight) // 2] = thinned[-1] = True
    np.testing.assert_array_equal(piece_of_time(flight.select(thinned)), pieces[thinned])


def test_a_single_range_is_in_the_first_fifth():
    flight = simulate_uwb(1, duration_s=1.0)
    only = np.arange(len(flight)) == 5
    np.testing.assert_array_equal(piece_of_time(flight.select(only)), [0])
