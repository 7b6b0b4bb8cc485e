"""Offsets in the header of a safetensors file that are no two integers: found by fuzzing."""

import json

import pytest

from nn_perception.bundle_checks import check_tensors
from nn_perception.errors import BundleError

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
NO_OFFSETS = [[], [0], [0, 24, 24], [0, [24]], [None, 24], [0, {}], [0, "24"]]
NO_OFFSETS += [[0.0, 24.0], [False, 24], 24, "ab", {"a": 0, "b": 24}, None]


def file(*tensors, size=24):
    header = json.dumps({f"t{n}": tensor for n, tensor in enumerate(tensors)}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def test_two_integers():
    check_tensors(file(TENSOR))
    check_tensors(file(TENSOR, {"dtype": "U8", "shape": [], "data_offsets": [24, 25]}, size=25))


@pytest.mark.parametrize("offsets", NO_OFFSETS, ids=repr)
def test_anything_else(offsets):
    odd = TENSOR | {"data_offsets": offsets}
    for tensors in ((odd,), (TENSOR, odd)):
        with pytest.raises(BundleError):
            check_tensors(file(*tensors))
