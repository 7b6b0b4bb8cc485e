"""The parameters of the trainer node that no other node has."""

from __future__ import annotations

from nn_perception.jobs.decision import IF_BETTER, POLICIES
from nn_perception.nodes.parameter import Parameter

_DEVICE = r"auto|cpu|cuda|cuda:[0-9]{1,3}"

TRAINER = (
    Parameter(
        "task",
        "string",
        "digits",
        "What is learned; see 'nn-perception tasks'.",
        read_only=True,
    ),
    Parameter(
        "data",
        "string",
        "",
        "What is learned from: a bag, a directory of bags, a data set, or the word 'builtin' "
        "(digits) or 'simulated' (attitude, gyro, uwb).",
    ),
    Parameter(
        "test_data",
        "string",
        "",
        "Held-out data on which the new model and those that run are compared; empty: the part of "
        "'data' that is held out, where it has one, as data sets made from bags do.",
    ),
    Parameter(
        "data_settings",
        "string",
        "",
        "How bags become a data set: keys and values of 'nn-perception dataset', such as "
        "'topics.label=/labels split=[70,15,15]'.",
    ),
    Parameter(
        "config",
        "string",
        "",
        "YAML file with training keys; empty: the recipe alone.",
    ),
    Parameter(
        "recipe",
        "string",
        "",
        "One of the task's recipes; empty: the one of the network.",
    ),
    Parameter(
        "overrides",
        "string",
        "",
        "Training keys that come last, as on the command line: 'epochs=5 learning_rate=1e-3'.",
    ),
    Parameter(
        "init",
        "string",
        "",
        "Path of a bundle to begin with, its network and weights; 'active': what the first of "
        "target_nodes runs. Empty: begin from nothing.",
    ),
    Parameter(
        "signing_key",
        "string",
        "",
        "File of an Ed25519 private key that signs each new bundle, for target nodes with "
        "require_signature; empty: unsigned, to be signed elsewhere.",
        read_only=True,
    ),
    Parameter(
        "out",
        "string",
        "",
        "Directory below which bundles and history.jsonl are written, usually the model_root of "
        "the target nodes; empty: nn_perception/models below $ROS_HOME (~/.ros).",
        read_only=True,
    ),
    Parameter(
        "target_nodes",
        "string",
        "",
        "Nodes that get the new model: fully qualified names separated by commas, such as "
        "'/image_classifier, /left/image_classifier'.",
    ),
    Parameter(
        "deploy",
        "string",
        IF_BETTER,
        "When the new model is set on target_nodes: if_better compares it on held-out data with "
        "what each of them runs.",
        choices=POLICIES,
    ),
    Parameter(
        "margin",
        "double",
        0.0,
        "By how much the new model must be better to be deployed, in the unit of the task's "
        "figure (accuracy as a share, degrees, metres). 0.0: at all.",
        minimum=0.0,
        maximum=1e6,
    ),
    Parameter(
        "keep",
        "int",
        5,
        "How many of the bundles that it wrote stay; older ones are removed, but never one that "
        "runs or that a rollback would bring back.",
        minimum=1,
        maximum=10000,
    ),
    Parameter(
        "nice",
        "int",
        10,
        "Added to the niceness of the training process, so that the nodes come first.",
        minimum=0,
        maximum=19,
    ),
    Parameter(
        "device",
        "string",
        "auto",
        "Where the training runs: auto (a GPU when there is one), cpu, cuda or cuda:N.",
        pattern=_DEVICE,
    ),
    Parameter(
        "seed",
        "int",
        -1,
        "Of everything random in the training; -1: the configuration's.",
        minimum=-1,
        maximum=2**31 - 1,
    ),
)
