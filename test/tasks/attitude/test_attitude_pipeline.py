"""Orientation from samples with the shipped model: accuracy, bad input, prediction, swaps."""

import dataclasses

import numpy as np
import pytest

import nn_perception.rotations as rot
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.engine import create_engine
from nn_perception.errors import BundleError, ConfigError
from nn_perception.inertial.readings import ImuReading
from nn_perception.tasks.attitude.pipeline import AttitudePipeline

MS = 1_000_000
UP = np.array([0.0, 0.0, 1.0])
# The simulator draws other accelerometer errors at another rate: they would be compared.
NO_ACCEL_ERRORS = SensorErrors(accel_bias_std_m_s2=0.0, scale_std=0.0, misalignment_std_rad=0.0)


@pytest.fixture
def pipeline(open_shipped):
    return open_shipped("attitude")


def inclination_deg(track, truth):
    return np.degrees(rot.attitude_errors(track, truth).inclination_rad)


def variances(answer):
    return np.diagonal(answer.covariance_rad2)


def sound(answer):
    """What holds for every answer, whatever was measured."""
    assert np.linalg.norm(answer.orientation_xyzw) == pytest.approx(1.0, abs=1e-9)
    assert np.isfinite(answer.gyro_bias_rad_s).all()
    assert np.isfinite(answer.covariance_rad2).all()
    np.testing.assert_allclose(answer.covariance_rad2, answer.covariance_rad2.T, rtol=1e-12)
    assert np.linalg.eigvalsh(answer.covariance_rad2).min() > 0.0


@pytest.mark.parametrize("seed", range(3))
def test_inclination_at_every_sample_rate(pipeline, seed):
    """The same motion at four rates: each accurate, and all within half a degree of each other."""
    figures = {}
    for hz in (50.0, 100.0, 200.0, 500.0):
        sequence = simulate_imu(hz, seed, Motion(30.0), NO_ACCEL_ERRORS)
        track = pipeline.estimate(sequence)
        errors = inclination_deg(track.orientation_xyzw, sequence.orientation_xyzw)
        figures[hz] = np.sqrt((errors[round(5 * hz) :] ** 2).mean())
    assert max(figures.values()) < 1.5
    assert max(figures.values()) - min(figures.values()) < 0.5


def test_it_beats_integration(pipeline):
    sequence = simulate_imu(200.0, 3, Motion(60.0))
    found = inclination_deg(pipeline.estimate(sequence).orientation_xyzw, sequence.orientation_xyzw)
    plain = rot.integrate_gyro(
        sequence.gyro_rad_s[1:], np.diff(sequence.time_s), sequence.orientation_xyzw[0]
    )
    drifted = inclination_deg(plain, sequence.orientation_xyzw)
    assert found[-2000:].max() < 0.2 * drifted[-2000:].max()


def test_another_mounting_gives_the_same_body(pipeline):
    """Up to a heading, that of the start; features go through float32, which rounds otherwise."""
    sequence = simulate_imu(200.0, 2, Motion(20.0))
    mounting = rot.quat_random((), np.random.RandomState(5))
    one = pipeline.estimate(sequence)
    other = pipeline.estimate(sequence.rotate_mounting(mounting))
    between = rot.quat_multiply(
        rot.quat_multiply(other.orientation_xyzw, mounting),
        rot.quat_conjugate(one.orientation_xyzw),
    )
    assert rot.quat_distance(between, between[:1]).max() < 1e-6
    np.testing.assert_allclose(between[:, :2], 0.0, atol=1e-6)
    biases = rot.quat_rotate(mounting, one.gyro_bias_rad_s)
    np.testing.assert_allclose(other.gyro_bias_rad_s, biases, atol=1e-6)


def test_the_filter_is_the_one_that_was_trained(shipped):
    """The torch network over blocks, of any weights, gives the pipeline's track."""
    torch = pytest.importorskip("torch")
    from nn_perception.inertial.blocks import cut_into_blocks
    from nn_perception.inertial.filter import level
    from nn_perception.networks import build_network
    from nn_perception.tasks.attitude.network import FilterNetwork

    torch.manual_seed(0)
    noise = build_network("imu_noise").double()
    torch.nn.init.normal_(noise.write.weight, std=0.5)
    network = FilterNetwork(noise).double()
    bundle = shipped("attitude")
    config = bundle.config
    wide = dataclasses.replace(config.inputs[1], shape=(None, noise.hidden))
    calibration = {
        "first_sigmas": network.first_sigmas.tolist(),
        "floors_rad": network.log_floors.detach().exp().tolist(),
        "variance_scales": [0.5, 3.0],
    }
    config = dataclasses.replace(config, inputs=(config.inputs[0], wide), calibration=calibration)
    bundle = dataclasses.replace(bundle, config=config)

    def engine(features, memory):
        with torch.no_grad():
            outputs = noise(torch.from_numpy(features).double(), torch.from_numpy(memory).double())
        return tuple(output.float().numpy() for output in outputs)

    sequence = simulate_imu(200.0, 6, Motion(12.0))
    parts = cut_into_blocks(sequence.time_s, sequence.gyro_rad_s, sequence.accel_m_s2)
    ends = parts.pop("end").astype(int)
    with torch.no_grad():
        first = torch.from_numpy(level(sequence.accel_m_s2[:1]))
        inputs = [torch.from_numpy(rows[None]) for rows in parts.values()]
        outputs = network(*inputs, first)[0].numpy()
    expected, variances = _corrected(AttitudePipeline(bundle, engine), sequence, ends)
    scales = calibration["variance_scales"]
    # The features go through float32.
    assert rot.quat_distance(outputs[:, :4], expected).max() < 1e-5
    mean = variances[:, :2].mean(1) / scales[0]
    np.testing.assert_allclose(outputs[:, 4], mean, rtol=1e-4)
    np.testing.assert_allclose(outputs[:, 5], variances[:, 2] / scales[1], rtol=1e-4)


def _corrected(pipeline, sequence, ends):
    """Orientations and variances at the ends of blocks, corrections included.

    An answer shows them one sample later, when the gyroscope has moved on.
    """
    found = []
    stamps = np.rint(sequence.time_s * 1e9).astype(np.int64).tolist()
    rows = zip(stamps, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
    for row, (stamp, rate, force) in enumerate(rows):
        pipeline.process("imu", ImuReading(stamp, "", rate, force))
        pipeline.settle()
        if row in ends:
            (sensor,) = pipeline._core._sensors
            found.append((sensor.block.orientation(0.0), np.diagonal(sensor.covariance_rad2)))
    return tuple(np.array(part) for part in zip(*found, strict=True))


def test_settling_changes_no_answer(shipped):
    """A node settles after each answer, a replay never does."""
    bundle = shipped("attitude")
    sequence = simulate_imu(200.0, 3, Motion(3.0))
    settled, lazy = (AttitudePipeline(bundle, create_engine(bundle, "cpu")) for _ in range(2))
    rows = zip(sequence.time_s, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
    for time_s, rate, force in rows:
        reading = ImuReading(round(time_s * 1e9), "", rate, force)
        a, b = settled.process("imu", reading), lazy.process("imu", reading)
        settled.settle()
        np.testing.assert_array_equal(a.orientation_xyzw, b.orientation_xyzw)
        np.testing.assert_array_equal(a.covariance_rad2, b.covariance_rad2)


def test_it_starts_level_with_heading_zero(pipeline):
    force = np.array([2.0, -3.0, -8.0])
    answer = pipeline.process("imu", ImuReading(0, "imu", np.zeros(3), force))
    assert answer.flags == ("start",)
    up = rot.quat_rotate(answer.orientation_xyzw, force) / np.linalg.norm(force)
    np.testing.assert_allclose(up, UP, atol=1e-8)
    sound(answer)


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.02])
def test_a_delay_is_predicted_ahead(open_shipped, delay):
    """By rate x delay, exactly: at each sample, at the ends of blocks too."""
    rate = np.array([0.8, -0.5, 1.0])
    none, ahead = open_shipped("attitude"), open_shipped("attitude", sensor_delay_s=delay)
    start = rot.quat_exp(np.array([0.3, 0.2, 0.0]))
    for k in range(200):
        true = rot.quat_multiply(start, rot.quat_exp(0.005 * k * rate))
        force = rot.quat_rotate(rot.quat_conjugate(true), 9.81 * UP)
        reading = ImuReading(k * 5 * MS, "imu", rate, force)
        one, other = none.process("imu", reading), ahead.process("imu", reading)
        turned = rot.quat_exp(delay * (rate - one.gyro_bias_rad_s))
        expected = rot.quat_multiply(one.orientation_xyzw, turned)
        assert rot.quat_distance(other.orientation_xyzw, expected) < 1e-9
        np.testing.assert_array_equal(other.covariance_rad2, one.covariance_rad2)


def test_a_long_delay_at_the_largest_rate_stays_unit(open_shipped):
    """3.5 rad ahead, also at the ends of blocks."""
    pipeline = open_shipped("attitude", sensor_delay_s=0.1)
    rate = np.array([0.0, 0.0, 34.0])
    for k in range(50):
        answer = pipeline.process(
            "imu", ImuReading(k * 5 * MS, "", rate + 0.1 * (k % 3), 9.81 * UP)
        )
        sound(answer)


def test_estimate_takes_a_delay_for_once(pipeline):
    sequence = simulate_imu(200.0, 4, Motion(4.0), SensorErrors.none())
    plain, late = pipeline.estimate(sequence), pipeline.estimate(sequence, sensor_delay_s=0.01)
    again = pipeline.estimate(sequence)
    np.testing.assert_array_equal(again.orientation_xyzw, plain.orientation_xyzw)
    turned = rot.quat_exp(0.01 * (sequence.gyro_rad_s - plain.gyro_bias_rad_s))
    expected = rot.quat_multiply(plain.orientation_xyzw, turned)
    assert np.median(rot.quat_distance(late.orientation_xyzw, expected)) < 1e-5


@pytest.mark.parametrize("delay", [-0.001, 0.11, np.nan])
def test_a_delay_out_of_range(open_shipped, delay):
    with pytest.raises(ConfigError, match=r"sensor_delay_s is .*expected 0 to 0\.1 s"):
        open_shipped("attitude", sensor_delay_s=delay)


@pytest.mark.parametrize(
    "changes",
    [
        {"first_sigmas": None},
        {"floors_rad": None},
        {"variance_scales": [1.0, "x"]},
        {"first_sigmas": [0.1, 0.3]},
        {"first_sigmas": 3.0},
        {"floors_rad": [1e-3, 1e-3, 1e-3]},
        {"variance_scales": {}},
        {"variance_scales": [1.0, -1.0]},
        {"first_sigmas": [0.1, float("nan"), 0.01]},
        {"floors_rad": [float("inf"), 1e-3]},
    ],
)
def test_a_damaged_calibration_is_refused(with_calibration, changes):
    with pytest.raises(BundleError, match="train it again"):
        AttitudePipeline(with_calibration("attitude", **changes), engine=None)


@pytest.mark.parametrize("shapes", [(), ((None, 8), ()), ((None, 8), (None, None))])
def test_damaged_inputs_are_refused(shipped, shapes):
    bundle = shipped("attitude")
    inputs = tuple(
        dataclasses.replace(spec, shape=shape)
        for spec, shape in zip(bundle.config.inputs, shapes, strict=False)
    )
    config = dataclasses.replace(bundle.config, inputs=inputs)
    with pytest.raises(BundleError, match="train it again"):
        AttitudePipeline(dataclasses.replace(bundle, config=config), engine=None)


def test_a_swap_keeps_the_state_but_not_a_memory_of_another_size(open_shipped, shipped, readings):
    """To another network of the same task, as wide and wider; orientation and bias go on."""
    samples = readings("attitude", 5)
    old, unchanged = open_shipped("attitude"), open_shipped("attitude")
    for reading in samples[:400]:
        old.process("imu", reading)
        unchanged.process("imu", reading)
    bundle = shipped("attitude")
    config = bundle.config
    wider = dataclasses.replace(config.inputs[1], shape=(None, 30))
    changed = dataclasses.replace(config, inputs=(config.inputs[0], wider))

    def constant(features, memory):
        assert memory.shape == (len(features), 30)
        noise = np.array([[1.0, 3e-4, 0.02, 1e-3, 5e-3, 3e-5]], np.float32)
        return np.repeat(noise, len(features), 0), memory

    new = AttitudePipeline(dataclasses.replace(bundle, config=changed), constant)
    assert new.adopt(old) is True
    for reading in samples[400:440]:
        after, expected = new.process("imu", reading), unchanged.process("imu", reading)
        assert after.flags == ()
        sound(after)
    fresh = open_shipped("attitude").process("imu", samples[439])
    assert rot.quat_distance(after.orientation_xyzw, expected.orientation_xyzw) < 0.02
    assert rot.quat_distance(fresh.orientation_xyzw, expected.orientation_xyzw) > 0.05
    np.testing.assert_allclose(after.gyro_bias_rad_s, expected.gyro_bias_rad_s, atol=1e-3)
    assert abs(expected.gyro_bias_rad_s).max() > 2e-3
