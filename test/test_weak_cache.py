import gc
import threading
import weakref

import pytest

from nn_perception.weak_cache import WeakCache


class Heavy:
    """Something that takes weak references."""


def test_a_value_is_built_once_while_somebody_holds_it():
    cache = WeakCache()
    built = []

    def build():
        built.append(1)
        return Heavy()

    first = cache.get("a", build)
    assert cache.get("a", build) is first
    assert cache.get("b", build) is not first
    assert len(built) == 2


def test_a_value_that_nobody_holds_goes_and_its_key_with_it():
    class Key:
        pass

    cache, key = WeakCache(), Key()
    value = cache.get(key, Heavy)
    assert len(cache) == 1
    seen, key_seen = weakref.ref(value), weakref.ref(key)
    del value, key
    gc.collect()
    assert seen() is None
    assert key_seen() is None
    assert len(cache) == 0


def test_of_threads_that_ask_at_the_same_moment_one_builds():
    cache, together = WeakCache(), threading.Barrier(8)
    built, found, entered = [], [], threading.Event()

    def build():
        built.append(1)
        entered.wait(0.2)  # nobody sets it: the others have time to come here, too
        return Heavy()

    def ask():
        together.wait()
        found.append(cache.get("a", build))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert len(built) == 1


def test_builds_of_different_keys_do_not_wait_for_each_other():
    """Each build waits until the other one has begun."""
    cache, together = WeakCache(), threading.Barrier(2, timeout=10.0)
    found = {}

    def build():
        together.wait()
        return Heavy()

    def ask(key):
        found[key] = cache.get(key, build)

    threads = [threading.Thread(target=ask, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert set(found) == {"a", "b"}


def test_a_build_that_fails_leaves_nothing_behind():
    cache = WeakCache()

    def broken():
        raise ZeroDivisionError("as a bug would")

    with pytest.raises(ZeroDivisionError):
        cache.get("a", broken)
    assert len(cache) == 0
    value = cache.get("a", Heavy)
    assert cache.get("a", broken) is value
