"""The rows of `parameters` that only the node for UWB ranges has."""

from __future__ import annotations

from nn_perception.nodes.parameter import Parameter

UWB = (
    Parameter(
        "anchors",
        "string",
        "",
        "Where the anchors are: 'NAME: x y z; NAME: x y z qx qy qz qw', metres, in the frame of "
        "the pose; NAME is the frame_id of the ranges. Empty: anchors and tags of the site that "
        "the model was trained on, where its bundle keeps them.",
        read_only=True,
    ),
    Parameter(
        "tags",
        "string",
        "",
        "Where the tags are: 'NAME: x y z; NAME: x y z', metres, in the body's frame. With several "
        "each NAME stands before its topics, as in NAME/uwb/range. Empty: one tag at the body's "
        "origin.",
        read_only=True,
    ),
    Parameter(
        "max_pose_age_s",
        "double",
        0.2,
        "Oldest pose in seconds with which a range is corrected.",
        minimum=0.001,
        maximum=10.0,
        read_only=True,
    ),
    Parameter(
        "outlier_gate_sigma",
        "double",
        5.0,
        "A range further from what the pose tells than this many standard deviations of both is "
        "an outlier; 0: none is, for a pose that drifts.",
        minimum=0.0,
        maximum=1000.0,
        read_only=True,
    ),
    Parameter(
        "pose_sigma_m",
        "double",
        0.1,
        "Standard deviation of each coordinate of a pose whose covariance is 0 there, metres.",
        minimum=0.0,
        maximum=100.0,
        read_only=True,
    ),
    Parameter(
        "outliers",
        "string",
        "drop",
        "drop: outliers are not published; mark: with the squared misfit as variance.",
        choices=("drop", "mark"),
        read_only=True,
    ),
    Parameter(
        "pass_through",
        "bool",
        False,
        "Publish a range that cannot be corrected (unknown anchor, no pose) as it came, with the "
        "variance of uncorrected ranges. False: it is not published.",
        read_only=True,
    ),
    Parameter(
        "min_range_m",
        "double",
        0.0,
        "Shorter ranges are refused, metres; 0 and less always are.",
        minimum=0.0,
        maximum=1000.0,
        read_only=True,
    ),
    Parameter(
        "max_range_m",
        "double",
        200.0,
        "Longer ranges are refused, metres; the limits of a message hold, too, where it has some.",
        minimum=0.1,
        maximum=10000.0,
        read_only=True,
    ),
    Parameter(
        "queue_size",
        "int",
        400,
        "Messages of each topic that may wait for the network. They are answered in order and "
        "none is left out; the oldest is dropped when the queue is full, which is counted.",
        minimum=2,
        maximum=10000,
        read_only=True,
    ),
)
