"""The range filter against a textbook filter, with outliers, lock-outs, gaps and bad ranges."""

import math

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.localisation.range_filter import FilterSettings, RangeFilter

ANCHORS = np.array([[x, y, z] for x in (0.0, 8.0) for y in (0.0, 6.0) for z in (0.2, 2.8)])
LEVER = np.array([0.1, -0.05, 0.2])
OPEN = {"gate_sigma": math.inf, "huber_sigma": math.inf}


def place(time_s, planar=False):
    up = 0.0 if planar else 0.5 * math.sin(0.6 * time_s)
    return np.array([4 + 2 * math.cos(0.5 * time_s), 3 + 1.5 * math.sin(0.7 * time_s), 1.2 + up])


def drawn(seed, seconds=20.0, rate_hz=100.0, planar=False, sigma=0.1, outliers=0.0):
    """Yield time, anchor, range and true position."""
    draw = np.random.default_rng(seed)
    for k in range(1, int(seconds * rate_hz)):
        truth = place(k / rate_hz, planar)
        anchor = ANCHORS[draw.integers(len(ANCHORS))]
        range_m = np.linalg.norm(truth + LEVER - anchor) + sigma * draw.standard_normal()
        if draw.random() < outliers:
            range_m += draw.uniform(0.0, 5.0)
        yield k / rate_hz, anchor, range_m, truth


def run(settings, rows, start_m, sigma_m=0.2):
    """Return errors (N,) in m, innovations and the filter."""
    range_filter = RangeFilter(settings)
    range_filter.begin(0.0, start_m, sigma_m)
    errors, told = [], []
    for time_s, anchor, range_m, truth in rows:
        range_filter.predict(time_s)
        told.append(range_filter.update(anchor, LEVER, range_m))
        errors.append(np.linalg.norm(range_filter.position_m - truth))
    return np.array(errors), told, range_filter


def rms(errors):
    return float(np.sqrt(np.mean(np.square(errors))))


class Textbook:
    """Dense matrices, numeric process noise, Joseph's form: nothing shared with the filter."""

    def __init__(self, position, sigma, velocity_sigma, density):
        self.x = np.concatenate([position, np.zeros(3)])
        self.p = np.diag([sigma**2] * 3 + [velocity_sigma**2] * 3)
        self.q, self.time = density**2, 0.0

    def step(self, time, anchor, range_m, sigma):
        dt, self.time = time - self.time, time
        f = np.block([[np.eye(3), dt * np.eye(3)], [np.zeros((3, 3)), np.eye(3)]])
        # Gauss' rule of 2 points integrates the noise's quadratic exactly.
        noise = np.zeros((6, 6))
        for s in (0.5 - 0.5 / math.sqrt(3.0), 0.5 + 0.5 / math.sqrt(3.0)):
            g = np.concatenate([dt * s * np.eye(3), np.eye(3)])
            noise += 0.5 * dt * self.q * g @ g.T
        self.x, self.p = f @ self.x, f @ self.p @ f.T + noise
        offset = self.x[:3] + LEVER - anchor
        h = np.concatenate([offset / np.linalg.norm(offset), np.zeros(3)])[None]
        s = h @ self.p @ h.T + sigma**2
        k = self.p @ h.T @ np.linalg.inv(s)
        residual = range_m - np.linalg.norm(offset)
        self.x = self.x + k[:, 0] * residual
        left = np.eye(6) - k @ h
        self.p = left @ self.p @ left.T + sigma**2 * k @ k.T
        return residual, math.sqrt(s[0, 0])


def test_against_a_textbook_filter():
    settings = FilterSettings(acceleration_m_s2=1.5, first_velocity_m_s=0.7, **OPEN)
    found = RangeFilter(settings)
    found.begin(0.0, place(0.0) + 0.3, 0.5)
    textbook = Textbook(place(0.0) + 0.3, 0.5, 0.7, 1.5)
    for k, (time_s, anchor, range_m, _) in enumerate(drawn(0, seconds=2.015)):
        sigma = 0.05 + 0.01 * (k % 7)
        found.predict(time_s)
        told = found.update(anchor, LEVER, range_m, sigma)
        np.testing.assert_allclose(
            told[:2], textbook.step(time_s, anchor, range_m, sigma), atol=1e-9
        )
        state = np.concatenate([found.position_m, found.velocity_m_s])
        np.testing.assert_allclose(state, textbook.x, atol=1e-9)
        np.testing.assert_allclose(found.covariance, textbook.p, atol=1e-9)
    assert k == 199


@pytest.mark.parametrize("planar", [False, True])
def test_it_is_as_good_as_it_says(planar):
    """Motion drawn from the model itself: squared errors over the covariance average to 1."""
    draw = np.random.default_rng(1)
    free = np.array([1.0, 1.0, 0.0 if planar else 1.0])
    use = [0, 1, 3, 4] if planar else list(range(6))
    settings = FilterSettings(
        acceleration_m_s2=0.5, first_velocity_m_s=0.3, height_m=1.2 if planar else None, **OPEN
    )
    nees, nis, dt, runs = [], [], 0.01, 30
    for _ in range(runs):
        position, velocity = place(0.0, True), 0.3 * draw.standard_normal(3) * free
        found = RangeFilter(settings)
        found.begin(0.0, position + 0.2 * draw.standard_normal(3) * free, 0.2)
        for k in range(1, 301):
            kick = 0.5 * math.sqrt(dt) * draw.standard_normal(3) * free
            position, velocity = position + dt * (velocity + 0.5 * kick), velocity + kick
            anchor = ANCHORS[k % 8]
            range_m = np.linalg.norm(position + LEVER - anchor) + 0.1 * draw.standard_normal()
            found.predict(k * dt)
            told = found.update(anchor, LEVER, range_m)
            nis.append((told.residual_m / told.sigma_m) ** 2)
        error = np.concatenate([found.position_m - position, found.velocity_m_s - velocity])[use]
        nees.append(error @ np.linalg.solve(found.covariance[np.ix_(use, use)], error) / len(use))
    assert abs(np.mean(nis) - 1.0) < 4.0 * math.sqrt(2.0 / len(nis))
    assert abs(np.mean(nees) - 1.0) < 4.0 * math.sqrt(2.0 / (runs * len(use)))


def test_outliers_cost_less_than_half_as_much_again():
    for planar in (False, True):
        settings = FilterSettings(height_m=1.2 if planar else None)
        clean, dirty = (
            rms(run(settings, drawn(2, 60.0, 100.0, planar, outliers=share), place(0.0))[0])
            for share in (0.0, 0.1)
        )
        assert dirty < 1.5 * clean
        open_settings = FilterSettings(height_m=settings.height_m, **OPEN)
        rows = drawn(2, 60.0, 100.0, planar, outliers=0.1)
        assert rms(run(open_settings, rows, place(0.0))[0]) > 2.0 * dirty


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("outliers", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_it_does_not_lock_itself_out(planar, outliers, seed):
    """Started 5 m away and sure of it: back in 2 s, and then as good as any."""
    settings = FilterSettings(height_m=1.2 if planar else None)
    angle = 0.5 * math.pi * seed
    start = place(0.0) + 5.0 * np.array([math.cos(angle), math.sin(angle), 0.0])
    rows = list(drawn(seed, 10.0, 100.0, planar, outliers=outliers))
    errors, told, _ = run(settings, rows, start, 0.05)
    assert errors[40] > 2.0
    assert errors[200:].max() < 0.5
    assert np.mean([each.used for each in told[200:]]) > 0.85


def test_where_ranges_tell_no_place_it_widens():
    """Two anchors leave no fix: the covariance grows until their ranges fit again."""
    found = RangeFilter(FilterSettings(height_m=1.2))
    found.begin(0.0, place(0.0) + np.array([1.5, 0.0, 0.0]), 0.02)
    widest, used = 0.0, []
    for k in range(1, 500):
        found.predict(0.02 * k)
        anchor = ANCHORS[[0, 2][k % 2]]
        used.append(found.update(anchor, LEVER, np.linalg.norm(place(0.0) + LEVER - anchor)).used)
        widest = max(widest, found.covariance[0, 0])
    assert not any(used[:20])
    assert all(used[-100:])
    assert widest > 0.1
    np.testing.assert_allclose(found.position_m, place(0.0), atol=0.1)


def test_a_gap_asks_for_a_new_start():
    found = RangeFilter(FilterSettings(max_gap_s=2.0))
    assert not found.started
    assert np.isnan(found.position_m).all()
    with pytest.raises(ValueError, match="call begin"):
        found.predict(0.0)
    found.begin(0.0, place(0.0), 0.1)
    assert found.predict(2.0)
    before = found.position_m
    assert not found.predict(4.1)
    assert not found.started
    np.testing.assert_array_equal(found.position_m, before)
    with pytest.raises(ValueError, match="max_gap_s"):
        found.update(ANCHORS[0], LEVER, 1.0)
    found.begin(4.1, place(4.1), 0.1)
    assert found.predict(4.2)
    with pytest.raises(ValueError, match="not before the last"):
        found.predict(4.1)
    with pytest.raises(ValueError, match="not before the last"):
        found.predict(math.nan)
    with pytest.raises(ValueError, match="a start at time"):
        found.begin(5.0, np.array([0.0, math.nan, 0.0]), 0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300])
def test_bad_ranges_leave_no_trace(bad):
    found = RangeFilter()
    found.begin(0.0, place(0.0), 0.2)
    before = found.position_m, found.velocity_m_s, found.covariance
    answers = [found.update(ANCHORS[0], LEVER, bad) for _ in range(50)]
    if bad < 1e300:
        answers += [found.update(ANCHORS[0], LEVER, 4.0, bad)]
    answers += [
        found.update(np.array([0.0, math.nan, 0.0]), LEVER, 4.0),
        found.update(ANCHORS[0], np.array([math.inf, 0.0, 0.0]), 4.0),
        found.update(found.position_m + LEVER, LEVER, 4.0),
    ]
    assert all(not told.used and math.isnan(told.residual_m) for told in answers)
    after = found.position_m, found.velocity_m_s, found.covariance
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_covariance_stays_one():
    """50,000 updates, some very sharp and some from a vague start: symmetric and positive."""
    found = RangeFilter()
    found.begin(0.0, place(0.0), 1000.0)
    draw = np.random.default_rng(3)
    for k in range(1, 50_001):
        found.predict(0.002 * k)
        anchor = ANCHORS[draw.integers(8)]
        range_m = np.linalg.norm(place(0.002 * k) + LEVER - anchor) + 0.1 * draw.standard_normal()
        found.update(anchor, LEVER, range_m, 10.0 ** draw.uniform(-6.0, 0.0) if k < 100 else 0.1)
        if k < 200 or k % 500 == 0:
            covariance = found.covariance
            np.testing.assert_array_equal(covariance, covariance.T)
            assert np.linalg.eigvalsh(covariance)[0] > 0.0
    assert np.linalg.norm(found.position_m - place(100.0)) < 0.3


def test_planar_keeps_the_height():
    rows = drawn(4, 20.0, 100.0, planar=True)
    start = place(0.0) + np.array([0.0, 0.0, 9.0])
    errors, _, found = run(FilterSettings(height_m=1.2), rows, start)
    assert found.position_m[2] == 1.2
    assert found.velocity_m_s[2] == 0.0
    assert not found.covariance[[2, 5]].any()
    assert np.linalg.eigvalsh(found.covariance[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])])[0] > 0.0
    assert rms(errors[100:]) < 0.1


def test_what_is_given_out_is_a_copy():
    found = RangeFilter()
    found.begin(0.0, place(0.0), 0.1)
    for each in (found.position_m, found.velocity_m_s, found.covariance):
        each[:] = math.nan
    np.testing.assert_array_equal(found.position_m, place(0.0))
    assert np.isfinite(found.covariance).all()


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="gate_sigma is 0"):
        FilterSettings(gate_sigma=0.0)
    with pytest.raises(ConfigError, match="range_sigma_m is nan"):
        FilterSettings(range_sigma_m=math.nan)
    with pytest.raises(ConfigError, match="height_m is inf"):
        FilterSettings(height_m=math.inf)


def test_a_height_is_a_measurement_of_z():
    """Against the update of a Kalman filter written out, with a covariance that is full."""
    found = RangeFilter(FilterSettings(**OPEN))
    found.begin(0.0, place(0.0) + 0.3, 0.5)
    for time_s, anchor, range_m, _ in list(drawn(3))[:30]:
        found.predict(time_s)
        found.update(anchor, LEVER, range_m)
    x, p = np.r_[found.position_m, found.velocity_m_s], found.covariance
    h = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    variance = h @ p @ h + 0.05**2
    gain = p @ h / variance
    told = found.update_height(1.7, 0.05)
    assert told.used
    assert told.residual_m == pytest.approx(1.7 - x[2])
    assert told.sigma_m == pytest.approx(math.sqrt(variance))
    expected = x + gain * (1.7 - x[2])
    np.testing.assert_allclose(np.r_[found.position_m, found.velocity_m_s], expected, atol=1e-12)
    np.testing.assert_allclose(found.covariance, p - np.outer(gain, h @ p), atol=1e-12)
    np.testing.assert_array_equal(found.covariance, found.covariance.T)


@pytest.mark.parametrize(
    ("height", "sigma"), [(math.nan, 0.1), (math.inf, 0.1), (1.0, math.nan), (1.0, 0.0)]
)
def test_a_height_of_no_use_leaves_no_trace(height, sigma):
    found = RangeFilter()
    found.begin(0.0, place(0.0), 0.5)
    before = found.position_m, found.covariance
    told = found.update_height(height, sigma)
    assert not told.used
    assert math.isnan(told.residual_m)
    np.testing.assert_array_equal(found.position_m, before[0])
    np.testing.assert_array_equal(found.covariance, before[1])


def test_a_height_that_is_given_is_not_measured():
    found = RangeFilter(FilterSettings(height_m=1.2))
    with pytest.raises(ValueError, match="update_height without a start"):
        found.update_height(1.0, 0.1)
    found.begin(0.0, place(0.0), 0.5)
    assert not found.update_height(2.0, 0.01).used
    assert found.position_m[2] == 1.2
