"""What of a frame a classifier looks at: all of it, its centre, given boxes, or digits it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.errors import ConfigError, nearest
from nn_perception.regions.crops import check_boxes, cut_box
from nn_perception.regions.cut import CROP
from nn_perception.regions.digits import DigitFinder, DigitFinderSettings
from nn_perception.tasks.classification import Image, ImagePreprocessing, prepare_image
from nn_perception.tasks.region_modes import REGION_MODES


@dataclass(frozen=True, eq=False)
class Views:
    """The parts of one frame, prepared for the network.

    Attributes:
        pictures: (N, C, height, width).
        boxes_xywh: (N, 4) where they are in the frame, pixels; None: the frame as a whole.
        lines: (N,) the text line of each.
        refused: parts that are not looked at, by reason.
    """

    pictures: Image
    boxes_xywh: npt.NDArray[np.float32] | None = None
    lines: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    refused: Mapping[str, int] = field(default_factory=dict)


class Viewer:
    """Makes the views of frames in one of the modes."""

    def __init__(self, preprocessing: ImagePreprocessing, mode: str, max_regions: int) -> None:
        """Choose the mode.

        Args:
            preprocessing: how a picture becomes the network's input.
            mode: ``auto`` looks at a frame as the bundle's pre-processing says, ``full`` at all
                of it, ``center`` at its central part, ``detections`` at boxes that are given,
                ``digits`` at handwritten digits that it finds.
            max_regions: how many regions of a frame are looked at.

        Raises:
            ConfigError: an unknown mode, or one that the network cannot serve.
        """
        if mode not in REGION_MODES:
            raise ConfigError(
                f"regions is '{mode}'{nearest(mode, REGION_MODES)}; expected one of "
                f"{', '.join(REGION_MODES)}"
            )
        self.mode = mode
        self._max_regions = max_regions
        fits = {"full": "stretch", "center": "center_crop", "detections": "stretch"}
        fit: Any = fits.get(mode, preprocessing.fit)
        self._preprocessing = replace(preprocessing, fit=fit)
        self._finder: DigitFinder | None = None
        if mode == "digits":
            _check_digit_crops(preprocessing)
            self._finder = DigitFinder(DigitFinderSettings(max_regions=max_regions))

    def whole(self, image: Image) -> Views:
        """Return a frame as one picture."""
        return Views(prepare_image(image, self._preprocessing)[None])

    def digits(self, image: Image) -> Views:
        """Return what may be digits in a frame (H, W), in reading order."""
        assert self._finder is not None, "only in the mode 'digits'"
        settings = self._finder.settings
        if min(image.shape) * settings.max_size_fraction < settings.min_size_px:
            # No digit has room. A frame of one long row cannot be shrunk for the search, either.
            return Views(np.zeros((0, 1, 28, 28), np.uint8), np.zeros((0, 4), np.float32))
        found = self._finder(image)
        refused = {"too_many": found.dropped} if found.dropped else {}
        return Views(found.crops[:, None], found.boxes_xywh, found.lines, refused)

    def boxes(self, image: Image, boxes_xywh: npt.NDArray[Any], beyond: int) -> Views:
        """Return boxes of a frame; ``beyond`` were left out before."""
        settings = self._preprocessing
        boxes, refused = check_boxes(boxes_xywh, image.shape[:2])
        pictures = np.empty((len(boxes), settings.channels, settings.height, settings.width), "u1")
        for picture, box in zip(pictures, boxes, strict=True):
            view = cut_box(image, box, settings.width / settings.height)
            picture[...] = prepare_image(view, settings)
        if beyond:
            refused = {**refused, "too_many": beyond}
        return Views(pictures, boxes, np.zeros(len(boxes), np.int32), refused)


def _check_digit_crops(preprocessing: ImagePreprocessing) -> None:
    shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if shape != (1, CROP, CROP):
        raise ConfigError(
            f"regions is 'digits', which cuts grey pictures of {CROP}x{CROP} as MNIST has them, "
            f"and the model takes {shape[0]} channel(s) of {shape[1]}x{shape[2]}: choose a model "
            "of the task 'digits'"
        )
