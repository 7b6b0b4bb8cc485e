import numpy as np
import pytest

from nn_perception.errors import ConfigError, DivergedError
from nn_perception.studies import load
from nn_perception.studies.epochs_report import FIGURES, Epochs, early_stop
from nn_perception.studies.sweep import Outcome
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_early_stopping_ends_where_the_loop_does(patience):
    draw = np.random.RandomState(1)
    train, validation = (
        Examples(draw.normal(size=(n, 4)), draw.randint(0, 3, n)) for n in (12, 40)
    )
    config = TrainingConfig(
        network="mlp", epochs=30, batch_size=4, optimizer="sgd", learning_rate=0.3,
        schedule="constant", compile="off", device="cpu",
    )  # fmt: skip
    whole = Trainer(ArrayLearning(config, train, validation)).fit()
    values = [record["validation_accuracy"] for record in whole.history]
    stopping = TrainingConfig(**{**vars(config), "early_stopping_patience": patience})
    fit = Trainer(ArrayLearning(stopping, train, validation)).fit()
    stop = early_stop(values, patience, higher_is_better=True)
    assert (stop.epoch, stop.best_epoch) == (len(fit.history), fit.best_epoch)
    assert stop.epoch < 30


def test_a_loss_is_best_where_it_is_lowest_and_equal_counts_as_better():
    assert early_stop([3.0, 1.0, 1.0, 2.0, 2.0, 0.5], 2, False) == (5, 3)
    assert early_stop([3.0, 2.0, 1.0], 2, False) == (3, 3)
    assert early_stop([0.5, 0.5, 0.4, 0.4, 0.6], 2, True) == (4, 2)


def outcome(seed, training, validation):
    names = ("training_loss", "validation_loss")
    history = [
        {FIGURES[name]: value for name, value in zip(names, values, strict=True)}
        | {FIGURES["training_accuracy"]: 0.9, FIGURES["validation_accuracy"]: 0.8}
        for values in zip(training, validation, strict=True)
    ]
    return Outcome((("seed", seed),), history)


FALLING = [1.0, 0.5, 0.2, 0.1]


def test_over_fitting_is_where_validation_rises_while_training_falls():
    both = [outcome(0, FALLING, [1.0, 0.6, 0.7, 0.9]), outcome(1, FALLING, [1.0, 0.8, 0.7, 0.9])]
    result = Epochs.of(both, patience=1)
    assert result.overfits
    assert result.lowest()["seeds"] == [2, 3]
    assert result.worse == pytest.approx([1.5, 9 / 7])
    assert result.to_dict()["early_stopping"]["loss"]["stopped_epoch"]["seeds"] == [3, 4]
    assert [row[0] for row in result.rows()] == [1, 2, 4]
    assert result.rows()[1][2] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        (FALLING, [1.0, 0.6, 0.5, 0.4]),  # never rises
        (FALLING, [1.0, 0.6, 0.5, 0.51]),  # hardly rises
        ([1.0, 0.5, 0.6, 0.7], [1.0, 0.6, 0.7, 0.9]),  # both rise: something else
    ],
)
def test_one_seed_without_it_is_enough_to_say_no(training, validation):
    first = outcome(0, FALLING, [1.0, 0.6, 0.7, 0.9])
    result = Epochs.of([first, outcome(1, training, validation)], patience=1)
    assert not result.overfits
    assert "No over-fitting" in " ".join(result.seen())


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(DivergedError, match="seed 5: not finite"):
        Epochs.of([Outcome((("seed", 5),), [], "not finite")], patience=1)


def test_a_patience_of_nothing_is_refused(tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    load("epochs").configure(parser)
    arguments = parser.parse_args(["--patience", "0", "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="--patience: got 0"):
        load("epochs").run(arguments, print)
