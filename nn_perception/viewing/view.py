"""``nn-perception view``: bags, and models' answers to them, as one recording for Rerun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from nn_perception.bundle import Bundle, load_bundle
from nn_perception.datasets.bags import BagReader
from nn_perception.errors import BagError, ConfigError
from nn_perception.evaluation.replay import Replay
from nn_perception.tasks import get_task
from nn_perception.tasks.loading import open_pipeline, setting_names
from nn_perception.viewing.answers import Model, show_answers
from nn_perception.viewing.bags import (
    BagScene,
    Progress,
    Viewed,
    groups_of,
    named_topics,
    show_bag,
)
from nn_perception.viewing.rerun_layout import layout
from nn_perception.viewing.rerun_recording import RerunRecording, require_rerun
from nn_perception.viewing.views import OF_MODELS, Source, View

SUFFIX = ".rrd"


@dataclass(frozen=True)
class ViewSettings:
    """What is shown of bags and models.

    Attributes:
        topics: of the bags; empty: all that are known.
        inputs: the bag's topic of a model's input, by the input's name.
        settings: keyword arguments of pipelines; each model takes those that it knows.
        max_image_hz: images a second of each topic at most; 0: all.
        device: see `open_pipeline`.
        threads: see `open_pipeline`.
    """

    topics: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_image_hz: float = 0.0
    device: str = "auto"
    threads: int = 1


class Answered(NamedTuple):
    """What became of a model's replay of a bag."""

    model: str
    bag: Path
    replay: Replay


@dataclass
class ViewSummary:
    """What a recording holds.

    Attributes:
        path: of the recording.
        size_bytes: of the file.
        bags: what became of each bag's messages.
        answers: what became of each model on each bag that it fits.
        rows: how often each entity was written.
        views: of the layout, with their entities.
    """

    path: Path
    size_bytes: int
    bags: list[Viewed]
    answers: list[Answered]
    rows: Mapping[str, int]
    views: Mapping[View, Sequence[str]]


def view_bags(
    paths: Sequence[Path],
    out: Path,
    models: Sequence[Path] = (),
    settings: ViewSettings | None = None,
    on_progress: Progress = lambda _: None,
) -> ViewSummary:
    """Write a recording of bags and of what models answer to them.

    Each bag is read once, and once more for each model that it fits; memory does not grow with it.

    Args:
        paths: of the bags; of several, each one's entities stand below its name.
        out: the file, whose name ends in ``.rrd``; one that is there is replaced.
        models: bundles.
        settings: all messages of all topics by default.
        on_progress: see `Progress`.

    Raises:
        NnPerceptionError: Rerun is not installed, a bag or bundle cannot be read, a topic or a
            setting is not there, a model fits no bag, or the file cannot be written.
    """
    settings = settings or ViewSettings()
    require_rerun()
    bundles = [load_bundle(path) for path in models]
    _check(out, bundles, settings)
    groups = groups_of(paths)
    viewed: list[Viewed] = []
    answered: list[Answered] = []
    name = ", ".join(path.name for path in paths)
    with ExitStack() as stack:
        bags = [stack.enter_context(BagReader(path)) for path in paths]
        wanted = named_topics(settings.topics, bags)
        recording = stack.enter_context(RerunRecording(out, name))
        scenes = [
            BagScene(recording, bag.path, bag.topics, group, settings.max_image_hz)
            for bag, group in zip(bags, groups, strict=True)
        ]
        jobs = [(*job, _fitting(job[0], scenes)) for job in _sources(bundles)]
        for scene, bag in zip(scenes, bags, strict=True):
            viewed.append(show_bag(scene, bag, wanted, on_progress))
        for bundle, source, fitting in jobs:
            answered += _answer(bundle, source, fitting, settings, on_progress)
        for scene in scenes:
            scene.finish()
        if not recording.views:
            raise BagError(_nothing(viewed))
        size_bytes = recording.finish(layout(recording.views))
    return ViewSummary(out, size_bytes, viewed, answered, recording.rows, recording.views)


def _nothing(viewed: Sequence[Viewed]) -> str:
    """Say why there is nothing to see."""
    reasons = [f"{topic} is {kind}" for bag in viewed for topic, kind in bag.left_out.items()]
    reasons += [text for bag in viewed for text in bag.bad_example.values()]
    paths = ", ".join(str(bag.path) for bag in viewed)
    return f"{paths}: nothing that can be shown: {'; '.join(reasons)}; name another bag"


def _sources(bundles: Sequence[Bundle]) -> Iterator[tuple[Bundle, Source]]:
    """Give each model a colour, and a name of its own."""
    names = [bundle.name for bundle in bundles]
    for number, (bundle, colour) in enumerate(zip(bundles, cycle(OF_MODELS), strict=False)):
        unique = bundle.name if names.count(bundle.name) == 1 else f"{bundle.name}_{number}"
        yield bundle, Source(unique, colour)


def _answer(
    bundle: Bundle,
    source: Source,
    scenes: Sequence[BagScene],
    settings: ViewSettings,
    on_progress: Progress,
) -> Iterator[Answered]:
    known = setting_names(get_task(bundle.task).load_pipeline())
    own = {k: v for k, v in settings.settings.items() if known is None or k in known}
    for scene in scenes:
        pipeline = open_pipeline(
            bundle,
            device=settings.device,
            threads=settings.threads,
            settings=own,
            bag=scene.path,
        )
        names = {spec.name for spec in pipeline.inputs}
        inputs = {name: topic for name, topic in settings.inputs.items() if name in names}
        done = show_answers(Model(source, pipeline), scene, inputs, on_progress)
        yield Answered(source.name, scene.path, done)


def _fitting(bundle: Bundle, scenes: Sequence[BagScene]) -> list[BagScene]:
    """Return the bags that have a message type for each of a model's inputs.

    Raises:
        BagError: there are none.
    """
    inputs = get_task(bundle.task).load_pipeline().inputs
    found = []
    for scene in scenes:
        types = {topic.type for topic in scene.topics.values()}
        if all(types & set(spec.types) for spec in inputs):
            found.append(scene)
    if not found:
        types_needed = ", ".join(" or ".join(spec.types) for spec in inputs)
        raise BagError(
            f"no bag has what {bundle.name} takes ({types_needed}); name a bag with these types, "
            "or leave the model out"
        )
    return found


def _check(out: Path, bundles: Sequence[Bundle], settings: ViewSettings) -> None:
    """Refuse what can be seen to be wrong before a bag is read."""
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: a recording's name ends in {SUFFIX}; give --out NAME{SUFFIX}")
    if not 0.0 <= settings.max_image_hz < float("inf"):
        raise ConfigError(f"--max-image-hz is {settings.max_image_hz:g}, expected 0 (all) or more")
    _check_settings(bundles, settings.settings)
    _check_inputs(bundles, settings.inputs)


def _check_settings(bundles: Sequence[Bundle], settings: Mapping[str, Any]) -> None:
    """Refuse a setting that no model knows."""
    known: set[str] = set()
    for bundle in bundles:
        names = setting_names(get_task(bundle.task).load_pipeline())
        if names is None:
            return
        known.update(names)
    for name in settings:
        if name not in known:
            there = ", ".join(sorted(known)) or "none, there is no --model"
            raise ConfigError(f"--set {name}: no model has this setting (there are: {there})")


def _check_inputs(bundles: Sequence[Bundle], inputs: Mapping[str, str]) -> None:
    """Refuse an input that no model has, as far as it can be known without the bag."""
    known = {
        spec.name for bundle in bundles for spec in get_task(bundle.task).load_pipeline().inputs
    }
    for name in inputs:
        # Of several sensors each has its name before that of the input.
        if name.rpartition("/")[2] not in {each.rpartition("/")[2] for each in known}:
            there = ", ".join(sorted(known)) or "none, there is no --model"
            raise ConfigError(
                f"--topic {name}=...: no model has an input '{name}' (there are: {there})"
            )
