"""Data sets for inertial sensors: the truth at the samples' stamps, whatever the clocks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import BagWriter, header
from nn_perception.datasets.build import build_dataset
from nn_perception.datasets.build_align import align_imu
from nn_perception.datasets.build_imu import SAMPLE, cut_segments
from nn_perception.datasets.build_offset import BIN_S, masked_correlation
from nn_perception.datasets.build_settings import PARTS, BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.build_truth import POSE_ROW
from nn_perception.datasets.imu_bags import IMU, IMU_TOPIC, imu_message, read_imu_bag, write_imu_bag
from nn_perception.datasets.imu_data import load_imu_data, training_recordings
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.datasets.recorded_sequences import load_recorded_imu
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_distance, quat_exp, quat_multiply
from nn_perception.tasks.attitude.data import load_tracks
from nn_perception.tasks.gyro.data import load_recordings

pytest.importorskip("rosbags")
pytest.importorskip("pyarrow")
TEST_ONLY = BuildSettings(split=(0, 0, 100), plots=False, jobs=1)
TRANSFORM = "geometry_msgs/msg/TransformStamped"


@pytest.fixture(scope="module")
def simulated():
    return simulate_imu(100.0, seed=4, motion=Motion(duration_s=60.0, rest_s=(0.5, 1.0)))


@pytest.fixture(scope="module")
def bag(tmp_path_factory, simulated):
    path = tmp_path_factory.mktemp("bags") / "flight"
    write_imu_bag(simulated, path)
    return path


def mocap_bag(path, sequence, offset_s=0.0, mounting=(0.0, 0.0, 0.0, 1.0), known=None, every=1):
    """Truth as motion capture gives it: another clock, another body, another message."""
    body = quat_multiply(sequence.orientation_xyzw, np.array(mounting))
    with BagWriter(path) as bag:
        bag.add_topic(IMU_TOPIC, IMU)
        bag.add_topic("/mocap/base", TRANSFORM)
        for row, time_s in enumerate(sequence.time_s.tolist()):
            stamp = 10**18 + round(time_s * 1e9)
            rate, force = sequence.gyro_rad_s[row], sequence.accel_m_s2[row]
            bag.write(IMU_TOPIC, stamp, imu_message(rate, force, stamp))
            if (known is not None and not known[row]) or row % every:
                continue
            vector = message_class("geometry_msgs/msg/Vector3")(1.0, 2.0, 3.0)
            turn = message_class("geometry_msgs/msg/Quaternion")(*map(float, body[row]))
            transform = message_class("geometry_msgs/msg/Transform")(vector, turn)
            told = header(stamp - round(offset_s * 1e9), "world")
            bag.write("/mocap/base", stamp, message_class(TRANSFORM)(told, "base", transform))
    return path


def test_a_data_set_holds_what_the_reader_of_bags_gives(tmp_path, bag):
    expected = read_imu_bag(bag)
    build_dataset([bag], "gyro", tmp_path / "set", TEST_ONLY)
    (found,) = load_imu_data(tmp_path / "set")
    assert (found.name, found.source, found.part) == ("flight", "bag", "test")
    assert found.start_ns == expected.start_ns
    assert found.sha256 == expected.sha256


def test_blocks_of_time_are_pieces_of_the_recording_with_a_guard(tmp_path, bag):
    whole = read_imu_bag(bag)
    settings = BuildSettings(block_s=6.0, guard_s=0.5, plots=False, jobs=1)
    summary = build_dataset([bag], "gyro", tmp_path / "set", settings)
    learned = training_recordings(tmp_path / "set", ())
    tested = load_imu_data(tmp_path / "set")
    assert {piece.part for piece in learned} == {"train", "validation"}
    spans = []
    for piece in (*learned, *tested):
        at = round((piece.start_ns - whole.start_ns) * 1e-9 * 100)
        own = slice(at, at + len(piece))
        np.testing.assert_array_equal(piece.gyro_rad_s, whole.gyro_rad_s[own])
        error = quat_distance(piece.orientation_xyzw, whole.orientation_xyzw[own])
        assert error.max() < 1e-7
        spans.append((at, at + len(piece), piece.part))
    spans.sort()
    for before, after in itertools.pairwise(spans):
        assert before[2] != after[2]
        assert after[0] - before[1] >= 49
    kept = sum(stop - start for start, stop, _ in spans)
    guard = summary.manifest["dropped"]["rows between two parts"]
    assert kept + guard == len(whole)
    assert sum(summary.rows.values()) == kept
    data = load_recordings(tmp_path / "set", "", ())
    assert {s.part for s in data.train} == {"train"}
    assert {s.part for s in data.validation} == {"validation"}
    tracks = load_tracks(tmp_path / "set", 0)
    validating = {s.name for s in learned if s.part == "validation"}
    assert {t.name for t in tracks.validation} == validating
    assert not validating & {t.name for t in tracks.train}


@pytest.mark.parametrize("offset_s", [3.7, -12.3456, 0.0])
def test_another_clock_and_another_body_are_found_and_taken_out(tmp_path, simulated, offset_s):
    mounting = quat_exp(np.array([0.3, -1.1, 0.7]))
    path = mocap_bag(tmp_path / "bag", simulated, offset_s, mounting)
    summary = build_dataset([path], "attitude", tmp_path / "set", TEST_ONLY)
    alignment = summary.manifest["sources"][0]["alignment"]
    assert alignment["offset_s"] == pytest.approx(offset_s, abs=5e-4)
    assert alignment["applied_s"] == (alignment["offset_s"] if offset_s else 0.0)
    taken = np.array(alignment["mounting_xyzw"])
    assert np.degrees(quat_distance(taken, quat_conjugate(quat_conjugate(mounting)))) < 1.0
    found = max(load_imu_data(tmp_path / "set"), key=len)
    at = round((found.start_ns - 10**18) * 1e-9 * 100)
    truth = simulated.orientation_xyzw[at : at + len(found)]
    known = found.has_truth
    error = np.degrees(quat_distance(found.orientation_xyzw[known], truth[known]))
    assert np.median(error) < 1.0


def test_a_given_offset_is_taken(tmp_path, simulated):
    path = mocap_bag(tmp_path / "bag", simulated, 5.0)
    settings = replace(TEST_ONLY, offset_s=5.0, mounting=False)
    build_dataset([path], "gyro", tmp_path / "set", settings)
    found = load_imu_data(tmp_path / "set")[0]
    error = quat_distance(found.orientation_xyzw, simulated.orientation_xyzw[: len(found)])
    assert error.max() < 1e-6


def test_a_stated_delay_of_the_sensor_is_no_offset_of_clocks(tmp_path, simulated):
    write_imu_bag(replace(simulated, sensor_delay_s=0.004), tmp_path / "bag")
    summary = build_dataset([tmp_path / "bag"], "gyro", tmp_path / "set", TEST_ONLY)
    assert summary.manifest["sources"][0]["alignment"]["applied_s"] == 0.0
    assert load_imu_data(tmp_path / "set")[0].sensor_delay_s == 0.004


def test_no_truth_is_made_up_across_gaps(tmp_path, simulated):
    known = np.ones(len(simulated), bool)
    known[1000:1020] = False  # bridged by samples without truth
    known[3000:3500] = False  # too long: cut out
    known[:100] = False
    path = mocap_bag(tmp_path / "bag", simulated, known=known)
    summary = build_dataset([path], "gyro", tmp_path / "set", TEST_ONLY)
    pieces = load_imu_data(tmp_path / "set")
    starts = [round((piece.start_ns - 10**18) * 1e-7) for piece in pieces]
    assert [(at, at + len(piece)) for at, piece in zip(starts, pieces, strict=True)] == [
        (100, 3000),
        (3500, 6001),
    ]
    missing = np.flatnonzero(~pieces[0].has_truth) + 100
    assert missing.tolist() == list(range(1000, 1020))
    assert summary.manifest["dropped"]["samples far from any true pose"] == 600


def test_what_cannot_be_aligned_is_told(tmp_path, simulated):
    still = replace(
        simulated,
        gyro_rad_s=np.zeros_like(simulated.gyro_rad_s),
        orientation_xyzw=np.tile([0.0, 0.0, 0.0, 1.0], (len(simulated), 1)),
    )
    cases = (
        (still, {}, TEST_ONLY, r"cannot be observed.*--offset 0"),
        (simulated, {"offset_s": 5000.0}, TEST_ONLY, r"no overlap.*--max-offset-s"),
        (simulated, {"every": 10}, TEST_ONLY, r"every 0\.1 s.*--max-gap-s"),
        (
            simulated,
            {"every": 10, "offset_s": 0.003},
            replace(TEST_ONLY, offset_s=0.0),
            r"every 0\.1 s.*--max-gap-s",
        ),
        (
            simulate_imu(100.0, seed=9, motion=Motion(duration_s=60.0)),
            {"mounting": None},
            TEST_ONLY,
            r"do not fit.*--topic pose=TOPIC",
        ),
    )
    for number, (sequence, given, settings, message) in enumerate(cases):
        if given.get("mounting", 0) is None:
            sequence = replace(sequence, orientation_xyzw=simulated.orientation_xyzw)
            given = {}
        path = mocap_bag(tmp_path / f"bag{number}", sequence, **given)
        with pytest.raises(DatasetError, match=message):
            build_dataset([path], "gyro", tmp_path / f"set{number}", settings)
        assert not list(tmp_path.glob("*set*"))


def test_an_earth_frame_with_another_axis_up_is_refused_for_attitude(tmp_path, simulated):
    y_up = quat_exp(np.array([-np.pi / 2, 0.0, 0.0]))
    turned = replace(simulated, orientation_xyzw=quat_multiply(y_up, simulated.orientation_xyzw))
    path = mocap_bag(tmp_path / "bag", turned)
    with pytest.raises(DatasetError, match=r"tilted by 90 degrees.*REP-103"):
        build_dataset([path], "attitude", tmp_path / "set", TEST_ONLY)
    build_dataset([path], "gyro", tmp_path / "set", TEST_ONLY)


@pytest.mark.parametrize("first", ["hours of samples before", "a sample at 0", "a pose at 0"])
def test_a_beginning_without_the_other_sensor_does_not_matter(tmp_path, simulated, first):
    imu, poses = Spool(tmp_path / "imu", SAMPLE), Spool(tmp_path / "poses", POSE_ROW)
    if first == "hours of samples before":
        early = np.zeros(7 * 3600 * 2, SAMPLE)
        early["stamp"] = 10**18 - 5 * 10**8 * np.arange(len(early), 0, -1)
        imu.append(early)
    else:
        stream = imu if first == "a sample at 0" else poses
        stream.append(np.zeros(1, stream.dtype))
    samples = np.zeros(len(simulated.time_s), SAMPLE)
    samples["stamp"] = 10**18 + np.round(simulated.time_s * 1e9).astype(np.int64)
    samples["gyro"], samples["accel"] = simulated.gyro_rad_s, simulated.accel_m_s2
    imu.append(samples)
    true = np.zeros(len(samples), POSE_ROW)
    true["stamp"] = samples["stamp"] - 300_000_000
    true["pose"][:, 3:] = simulated.orientation_xyzw
    poses.append(true)
    found = align_imu("bag", imu, poses, BuildSettings())
    assert found.applied_s == pytest.approx(0.3, abs=1e-3)


def test_correlation_with_gaps_is_the_plain_one_over_what_both_know():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=900), draw.normal(size=700)
    a[100:180], b[300:333] = np.nan, np.nan
    lags, values = masked_correlation(a, b, 80)
    for lag, value in zip(lags[::17].tolist(), values[::17].tolist(), strict=True):
        index = np.arange(700)
        inside = (index + lag >= 0) & (index + lag < 900)
        x, y = a[index[inside] + lag], b[inside]
        both = np.isfinite(x) & np.isfinite(y)
        assert value == pytest.approx(np.corrcoef(x[both], y[both])[0, 1], abs=1e-9)
    assert BIN_S == 0.02


def test_pieces_in_a_rest_are_not_evaluated(tmp_path, simulated):
    for name, still in (("some", simulated.time_s < 30.0), ("all", simulated.time_s >= 0.0)):
        write_imu_bag(replace(simulated, movement=~still), tmp_path / name)
        settings = replace(TEST_ONLY, block_s=10.0, split=(50, 0, 50))
        build_dataset([tmp_path / name], "gyro", tmp_path / f"{name}_set", settings)
    found = load_imu_data(tmp_path / "some_set")
    assert found
    assert all(piece.movement.any() for piece in found)
    with pytest.raises(DatasetError, match="nothing moves in the part test"):
        load_imu_data(tmp_path / "all_set")


@pytest.mark.parametrize("seed", range(6))
def test_each_part_has_rest_and_motion(tmp_path, simulated, seed):
    write_imu_bag(
        replace(simulated, movement=abs(simulated.time_s - 30.0) < 10.0), tmp_path / "bag"
    )
    settings = BuildSettings(plots=False, jobs=1, seed=seed, block_s=3.0)
    build_dataset([tmp_path / "bag"], "attitude", tmp_path / "set", settings)
    for part in PARTS:
        pieces = load_recorded_imu(tmp_path / "set", [part])
        moving = np.concatenate([piece.movement for piece in pieces])
        assert moving.any()
        assert not moving.all()


def test_segments_begin_and_end_with_the_truth():
    runs = [(0, 5, False, 0), (5, 20, True, 0), (20, 23, False, 0), (23, 30, True, 0)]
    runs += [(30, 40, True, 1), (40, 49, False, 1), (49, 60, True, 1), (60, 70, False, 1)]
    assert cut_segments(runs, 3).tolist() == [[5, 30], [30, 40], [49, 60]]
    assert cut_segments(runs, 2).tolist() == [[5, 20], [23, 30], [30, 40], [49, 60]]
