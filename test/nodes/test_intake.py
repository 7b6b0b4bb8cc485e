import threading

import pytest

from nn_perception.nodes.intake import Intake
from nn_perception.nodes.worker import Worker


def test_a_slot_keeps_the_newest_and_counts_the_replaced():
    slot = Intake(1)
    assert [slot.put(number) for number in range(3)] == [True, False, False]
    assert (slot.get(0.0), slot.get(0.0), slot.dropped) == (2, None, 2)


def test_a_queue_keeps_the_order_and_drops_the_oldest():
    queue = Intake(3)
    for number in range(5):
        queue.put(number)
    assert [queue.get(0.0) for _ in range(4)] == [2, 3, 4, None]
    assert queue.dropped == 2


def test_what_waits_is_taken_together_up_to_a_limit():
    queue = Intake(10)
    for number in range(7):
        queue.put(number)
    assert queue.get_many(3) == [0, 1, 2]
    assert queue.get_many(100) == [3, 4, 5, 6]
    assert queue.get_many(100, 0.0) == []
    queue.put(7)
    queue.close()
    assert queue.get_many(100) == []


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="depth 0"):
        Intake(0)


def test_closing_wakes_a_waiting_get_and_ends_everything():
    queue = Intake(3)
    got = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    queue.close()
    thread.join(10.0)
    assert got == [None]
    assert queue.put(1) is False
    queue.close()
    assert queue.get(0.0) is None


def test_closing_drops_what_still_waits():
    queue = Intake(3)
    queue.put(1)
    queue.close()
    assert (queue.get(), len(queue)) == (None, 0)


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_nothing_is_lost_between_threads_but_what_is_counted(limit):
    queue, taken = Intake(10), []
    done = threading.Event()

    def handle(items):
        sizes.add(len(items))
        taken.extend(items)
        if items[-1] == "end":
            done.set()

    sizes = set()
    worker = Worker("w", queue, handle, lambda error: taken.append(error), limit=limit)
    worker.start()
    for number in range(20_000):
        queue.put(number)
    queue.put("end")
    assert done.wait(10.0)
    assert worker.stop()
    assert taken.pop() == "end"
    assert len(taken) + queue.dropped == 20_000
    assert max(sizes) <= limit
    assert taken == sorted(taken)


def test_worker_reports_its_own_death():
    deaths, dead = [], threading.Event()

    def handle(items):
        raise SystemExit(items[0])

    def on_death(error):
        deaths.append(error)
        dead.set()

    queue = Intake(1)
    worker = Worker("w", queue, handle, on_death)
    worker.start()
    queue.put("gone")
    assert dead.wait(10.0)
    assert str(deaths[0]) == "gone"
    assert worker.stop()


def test_stopping_a_worker_that_hangs_gives_up_and_says_so():
    release, started = threading.Event(), threading.Event()

    def handle(items):
        started.set()
        release.wait()

    queue = Intake(1)
    worker = Worker("w", queue, handle, lambda error: None)
    worker.start()
    queue.put(1)
    assert started.wait(10.0)
    assert worker.stop(timeout_s=0.01) is False
    release.set()
    assert worker.stop() is True
