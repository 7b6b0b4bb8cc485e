import itertools

import pytest

from nn_perception.regions.matching import MAX_WAITING, MAX_WAITING_BYTES, StampMatcher

SECOND = 1_000_000_000


@pytest.fixture
def matcher():
    return StampMatcher(0.5)


@pytest.mark.parametrize("first", ["image", "boxes"])
def test_a_pair_is_complete_with_its_second_message(matcher, first):
    second = {"image": "boxes", "boxes": "image"}[first]
    assert matcher.add(first, 7, first) is None
    assert matcher.add(second, 8, "another") is None
    assert matcher.add(second, 7, second) == ("image", "boxes")
    assert matcher.take_overdue() == []


def test_a_message_is_used_once(matcher):
    matcher.add("image", 7, "a")
    assert matcher.add("boxes", 7, "b") == ("a", "b")
    assert matcher.add("boxes", 7, "c") is None


def test_any_order_within_the_timeout_gives_all_pairs():
    stamps = [0, 100_000_000, 200_000_000]
    messages = [(side, stamp) for stamp in stamps for side in ("image", "boxes")]
    for order in itertools.permutations(messages):
        matcher = StampMatcher(0.5)
        pairs = [matcher.add(side, stamp, (side, stamp)) for side, stamp in order]
        found = sorted(pair[0][1] for pair in pairs if pair)
        assert found == stamps
        assert all(pair[0][1] == pair[1][1] for pair in pairs if pair)
        assert matcher.take_overdue() == []


def test_what_waits_for_longer_than_the_timeout_is_given_up_and_told(matcher):
    matcher.add("image", 0, "old")
    matcher.add("boxes", SECOND // 10, "lonely")
    assert matcher.add("image", SECOND // 2, "at the limit") is None
    assert matcher.take_overdue() == []
    matcher.add("image", SECOND, "new")
    given_up = matcher.take_overdue()
    assert [(item.side, item.stamp_ns) for item in given_up] == [
        ("image", 0),
        ("boxes", SECOND // 10),
    ]
    assert given_up[0].waited_s == pytest.approx(1.0)
    assert matcher.take_overdue() == []
    assert matcher.add("boxes", 0, "too late") is None
    assert matcher.add("boxes", SECOND, "in time") == ("new", "in time")


def test_late_boxes_do_not_wait_for_a_frame_that_is_gone(matcher):
    matcher.add("image", SECOND, "new")
    matcher.add("boxes", 0, "late")
    assert [item.side for item in matcher.take_overdue()] == ["boxes"]


def test_time_that_begins_anew_begins_anew(matcher):
    """A bag that is played again: nothing of the second round is late."""
    for start in (100 * SECOND, 0):
        for tenth in range(20):
            stamp = start + tenth * SECOND // 10
            assert matcher.add("image", stamp, tenth) is None
            assert matcher.add("boxes", stamp, tenth) == (tenth, tenth)
    assert matcher.take_overdue() == []


def test_a_message_that_waits_when_time_begins_anew_is_told(matcher):
    matcher.add("image", 100 * SECOND, "of the first round")
    matcher.add("image", 0, "of the second")
    assert [item.stamp_ns for item in matcher.take_overdue()] == [100 * SECOND]
    assert matcher.add("boxes", 0, "b") == ("of the second", "b")


def test_memory_is_bounded_whatever_the_stamps(matcher):
    for stamp in range(1000):
        matcher.add("image", stamp, stamp)
    assert len(matcher.take_overdue()) == 1000 - MAX_WAITING
    assert matcher.add("boxes", 999, "b") == (999, "b")


def test_a_second_message_of_a_stamp_replaces_the_first_and_is_told(matcher):
    matcher.add("image", 5, "first")
    matcher.add("image", 5, "second")
    assert [item.side for item in matcher.take_overdue()] == ["image"]
    assert matcher.add("boxes", 5, "b") == ("second", "b")


def test_reset_forgets_in_silence(matcher):
    matcher.add("image", 5, "a")
    matcher.reset()
    assert matcher.take_overdue() == []
    assert matcher.add("boxes", 5, "b") is None


def test_large_frames_that_wait_are_bounded_by_their_size():
    matcher = StampMatcher(60.0)
    size = MAX_WAITING_BYTES // 4
    for stamp in range(6):
        assert matcher.add("image", stamp, stamp, size) is None
    assert [item.stamp_ns for item in matcher.take_overdue()] == [0, 1]
    assert matcher.add("boxes", 2, "b") == (2, "b")
    assert matcher.add("image", 6, 6, size) is None  # there is room again
    assert matcher.take_overdue() == []


def test_one_frame_may_be_larger_than_all_the_room():
    matcher = StampMatcher(0.5)
    assert matcher.add("image", 1, "a", 2 * MAX_WAITING_BYTES) is None
    assert matcher.add("boxes", 1, "b") == ("a", "b")
