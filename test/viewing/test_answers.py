"""Models' answers in a recording: those of the pipeline, beside what was recorded, with truth."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.digit_frames import open_digit_frames
from nn_perception.datasets.digit_frames_bags import write_frames_bag
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_simulated import simulated_recordings
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.evaluation.uwb_recording import settings_in_bag
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr
from nn_perception.viewing import poses
from nn_perception.viewing.views import View


def shipped(name):
    path = shipped_model(name)
    if not (path / "config.json").is_file():
        pytest.skip(f"no model '{name}' ships with the package")
    return path


@pytest.fixture
def frames(tmp_path):
    bag = tmp_path / "frames"
    write_frames_bag(open_digit_frames("test", 1000), bag, 4)
    return bag


def test_boxes_of_a_model_are_those_of_its_pipeline(frames, record):
    model = shipped("digit_reader")
    made = record(frames, models=[model], settings={"regions": "digits"})
    pipeline = open_pipeline(model, device="cpu", settings={"regions": "digits"})
    with BagReader(frames) as bag:
        results = [pipeline.process("image_raw", m) for _, _, m in bag.messages(["/image_raw"])]
    entity = "camera/image_raw/digit_reader"
    assert made.found.stamps(entity) == [result.stamp_ns for result in results]
    assert sum(len(result.boxes_xywh) for result in results) > 10
    for shown, result in zip(made.found.boxes_xywh(entity), results, strict=True):
        np.testing.assert_allclose(shown, result.boxes_xywh, atol=1e-3)
    labels = made.found.values(entity, "Boxes2D:labels")
    assert [[text[0] for text in row] for row in labels] == [list(r.answers) for r in results]
    truth = "camera/image_raw/truth"
    assert made.found.static[truth]["Boxes2D:show_labels"] == [False]
    (answered,) = made.summary.answers
    assert (answered.model, answered.replay.answered) == ("digit_reader", 4)


def test_two_models_of_a_name_are_told_apart(frames, record, tmp_path):
    model = shipped("digit_reader")
    other = tmp_path / "other" / "digit_reader"
    other.mkdir(parents=True)
    for file in model.iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    found = record(frames, models=[model, other], settings={"regions": "digits"}).found
    first, second = "camera/image_raw/digit_reader_0", "camera/image_raw/digit_reader_1"
    assert found.values(first, "Boxes2D:labels") == found.values(second, "Boxes2D:labels")
    assert found.values(first, "Boxes2D:colors")[0] != found.values(second, "Boxes2D:colors")[0]


@pytest.fixture(scope="module")
def motion():
    (recording,) = simulated_recordings([7], duration_s=8.0)
    return recording


def test_attitude_is_that_of_the_pipeline_and_begins_with_the_true_heading(
    motion, record, tmp_path
):
    bag = tmp_path / "imu"
    write_imu_bag(motion, bag)
    made = record(bag, models=[shipped("attitude")])
    found = made.found
    pipeline = open_pipeline(shipped("attitude"), device="cpu")
    expected = pipeline.estimate(motion, sensor_delay_s=0.0).orientation_xyzw
    shown = found.quaternions("attitude/attitude/sensor")
    # As rotations: q and -q are the same. Groups of samples differ in the last digits.
    apart = (Rotation.from_quat(shown).inv() * Rotation.from_quat(expected)).magnitude()
    assert apart.max() < 1e-4
    true = found.quaternions("attitude/truth.pose/sensor")
    np.testing.assert_allclose(np.abs((true * motion.orientation_xyzw).sum(axis=1)), 1.0, atol=1e-6)
    # Turned as a whole, about the vertical, onto the truth.
    (turn,) = found.static["attitude/attitude"]["Transform3D:quaternion"]
    np.testing.assert_allclose(turn[:2], [0.0, 0.0], atol=1e-7)
    error = (Rotation.from_quat(turn) * Rotation.from_quat(shown)).inv() * Rotation.from_quat(true)
    untold = Rotation.from_quat(shown).inv() * Rotation.from_quat(true)
    assert np.degrees(error[:200].magnitude()).max() < 5.0
    assert np.degrees(untold[:200].magnitude()).min() > 5.0  # there was something to turn
    tilt = found.numbers("tilt/truth.pose")
    yaw_pitch_roll = Rotation.from_quat(motion.orientation_xyzw).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(tilt, yaw_pitch_roll[:, [2, 1]], atol=1e-3)
    views = made.summary.views
    assert views[View("space", "Attitude")] == ["attitude/truth.pose", "attitude/attitude"]


def test_rates_and_bias_of_a_corrected_gyroscope(motion, record, tmp_path):
    bag = tmp_path / "imu"
    write_imu_bag(motion, bag)
    found = record(bag, models=[shipped("gyro")]).found
    expected = open_pipeline(shipped("gyro"), device="cpu").correct(motion)
    np.testing.assert_allclose(found.numbers("imu/gyro/rate"), expected.gyro_rad_s, atol=1e-4)
    np.testing.assert_allclose(found.numbers("imu/gyro/bias"), expected.bias_rad_s, atol=1e-4)
    np.testing.assert_array_equal(found.numbers("imu/imu.data_raw/rate"), motion.gyro_rad_s)


@pytest.mark.parametrize("tags", [1, 2])
def test_ranges_stand_beside_their_truth_with_their_errors(record, tmp_path, tags):
    flight = simulate_uwb(3, duration_s=3.0, tags=tags)
    bag = tmp_path / "uwb"
    write_uwb_bag(flight, bag)
    made = record(bag, models=[shipped("uwb_drone")])
    found = made.found
    anchors, names = list(flight.anchors), list(flight.tags)
    results = answers(bag)
    for number, name in enumerate(names):
        tag = name if tags > 1 else "tag"
        for column, anchor in enumerate(anchors):
            of = (flight.tag == number) & (flight.anchor == column)
            true, raw = flight.range_true_m[of], flight.range_m[of].astype(np.float32)
            base = f"ranges/{tag}/{anchor}"
            np.testing.assert_array_equal(found.numbers(f"{base}/raw")[:, 0], raw)
            np.testing.assert_allclose(found.numbers(f"{base}/truth")[:, 0], true, atol=1e-5)
            errors = found.numbers(f"range_errors/{tag}/{anchor}/raw")[:, 0]
            np.testing.assert_allclose(errors, raw - true, atol=1e-5)
            link = (name, anchor)
            told = {r.stamp_ns: r.range_m for r in results if (r.tag, r.anchor) == link}
            corrected = by_stamp(found, f"{base}/uwb_drone")
            assert corrected.keys() == told.keys()
            assert [corrected[t] for t in told] == pytest.approx(list(told.values()), abs=1e-5)
            truth = by_stamp(found, f"{base}/truth")
            errors = by_stamp(found, f"range_errors/{tag}/{anchor}/uwb_drone")
            assert errors == pytest.approx({t: told[t] - truth[t] for t in told}, abs=1e-5)
    points = found.static["world/anchors"]
    assert points["Points3D:labels"] == anchors
    places = [anchor.position_m for anchor in flight.anchors.values()]
    np.testing.assert_allclose(points["Points3D:positions"], places, atol=1e-6)


def test_truth_is_looked_up_along_a_recording_longer_than_what_is_remembered(
    record, tmp_path, monkeypatch
):
    monkeypatch.setattr(poses, "KEPT", 600)  # more than a group of a replay, less than there are
    flight = simulate_uwb(3, duration_s=20.0)
    bag = tmp_path / "uwb"
    write_uwb_bag(flight, bag)
    made = record(bag, models=[shipped("uwb_drone")])
    (viewed,), (answered,) = made.summary.bags, made.summary.answers
    assert viewed.shown["/truth/pose"] > 2 * 600
    for source, count in (("raw", len(flight)), ("uwb_drone", answered.replay.answered)):
        rows = made.summary.rows
        compared = [rows[f"range_errors/tag/{anchor}/{source}"] for anchor in flight.anchors]
        assert sum(compared) == count


def by_stamp(found, entity):
    return dict(zip(found.stamps(entity), found.numbers(entity)[:, 0].tolist(), strict=True))


def answers(bag):
    """What the pipeline says of a bag, message by message."""
    settings = settings_in_bag(bag)
    pipeline = open_pipeline(shipped("uwb_drone"), device="cpu", settings=settings)
    arrivals = []
    with BagReader(bag) as reader:
        for topic, _, raw in reader.raw_messages():
            if topic == "/odom":
                arrivals.append(("odom", odometry_from_cdr(raw)))
            elif topic.endswith("uwb/range"):
                name = "range" if topic == "/uwb/range" else topic.split("/")[1] + "/range"
                arrivals.append((name, RangeCdr(raw).reading()))
    found = pipeline.process_many(arrivals)
    return [answer for answer in found if hasattr(answer, "range_m")]
