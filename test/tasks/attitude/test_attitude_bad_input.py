"""The attitude pipeline and what sensors, drivers and networks do wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.errors import MessageError
from nn_perception.inertial.gate import FROZEN, GAP, RESET, SATURATED
from nn_perception.inertial.readings import ImuReading

MS = 1_000_000
UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture
def pipeline(open_shipped):
    return open_shipped("attitude")


def variances(answer):
    return np.diagonal(answer.covariance_rad2)


def sound(answer):
    """What holds for every answer, whatever was measured."""
    assert np.linalg.norm(answer.orientation_xyzw) == pytest.approx(1.0, abs=1e-9)
    assert np.isfinite(answer.gyro_bias_rad_s).all()
    assert np.isfinite(answer.covariance_rad2).all()
    np.testing.assert_allclose(answer.covariance_rad2, answer.covariance_rad2.T, rtol=1e-12)
    assert np.linalg.eigvalsh(answer.covariance_rad2).min() > 0.0


def stepped(pipeline, samples):
    answers = [pipeline.process("imu", reading) for reading in samples]
    for answer in answers:
        sound(answer)
    return answers


def test_a_gap_raises_the_covariance_which_comes_down_again(pipeline, readings):
    samples = readings("attitude", 1, duration_s=9.0)
    answers = stepped(pipeline, samples[:800] + samples[960:])
    before = np.max([variances(a)[:2].sum() for a in answers[700:800]])
    assert answers[800].flags == (GAP,)
    after = [variances(a)[:2].sum() for a in answers[800:]]
    assert max(after[:10]) > 4.0 * before
    assert min(after) < 1.5 * before
    heading = [variances(a)[2] for a in answers]
    assert heading[-1] > heading[799] + 0.05  # nothing shows the heading: it stays unknown


def test_a_longer_gap_starts_anew_and_level(pipeline, readings):
    samples = readings("attitude", 2)
    answers = stepped(pipeline, samples[:300] + samples[520:])
    assert answers[300].flags == (RESET,)
    force = samples[520].accel_m_s2
    up = rot.quat_rotate(answers[300].orientation_xyzw, force) / np.linalg.norm(force)
    np.testing.assert_allclose(up, UP, atol=1e-6)
    assert not answers[300].gyro_bias_rad_s.any()


@pytest.mark.parametrize("flag", [SATURATED, FROZEN])
def test_samples_that_tell_nothing_raise_the_covariance(open_shipped, readings, flag):
    samples = readings("attitude", 3)
    broken = list(samples)
    for k in range(400, 500):
        if flag == FROZEN:
            broken[k] = samples[400]._replace(stamp_ns=samples[k].stamp_ns)
        else:
            stuck = np.array([samples[k].gyro_rad_s[0], 8.7, samples[k].gyro_rad_s[2]])
            broken[k] = samples[k]._replace(gyro_rad_s=stuck)
    fine = stepped(open_shipped("attitude"), samples[:500])
    bad = stepped(open_shipped("attitude"), broken)
    flagged = [k for k, answer in enumerate(bad) if flag in answer.flags]
    assert flagged[-1] == 499
    assert flagged == list(range(flagged[0], 500))
    assert (variances(bad[499]) > variances(fine[499]) + 0.003).all()
    assert bad[501].flags == ()


def test_frozen_can_be_left_off_for_a_simulator(open_shipped):
    pipeline = open_shipped("attitude", frozen_after_s=0.0)
    still = ImuReading(0, "imu", np.zeros(3), 9.81 * UP)
    answers = [pipeline.process("imu", still._replace(stamp_ns=k * 5 * MS)) for k in range(400)]
    assert not any(answer.flags for answer in answers[1:])
    assert variances(answers[-1])[0] < 1e-3


NUMBER = st.one_of(st.just(0.0), st.floats(-40.0, 40.0), st.floats(-2e3, 2e3), st.floats(-1e9, 1e9))
VECTOR = st.tuples(NUMBER, NUMBER, NUMBER)
STEP = st.one_of(st.integers(1, 10 * MS), st.integers(1, 900 * MS), st.just(5 * MS))


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(samples=st.lists(st.tuples(STEP, VECTOR, VECTOR), min_size=1, max_size=60))
def test_any_samples_give_a_sound_answer(open_shipped, samples):
    """Random times, huge rates, no acceleration, then again a sensor at rest."""
    pipeline, stamp = FUZZED.setdefault("one", open_shipped("attitude")), 0
    pipeline.reset()
    for step, gyro, accel in samples:
        stamp += step
        try:
            answer = pipeline.process("imu", ImuReading(stamp, "", np.array(gyro), np.array(accel)))
        except MessageError:
            continue
        sound(answer)


FUZZED: dict = {}


LEANING = np.array([3.0, 0.0, 9.34])


@pytest.mark.parametrize(
    ("force", "samples"), [((0.0, 0.0, 0.0), 200), ((160.0, -160.0, 0.0), 4), (-LEANING, 40)]
)
def test_free_fall_a_knock_and_a_swing(pipeline, force, samples):
    """For a moment, without a turn: level again within 20 s."""
    draw = np.random.RandomState(0)
    for k in range(5000):
        noise = 0.01 * draw.standard_normal(6)
        now = np.array(force) if 1000 <= k < 1000 + samples else LEANING
        reading = ImuReading(k * 5 * MS, "", 0.1 * noise[:3], now + noise[3:])
        answer = pipeline.process("imu", reading)
        sound(answer)
    up = rot.quat_rotate(answer.orientation_xyzw, LEANING / np.linalg.norm(LEANING))
    assert np.degrees(np.arccos(min(1.0, up[2]))) < 1.0


def test_upside_down(pipeline):
    draw = np.random.RandomState(1)
    for k in range(1000):
        noise = 0.01 * draw.standard_normal(6)
        reading = ImuReading(k * 5 * MS, "", 0.1 * noise[:3], noise[3:] - 9.81 * UP)
        answer = pipeline.process("imu", reading)
        sound(answer)
        np.testing.assert_allclose(rot.quat_rotate(answer.orientation_xyzw, -UP), UP, atol=0.01)
