"""Fixtures that all tests share."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")

# What nohup or a shell's background lets a test run ignore, its processes would ignore, too.
for _number, _handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


LONG = ("studies", "tuning", "bench/test_gradients.py", "test_docs.py", "test_study_pictures.py")
"""Take a minute or so together each, and have nothing to do with ROS: see the mark ``long``."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here) if item.path.is_relative_to(here) else item.path
        if str(place).startswith(LONG):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """Return a function that writes a digit bundle with untrained weights, in about a second.

    ``answer`` makes it always give that digit, by the bias of the last layer, so that two bundles
    can be told apart by what they answer.
    """
    torch = pytest.importorskip("torch")
    from nn_perception.bundle import ArraySpec
    from nn_perception.networks import build_network
    from nn_perception.tasks.digits.pipeline import PREPROCESSING
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.export import export_bundle
    from nn_perception.training.learning import Export

    def make(path: Path | None = None, *, network="mlp", seed=0, answer=None, task="digits"):
        path = path or tmp_path_factory.mktemp("models") / f"{network}_{seed}_{answer}"
        torch.manual_seed(seed)
        module = build_network(network).eval()
        if answer is not None:
            with torch.no_grad():
                last = [m for m in module.modules() if isinstance(m, torch.nn.Linear)][-1]
                last.bias[answer] += 1000.0
        labels = tuple(str(digit) for digit in range(10))
        generator = torch.Generator().manual_seed(0)
        export = Export(
            inputs=(ArraySpec("image", (None, 1, 28, 28), "uint8"),),
            outputs=(ArraySpec("logits", (None, 10), "float32"),),
            probe=(torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8, generator=generator),),
            preprocessing=vars(PREPROCESSING),
            labels=labels,
            calibration={"temperature": 1.0},
            metrics={"accuracy": 0.1},
            data={"source": "none", "sha256": "0" * 64, "train": 1, "validation": 1},
        )
        return export_bundle(
            path,
            task=task,
            network=module,
            arguments={},
            config=TrainingConfig(network=network, seed=seed),
            export=export,
        )

    return make


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle):
    """A digit bundle with untrained weights; do not write to it."""
    return make_bundle()


UWB_PAIRS = [["*", f"anchor{n}", 0.1 * n, [float(n % 2)]] for n in range(8)]


@pytest.fixture(scope="session")
def make_uwb_bundle(tmp_path_factory):
    """Return a function that writes a bundle of the task ``uwb`` with random weights.

    Its biases are some centimetres, and its standard deviation 0.05 m, about. It knows 8 anchors,
    whatever the tag; ``constant_m`` is added to all pairs, by which two bundles differ.
    """
    torch = pytest.importorskip("torch")
    from nn_perception.bundle import ArraySpec
    from nn_perception.networks.range_bias import RangeBias
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.export import export_bundle
    from nn_perception.training.learning import Export

    def make(path=None, *, seed=0, constant_m=0.0, pairs=UWB_PAIRS, **preprocessing):
        path = path or tmp_path_factory.mktemp("uwb") / f"model_{seed}"
        torch.manual_seed(seed)
        inputs = 14 + len(pairs[0][3])
        network = RangeBias(inputs).eval()
        with torch.no_grad():
            network.layers[-1].weight.normal_(0.0, 0.3)
        export = Export(
            inputs=(ArraySpec("features", (None, inputs), "float32"),),
            outputs=(ArraySpec("error", (None, 2), "float32"),),
            probe=(torch.randn(4, inputs, generator=torch.Generator().manual_seed(0)),),
            preprocessing={"site": "test", **preprocessing},
            labels=(),
            calibration={
                "limit_m": 1.5,
                "raw_sigma_m": 0.2,
                "constant_sigma_m": 0.1,
                "sigma_scale": 1.0,
                "pairs": [[tag, anchor, c + constant_m, t] for tag, anchor, c, t in pairs],
                "means": [[tag, anchor, c + constant_m] for tag, anchor, c, _ in pairs],
            },
            metrics={},
            data={"source": "none", "sha256": "0" * 64, "train": 1, "validation": 1},
        )
        return export_bundle(
            path,
            task="uwb",
            network=network,
            arguments={"inputs": inputs},
            config=TrainingConfig(network="range_bias", seed=seed),
            export=export,
        )

    return make
