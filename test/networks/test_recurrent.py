"""Recurrent layers: they are their formulas and torch's cells, in any pieces, and in ONNX."""

import math
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.bundle import ArraySpec
from nn_perception.errors import ConfigError, EngineError
from nn_perception.networks import build_network
from nn_perception.networks.recurrent import CELLS, KEPT, Recurrence, elman_step, gru_step
from nn_perception.onnx_limits import check_graph
from nn_perception.training.export import to_onnx

STEPS = {"elman": elman_step, "gru": gru_step}
NAMES = {"elman_rnn": "elman", "gru": "gru"}


def randomised(module, scale=0.4):
    """Biases begin with 0, where one that is left out would not show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def random(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def pictures(count, shape=(1, 28, 28)):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)


def by_steps(recurrence, sequence, state):
    """Run the formulas, layer by layer; return the last layer's states and the next state."""
    after = []
    for index, h in enumerate(state.chunk(recurrence.depth, 1)):
        weights, states = recurrence.layer(index), []
        for x in sequence.unbind(1):
            h = STEPS[recurrence.cell](x, h, *weights)
            states.append(h)
        sequence = torch.stack(states, 1)
        after.append(h)
    return sequence, torch.cat(after, 1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
def test_sequences_are_the_formulas_step_by_step(cell, layers):
    recurrence = randomised(Recurrence(cell, 5, 7, layers).double())
    sequence, state = random(3, 20, 5), random(3, 7 * layers, seed=2)
    for found, expected in zip(
        recurrence(sequence, state), by_steps(recurrence, sequence, state), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert found.std() > 0.1


def test_elman_is_torchs_cell():
    cell = randomised(torch.nn.RNNCell(5, 7).double())
    x, h = random(3, 5), random(3, 7, seed=2)
    found = elman_step(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh)
    torch.testing.assert_close(found, cell(x, h), rtol=0, atol=1e-13)


def test_gru_is_torchs_cell():
    cell = randomised(torch.nn.GRUCell(5, 7).double())
    x, h = random(3, 5), random(3, 7, seed=2)
    found = gru_step(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    torch.testing.assert_close(found, cell(x, h), rtol=0, atol=1e-13)


def test_one_unit_by_hand():
    """One input, one unit: with pencil and paper."""

    def row(*values):
        return torch.tensor([[value] for value in values], dtype=torch.float64)

    x, h = row(0.5), row(-0.2)
    elman = elman_step(x, h, row(0.8), row(0.3), row(0.1)[0])
    assert elman.item() == pytest.approx(math.tanh(0.4 - 0.06 + 0.1))
    found = gru_step(x, h, row(1.0, 2.0, 3.0), row(4.0, 5.0, 6.0), row(0.1, 0.2, 0.3)[:, 0],
                     row(0.4, 0.5, 0.6)[:, 0])  # fmt: skip
    r, z = (1.0 / (1.0 + math.exp(-a)) for a in (0.5 + 0.1 - 0.8 + 0.4, 1.0 + 0.2 - 1.0 + 0.5))
    n = math.tanh(1.5 + 0.3 + r * (-1.2 + 0.6))
    assert found.item() == pytest.approx((1.0 - z) * n + z * -0.2)


@settings(derandomize=True, deadline=None, max_examples=20, database=None)
@given(
    cell=st.sampled_from(sorted(CELLS)), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5)
)
def test_any_pieces_equal_the_whole(cell, sizes):
    recurrence = randomised(Recurrence(cell, 4, 6, 2).double())
    sequence, state = random(2, sum(sizes), 4), random(2, 12, seed=3)
    expected, last = recurrence(sequence, state)
    pieces = []
    for part in sequence.split(sizes, 1):
        found, state = recurrence(part, state)
        pieces.append(found)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


def test_an_open_update_gate_keeps_state_and_gradient():
    """What Elman's cell cannot do: the state of the first step is there after 200 others."""
    recurrence = randomised(Recurrence("gru", 3, 4).double())
    with torch.no_grad():
        recurrence.cells.bias_ih_l0[4:8] = 50.0
    state = random(2, 4, seed=3).requires_grad_()
    _, after = recurrence(random(2, 200, 3), state)
    torch.testing.assert_close(after, state, rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(after.sum(), state)
    torch.testing.assert_close(gradient, torch.ones_like(state), rtol=0, atol=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_what_weights_begin_with(cell):
    cells = Recurrence(cell, 5, 8, 2).cells
    for index in range(2):
        for block in getattr(cells, f"weight_hh_l{index}").split(8):
            torch.testing.assert_close(block @ block.T, torch.eye(8), rtol=0, atol=1e-5)
        for block in getattr(cells, f"weight_ih_l{index}").split(8):
            limit = math.sqrt(6.0 / sum(block.shape))
            assert 0.8 * limit < block.abs().max() <= limit
    biases = {name: value for name, value in cells.named_parameters() if "bias" in name}
    for index in range(2 if cell == "gru" else 0):
        gate = biases[f"bias_ih_l{index}"].split(8)[1]
        assert gate.tolist() == [KEPT] * 8
        with torch.no_grad():
            gate.zero_()
    assert len(biases) == 4
    assert not any(value.any() for value in biases.values())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # hidden (inputs + hidden + 2 biases) for each block, then the readout
        ("elman_rnn", 128 * (28 + 128 + 2) + 128 * 10 + 10),
        ("gru", 3 * 128 * (28 + 128 + 2) + 128 * 10 + 10),
    ],
)
def test_parameter_counts(name, count):
    assert sum(parameter.numel() for parameter in build_network(name).parameters()) == count


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_readout_of_the_last_rows_state(name):
    network = randomised(build_network(name, {"hidden": 9, "layers": 2}).double(), 0.3)
    images = pictures(4)
    state = torch.zeros(4, 18, dtype=torch.float64)
    rows = (images[:, 0].double() - 33.318) / 78.567
    states, _ = by_steps(network.rows, rows, state)
    expected = states[:, -1] @ network.readout.weight.T + network.readout.bias
    # mean and std are stored as float32, the bundle's type
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_other_shapes_classes_and_memory_formats(name):
    colours = {"input_shape": [3, 32, 40], "classes": 7, "mean": [1.0] * 3, "std": [2.0] * 3}
    network = build_network(name, colours).eval()
    images = pictures(5, (3, 32, 40))
    expected = network(images)
    assert expected.shape == (5, 7)
    assert (
        network.sequence(images)[0, 4].tolist() == ((images[0, :, 4] - 1.0) / 2).flatten().tolist()
    )
    torch.testing.assert_close(network(images.float()), expected)
    torch.testing.assert_close(network(images.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    network = build_network(name, {"layers": 2, "hidden": 16})
    network(pictures(8)).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_only(name, layers):
    network = build_network(name, {"dropout": 0.5, "hidden": 16, "layers": layers})
    images = pictures(4)
    assert not torch.equal(network(images), network(images))
    sequence, nothing = network.sequence(images), torch.zeros(4, 16 * layers)
    one, other = (network.rows(sequence, nothing)[0] for _ in range(2))
    assert torch.equal(one, other) is (layers == 1)
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": 0}, "hidden"),
        ({"hidden": [128]}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"classes": 1}, "classes"),
        ({"input_shape": [28, 28]}, "input_shape"),
        ({"layer": 2}, "did you mean 'layers'"),
    ],
)
def test_wrong_argument(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_network(name, arguments)


def test_unknown_cell_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gru'"):
        Recurrence("gruu", 3, 4)


def to_session(name, layers=2):
    network = randomised(build_network(name, {"layers": layers, "hidden": 24}), 0.2)
    export = SimpleNamespace(
        inputs=(ArraySpec("images", (None, 1, 28, 28), "uint8"),),
        outputs=(ArraySpec("logits", (None, 10), "float32"),),
        probe=(pictures(4),),
    )
    raw = to_onnx(network, export)
    return network, raw, onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", NAMES)
def test_the_export_is_a_node_a_layer_and_answers_as_torch(name):
    network, raw, session = to_session(name)
    operator = {"elman_rnn": "RNN", "gru": "GRU"}[name]
    assert check_graph(raw).operators[operator] == 2
    for count in (1, 2, 17):
        images = pictures(count)
        with torch.no_grad():
            expected = network(images).numpy()
        assert expected.std() > 0.1
        (logits,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(logits, expected, atol=2e-5)


def test_a_torch_that_cannot_export_is_told(monkeypatch):
    monkeypatch.delattr(torch.onnx, "ops")
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(EngineError, match="update torch"):
        Recurrence("gru", 3, 4)(torch.zeros(1, 2, 3), torch.zeros(1, 4))
