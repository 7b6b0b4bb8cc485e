"""The bias remembered from rest: in any pieces the same, right at rest, unmoved by motion."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.inertial.rest import (
    SETTLING_S,
    SMOOTHING_S,
    Remembered,
    RestMemory,
    first_state,
    remember,
    smooth,
)

THRESHOLDS = np.array([0.2, math.radians(2.0), 0.4, math.radians(0.7)])
DT = 0.005
DECAY = math.exp(-DT / SMOOTHING_S)
BIAS = np.array([0.004, -0.003, 0.006])


def rest(count, seed=0, bias=BIAS):
    draw = np.random.RandomState(seed)
    noise = draw.standard_normal((count, 6)) * 0.003
    noise[:, 3:] = draw.standard_normal((count, 3)) * 0.03 + [0.0, 0.0, 9.81]
    noise[:, :3] += bias
    return noise


def motion(count, seed=1, size=1.0):
    """Slow and quick turns, as of a hand."""
    draw = np.random.RandomState(seed)
    time_s = DT * np.arange(count)[:, None]
    hertz, phase = draw.uniform(0.3, 3.0, 6), draw.uniform(0.0, 6.28, 6)
    moved = np.sin(2 * np.pi * hertz * time_s + phase) * ([size] * 3 + [3.0 * size] * 3)
    return rest(count, seed) + moved


def run(samples, thresholds=THRESHOLDS, state=None, dt=None):
    """One sensor through `remember`; arrays without the leading axis."""
    dt = np.full((1, len(samples), 1), DT) if dt is None else dt[None, :, None]
    state = first_state(samples[None]) if state is None else state
    seen, after = remember(state, samples[None], dt, DECAY, thresholds)
    return Remembered(*(part[0] for part in seen)), after


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.967, 0.9999, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000])
def test_smooth_equals_a_loop(decay, count):
    draw = np.random.RandomState(0)
    values, y = draw.standard_normal((2, count, 3)), draw.standard_normal((2, 3))
    found = smooth(np, values, y, decay)
    for k in range(count):
        y = decay * y + (1.0 - decay) * values[:, k]
        np.testing.assert_allclose(found[:, k], y, atol=1e-10)


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=12))
def test_in_any_pieces_equals_the_whole(sizes):
    half = sum(sizes) // 2
    samples = np.concatenate([rest(half), motion(sum(sizes) - half)])
    dt = np.random.RandomState(2).uniform(0.004, 0.006, len(samples))
    whole, last = run(samples, dt=dt)
    state, at = first_state(samples[None]), 0
    for size in sizes:
        piece = slice(at, at + size)
        seen, state = run(samples[piece], state=state, dt=dt[piece])
        for part, expected in zip(seen, whole, strict=True):
            np.testing.assert_allclose(part, expected[piece], atol=1e-9)
        at += size
    for part, expected in zip(state, last, strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-9)


def test_sensors_do_not_know_of_each_other():
    both = np.stack([rest(300), motion(300)])
    dt = np.full((2, 300, 1), DT)
    seen, _ = remember(first_state(both), both, dt, DECAY, THRESHOLDS)
    for i in range(2):
        alone, _ = run(both[i])
        for part, expected in zip(seen, alone, strict=True):
            np.testing.assert_allclose(part[i], expected, atol=1e-14)


def test_at_rest_the_bias_is_found():
    seen, _ = run(rest(2000))
    # Of ten seconds at noise 0.003: 0.003 / sqrt(2000) = 7e-5; the prior is 0.2 s of them.
    np.testing.assert_allclose(seen.bias_rad_s[-1], BIAS, atol=5e-4)
    assert seen.at_rest[-1] > 0.9
    assert seen.known[-1] > 0.95


def test_the_remembered_bias_is_the_weighted_mean():
    """All weights near one: the mean of the rates since settling, with the prior as zeros."""
    samples = rest(1000)
    samples[:, :3] *= 0.1
    seen, _ = run(samples)
    start = round(SETTLING_S / DT) + 1
    mean = samples[start:, :3].sum(0) * DT / ((1000 - start) * DT + THRESHOLDS[0])
    np.testing.assert_allclose(seen.bias_rad_s[-1], mean, rtol=0.01)


def test_no_sample_counts_before_the_scatter_is_known():
    seen, _ = run(rest(200))
    before = round(SETTLING_S / DT)
    assert not seen.at_rest[:before].any()
    assert not seen.bias_rad_s[:before].any()
    assert seen.at_rest[before + 2] > 0.5


@pytest.mark.parametrize("hz", [50, 100, 200, 250, 400, 500, 1000])
def test_rounding_does_not_decide_when_the_scatter_is_known(hz):
    """Times from the start as sums of another order: the same samples count."""
    samples, dt = rest(hz), np.full(hz, 1.0 / hz)
    whole, _ = run(samples, dt=dt)
    state = first_state(samples[None])
    for k in range(hz):
        seen, state = run(samples[k : k + 1], state=state, dt=dt[k : k + 1])
        assert (seen.at_rest[0] > 0.0) == (whole.at_rest[k] > 0.0)


def test_motion_does_not_disturb_it():
    _, state = run(rest(1000))
    before = state.weighted_rad / state.weight_s
    seen, after = run(motion(4000), state=state)
    assert seen.at_rest[50:].max() < 0.02
    np.testing.assert_allclose(after.weighted_rad / after.weight_s, before, atol=1e-5)


def test_turning_steadily_is_no_rest():
    """A turntable scatters as little as a sensor at rest; its rate is too far from the bias."""
    samples = rest(2000)
    samples[:, 2] += math.radians(3.0)
    seen, _ = run(samples)
    assert seen.at_rest.max() < 1e-6
    assert abs(seen.bias_rad_s).max() < 1e-4


@pytest.mark.parametrize("mounting", range(3))
def test_it_does_not_depend_on_the_mounting(mounting):
    import nn_perception.rotations as rot

    samples = np.concatenate([rest(300), motion(300), rest(300, 3)])
    turn = rot.quat_to_matrix(rot.quat_random((), np.random.RandomState(mounting)))
    turned = np.concatenate([samples[:, :3] @ turn.T, samples[:, 3:] @ turn.T], 1)
    seen, other = run(samples)[0], run(turned)[0]
    np.testing.assert_allclose(other.at_rest, seen.at_rest, atol=1e-11)
    np.testing.assert_allclose(other.bias_rad_s, seen.bias_rad_s @ turn.T, atol=1e-12)


def test_time_that_does_not_count():
    """With dt 0, as given for samples that are not sure to be measurements, nothing is learned."""
    _, state = run(rest(200))
    _, after = run(rest(200, 5, BIAS * 5), state=state, dt=np.zeros(200))
    np.testing.assert_array_equal(after.weighted_rad, state.weighted_rad)
    np.testing.assert_array_equal(after.weight_s, state.weight_s)


def test_an_hour_of_rest_stays_exact():
    """Sums that run: the mean neither drifts nor loses digits."""
    _, state = run(rest(2000))
    state = state._replace(weighted_rad=state.weighted_rad * 400, weight_s=state.weight_s * 400)
    before = state.weighted_rad / state.weight_s
    seen, _ = run(rest(1, bias=np.zeros(3)), state=state)
    share = DT / float(state.weight_s[0, 0])
    assert abs(seen.bias_rad_s - before).max() < 2 * share * abs(BIAS).max() + 1e-6


def test_torch_gives_the_same_and_finite_gradients():
    torch = pytest.importorskip("torch")
    samples = np.concatenate([rest(150), motion(150), np.tile(rest(1), (100, 1))])
    expected, _ = run(samples)
    inputs = torch.from_numpy(samples[None]).requires_grad_()
    thresholds = torch.from_numpy(THRESHOLDS).requires_grad_()
    dt = torch.full((1, len(samples), 1), DT, dtype=torch.float64)
    seen, _ = remember(first_state(inputs), inputs, dt, DECAY, thresholds)
    for part, reference in zip(seen, expected, strict=True):
        np.testing.assert_allclose(part[0].detach().numpy(), reference, atol=1e-12)
    (seen.bias_rad_s.sum() + seen.known.sum() + seen.at_rest.sum()).backward()
    for tensor in (inputs, thresholds):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0.0


def test_gradient_of_the_thresholds():
    torch = pytest.importorskip("torch")
    samples = torch.from_numpy(np.concatenate([rest(80), motion(40, size=0.02)])[None])
    dt = torch.full((1, 120, 1), DT, dtype=torch.float64)

    def last(thresholds):
        seen, _ = remember(first_state(samples), samples, dt, DECAY, thresholds)
        return seen.bias_rad_s[0, -1] * 100.0

    thresholds = torch.from_numpy(THRESHOLDS).requires_grad_()
    assert torch.autograd.gradcheck(last, (thresholds,), eps=1e-7, atol=1e-4)


def test_the_memory_of_one_sensor_gives_the_same():
    """Sample by sample in plain floats, after another expected bias too."""
    samples = np.concatenate([rest(300), motion(300), rest(300, 4)])
    dt = np.random.RandomState(1).uniform(0.004, 0.006, len(samples))
    whole, _ = run(samples, dt=dt)
    for moved in (np.zeros(3), np.array([0.001, -0.002, 0.0015])):
        memory, given = RestMemory(), samples.copy()
        memory.begin((samples[0] - [*moved, 0.0, 0.0, 0.0]).tolist())
        memory.move(moved.tolist())
        for k, sample in enumerate(given):
            bias, at_rest, known = memory.add(sample.tolist(), dt[k], DECAY, THRESHOLDS.tolist())
            np.testing.assert_allclose(bias, whole.bias_rad_s[k], atol=1e-12)
            assert at_rest == pytest.approx(whole.at_rest[k, 0], abs=1e-9)
            assert known == pytest.approx(whole.known[k, 0], abs=1e-12)
