"""Frames, boxes and digits through the pipeline, with the shipped model."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nn_perception.config import to_mapping
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.errors import ConfigError, MessageError
from nn_perception.messages import array_to_image_fields
from nn_perception.regions import matching
from nn_perception.regions.settings import DigitFinderSettings
from nn_perception.tasks.image_pipeline import image_inputs
from nn_perception.tasks.rejection import fit_rejection


def stamp(stamp_ns):
    return SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def image_of(pixels, stamp_ns=0, frame="camera"):
    header = SimpleNamespace(stamp=stamp(stamp_ns), frame_id=frame)
    encoding = "mono8" if pixels.ndim == 2 else "rgb8"
    return SimpleNamespace(header=header, **array_to_image_fields(pixels, encoding))


def boxes_of(boxes_xywh, stamp_ns=0, theta=0.0):
    detections = [
        SimpleNamespace(
            bbox=SimpleNamespace(
                center=SimpleNamespace(
                    position=SimpleNamespace(x=x + w / 2, y=y + h / 2), theta=theta
                ),
                size_x=w,
                size_y=h,
            )
        )
        for x, y, w, h in boxes_xywh
    ]
    header = SimpleNamespace(stamp=stamp(stamp_ns), frame_id="camera")
    return SimpleNamespace(header=header, detections=detections)


@pytest.fixture(scope="module")
def digits():
    """One bright digit of each class on black, 28x28, that the shipped model knows for sure."""
    data = load_builtin_digits("test")
    firsts = [np.flatnonzero(data.labels == digit) for digit in range(10)]
    return [data.images[indices[:30], :, :, 0] for indices in firsts]


@pytest.fixture(scope="module")
def sure_digits(digits, open_shipped):
    pipeline = open_shipped("digits", keep_percent=100.0)
    sure = []
    for digit, pictures in enumerate(digits):
        scores = pipeline.classify(pictures)
        sure.append(pictures[scores[:, digit].argmax()])
    return sure


@pytest.fixture
def sheet(sure_digits):
    """A black frame with 3 5 8 in white, and their boxes."""
    frame = np.zeros((240, 320), np.uint8)
    boxes = []
    for number, digit in enumerate((3, 5, 8)):
        x, y = 30 + 90 * number, 90
        big = cv2.resize(sure_digits[digit], (56, 56), interpolation=cv2.INTER_LINEAR)
        frame[y : y + 56, x : x + 56] = big
        boxes.append((x, y, 56, 56))
    return frame, boxes


def test_full_and_center_look_at_different_parts(open_shipped, sure_digits):
    frame = np.zeros((280, 500), np.uint8)
    frame[:, 110:390] = cv2.resize(sure_digits[4], (280, 280), interpolation=cv2.INTER_NEAREST)
    center = open_shipped("digits", regions="center").process("image_raw", image_of(frame))
    full = open_shipped("digits", regions="full").process("image_raw", image_of(frame))
    as_trained = open_shipped("digits").process("image_raw", image_of(frame))
    pipeline = open_shipped("digits")
    np.testing.assert_allclose(center.scores, pipeline.classify([sure_digits[4]])[0], atol=1e-6)
    squeezed = cv2.resize(frame, (28, 28), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(full.scores, pipeline.classify([squeezed])[0], atol=1e-6)
    np.testing.assert_array_equal(center.scores, as_trained.scores)
    assert center.best[0] == "4"
    assert np.abs(np.log(full.scores / center.scores)).max() > 0.5


def test_a_group_gives_what_single_messages_give(open_shipped, sheet, sure_digits):
    frames = [sheet[0], np.ascontiguousarray(sheet[0][:, ::-1]), np.full((480, 640), 90, np.uint8)]
    for settings in ({}, {"regions": "digits", "keep_percent": 100.0}):
        group = open_shipped("digits", **settings).process_many(
            [("image_raw", image_of(frame, number)) for number, frame in enumerate(frames)]
        )
        alone = open_shipped("digits", **settings)
        for number, frame in enumerate(frames):
            single = alone.process("image_raw", image_of(frame, number))
            assert group[number].stamp_ns == single.stamp_ns == number
            np.testing.assert_allclose(group[number].scores, single.scores, atol=1e-5)


def test_a_bad_frame_does_not_cost_the_others_theirs(open_shipped, sheet):
    bad = image_of(sheet[0])
    bad.step = 3
    pipeline = open_shipped("digits")
    answers = pipeline.process_many(
        [
            ("image_raw", image_of(sheet[0], 1)),
            ("image_raw", bad),
            ("image_raw", image_of(sheet[0])),
        ]
    )
    assert isinstance(answers[1], MessageError)
    assert answers[1].kind == "step"
    np.testing.assert_array_equal(answers[0].scores, answers[2].scores)
    with pytest.raises(MessageError, match="step"):
        pipeline.process("image_raw", bad)


def test_boxes_are_classified_in_their_order_with_the_image_of_their_stamp(open_shipped, sheet):
    frame, boxes = sheet
    wanted = [boxes[2], boxes[0], boxes[1]]
    for order in (0, 1):
        pipeline = open_shipped("digits", regions="detections", keep_percent=100.0)
        messages = [("image_raw", image_of(frame, 5)), ("boxes", boxes_of(wanted, 5))]
        first, second = messages[order], messages[1 - order]
        assert pipeline.process(*first) is None
        result = pipeline.process(*second)
        assert result.answers == ("8", "3", "5")
        np.testing.assert_array_equal(result.boxes_xywh, np.array(wanted, np.float32))
        assert (result.stamp_ns, result.frame_id, result.refused) == (5, "camera", {})
        assert pipeline.overdue() == []


def test_boxes_that_cannot_be_looked_at_are_counted_and_the_others_answered(open_shipped, sheet):
    frame, boxes = sheet
    pipeline = open_shipped("digits", regions="detections", keep_percent=100.0, max_regions=5)
    odd = [boxes[0], (10, 10, 1, 1), (-99, 0, 20, 20), (float("nan"), 0, 9, 9), boxes[1]]
    pipeline.process("image_raw", image_of(frame))
    result = pipeline.process("boxes", boxes_of([*odd, *[boxes[2]] * 9995]))
    assert result.answers == ("3", "5")
    assert result.refused == {
        "too_small": 1,
        "outside": 1,
        "not_finite": 1,
        "too_many": 9995,
    }


def test_a_frame_without_boxes_is_answered_with_none(open_shipped, sheet):
    pipeline = open_shipped("digits", regions="detections")
    pipeline.process("image_raw", image_of(sheet[0]))
    result = pipeline.process("boxes", boxes_of([]))
    assert (result.answers, result.scores.shape, result.texts) == ((), (0, 10), ())


def test_a_turned_box_is_looked_at_as_the_upright_one_around_it(open_shipped, sheet):
    frame, boxes = sheet
    x, y, w, h = boxes[0]
    pipeline = open_shipped("digits", regions="detections", keep_percent=100.0)
    pipeline.process("image_raw", image_of(frame))
    # Turned by 90 degrees, width and height change places.
    tall = (x + w / 2 - 10, y, 20, h)
    result = pipeline.process("boxes", boxes_of([tall], theta=np.pi / 2))
    expected = [x, y + h / 2 - 10, w, 20]
    np.testing.assert_allclose(result.boxes_xywh[0], expected, atol=1e-4)


def test_frames_and_boxes_that_miss_each_other_are_told(open_shipped, sheet):
    pipeline = open_shipped("digits", regions="detections", match_timeout_s=0.3)
    second = 10**9
    pipeline.process("image_raw", image_of(sheet[0], 0))
    pipeline.process("boxes", boxes_of([], second // 10))
    assert pipeline.overdue() == []
    pipeline.process("image_raw", image_of(sheet[0], second))
    assert [error.kind for error in pipeline.overdue()] == ["no_boxes", "no_image"]
    assert pipeline.overdue() == []


def test_what_is_no_array_of_detections_is_a_message_error(open_shipped, sheet):
    pipeline = open_shipped("digits", regions="detections")
    header = SimpleNamespace(stamp=stamp(0), frame_id="")
    for message in (
        SimpleNamespace(header=header),
        SimpleNamespace(header=header, detections=[SimpleNamespace(bbox=None)]),
        SimpleNamespace(header=header, detections=None),
        SimpleNamespace(detections=[]),
        image_of(sheet[0]),
    ):
        with pytest.raises(MessageError) as caught:
            pipeline.process("boxes", message)
        assert caught.value.kind == "type"


def test_digits_are_found_and_read_line_by_line(open_shipped, sheet):
    frame, boxes = sheet
    pipeline = open_shipped("digits", regions="digits", keep_percent=100.0)
    two_lines = 230 - np.vstack((frame, frame)) // 2  # dark on light
    result = pipeline.process("image_raw", image_of(two_lines, 3))
    assert result.texts == ("358", "358")
    assert result.lines.tolist() == [0, 0, 0, 1, 1, 1]
    for found, (x, y, w, h) in zip(result.boxes_xywh[:3], boxes, strict=True):
        assert found[0] >= x
        assert found[1] >= y
        assert found[0] + found[2] <= x + w
        assert found[1] + found[3] <= y + h


def test_an_empty_frame_has_no_digits(open_shipped):
    pipeline = open_shipped("digits", regions="digits")
    result = pipeline.process("image_raw", image_of(np.full((480, 640), 128, np.uint8)))
    assert (result.texts, result.rejected, result.scores.shape) == ((), 0, (0, 10))


@pytest.fixture
def knowing(open_shipped, with_calibration, digits):
    """Return a function: settings -> a pipeline whose thresholds are those of real digits."""
    from nn_perception.tasks.loading import open_pipeline

    known = open_shipped("digits").known_scores(np.concatenate(digits))
    classes = open_shipped("digits").bundle.config.outputs[0].shape[-1]
    kind = "background" if classes > 10 else "energy"
    entry = to_mapping(fit_rejection(known, kind))
    bundle = with_calibration("digits", rejection=entry)
    return lambda **settings: open_pipeline(bundle, device="cpu", settings=settings)


def test_a_frame_that_is_not_known_is_not_accepted(knowing, sure_digits):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    pipeline = knowing()
    assert pipeline.process("image_raw", image_of(sure_digits[7])).accepted
    assert not pipeline.process("image_raw", image_of(noise)).accepted
    assert knowing(keep_percent=100.0).process("image_raw", image_of(noise)).accepted


def test_the_share_kept_is_the_one_asked_for(knowing, digits):
    pictures = np.concatenate(digits)
    for percent, expected in ((0.0, 95.0), (80.0, 80.0), (50.0, 50.0), (100.0, 100.0)):
        pipeline = knowing(keep_percent=percent)
        answers = [pipeline.process("image_raw", image_of(p)).accepted for p in pictures]
        assert 100 * np.mean(answers) == pytest.approx(expected, abs=1.5)


def test_regions_that_are_not_known_are_counted_and_left_out(knowing, sheet):
    frame, boxes = sheet
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    frame[170:230, 30:90] = noise
    pipeline = knowing(regions="detections")
    pipeline.process("image_raw", image_of(frame))
    result = pipeline.process("boxes", boxes_of([boxes[0], (30, 170, 60, 60), boxes[2]]))
    assert (result.answers, result.rejected) == (("3", "8"), 1)


def test_each_camera_waits_for_its_own_boxes(open_shipped, sheet):
    frame, boxes = sheet
    pipeline = open_shipped(
        "digits", regions="detections", cameras="left, right", keep_percent=100.0
    )
    names = [spec.name for spec in pipeline.inputs]
    assert names == ["left/image_raw", "left/boxes", "right/image_raw", "right/boxes"]
    answers = pipeline.process_many(
        [
            ("left/image_raw", image_of(frame, 7, "l")),
            ("right/boxes", boxes_of(boxes[:1], 7)),
            ("right/image_raw", image_of(frame, 7, "r")),
            ("left/boxes", boxes_of(boxes[1:], 7)),
        ]
    )
    assert [getattr(answer, "frame_id", None) for answer in answers] == [None, None, "r", "l"]
    assert [len(answers[2].boxes_xywh), len(answers[3].boxes_xywh)] == [1, 2]


def test_a_new_model_goes_on_with_what_waits(open_shipped, sheet):
    old = open_shipped("digits", regions="detections")
    old.process("image_raw", image_of(sheet[0], 9))
    new = open_shipped("digits", regions="detections")
    assert new.adopt(old)
    assert new.process("boxes", boxes_of(sheet[1], 9)) is not None
    assert not open_shipped("digits", regions="detections", cameras="a").adopt(old)
    assert open_shipped("digits").adopt(open_shipped("digits"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"regions": "digit"}, "regions is 'digit'.*did you mean 'digits'"),
        ({"max_regions": 0}, "max_regions is 0"),
        ({"max_regions": 2.5}, "max_regions is 2.5; expected a whole number"),
        ({"max_regions": math.nan}, "max_regions is nan"),
        ({"max_regions": math.inf}, "max_regions is inf"),
        ({"match_timeout_s": 0.0}, "match_timeout_s is 0"),
        ({"match_timeout_s": -1.0}, "match_timeout_s is -1"),
        ({"match_timeout_s": math.nan}, "match_timeout_s is nan"),
        ({"match_timeout_s": math.inf}, "match_timeout_s is inf"),
        ({"cameras": "a,a"}, "cameras.*stands there twice"),
        ({"cameras": "1st"}, "no name for a topic"),
    ],
)
def test_settings_that_cannot_work_say_so(open_shipped, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        open_shipped("digits", **settings)


def test_inputs_of_cameras():
    assert [spec.policy for spec in image_inputs("a", "detections")] == ["newest", "every"]
    assert [spec.name for spec in image_inputs()] == ["image_raw"]


def test_lines_are_numbered_as_the_texts_when_one_of_them_is_not_known(open_shipped, sheet):
    pipeline = open_shipped("digits", regions="digits", keep_percent=100.0)
    page = np.vstack((sheet[0], sheet[0], sheet[0]))
    judge = pipeline._classifier.judge

    def judge_all_but_the_first_line(pictures):
        judged = judge(pictures)
        return judged._replace(known=np.where(np.arange(len(pictures)) < 3, -np.inf, 1.0))

    pipeline._classifier.judge = judge_all_but_the_first_line
    pipeline._classifier.threshold = 0.0
    result = pipeline.process("image_raw", image_of(page))
    assert (result.rejected, len(result.texts)) == (3, 2)
    assert result.lines.tolist() == [0, 0, 0, 1, 1, 1]
    assert result.lines.dtype == np.int32


def test_a_frame_of_one_long_row_holds_no_digit_and_costs_nothing(open_shipped):
    pipeline = open_shipped("digits", regions="digits")
    # It cannot be called: nothing is searched.
    pipeline._viewer._finder = SimpleNamespace(settings=DigitFinderSettings())
    for shape in ((1, 50_000_000), (50_000_000, 1), (15, 4000), (3, 3)):
        frame = np.zeros(shape, np.uint8)
        result = pipeline.process("image_raw", image_of(frame))
        assert (len(result.boxes_xywh), result.texts, result.rejected) == (0, (), 0)


@pytest.mark.parametrize(("cameras", "named"), [("", ""), ("arm/left", " of camera 'arm/left'")])
def test_what_waited_in_vain_is_told_with_its_camera(open_shipped, sheet, cameras, named):
    pipeline = open_shipped("digits", regions="detections", cameras=cameras)
    prefix = f"{cameras}/" if cameras else ""
    pipeline.process(f"{prefix}image_raw", image_of(sheet[0], 10**9))
    pipeline.process(f"{prefix}boxes", boxes_of([], 3 * 10**9))
    (late,) = pipeline.overdue()
    assert late.kind == "no_boxes"
    assert f"frame{named}, stamp 1.000 s: no boxes of this stamp came until 2.00 s" in str(late)


def test_frames_that_wait_for_boxes_are_bounded_by_their_size(open_shipped, monkeypatch):
    monkeypatch.setattr(matching, "MAX_WAITING_BYTES", 2 * 100 * 100)
    pipeline = open_shipped("digits", regions="detections", match_timeout_s=60.0)
    for stamp_ns in range(4):
        pipeline.process("image_raw", image_of(np.zeros((100, 100), np.uint8), stamp_ns))
    assert len(pipeline.overdue()) == 2
