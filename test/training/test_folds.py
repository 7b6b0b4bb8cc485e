import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.training.folds import (
    Fold,
    group_fold,
    group_members,
    recording_of,
    stratified_fold,
)

LABELS = np.repeat([0, 1, 2], [30, 15, 7])


def test_folds_are_disjoint_cover_all_and_have_the_share_of_every_class():
    parts = [stratified_fold(LABELS, 4, fold, 3) for fold in range(4)]
    assert sorted(np.concatenate([own for _, own in parts])) == list(range(len(LABELS)))
    for train, own in parts:
        assert sorted([*train, *own]) == list(range(len(LABELS)))
        for label, count in ((0, 30), (1, 15), (2, 7)):
            assert abs((LABELS[own] == label).sum() - count / 4) < 1
    assert max(len(own) for _, own in parts) - min(len(own) for _, own in parts) <= 1


def test_the_seed_decides_the_folds():
    same, other = (stratified_fold(LABELS, 4, 0, seed)[1].tolist() for seed in (3, 4))
    assert same == stratified_fold(LABELS, 4, 0, 3)[1].tolist() != other


def test_too_few_items_are_an_error():
    with pytest.raises(DatasetError, match="2 items cannot make 3 folds"):
        stratified_fold(np.array([0, 1]), 3, 0, 0)
    assert [len(stratified_fold(np.array([0, 1]), 2, fold, 0)[1]) for fold in (0, 1)] == [1, 1]


def test_a_group_is_in_one_fold_as_a_whole():
    groups = [f"bag{i % 5}" for i in range(50)]
    held = [group_fold(groups, 3, fold, 1) for fold in range(3)]
    assert sorted(name for part in held for name in part) == sorted(set(groups))
    train, own = group_members(groups, 3, 2, 1)
    assert {groups[i] for i in own} == held[2]
    assert not {groups[i] for i in train} & held[2]
    assert len(train) + len(own) == 50


@pytest.mark.parametrize(("names", "repair"), [("ab", "ask for 2 folds"), ("a", "more recordings")])
def test_fewer_groups_than_folds_say_what_to_do(names, repair):
    with pytest.raises(DatasetError, match=repair):
        group_fold(list(names), 3, 0, 0)


def test_pieces_of_a_recording_stay_together():
    assert recording_of("walk.003") == "walk"
    assert recording_of("v1.2") == "v1.2"
    names = ["a.000", "a.001", "b", "c.000", "c.012"]
    held = [Fold(3, fold, 0).recordings(names, recording_of) for fold in range(3)]
    assert {"a.000", "a.001"} in [set(part) for part in held]
    assert {"c.000", "c.012"} in [set(part) for part in held]
