"""Slots of several inputs: none drives another's items out."""

import threading

import pytest

from nn_perception.nodes.slots import Slots
from nn_perception.nodes.worker import Worker


def name_of(item):
    return item[0]


def make(depths, on_drop=lambda _: None):
    return Slots(depths, name_of, on_drop)


def test_a_fast_input_replaces_its_own_items_only():
    dropped = []
    slots = make({"fast": 1, "slow": 1}, dropped.append)
    assert slots.put(("slow", 0))
    assert [slots.put(("fast", n)) for n in range(4)] == [True, False, False, False]
    assert dropped == [("fast", 0), ("fast", 1), ("fast", 2)]
    assert slots.dropped == 3
    assert slots.get_many(9) == [("slow", 0), ("fast", 3)]
    assert slots.put(("fast", 4))
    assert slots.get_many(9) == [("fast", 4)]


def test_items_are_taken_in_the_order_of_arrival_up_to_the_limit():
    slots = make({"a": 2, "b": 1})
    for item in (("a", 1), ("b", 2), ("a", 3), ("a", 4)):
        slots.put(item)
    assert slots.get_many(2) == [("b", 2), ("a", 3)]
    assert slots.put(("b", 5))
    assert slots.get_many(2) == [("a", 4), ("b", 5)]
    assert slots.get_many(2, 0.0) == []


@pytest.mark.parametrize("depths", [{}, {"a": 0}, {"a": 1, "b": -1}])
def test_every_slot_holds_something(depths):
    with pytest.raises(ValueError, match="at least 1"):
        make(depths)


def test_a_closed_one_takes_nothing():
    slots = make({"a": 1})
    slots.put(("a", 1))
    slots.close()
    assert slots.put(("a", 2)) is False
    assert slots.get_many(9) == []


def test_between_threads_each_input_keeps_its_newest_and_its_order():
    slots, taken, done = make({"a": 1, "b": 1, "c": 3}), [], threading.Event()

    def handle(items):
        names = [name_of(item) for item in items]
        taken.extend(items)
        assert names.count("a") <= 1
        assert names.count("b") <= 1
        if ("c", "end") in items:
            done.set()

    deaths = []
    worker = Worker("w", slots, handle, deaths.append, limit=5, direct=False)
    worker.start()
    count = 5000
    for number in range(count):
        for name in "abc":
            worker.give((name, number), 1e12)  # as if nothing had come for long
    worker.give(("c", "end"), 1e12)
    assert done.wait(10.0)
    assert worker.stop()
    assert deaths == []
    assert len(taken) + slots.dropped == 3 * count + 1
    for name in "abc":
        numbers = [number for its_name, number in taken if its_name == name and number != "end"]
        assert numbers == sorted(numbers)
        assert numbers[-1] == count - 1


def test_nothing_is_handled_in_the_giving_thread():
    threads, done = [], threading.Event()

    def handle(_items):
        threads.append(threading.current_thread().name)
        done.set()

    slots = make({"a": 1, "b": 1})
    worker = Worker("w", slots, handle, lambda error: None, limit=2, direct=False)
    worker.start()
    while not slots.taker_waits:
        pass
    worker.give(("a", 1), 1e12)
    assert done.wait(10.0)
    assert worker.stop()
    assert threads == ["w"]
