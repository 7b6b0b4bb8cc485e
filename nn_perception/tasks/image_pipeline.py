"""Frames of one or several cameras in, probabilities of classes out: of frames or of regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.engine import Engine
from nn_perception.errors import ConfigError, MessageError
from nn_perception.messages import answerable_stamp_ns, decode_boxes, decode_image, frame_id
from nn_perception.regions.matching import Overdue, StampMatcher
from nn_perception.tasks.classification import Image, Scores, prepare_image
from nn_perception.tasks.classifier import Classifier, Judged
from nn_perception.tasks.image_results import ClassificationResult, RegionsResult, Result
from nn_perception.tasks.image_views import Viewer, Views
from nn_perception.tasks.pipeline import InputSpec
from nn_perception.tasks.region_modes import OF_REGIONS
from nn_perception.tasks.rejection import KEEP_FRAMES_PERCENT, KEEP_REGIONS_PERCENT
from nn_perception.topic_names import prefixes

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
BOXES_TYPES = ("vision_msgs/msg/Detection2DArray",)
IMAGE, BOXES = "image_raw", "boxes"

OVERDUE_KINDS = {"image": "no_boxes", "boxes": "no_image"}


def image_inputs(cameras: str = "", regions: str = "auto") -> tuple[InputSpec, ...]:
    """Return the inputs of each camera.

    Raises:
        ConfigError: a camera's name cannot stand in a topic.
    """
    found = []
    for prefix in prefixes("cameras", cameras):
        found.append(InputSpec(f"{prefix}{IMAGE}", IMAGE_TYPES, "newest"))
        if regions == "detections":
            found.append(InputSpec(f"{prefix}{BOXES}", BOXES_TYPES, "every"))
    return tuple(found)


@dataclass(eq=False)
class _Job:
    """One frame on its way through the network."""

    stamp_ns: int
    frame_id: str
    views: Views
    stage_s: dict[str, float] = field(default_factory=dict)


class ImageClassificationPipeline:
    """Classifies frames, or regions of frames; all frames of a group in one call of the network.

    Attributes:
        inputs: an image for each camera, and its boxes in the mode ``detections``.
        at_once: messages that make a group of a recording: one of each input, as a node gets them.
        regions: what of a frame is looked at, see `Viewer`.
        preprocessing: how a picture becomes the network's input.
    """

    inputs: tuple[InputSpec, ...] = image_inputs()

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        regions: str = "auto",
        cameras: str = "",
        keep_percent: float = 0.0,
        max_regions: int = 128,
        match_timeout_s: float = 0.5,
    ) -> None:
        """Check that bundle and settings fit together.

        Args:
            bundle: verified.
            engine: runs it.
            regions: see `Viewer`.
            cameras: names separated by commas; empty: one camera without a name.
            keep_percent: share of true inputs that is answered, in percent; what looks less like
                one of the classes is not. 0: 95 for whole frames, 99.5 for regions.
            max_regions: how many regions of a frame are looked at.
            match_timeout_s: how long a frame waits for its boxes, and they for it, by stamps.

        Raises:
            BundleError: the bundle describes no image classifier.
            ConfigError: a setting is out of range, or does not suit the bundle.
        """
        self.bundle, self.engine = bundle, engine
        self.inputs = image_inputs(cameras, regions)
        self.at_once = len(self.inputs)
        self.regions = regions
        of_regions = regions in OF_REGIONS
        default = KEEP_REGIONS_PERCENT if of_regions else KEEP_FRAMES_PERCENT
        self._classifier = Classifier(bundle, engine, keep_percent or default)
        self.preprocessing = self._classifier.preprocessing
        if not 0.0 < match_timeout_s < math.inf:
            raise ConfigError(f"match_timeout_s is {match_timeout_s:g}; expected above 0, as 0.5")
        if not 1 <= max_regions < math.inf or max_regions != int(max_regions):
            raise ConfigError(f"max_regions is {max_regions:g}; expected a whole number, 1 or more")
        self._max_regions = int(max_regions)  # --set gives a float
        self._viewer = Viewer(self.preprocessing, regions, self._max_regions)
        self._matchers = {
            spec.name.removesuffix(BOXES): StampMatcher(match_timeout_s)
            for spec in self.inputs
            if spec.types == BOXES_TYPES
        }

    def reset(self) -> None:
        """Forget frames that wait for boxes, and boxes that wait for frames."""
        for matcher in self._matchers.values():
            matcher.reset()

    def adopt(self, previous: Any) -> bool:
        """Go on with what waits in the pipeline of the model before."""
        matchers = getattr(previous, "_matchers", {})
        if matchers.keys() != self._matchers.keys():
            return False
        self._matchers = matchers
        return True

    def process(self, name: str, message: Any) -> Result | None:
        """Answer one message; see `process_many`.

        Raises:
            MessageError: the message cannot be used.
            EngineError: the network gave numbers that are not finite.
        """
        answer = self.process_many([(name, message)])[0]
        if isinstance(answer, MessageError):
            raise answer
        return answer

    def process_many(
        self, messages: Sequence[tuple[str, Any]]
    ) -> list[Result | MessageError | None]:
        """Answer messages that came together, each a pair of an input's name and what came there.

        Returns:
            For each a result; or the reason why it cannot be used; or None, where a frame waits
            for its boxes or boxes for their frame.

        Raises:
            EngineError: the network gave numbers that are not finite.
        """
        jobs = [self._take(name, message) for name, message in messages]
        found = [job for job in jobs if isinstance(job, _Job)]
        judged = iter(self._judge(found))
        start = perf_counter()
        answers: list[Result | MessageError | None] = []
        for job in jobs:
            answers.append(self._answer(job, next(judged), start) if isinstance(job, _Job) else job)
        return answers

    def overdue(self) -> list[MessageError]:
        """Return what was given up since the last call: frames without boxes, and the reverse."""
        return [
            _given_up(prefix.rstrip("/"), item)
            for prefix, matcher in self._matchers.items()
            for item in matcher.take_overdue()
        ]

    def classify(
        self,
        images: Sequence[Image] | Image,
        batch: int = 256,
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> Scores:
        """Classify pictures (each (H, W), (H, W, 1) or (H, W, 3) RGB uint8); returns (N, K).

        The same pre-processing as for messages, with the engine called on batches;
        ``on_progress`` is told how many pictures each batch held.
        """
        return self.judge(images, batch, on_progress).scores

    def known_scores(self, images: Sequence[Image] | Image) -> npt.NDArray[np.float64]:
        """Return how much each picture looks like one of the classes, (N,); higher is more."""
        return self.judge(images).known

    @property
    def threshold(self) -> float:
        """What `known_scores` must reach for an answer."""
        return self._classifier.threshold

    def judge(
        self,
        images: Sequence[Image] | Image,
        batch: int = 256,
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> Judged:
        """Return probabilities, and how much pictures look like a class; see `classify`."""
        parts = [self._classifier.judge(np.empty((0, *self._input_shape()), np.uint8))]
        for start in range(0, len(images), batch):
            pictures = [prepare_image(i, self.preprocessing) for i in images[start : start + batch]]
            parts.append(self._classifier.judge(np.stack(pictures)))
            on_progress(len(pictures))
        scores, known = zip(*parts, strict=True)
        return Judged(np.concatenate(scores), np.concatenate(known))

    def _input_shape(self) -> tuple[int, int, int]:
        settings = self.preprocessing
        return settings.channels, settings.height, settings.width

    def _take(self, name: str, message: Any) -> _Job | MessageError | None:
        """Return a frame's job when all that it needs is there."""
        try:
            if not self._matchers:
                return self._job(message, None)
            side = BOXES if name.endswith(BOXES) else IMAGE
            matcher = self._matchers[name.removesuffix(side)]
            if side == IMAGE:
                size = len(getattr(message, "data", ()))
                pair = matcher.add("image", answerable_stamp_ns(message), message, size)
            else:
                item = decode_boxes(message, self._max_regions)
                pair = matcher.add("boxes", answerable_stamp_ns(message), item)
            return None if pair is None else self._job(*pair)
        except MessageError as error:
            return error

    def _job(self, image: Any, boxes: tuple[npt.NDArray[np.float64], int] | None) -> _Job:
        start = perf_counter()
        pixels = decode_image(image, self.preprocessing.channels)
        decoded = perf_counter()
        if boxes is not None:
            views = self._viewer.boxes(pixels, *boxes)
        elif self.regions == "digits":
            views = self._viewer.digits(pixels)
        else:
            views = self._viewer.whole(pixels)
        stage_s = {"decode": decoded - start, "preprocess": perf_counter() - decoded}
        return _Job(answerable_stamp_ns(image), frame_id(image), views, stage_s)

    def _judge(self, jobs: Sequence[_Job]) -> list[Judged]:
        """Run the network on the views of all jobs together; return each one's part."""
        if not jobs:
            return []
        start = perf_counter()
        pictures = [job.views.pictures for job in jobs]
        judged = self._classifier.judge(pictures[0] if len(jobs) == 1 else np.concatenate(pictures))
        seconds = perf_counter() - start
        parts, begin = [], 0
        for job in jobs:
            job.stage_s["engine"] = seconds  # each waits for all
            end = begin + len(job.views.pictures)
            parts.append(Judged(judged.scores[begin:end], judged.known[begin:end]))
            begin = end
        return parts

    def _answer(self, job: _Job, judged: Judged, since: float) -> Result:
        accepted = judged.known >= self.threshold
        views, labels = job.views, self.bundle.labels
        if views.boxes_xywh is None:
            job.stage_s["postprocess"] = perf_counter() - since
            return ClassificationResult(
                job.stamp_ns,
                job.frame_id,
                labels,
                judged.scores[0],
                job.stage_s,
                bool(accepted[0]),
            )
        kept = np.flatnonzero(accepted)
        # Lines of which nothing is known leave no gap: the others have the numbers of `texts`.
        lines = np.unique(views.lines[kept], return_inverse=True)[1].astype(np.int32)
        job.stage_s["postprocess"] = perf_counter() - since
        return RegionsResult(
            stamp_ns=job.stamp_ns,
            frame_id=job.frame_id,
            labels=labels,
            boxes_xywh=views.boxes_xywh[kept],
            lines=lines,
            scores=judged.scores[kept],
            rejected=len(accepted) - len(kept),
            refused=views.refused,
            stage_s=job.stage_s,
        )


def _given_up(camera: str, item: Overdue) -> MessageError:
    """Return what to tell of a message whose counterpart did not come in time."""
    what, missing = ("frame", "boxes") if item.side == "image" else ("boxes", "frame")
    of = f" of camera '{camera}'" if camera else ""
    return MessageError(
        OVERDUE_KINDS[item.side],
        f"{what}{of}, stamp {item.stamp_ns * 1e-9:.3f} s: no {missing} of this stamp came until "
        f"{item.waited_s:.2f} s later: check that the detector keeps the frame's stamp, and "
        "match_timeout_s",
    )
