"""The gyroscope's correction: bias at rest, convolutions, other rates, swaps, damage."""

import dataclasses

import numpy as np
import pytest

from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.errors import BundleError
from nn_perception.inertial.readings import ImuReading
from nn_perception.tasks.gyro.pipeline import GyroPipeline

MS = 1_000_000


@pytest.fixture
def pipeline(open_shipped):
    return open_shipped("gyro")


@pytest.fixture(scope="module")
def calibration(shipped):
    values = shipped("gyro").config.calibration
    return {key: np.array(value) for key, value in values.items()}


@pytest.fixture
def silent(with_calibration):
    """Return a function: changes of the calibration -> a pipeline of nothing but the memory."""

    def make(rate_hz=200.0, **changes):
        bundle = with_calibration("gyro", **{"left_bias_rad_s": 0.0, **changes})
        config = dataclasses.replace(bundle.config, preprocessing={"rate_hz": rate_hz})
        bundle = dataclasses.replace(bundle, config=config)
        return GyroPipeline(bundle, lambda samples, cache: (0.0 * samples[..., :3], cache))

    return make


def still(count, bias, step_ns=5 * MS, start_ns=0, seed=0):
    """A sensor at rest with this bias (of the calibrated rate)."""
    draw = np.random.RandomState(seed)
    noise = draw.standard_normal((count, 6)) * ([0.003] * 3 + [0.03] * 3)
    return [
        ImuReading(start_ns + k * step_ns, "", bias + n[:3], n[3:] + np.array([0.0, 0.0, 9.81]))
        for k, n in enumerate(noise)
    ]


def feed(pipeline, samples):
    return [pipeline.process("imu", reading) for reading in samples]


def test_the_bias_at_rest_is_remembered(silent, calibration):
    """Two mrad/s beside the expected bias: after ten seconds the corrected rate is about zero."""
    pipeline = silent(matrix=np.eye(3).tolist())
    bias = calibration["expected_bias_rad_s"] + [0.002, -0.0015, 0.001]
    answers = feed(pipeline, still(2000, bias))
    np.testing.assert_allclose(answers[0].bias_rad_s, calibration["expected_bias_rad_s"])
    np.testing.assert_allclose(answers[-1].bias_rad_s, bias, atol=3e-4)
    mean = np.mean([answer.gyro_rad_s for answer in answers[1000:]], axis=0)
    np.testing.assert_allclose(mean, 0.0, atol=3e-4)


def test_the_answer_is_the_sum_of_its_parts(silent, calibration):
    """Matrix, bias and, at rest, no offset; a correction of the network is added."""
    pipeline = silent()
    reading = still(1, np.array([0.3, -0.2, 0.5]))[0]
    expected = calibration["matrix"] @ reading.gyro_rad_s - calibration["expected_bias_rad_s"]
    np.testing.assert_allclose(pipeline.process("imu", reading).gyro_rad_s, expected, atol=1e-12)
    pipeline.engine = lambda samples, cache: (0.0 * samples[..., :3] + 0.25, cache)
    pipeline.reset()
    found = pipeline.process("imu", reading).gyro_rad_s
    np.testing.assert_allclose(found, expected + 0.25, atol=1e-7)


def test_what_motion_adds_comes_only_in_motion(silent, calibration):
    bias = calibration["expected_bias_rad_s"]
    offset = np.array([0.01, 0.02, 0.03])
    pair = [silent(matrix=np.eye(3).tolist(), motion_offset_rad_s=v) for v in
            (offset.tolist(), [0.0] * 3)]  # fmt: skip
    samples = still(600, bias)
    moving = [
        r._replace(gyro_rad_s=r.gyro_rad_s + np.sin(0.2 * k))
        for k, r in enumerate(still(400, bias, start_ns=3_000 * MS))
    ]
    one, other = (feed(each, samples + moving) for each in pair)
    added = np.array([a.gyro_rad_s - b.gyro_rad_s for a, b in zip(one, other, strict=True)])
    assert abs(added[100:600]).max() < 0.3 * 0.03
    np.testing.assert_allclose(added[-1] / offset, added[-1, 0] / offset[0], rtol=1e-3)
    assert 0.8 < added[-1, 0] / offset[0] < 1.0


@pytest.mark.parametrize("step_ms", [10, 2])
def test_another_rate_goes_without_convolutions(with_calibration, calibration, step_ms):
    bundle = with_calibration("gyro", matrix=np.eye(3).tolist(), left_bias_rad_s=0.0)
    pipeline = GyroPipeline(bundle, lambda samples, cache: (0.0 * samples[..., :3] + 100.0, cache))
    bias = calibration["expected_bias_rad_s"]
    answers = feed(pipeline, still(int(8000 / step_ms), bias, step_ms * MS))
    flagged = [k for k, answer in enumerate(answers) if "rate" in answer.flags]
    assert flagged == list(range(flagged[0], len(answers)))
    assert flagged[0] < 30
    assert abs(answers[0].gyro_rad_s).max() > 50.0
    assert abs(answers[-1].gyro_rad_s).max() < 0.1
    np.testing.assert_allclose(answers[-1].bias_rad_s, bias, atol=5e-4)


def test_a_frozen_sensor_is_no_sensor_at_rest(silent, calibration):
    """It scatters least of all; only until it is known as frozen does it count."""
    pipeline = silent(matrix=np.eye(3).tolist())
    bias = calibration["expected_bias_rad_s"]
    samples = still(400, bias)
    stuck = samples[-1]._replace(gyro_rad_s=bias + 0.004)
    frozen = [stuck._replace(stamp_ns=(400 + k) * 5 * MS) for k in range(1000)]
    answers = feed(pipeline, samples + frozen)
    known = next(k for k, answer in enumerate(answers) if "frozen" in answer.flags)
    assert known < 460
    moved = answers[-1].bias_rad_s - answers[known].bias_rad_s
    np.testing.assert_allclose(moved, 0.0, atol=1e-12)


def test_it_corrects_what_it_was_trained_for(pipeline, shipped):
    """A simulated sensor with the shipped model's scale and bias: closer to the true rate."""
    true = simulate_imu(200.0, 1, Motion(20.0), SensorErrors.none())
    values = {key: np.array(v) for key, v in shipped("gyro").config.calibration.items()}
    measured = (true.gyro_rad_s + values["expected_bias_rad_s"]) @ np.linalg.inv(values["matrix"]).T
    noisy = measured + 0.002 * np.random.RandomState(0).standard_normal(measured.shape)
    track = pipeline.correct(dataclasses.replace(true, gyro_rad_s=noisy))
    error = np.mean(track.gyro_rad_s - true.gyro_rad_s, axis=0)
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(values["expected_bias_rad_s"])


def test_the_correction_is_the_one_that_was_trained(shipped):
    """The torch network over a whole recording gives the pipeline's rates."""
    torch = pytest.importorskip("torch")
    from nn_perception.networks import build_network
    from nn_perception.tasks.gyro.network import GyroNetwork

    torch.manual_seed(0)
    bundle = shipped("gyro")
    tcn = build_network("gyro_tcn", bundle.config.network.arguments)
    torch.nn.init.normal_(tcn.correct.weight, std=0.3)
    network = GyroNetwork(tcn, (0.001, -0.002, 0.003), 200.0).eval()
    with torch.no_grad():
        network.matrix_change.copy_(0.2 * torch.randn(3, 3))
        network.bias_change.copy_(0.05 * torch.randn(3))
        network.offset.copy_(0.1 * torch.randn(3))
    changes = {
        "matrix": network.matrix.detach().double().tolist(),
        "expected_bias_rad_s": network.expected_bias_rad_s.detach().double().tolist(),
        "motion_offset_rad_s": network.motion_offset_rad_s.detach().double().tolist(),
        "rest_thresholds": network.log_thresholds.detach().double().exp().tolist(),
        "left_bias_rad_s": 0.0,
    }
    config = dataclasses.replace(bundle.config, calibration=changes)

    def engine(samples, cache):
        with torch.no_grad():
            outputs = tcn(torch.from_numpy(samples), torch.from_numpy(cache))
        return tuple(output.numpy() for output in outputs)

    sequence = simulate_imu(200.0, 3, Motion(12.0), SensorErrors(gyro_bias_std_rad_s=2e-3))
    found = GyroPipeline(dataclasses.replace(bundle, config=config), engine).correct(sequence)
    samples = np.concatenate([sequence.gyro_rad_s, sequence.accel_m_s2], 1).astype(np.float32)
    dt = np.concatenate([[0.0], np.diff(sequence.time_s)]).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(samples[None]), torch.from_numpy(dt[None, :, None]))
    np.testing.assert_allclose(found.gyro_rad_s, expected[0].numpy(), atol=2e-5)
    assert abs(found.bias_rad_s[-1] - found.bias_rad_s[0]).max() > 1e-4


def test_a_gap_empties_the_convolutions_past(shipped, readings):
    """After a gap the correction starts as from nothing, the remembered bias goes on."""
    samples, caches = readings("gyro", 2), []

    def engine(rows, cache):
        caches.append(cache.copy())
        return 0.0 * rows[..., :3], cache + 1.0

    pipeline = GyroPipeline(shipped("gyro"), engine)
    answers = feed(pipeline, samples[:200] + samples[260:300])
    assert "gap" in answers[200].flags
    assert [cache.max() for cache in caches[198:202]] == [198.0, 199.0, 0.0, 1.0]
    np.testing.assert_allclose(answers[200].bias_rad_s, answers[199].bias_rad_s, atol=1e-4)


def test_a_swap_keeps_the_remembered_bias(silent, calibration):
    """To a model that expects another bias: what was seen at rest is the same bias as before."""
    eye = np.eye(3).tolist()
    bias = calibration["expected_bias_rad_s"] + [0.002, 0.001, -0.002]
    samples = still(3000, bias)
    old = silent(matrix=eye)
    before = feed(old, samples[:2000])[-1]
    shifted = calibration["expected_bias_rad_s"] + [0.001, 0.0, -0.003]
    new = silent(matrix=eye, expected_bias_rad_s=shifted.tolist())
    assert new.adopt(old) is True
    after = feed(new, samples[2000:2010])
    assert after[0].flags == ()
    np.testing.assert_allclose(after[0].bias_rad_s, before.bias_rad_s, atol=2e-4)
    fresh = silent(matrix=eye, expected_bias_rad_s=shifted.tolist())
    np.testing.assert_allclose(feed(fresh, samples[2000:2010])[0].bias_rad_s, shifted)


def test_a_swap_to_a_model_of_another_rate_judges_by_its_rate(silent, calibration):
    """200 Hz is fine for the first and not for the second: its convolutions stay out."""
    samples = still(200, calibration["expected_bias_rad_s"])
    old, new = silent(), silent(rate_hz=100.0)
    assert feed(old, samples[:100])[-1].flags == ()
    new.adopt(old)
    assert feed(new, samples[100:])[-1].flags == ("rate",)


def test_a_swap_to_another_size_of_cache(silent, shipped, readings, open_shipped):
    samples = readings("gyro", 4)
    old = open_shipped("gyro")
    feed(old, samples[:100])
    config = old.bundle.config
    inputs = (config.inputs[0], dataclasses.replace(config.inputs[1], shape=(None, 12)))
    bundle = dataclasses.replace(old.bundle, config=dataclasses.replace(config, inputs=inputs))
    sizes = []

    def engine(rows, cache):
        sizes.append(cache.shape)
        return 0.0 * rows[..., :3], cache

    new = GyroPipeline(bundle, engine)
    assert new.adopt(old) is True
    assert feed(new, samples[100:110])[-1].flags == ()
    assert set(sizes) == {(1, 12)}


@pytest.mark.parametrize(
    "changes",
    [
        {"matrix": None},
        {"rest_thresholds": None},
        {"matrix": [1.0, 0.0, 0.0]},
        {"matrix": "x"},
        {"expected_bias_rad_s": [0.0, 0.0]},
        {"motion_offset_rad_s": [0.0, float("nan"), 0.0]},
        {"rest_thresholds": [0.2, 0.03, float("inf"), 0.01]},
    ],
)
def test_a_damaged_calibration_is_refused(with_calibration, changes):
    with pytest.raises(BundleError, match="train it again"):
        GyroPipeline(with_calibration("gyro", **changes), engine=None)


@pytest.mark.parametrize("preprocessing", [{}, {"rate_hz": "x"}, {"rate_hz": 0.0}, {"rate_hz": -1}])
def test_a_damaged_rate_is_refused(shipped, preprocessing):
    bundle = shipped("gyro")
    config = dataclasses.replace(bundle.config, preprocessing=preprocessing)
    with pytest.raises(BundleError, match="train it again"):
        GyroPipeline(dataclasses.replace(bundle, config=config), engine=None)


def test_in_motion_gravity_takes_part_of_the_bias_that_nothing_else_finds(silent):
    """The rate is wrong by less, and what is taken off is told as bias."""
    bias = np.array([0.002, -0.0015, 0.001])
    motion = Motion(60.0, rate_rms_rad_s=1.0, accel_rms_m_s2=1.0, rest_s=(0.0, 0.0))
    sequence = simulate_imu(200.0, 3, motion, SensorErrors.none())
    moving = dataclasses.replace(sequence, gyro_rad_s=sequence.gyro_rad_s + bias)
    plain = {
        "matrix": np.eye(3).tolist(),
        **dict.fromkeys(("expected_bias_rad_s", "motion_offset_rad_s"), [0.0] * 3),
        "rest_thresholds": [1e9, 1.0, 1.0, 1.0],  # the memory believes in no rest
    }
    without, aided = (silent(left_bias_rad_s=left, **plain).correct(moving) for left in (0.0, 2e-3))
    left, found = (track.gyro_rad_s[-1] - sequence.gyro_rad_s[-1] for track in (without, aided))
    assert np.linalg.norm(found) < 0.6 * np.linalg.norm(left)
    taken = without.gyro_rad_s - aided.gyro_rad_s
    np.testing.assert_allclose(aided.bias_rad_s - without.bias_rad_s, taken, atol=1e-12)


def test_settling_changes_no_answer(open_shipped):
    """A node settles after each answer, a replay never does."""
    sequence = simulate_imu(200.0, 3, Motion(3.0))
    settled, lazy = open_shipped("gyro"), open_shipped("gyro")
    for time_s, rate, force in zip(
        sequence.time_s, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True
    ):
        reading = ImuReading(round(time_s * 1e9), "", rate, force)
        a, b = settled.process("imu", reading), lazy.process("imu", reading)
        settled.settle()
        np.testing.assert_array_equal(a.gyro_rad_s, b.gyro_rad_s)
