"""Recurrent networks: Elman's cell and the gated recurrent unit, and classifiers that read rows.

`elman_step` and `gru_step` are the formulas of one step; `Recurrence` runs them over sequences by
torch's own loops (``nn.RNN``, ``nn.GRU``) and becomes one ONNX node for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError, EngineError, nearest
from nn_perception.networks.checks import fraction, whole_number, whole_numbers
from nn_perception.networks.normalise import MNIST_MEAN, MNIST_STD, Normalise

CELLS: dict[str, type[nn.RNNBase]] = {"elman": nn.RNN, "gru": nn.GRU}

_ONNX: dict[str, tuple[str, dict[str, int]]] = {
    "elman": ("RNN", {}),
    "gru": ("GRU", {"linear_before_reset": 1}),
}

KEPT = 2.0
"""Bias with which a GRU's update gate begins: a step keeps 0.88 of the state, so that gradients
come back from far. With 0 it would be a half."""


def elman_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b_h: Tensor) -> Tensor:
    """Return the next hidden state (N, H) of Elman's network (J. Elman 1990).

    h_t = tanh(W_x x_t + W_h h_{t-1} + b_h), the lecture's eq. 63; the output is
    y_t = g(W_y h_t + b_y), eq. 64, a linear layer and what the loss takes as g.

    Args:
        x: (N, F) input of this step.
        h: (N, H) hidden state before it.
        w_x: (H, F).
        w_h: (H, H).
        b_h: (H,).
    """
    return torch.tanh(x @ w_x.T + h @ w_h.T + b_h)


def gru_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """Return the next hidden state (N, H) of a gated recurrent unit (K. Cho et al. 2014).

    r = sigmoid(W_xr x + b_xr + W_hr h + b_hr), the reset gate;
    z = sigmoid(W_xz x + b_xz + W_hz h + b_hz), the update gate;
    n = tanh(W_xn x + b_xn + r (W_hn h + b_hn)), what the state could become;
    h_t = (1 - z) n + z h_{t-1}: where z is near 1 the state, and its gradient, pass unchanged.

    The reset acts behind the product with W_hn, as in cuDNN and ``nn.GRU``.

    Args:
        x: (N, F) input of this step.
        h: (N, H) hidden state before it.
        w_x: (3H, F), the rows of r, z and n.
        w_h: (3H, H), likewise.
        b_x: (3H,), likewise.
        b_h: (3H,), likewise.
    """
    x_r, x_z, x_n = (x @ w_x.T + b_x).chunk(3, 1)
    h_r, h_z, h_n = (h @ w_h.T + b_h).chunk(3, 1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1.0 - z) * n + z * h


class Recurrence(nn.Module):
    """Layers of recurrent cells over sequences; each layer reads the states of the one before.

    Weights to the hidden state begin orthogonal, so that a gradient neither grows nor shrinks by
    them (Saxe et al. 2014), those of inputs as Glorot and Bengio's (2010), biases with 0, but that
    of the update gate with `KEPT` (after Jozefowicz et al. 2015, who do so for the LSTM). As in
    torch a cell has two biases, of the input's product and of the state's; for ``elman`` only their
    sum matters, b_h.

    Args:
        cell: one of ``CELLS``.
        inputs: features F of a step.
        hidden: width H of the state of each layer.
        layers: how many.
        dropout: in training, of what one layer gives to the next.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self, cell: str, inputs: int, hidden: int, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ConfigError(
                f"cell: got {cell!r}{nearest(str(cell), CELLS)} "
                f"(expected one of: {', '.join(CELLS)})"
            )
        self.cell, self.hidden = cell, whole_number("hidden", hidden)
        self.depth = whole_number("layers", layers)
        between = fraction("dropout", dropout) if layers > 1 else 0.0
        make: Any = CELLS[cell]
        self.cells: nn.RNNBase = make(inputs, hidden, layers, batch_first=True, dropout=between)
        self.state_size = self.depth * self.hidden
        for name, parameter in self.cells.named_parameters():
            _begin(name, parameter, self.hidden)
            if cell == "gru" and name.startswith("bias_ih"):
                nn.init.constant_(parameter[hidden : 2 * hidden], KEPT)

    def forward(self, sequence: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last layer's states (N, T, H) and the next state (N, layers H) of all layers.

        Args:
            sequence: (N, T, F), T at least 1.
            state: (N, layers H) before it; zeros know of nothing.
        """
        before = state.reshape(-1, self.depth, self.hidden).transpose(0, 1)
        if torch.onnx.is_in_onnx_export():
            return self._as_nodes(sequence, before)
        states, after = self.cells(sequence, before.contiguous())
        return states, after.transpose(0, 1).flatten(1)

    def layer(self, index: int) -> tuple[Tensor, ...]:
        """Return the weights of a layer, as the cell's step takes them.

        (w_x, w_h, b_h) for ``elman``, (w_x, w_h, b_x, b_h) for ``gru``.
        """
        w_x, w_h, b_x, b_h = self._weights(index)
        return (w_x, w_h, b_x + b_h) if self.cell == "elman" else (w_x, w_h, b_x, b_h)

    def _weights(self, index: int) -> list[Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.cells, f"{name}_l{index}") for name in names]

    def _as_nodes(self, sequence: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Say the same in ONNX's own operators.

        Torch's exporter would unroll ``nn.RNN`` into a hundred nodes of one length of sequence.
        """
        if not hasattr(torch.onnx, "ops"):
            raise EngineError(
                f"torch {torch.__version__} cannot write a recurrent layer as one ONNX node: "
                "update torch (2.8 and later can)"
            )
        operator, attributes = _ONNX[self.cell]
        hidden, after = sequence.transpose(0, 1), []
        for index in range(self.depth):
            w_x, w_h, b_x, b_h = (self._in_onnx_order(w) for w in self._weights(index))
            length, batch, _ = hidden.shape
            states, last = torch.onnx.ops.symbolic_multi_out(
                operator,
                (
                    hidden,
                    w_x[None],
                    w_h[None],
                    torch.cat([b_x, b_h])[None],
                    None,
                    before[index : index + 1],
                ),
                {"hidden_size": self.hidden, **attributes},
                dtypes=(hidden.dtype, hidden.dtype),
                shapes=((length, 1, batch, self.hidden), (1, batch, self.hidden)),
            )
            hidden = states[:, 0]
            after.append(last[0])
        return hidden.transpose(0, 1), torch.cat(after, 1)

    def _in_onnx_order(self, weight: Tensor) -> Tensor:
        """ONNX's GRU has the gates as z, r, n."""
        if self.cell == "elman":
            return weight
        n = self.hidden
        return torch.cat([weight[n : 2 * n], weight[:n], weight[2 * n :]])


class ElmanRnn(nn.Module):
    """Elman's network over the rows of an image: 28 steps of 28 pixels, logits of the last step.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: number of logits.
        hidden: width of the hidden state of each layer.
        layers: recurrent layers.
        dropout: probability with which a value that a layer gives to the next is dropped in
            training.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    cell = "elman"

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        classes: int = 10,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        mean: Sequence[float] = MNIST_MEAN,
        std: Sequence[float] = MNIST_STD,
    ) -> None:
        super().__init__()
        channels, _, width = whole_numbers("input_shape", input_shape, count=3)
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        self.rows = Recurrence(self.cell, channels * width, hidden, layers, rate)
        self.dropout = nn.Dropout(rate)
        self.readout = nn.Linear(hidden, whole_number("classes", classes, 2))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        sequence = self.sequence(images)
        # ``len`` would be a number of the probe's in an exported graph.
        nothing = sequence.new_zeros(sequence.shape[0], self.rows.state_size)
        states, _ = self.rows(sequence, nothing)
        logits: Tensor = self.readout(self.dropout(states[:, -1]))
        return logits

    def sequence(self, images: Tensor) -> Tensor:
        """Return normalised rows (N, H, C W): one step each, from the top."""
        rows: Tensor = self.normalise(images).transpose(1, 2).flatten(2)
        return rows


class Gru(ElmanRnn):
    """A gated recurrent unit over the rows of an image; arguments as of `ElmanRnn`."""

    cell = "gru"


@torch.no_grad()
def _begin(name: str, parameter: Tensor, hidden: int) -> None:
    """Fill a parameter of ``nn.RNN`` or ``nn.GRU``, each gate's block by itself."""
    for block in torch.split(parameter, hidden):
        if name.startswith("weight_hh"):
            nn.init.orthogonal_(block)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(block)
        else:
            nn.init.zeros_(block)
