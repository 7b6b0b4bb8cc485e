import json
import math

import pytest

from nn_perception.cli.main import main
from nn_perception.errors import ConfigError
from nn_perception.studies.learning_rate import checked_rates
from nn_perception.studies.learning_rate_figures import LOSS, RateSweep
from nn_perception.studies.sweep import Outcome


def outcome(rate, seed, losses, accuracies, diverged=""):
    history = [
        {"epoch": n, LOSS: loss, "validation_loss": loss, "validation_accuracy": accuracy}
        for n, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1)
    ]
    return Outcome((("learning_rate", rate), ("seed", seed)), history, diverged)


SLOW = ([2.29, 2.2], [0.2, 0.3])
GOOD = ([0.5, 0.2], [0.91, 0.95])
ALIKE = ([0.4, 0.3], [0.92, 0.945])
LARGE = ([0.9, 0.8], [0.6, 0.7])
UNSTABLE = ([1.5, 2.1], [0.3, 0.2])
AWAY = ([40.0, 9.0], [0.1, 0.1])


def sweep(*rates):
    outcomes = [
        outcome(10.0**number, seed, *curves)
        for number, of_seeds in enumerate(rates)
        for seed, curves in enumerate(of_seeds)
    ]
    return RateSweep.of(outcomes, 10)


def states(found):
    return [found.state(rate) for rate in found.rates]


def test_each_rate_has_its_state():
    found = sweep(*([curves] * 2 for curves in (SLOW, ALIKE, GOOD, LARGE, UNSTABLE, AWAY)))
    expected = ["too slow", "good", "good", "too large", "unstable", "diverged"]
    assert states(found) == expected
    assert found.best.rate == 100.0
    assert (found.slow_end, found.unstable_end) == (True, True)
    assert [row[1] for row in found.rows()] == expected
    figures = found.to_dict()
    assert figures["best_rate"] == 100.0
    assert figures["chance_loss"] == pytest.approx(math.log(10))
    assert figures["rates"][2]["accuracy"]["seeds"] == [0.95, 0.95]
    assert [rate["epochs_to_level"]["mean"] for rate in figures["rates"]][1:4] == [1, 1, None]
    assert figures["rates"][4]["largest_rise_of_loss"] == pytest.approx([0.6, 0.6])


def test_one_seed_that_diverges_is_told_and_its_rate_is_not_the_best():
    found = sweep([SLOW, SLOW], [ALIKE, ALIKE], [GOOD, (*([[]] * 2), "not finite")])
    assert states(found) == ["too slow", "good", "diverged"]
    assert found.best.rate == 10.0
    rate = found.to_dict()["rates"][2]
    assert rate["not_finite"] == ["", "not finite"]
    assert (rate["diverged_seeds"], rate["accuracy"]["mean"]) == (1, 0.95)
    assert rate["accuracy"]["seeds"] == [0.95, None]


def test_ends_that_do_not_show_it_are_not_said_to():
    found = sweep([GOOD], [ALIKE])
    assert (found.slow_end, found.unstable_end) == (False, False)
    assert "slow" not in " ".join(found.seen())
    # One steady seed is enough for no instability, one rise for more than slowness.
    found = sweep([SLOW, ([2.2, 2.5], [0.2, 0.2])], [GOOD, GOOD], [LARGE, UNSTABLE])
    assert states(found) == ["too slow", "good", "unstable"]
    assert (found.slow_end, found.unstable_end) == (False, False)


def test_all_that_diverge_leave_nothing_to_say():
    found = sweep([([], [], "not finite")], [AWAY])
    assert states(found) == ["diverged", "diverged"]
    assert found.seen() == ["The loss diverges with every rate."]


def test_curves_that_are_drawn_hold_both_ends_and_the_best():
    found = sweep(*([SLOW] for _ in range(8)), [GOOD], *([AWAY] for _ in range(4)))
    picked = found.picked(6)
    assert len(picked) == 6
    assert all(rate in picked for rate in (found.rates[0], found.rates[-1], found.best))
    assert picked == sorted(picked, key=lambda rate: rate.rate)
    assert len(sweep([SLOW], [GOOD]).picked(6)) == 2


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0], [1.0, 1.0], [2000.0], [math.nan]])
def test_rates_that_cannot_be_meant_are_refused(rates):
    with pytest.raises(ConfigError, match="--rates: got"):
        checked_rates(rates)


def test_a_rate_that_diverges_is_in_table_figures_and_page(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    words = "task_arguments.loss=squared_error --rates 0.01 300 --data builtin --samples 150"
    words = [*words.split(), "--epochs", "3", "--seeds", "0", "1", "--workers", "0"]
    words += ["--json", "-"]
    assert main(["study", "learning-rate", *words, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    good, diverged = json.loads(out)["rates"]
    assert (good["state"], good["diverged_seeds"]) == ("good", 0)
    assert (diverged["state"], diverged["diverged_seeds"]) == ("diverged", 2)
    assert all("not finite" in text for text in diverged["not_finite"])
    assert diverged["accuracy"]["seeds"] == [None, None]
    assert "diverged" in (tmp_path / "index.html").read_text()
    assert len(list(tmp_path.glob("*.png"))) == 2
