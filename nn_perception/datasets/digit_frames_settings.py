"""What generated frames are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from nn_perception.errors import DatasetError


@dataclass(frozen=True)
class FrameSettings:
    """What frames are drawn from. Ranges are uniform where nothing else is said.

    Attributes:
        height_px: of the text in the frame, log-uniform; the lower is kept by the smallest digit
            (the larger side of its ink); perspective may add a fifth to the upper.
        max_lines: 1 to as many, and no more than fit.
        max_digits: in a line, likewise.
        empty_share: of frames without digits: half of them without a sheet.
        full_share: of sheets that fill the frame.
        dark_share: of sheets that are dark and written on with light ink.
        ruled_share: of sheets with faint rules, 10 to 25 % of the ink's contrast.
        tilt_deg: largest angle between sheet and sensor.
        turn_deg: largest angle of the sheet in its plane; normal with half of it.
        pen_tile_px: strokes wider or narrower than the tile's, on each side; 1 is a 20th of the
            digit. Never narrower than 2 pixels of the frame, never so that a stroke breaks.
        min_contrast: least difference in grey levels of ink and sheet where the light is worst,
            before blur, noise and compression.
        min_light: least light at a digit, over the brightest of the frame.
        noise: largest standard deviation of the sensor's noise, grey levels.

    Raises:
        DatasetError: a value is out of its range.
    """

    height_px: tuple[float, float] = (20.0, 80.0)
    max_lines: int = 5
    max_digits: int = 8
    empty_share: float = 0.08
    full_share: float = 0.4
    dark_share: float = 0.3
    ruled_share: float = 0.12
    tilt_deg: float = 20.0
    turn_deg: float = 12.0
    pen_tile_px: tuple[float, float] = (-0.5, 0.7)
    min_contrast: float = 40.0
    min_light: float = 0.35
    noise: float = 6.0

    def __post_init__(self) -> None:
        low, high = self.height_px
        checks = (
            ("height_px", 8.0 <= low <= high, "two ascending numbers from 8"),
            ("max_lines", self.max_lines >= 1, "1 or more"),
            ("max_digits", self.max_digits >= 1, "1 or more"),
            ("empty_share", 0.0 <= self.empty_share <= 1.0, "0 to 1"),
            ("full_share", 0.0 <= self.full_share <= 1.0, "0 to 1"),
            ("dark_share", 0.0 <= self.dark_share <= 1.0, "0 to 1"),
            ("ruled_share", 0.0 <= self.ruled_share <= 1.0, "0 to 1"),
            ("tilt_deg", 0.0 <= self.tilt_deg <= 60.0, "0 to 60"),
            ("turn_deg", 0.0 <= self.turn_deg <= 180.0, "0 to 180"),
            ("pen_tile_px", -1.0 <= self.pen_tile_px[0] <= self.pen_tile_px[1] <= 2.0, "-1 to 2"),
            ("min_light", 0.2 <= self.min_light <= 1.0, "0.2 to 1"),
            # Else no sheet has room for such an ink where the light is worst.
            (
                "min_contrast",
                0.0 < self.min_contrast <= 200.0 * self.min_light,
                "up to 200 x light",
            ),
            ("noise", self.noise >= 0.5, "0.5 or more"),
        )
        for name, good, expected in checks:
            if not good:
                raise DatasetError(
                    f"FrameSettings: {name} is {getattr(self, name)}, expected {expected}; "
                    "FrameSettings() is a start"
                )
