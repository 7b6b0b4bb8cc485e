"""UWB ranges and poses to corrected ranges with their standard deviation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import Any, NamedTuple

from nn_perception.bundle import Bundle
from nn_perception.engine import Engine
from nn_perception.errors import ConfigError, MessageError
from nn_perception.tasks.pipeline import InputSpec
from nn_perception.tasks.uwb.features import body_rows, range_features, turned
from nn_perception.tasks.uwb.gate import MAX_RANGE_M, MIN_RANGE_M, RangeGate
from nn_perception.tasks.uwb.model import RangeModel
from nn_perception.tasks.uwb.poses import Pose, PoseBuffer
from nn_perception.tasks.uwb.readings import RangeReading, odometry_from_message, range_from_message
from nn_perception.tasks.uwb.result import OUTLIER, RESET, UwbResult
from nn_perception.tasks.uwb.site import NAMES, Link, find_site, listed

__all__ = ["ODOM", "RANGE", "UwbPipeline", "UwbResult"]

RANGE, ODOM = "range", "odom"
DROP, MARK = "drop", "mark"

_UNCORRECTED = frozenset({"unknown_anchor", "no_pose", "stale_pose", "future_pose"})
"""Why a sound range may go on as it came."""
_FARTHEST_M = 1e6
_DISTANCE = 12  # its column among the features


class _Waiting(NamedTuple):
    """A range that waits for the network.

    Attributes:
        place: its index among the arrivals.
        reading: the range.
        tag: name of its tag.
        link: what is known of tag and anchor.
        features: of `range_features`.
        pose_variance_m2: of the distance, by the pose.
        flags: so far.
    """

    place: int
    reading: RangeReading
    tag: str
    link: Link
    features: tuple[float, ...]
    pose_variance_m2: float
    flags: tuple[str, ...]


class UwbPipeline:
    """Corrects the ranges of any number of tags on one body.

    Inputs are the poses, ``odom``, and the ranges: ``range`` of a single tag, ``TAG/range`` of
    each of several. A pose gets no answer.

    Attributes:
        inputs: as they are with a single tag.
        site: anchors, tags and pairs.
        problem: what a user should know of them; empty where there is nothing.
        unknown_anchors: the first few anchors that ranges came from and that are not known.
    """

    inputs = (
        InputSpec(RANGE, ("sensor_msgs/msg/Range",), "every"),
        InputSpec(ODOM, ("nav_msgs/msg/Odometry",), "every"),
    )

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        anchors: str = "",
        tags: str = "",
        max_pose_age_s: float = 0.2,
        outlier_gate_sigma: float = 5.0,
        pose_sigma_m: float = 0.1,
        outliers: str = DROP,
        pass_through: bool = False,
        min_range_m: float = MIN_RANGE_M,
        max_range_m: float = MAX_RANGE_M,
    ) -> None:
        """Take a verified bundle and its engine.

        Args:
            bundle: of the task ``uwb``.
            engine: of that bundle.
            anchors: see `find_site`.
            tags: see `find_site`.
            max_pose_age_s: a range needs a pose that is not older.
            outlier_gate_sigma: a range is an outlier that is further from the expected one than
                this many standard deviations of both range and pose; 0: none is.
            pose_sigma_m: standard deviation of a position whose message tells none.
            outliers: ``"drop"``: refused; ``"mark"``: answered, with the misfit as deviation.
            pass_through: answer a sound range that cannot be corrected as it came.
            min_range_m: shorter ranges are refused, and so are 0 and less.
            max_range_m: longer ranges are refused.

        Raises:
            BundleError: the bundle lacks what the correction needs.
            ConfigError: a setting is out of its range; see `find_site`, too.
        """
        self.bundle, self.engine = bundle, engine
        _check(outlier_gate_sigma, pose_sigma_m, outliers)
        self._model = RangeModel(bundle, engine)
        self.site = find_site(bundle, self._model, anchors, tags)
        self.problem = self.site.problem
        self._gate, self._pose_variance_m2 = outlier_gate_sigma, pose_sigma_m**2
        self._mark, self._pass_through = outliers == MARK, pass_through
        self._limits_m = min_range_m, max_range_m
        self._max_pose_age_s = max_pose_age_s
        self._tags = {f"{tag}/{RANGE}": tag for tag in self.site.tags}
        if len(self._tags) == 1:
            (self._tags[RANGE],) = self.site.tags
        self.reset()

    @property
    def unknown_anchors(self) -> tuple[str, ...]:
        """See the class."""
        return tuple(self._unknown)

    def reset(self) -> None:
        """Forget poses and stamps."""
        self._poses = PoseBuffer(self._max_pose_age_s)
        self._range_gate = RangeGate(*self._limits_m)
        self._unknown: dict[str, None] = {}
        self._jumped = False

    def adopt(self, previous: Any) -> bool:
        """Go on with the poses of another pipeline; False, and a reset, when it is none of UWB."""
        if type(previous) is not type(self):
            self.reset()
            return False
        self._poses = previous._poses
        self._poses.max_age_s = self._max_pose_age_s
        self._range_gate.adopt(previous._range_gate)
        self._unknown, self._jumped = previous._unknown, previous._jumped
        return True

    def process(self, name: str, message: Any) -> UwbResult | None:
        """Take one pose or range.

        Args:
            name: of the input, see the class.
            message: nav_msgs/Odometry or an `OdomReading`; sensor_msgs/Range or a `RangeReading`.

        Raises:
            MessageError: it cannot be used. Beside the kinds of `readings` and `poses`:
                ``"unknown_tag"``, ``"unknown_anchor"``, ``"not_finite"``, ``"out_of_range"``,
                ``"duplicate_stamp"`` or ``"outlier"``.
        """
        (answer,) = self.process_many([(name, message)])
        if isinstance(answer, MessageError):
            raise answer
        return answer

    def process_many(
        self, arrivals: Sequence[tuple[str, Any]]
    ) -> list[UwbResult | MessageError | None]:
        """Take poses and ranges in order of arrival; return an answer, error or None for each."""
        start = time.perf_counter()
        answers: list[UwbResult | MessageError | None] = [None] * len(arrivals)
        waiting: list[_Waiting] = []
        for place, (name, message) in enumerate(arrivals):
            try:
                if name == ODOM:
                    self._take_pose(message)
                    continue
                found = self._prepare(place, name, message)
            except MessageError as error:
                answers[place] = error
                continue
            if isinstance(found, _Waiting):
                waiting.append(found)
            else:
                answers[place] = found
        if waiting:
            self._answer(waiting, answers, start)
        return answers

    def _take_pose(self, message: Any) -> None:
        if self._poses.add(odometry_from_message(message)):
            self._range_gate.reset()  # stamps of the time before the jump
            self._jumped = True

    def _prepare(self, place: int, name: str, message: Any) -> _Waiting | UwbResult:
        """Check a range and find its geometry; an answer at once where it goes on as it came."""
        tag = self._tags.get(name)
        if tag is None:
            raise MessageError(
                "unknown_tag",
                f"a range came by the input {name!r}, expected one of {listed(self._tags)}; "
                "complete 'tags'",
            )
        reading = range_from_message(message)
        self._range_gate.check(tag, reading)
        flags = (RESET,) if self._jumped else ()
        self._jumped = False
        try:
            link = self.site.links.get((tag, reading.frame_id))
            if link is None:
                raise self._unknown_anchor(tag, reading.frame_id)
            pose = self._poses.at(reading.stamp_ns)
        except MessageError as error:
            if self._pass_through and error.kind in _UNCORRECTED:
                return self._as_it_came(reading, tag, (*flags, error.kind))
            raise
        features, variance_m2 = self._geometry(pose, link)
        return _Waiting(place, reading, tag, link, features, variance_m2, flags)

    def _unknown_anchor(self, tag: str, name: str) -> MessageError:
        short = name[:40]
        if len(self._unknown) < NAMES:
            self._unknown[short] = None
        missing = "has no pair with it" if name in self.site.anchors else "has no place for it"
        source = self.bundle.name if name in self.site.anchors else "the parameter 'anchors'"
        return MessageError(
            "unknown_anchor",
            f"a range of {tag} to {short!r}: {source} {missing}; unknown so far: "
            f"{', '.join(self._unknown)}; expected one of {listed(self.site.anchors)}: complete "
            "'anchors', or correct the driver's frames",
        )

    def _geometry(self, pose: Pose, link: Link) -> tuple[tuple[float, ...], float]:
        """Features, and the variance that the pose gives to the distance."""
        body = body_rows(pose.orientation_xyzw)
        arm, place = turned(body, link.lever_m), pose.position_m
        tag_m = (place[0] + arm[0], place[1] + arm[1], place[2] + arm[2])
        features = range_features(tag_m, body, link.anchor)
        distance = features[_DISTANCE]
        if not distance < _FARTHEST_M:
            raise MessageError(
                "out_of_range",
                f"the pose {place} m is {distance:g} m from the anchor, expected a position in the "
                "frame of the anchors; check which frame 'odom' has",
            )
        unknown, variance_m2 = self._pose_variance_m2, 0.0
        for tag, anchor, own in zip(tag_m, link.anchor.position_m, pose.variance_m2, strict=True):
            share = (tag - anchor) / distance
            variance_m2 += share * share * (own if 0.0 < own < inf else unknown)
        return features, variance_m2

    def _answer(
        self,
        waiting: Sequence[_Waiting],
        answers: list[UwbResult | MessageError | None],
        start: float,
    ) -> None:
        """Put the answers in their places: one call of the network for all."""
        ready = time.perf_counter()
        found: Sequence[tuple[float, float]]
        if len(waiting) == 1:
            (only,) = waiting
            found = [self._model.predict_one(only.features, only.link.pair)]
        else:
            rows = [(*one.features, *one.link.pair.traits) for one in waiting]
            constants = [one.link.pair.constant_m for one in waiting]
            both = self._model.predict(rows, constants)
            found = list(zip(both.bias_m.tolist(), both.sigma_m.tolist(), strict=True))
        done = time.perf_counter()
        count = len(waiting)
        stage_s = {"geometry": (ready - start) / count, "engine": (done - ready) / count}
        for one, (bias_m, sigma_m) in zip(waiting, found, strict=True):
            answers[one.place] = self._judge(one, bias_m, sigma_m, stage_s)

    def _judge(
        self, one: _Waiting, bias_m: float, sigma_m: float, stage_s: Mapping[str, float]
    ) -> UwbResult | MessageError:
        reading, flags = one.reading, one.flags
        name, distance = reading.frame_id, one.features[_DISTANCE]
        range_m = reading.range_m - bias_m
        misfit_m = abs(range_m - distance)
        allowed_m = self._gate * sqrt(sigma_m * sigma_m + one.pose_variance_m2)
        outlier = self._gate > 0.0 and misfit_m > allowed_m
        if outlier and not self._mark:
            return MessageError(
                OUTLIER,
                f"range {reading.range_m:.3f} m of {one.tag} to {name}, expected "
                f"{distance + bias_m:.3f} m by the pose, within {allowed_m:.3f} m; where this "
                "happens to all anchors look after the pose",
            )
        if outlier:
            sigma_m, flags = misfit_m, (*flags, OUTLIER)
        if range_m <= 0.0:
            return MessageError(
                "out_of_range",
                f"range {reading.range_m:.3f} m of {one.tag} to {name} less its bias of "
                f"{bias_m:.3f} m, expected above 0; so close to an anchor it tells nothing",
            )
        return UwbResult(
            *(reading.stamp_ns, name, range_m, sigma_m, bias_m, reading.range_m),
            *(one.tag, name, outlier, True, flags, stage_s),
        )

    def _as_it_came(self, reading: RangeReading, tag: str, flags: tuple[str, ...]) -> UwbResult:
        raw_m, name = reading.range_m, reading.frame_id
        return UwbResult(
            *(reading.stamp_ns, name, raw_m, self._model.raw_sigma_m, 0.0, raw_m),
            *(tag, name, False, False, flags, {}),
        )


def _check(gate: float, pose_sigma_m: float, outliers: str) -> None:
    if outliers not in (DROP, MARK):
        raise ConfigError(f"outliers is {outliers!r}, expected '{DROP}' or '{MARK}'")
    if not (0.0 <= gate < inf and 0.0 <= pose_sigma_m < inf):
        raise ConfigError(
            f"outlier_gate_sigma is {gate}, pose_sigma_m is {pose_sigma_m} m, expected 0 or more, "
            "finite; 5 and 0.1 m are a start"
        )
