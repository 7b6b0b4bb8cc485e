"""What was sent, answered, answered twice, and never."""

from nn_perception.bench import ledger
from nn_perception.bench.ledger import Ledger


def test_each_message_is_accounted_for():
    kept = []
    account = Ledger(lambda *parts: kept.append(parts))
    for stamp in (10, 20, 30):
        account.send(stamp, stamp + 1)
    account.answer(20, 25, b"x")
    account.answer(10, 26, b"y")
    account.answer(20, 27, b"again")
    account.answer(99, 28, b"whose?")
    assert kept == [(20, 21, 25, b"x"), (10, 11, 26, b"y")]
    assert (account.sent, account.answered, account.missing) == (3, 2, 1)
    assert (account.twice, account.strays) == (1, 1)


def test_memory_does_not_grow_with_the_run(monkeypatch):
    monkeypatch.setattr(ledger, "REMEMBERED", 100)
    account = Ledger()
    for stamp in range(1000):
        account.send(stamp, stamp)
        account.answer(stamp, stamp, b"")
    assert account.missing == 0
    assert len(account._done) == len(account._order) == 100
    account.answer(950, 0, b"")
    assert account.twice == 1
