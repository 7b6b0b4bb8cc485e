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


def _start_worker(handle, limit, deaths=None):
    queue = Intake(100_000)
    worker = Worker("w", queue, handle, (deaths if deaths is not None else []).append, limit)
    worker.start()
    while not queue.taker_waits:
        pass
    return queue, worker


LONG_AGO, AT_ONCE = 1e12, -1e12
"""Times for `Worker.give`, compared with that of the last answer: alone, and close behind it."""


def test_an_item_that_comes_alone_is_handled_in_the_giving_thread():
    threads = []
    done = threading.Event()

    def handle(items):
        threads.append((threading.current_thread().name, items))
        if items == [2]:
            done.set()

    _, worker = _start_worker(handle, limit=4)
    assert worker.give(1, LONG_AGO)
    assert threads == [(threading.current_thread().name, [1])]
    assert worker.give(2, AT_ONCE)
    assert done.wait(10.0)
    assert worker.stop()
    assert threads[1:] == [("w", [2])]


def test_a_slot_never_keeps_the_giving_thread():
    done = threading.Event()
    threads = []

    def handle(_items):
        threads.append(threading.current_thread().name)
        done.set()

    _, worker = _start_worker(handle, limit=1)
    worker.give(1, LONG_AGO)
    assert done.wait(10.0)
    assert worker.stop()
    assert threads == ["w"]


def test_order_is_kept_between_the_two_threads():
    taken, threads = [], set()
    busy, done = threading.Lock(), threading.Event()

    def handle(items):
        assert busy.acquire(blocking=False), "two threads at a time"
        taken.extend(items)
        threads.add(threading.current_thread().name)
        busy.release()
        if items[-1] == 20_000:
            done.set()

    deaths = []
    queue, worker = _start_worker(handle, 8, deaths)
    for number in range(20_001):
        while number % 100 == 50 and not queue.taker_waits:
            pass
        worker.give(number, LONG_AGO if number % 3 == 2 else AT_ONCE)
    assert done.wait(10.0)
    assert worker.stop()
    assert (deaths, queue.dropped) == ([], 0)
    assert taken == list(range(20_001))
    assert threads == {"w", threading.current_thread().name}


def test_death_in_the_giving_thread_is_reported():
    def handle(_items):
        raise SystemExit

    deaths = []
    _, worker = _start_worker(handle, 8, deaths)
    with pytest.raises(SystemExit):
        worker.give(1, LONG_AGO)
    assert worker.stop()
    assert [type(death) for death in deaths] == [SystemExit]
