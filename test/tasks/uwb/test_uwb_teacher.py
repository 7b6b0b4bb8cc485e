"""The Gaussian process: its covariance, what it learns, and how its kernel is found."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.tasks.uwb.kernel import (  # noqa: E402
    MOST,
    SEVERAL_ROOMS,
    Apart,
    Columns,
    Kernel,
    covariance,
    learn_kernel,
)
from nn_perception.tasks.uwb.teacher import Teacher  # noqa: E402

KERNEL = Kernel()
NOTHING = Kernel(*[0.0] * 9, room_m=0.0)


def chords(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def same(a, b):
    return (a[:, None] == b[None]).astype(float)


def reference(k, a, b, *, rooms, new_room=False):
    """The sum of the module's docstring, term by term."""
    fa, fb = a.features, b.features
    at_tag, at_anchor = (chords(fa[:, c], fb[:, c]) for c in (slice(0, 3), slice(3, 6)))
    near = np.exp(-abs(fa[:, None, 12] - fb[None, :, 12]) / k.rough_m)
    tag, anchor, room = (same(getattr(a, n), getattr(b, n)) for n in ("tag", "anchor", "room"))
    pattern_anchor = k.anchor_m**2 * np.exp(-(at_anchor**2) / (2.0 * k.smooth**2))
    pattern_anchor += k.anchor_rough_m**2 * np.exp(-at_anchor / k.rough)
    pattern_tag = k.tag_m**2 * np.exp(-(at_tag**2) / (2.0 * k.smooth**2))
    pattern_tag += k.tag_rough_m**2 * np.exp(-at_tag / k.rough)
    pattern_tag *= np.where(tag == 1.0, 1.0, 0.5)
    place = k.place_m**2 * np.exp(-(at_anchor + at_tag) / k.rough) * near
    place *= np.where(anchor == 1.0, np.where(tag == 1.0, 1.0, 0.3), 0.0)
    if not rooms:
        total = k.tag_constant_m**2 * tag + k.anchor_constant_m**2 * anchor
        total += k.pair_constant_m**2 * tag * anchor + pattern_tag + place
        return total + pattern_anchor * np.where(anchor == 1.0, 1.0, 0.3)
    total = k.anchor_constant_m**2 + pattern_anchor
    if new_room:
        return total
    return total + room * (pattern_tag + place + k.room_m**2 + k.room_m**2 * anchor)


def told(k, a, b, **how):
    return covariance(k, Apart(Columns(a), Columns(b)), **how).numpy()


@pytest.mark.parametrize("how", [{"rooms": False}, {"rooms": True}])
@pytest.mark.parametrize("kernel", [KERNEL, SEVERAL_ROOMS])
def test_a_covariance_is_symmetric_and_positive(make_rows, how, kernel):
    rows = make_rows(200, rooms=3)
    found = told(kernel, rows, rows, **how)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > -1e-7
    assert found.diagonal().min() > 0.01


@pytest.mark.parametrize(
    "how", [{"rooms": False}, {"rooms": True}, {"rooms": True, "new_room": True}]
)
def test_a_covariance_is_the_sum_of_its_terms(make_rows, how):
    a, b = make_rows(30, seed=1, rooms=2), make_rows(20, seed=2, rooms=2)
    values = {f.name: 0.05 + 0.03 * n for n, f in enumerate(dataclasses.fields(Kernel))}
    for kernel in (KERNEL, SEVERAL_ROOMS, Kernel(**values)):
        expected = reference(kernel, a, b, **how)
        np.testing.assert_allclose(told(kernel, a, b, **how), expected, atol=1e-8)


LOCAL = ("tag_m", "tag_rough_m", "place_m", "room_m")


def test_what_holds_in_one_room_says_nothing_of_another(make_rows):
    rows = make_rows(40, rooms=2)
    local = dataclasses.replace(NOTHING, **dict.fromkeys(LOCAL, 0.1))
    found = told(local, rows, rows, rooms=True)
    np.testing.assert_array_equal(found[rows.room[:, None] != rows.room], 0.0)
    assert found[rows.room[:, None] == rows.room].min() > 0.0
    np.testing.assert_array_equal(told(local, rows, rows, rooms=True, new_room=True), 0.0)


def smooth(rows):
    x = rows.features
    return 0.1 * np.sin(2.0 * x[:, 3]) + 0.07 * x[:, 2] * x[:, 0] + 0.05 * (rows.anchor == 1)


@pytest.fixture(scope="module")
def flight(make_rows):
    """Single measurements with noise."""
    rows = make_rows(500, seed=3)
    noise = np.random.default_rng(4).normal(0.0, 0.05, len(rows))
    return dataclasses.replace(rows, error_m=smooth(rows) + noise, count=np.ones(len(rows)))


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def test_a_smooth_function_is_seen_through_the_noise(make_rows, flight):
    asked = make_rows(200, seed=5)
    zero = np.zeros(len(flight))
    found = Teacher(flight, KERNEL, zero, rooms=False).predict(asked)
    assert rms(smooth(asked)) > 0.07
    assert rms(found - smooth(asked)) < 0.6 * 0.05
    # What is expected before is not learned again.
    prior = Teacher(flight, KERNEL, smooth(flight), rooms=False).predict(asked)
    assert rms(prior) < 0.02


def test_the_answer_does_not_depend_on_how_many_are_asked(flight, make_rows):
    teacher = Teacher(flight.take(np.arange(50)), KERNEL, np.zeros(50), rooms=False)
    asked = make_rows(4100, seed=6)
    found = teacher.predict(asked)
    assert len(found) == 4100
    last = teacher.predict(asked.take(np.arange(3990, 4100)))
    np.testing.assert_allclose(found[3990:], last, atol=1e-7)


def test_far_away_nothing_is_known_beyond_the_prior(flight):
    local = dataclasses.replace(NOTHING, place_m=0.1, noise_m=0.05)
    teacher = Teacher(flight, local, np.zeros(len(flight)), rooms=False)
    far = dataclasses.replace(flight, tag_m=flight.tag_m * 20.0)
    assert rms(teacher.predict(flight)) > 0.05
    assert abs(teacher.predict(far.take(far.features[:, 12] > 60.0))).max() < 1e-9
    stranger = dataclasses.replace(flight, anchor=flight.anchor + 10)
    np.testing.assert_allclose(teacher.predict(stranger), 0.0, atol=1e-12)


def test_one_wild_outlier_bends_little(flight):
    wild = flight.error_m.copy()
    wild[7] += 0.9
    other = dataclasses.replace(flight, error_m=wild)
    zero = np.zeros(len(flight))
    robust, plain = [], []
    told_of = reference(KERNEL, flight, flight, rooms=False)
    noise = KERNEL.noise_m**2 * np.eye(len(flight))
    for rows in (flight, other):
        robust.append(Teacher(rows, KERNEL, zero, rooms=False).predict(flight)[7])
        plain.append((told_of @ np.linalg.solve(told_of + noise, rows.error_m))[7])
    assert abs(plain[1] - plain[0]) > 0.1
    assert abs(robust[1] - robust[0]) < 0.2 * abs(plain[1] - plain[0])


def test_a_mean_of_many_counts_more_than_one_and_no_more_than_a_few(flight):
    zero = np.zeros(len(flight))
    found = {}
    for count in (1.0, MOST, 1000.0):
        rows = dataclasses.replace(flight, count=np.full(len(flight), count))
        found[count] = Teacher(rows, KERNEL, zero, rooms=False).predict(flight)
    left = {count: rms(flight.error_m - answer) for count, answer in found.items()}
    assert left[MOST] < 0.9 * left[1.0]
    np.testing.assert_array_equal(found[1000.0], found[MOST])


def likelihood(kernel, rows, target):
    """The logarithm of the marginal likelihood; Rasmussen and Williams 2006, eq. 2.30."""
    inside = reference(kernel, rows, rows, rooms=False)
    inside += np.diag(kernel.noise_m**2 / np.minimum(rows.count, MOST))
    _, log_determinant = np.linalg.slogdet(inside)
    return -0.5 * (target @ np.linalg.solve(inside, target) + log_determinant)


@pytest.mark.parametrize("noise_m", [0.02, 0.08])
def test_the_kernel_is_found_from_what_it_draws(make_rows, noise_m):
    rows = make_rows(300, seed=7)
    true = dataclasses.replace(KERNEL, noise_m=noise_m, place_m=0.03)
    inside = reference(true, rows, rows, rooms=False)
    inside += np.diag(noise_m**2 / np.minimum(rows.count, MOST))
    target = np.linalg.cholesky(inside) @ np.random.default_rng(8).standard_normal(len(rows))
    start = Kernel(tag_rough_m=0.0)
    found = learn_kernel(rows, target, start)
    assert likelihood(found, rows, target) > likelihood(start, rows, target) + 5.0
    assert noise_m / 1.5 < found.noise_m < noise_m * 1.5
    assert found.tag_rough_m == 0.0
    assert found.room_m == start.room_m
