"""Damaged bundles, and the code that they are given to: load, build the engine, warm up.

Half of the damage is to bytes, half to what they mean: a key of the configuration, an attribute or
a shape of the graph. Mostly the hashes are mended, so that it gets past them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from nn_perception.bench.mutations import DOUBLES, INTEGERS, mutate
from nn_perception.bundle import CONFIG_FILE, ONNX_FILE, TENSORS_FILE
from nn_perception.errors import NnPerceptionError
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline

SOURCES = ("attitude", "gyro", "uwb_trolley", "uwb_drone", "digit_reader", "digits")
MENDED = 0.7
"""Share of the cases whose hashes are mended."""
OPERATORS = ("Add", "Mul", "MatMul", "Relu", "Reshape", "Expand", "Tile", "Loop", "Conv", "GRU")
_LONG = "x" * 100_000


class BundleFuzzer:
    """Opens damaged bundles, each made from (seed, index) alone."""

    def __init__(self, seed: int, work: Path) -> None:
        """Read the shipped bundles.

        Args:
            seed: of the damage.
            work: directory for the bundles, written anew for each.
        """
        self._seed = seed
        self._place = work / "bundle"
        self._sources = {name: _read(shipped_model(name)) for name in SOURCES}

    def files(self, index: int) -> dict[str, bytes]:
        """Return the files of a damaged bundle by name."""
        random = Random(f"{self._seed}/bundle/{index}")
        files = dict(self._sources[random.choice(SOURCES)])
        name = random.choice((CONFIG_FILE, TENSORS_FILE, ONNX_FILE, ONNX_FILE))
        others = [source[name] for source in self._sources.values()]
        mend = random.random() < MENDED
        if random.random() < 0.5:
            files[name] = mutate(random, files[name], others)
        else:
            files[name] = _MEANING[name](random, files[name])
        if mend and name != CONFIG_FILE:
            files[CONFIG_FILE] = _mended(files[CONFIG_FILE], name, files[name])
        return files

    def run(self, index: int) -> bool:
        """Open one damaged bundle.

        Returns:
            Whether it was refused by an error of this package.

        Raises:
            Exception: whatever else came out.
        """
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        for name, data in self.files(index).items():
            (self._place / name).write_bytes(data)
        try:
            open_pipeline(self._place, device="cpu")
        except NnPerceptionError:
            return True
        return False


def _read(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in (CONFIG_FILE, TENSORS_FILE, ONNX_FILE)}


def _mended(config: bytes, name: str, data: bytes) -> bytes:
    values = json.loads(config)
    values["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return json.dumps(values).encode()


def _odd(random: Random) -> Any:
    """Return what does not belong where it is put."""
    deep: Any = 0
    for _ in range(random.choice((1, 50))):
        deep = [deep]
    odd: tuple[Any, ...] = (
        *DOUBLES,
        *INTEGERS,
        -1,
        2**63,
        10**30,
        None,
        True,
        "",
        "\0",
        _LONG,
        [],
        {},
        deep,
    )
    return random.choice((*odd, [0] * 10_000))


def _damage_json(random: Random, data: bytes) -> bytes:
    """Change, remove or double one value of a JSON text."""
    values = json.loads(data)
    at: Any = values
    while True:
        keys: list[Any] = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = random.choice(keys)
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.2:
            _change(random, at, key)
            break
        at = inner
    return json.dumps(values).encode()


def _change(random: Random, at: Any, key: Any) -> None:
    kind = random.randrange(4)
    if kind == 0:
        del at[key]
    elif kind == 1 and isinstance(at, list):
        at.insert(key, at[key])
    elif kind == 1:
        at[f"{key}2"] = at[key]
    else:
        at[key] = _odd(random)


def _damage_tensors(random: Random, data: bytes) -> bytes:
    """Damage the JSON header of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    header = _damage_json(random, data[8 : 8 + length])
    size = len(header) if random.random() < 0.8 else random.choice(INTEGERS)
    return size.to_bytes(8, "little") + header + data[8 + length :]


def _damage_graph(random: Random, data: bytes) -> bytes:
    """Damage nodes, attributes, weights or shapes of an ONNX graph."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(random.randint(1, 3)):
        random.choice(_GRAPH)(random, model)
    return bytes(model.SerializeToString())


def _damage_attribute(random: Random, model: Any) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    if not attributes:
        return
    attribute = random.choice(attributes)
    if attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = _int64(random)
    else:
        attribute.i = _int64(random)


def _damage_node(random: Random, model: Any) -> None:
    nodes = model.graph.node
    if not nodes:
        return
    node = random.choice(nodes)
    kind = random.randrange(5)
    if kind == 0:
        node.op_type = random.choice(OPERATORS)
    elif kind == 1:
        nodes.remove(node)
    elif kind == 2 and node.input:
        names = [name for other in nodes for name in (*other.input, *other.output)]
        node.input[random.randrange(len(node.input))] = random.choice(names)  # a cycle, maybe
    elif kind == 3:
        nodes.add().CopyFrom(node)
    else:
        node.domain = random.choice(("", "ai.onnx.ml", "com.microsoft", "x"))


def _damage_weight(random: Random, model: Any) -> None:
    weights = model.graph.initializer
    if not weights:
        return
    weight = random.choice(weights)
    kind = random.randrange(5)
    if kind == 0 and weight.dims:
        weight.dims[random.randrange(len(weight.dims))] = _int64(random)
    elif kind == 1:
        weight.data_type = random.randrange(25)
    elif kind == 2:
        weight.raw_data = weight.raw_data[: random.randint(0, len(weight.raw_data))]
    elif kind == 3 and len(weight.raw_data) >= 8:
        weight.raw_data = _int64(random).to_bytes(8, "little", signed=True) + weight.raw_data[8:]
    else:
        weight.name = random.choice(weights).name


def _damage_shape(random: Random, model: Any) -> None:
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    dims = random.choice(values).type.tensor_type.shape.dim
    if dims:
        random.choice(dims).dim_value = _int64(random)


def _damage_model(random: Random, model: Any) -> None:
    kind = random.randrange(3)
    if kind == 0:
        model.ir_version = _int64(random)
    elif kind == 1:
        model.opset_import[0].version = _int64(random)
    else:
        del model.graph.output[:]


def _int64(random: Random) -> int:
    return random.choice((*INTEGERS, -1, -(2**63), 2**63 - 1, 2**40, 7))


_GRAPH: tuple[Callable[[Random, Any], None], ...] = (
    _damage_attribute,
    _damage_node,
    _damage_weight,
    _damage_shape,
    _damage_model,
)
_MEANING: dict[str, Callable[[Random, bytes], bytes]] = {
    CONFIG_FILE: _damage_json,
    TENSORS_FILE: _damage_tensors,
    ONNX_FILE: _damage_graph,
}
