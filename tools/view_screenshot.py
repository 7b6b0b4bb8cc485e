"""Take README's picture of a recording: the Rerun viewer without a screen, at a moment of it.

It needs rerun-sdk 0.41 or newer, and a Vulkan driver; on a machine without a GPU Mesa's lavapipe
(Debian and Ubuntu: mesa-vulkan-drivers) will do:

    python tools/view_screenshot.py RECORDING.rrd docs/images/view.png 8
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np

from nn_perception.datasets.bag_writer import START_NS
from nn_perception.viewing.rerun_recording import TIMELINE

PORT = 9947
DRAWN_AFTER_S = 5.0
"""A software renderer takes its time for the first frames; nothing tells when all are drawn."""
MENU_PX = 37
"""The bar at the top, with warnings about the machine."""
COLOURS = 256


def screenshot(recording: Path, at_s: float) -> bytes:
    """Return the viewer's window as PNG, at seconds behind the start of simulated recordings."""
    from rerun.experimental import ViewerClient

    viewer = ViewerClient.spawn(headless=True, port=PORT, hide_welcome_screen=True)
    try:
        viewer.open(str(recording.resolve()))
        moment = np.datetime64(START_NS + round(at_s * 1e9), "ns")
        viewer.set_time(TIMELINE, timestamp=moment, play_state="paused")
        time.sleep(DRAWN_AFTER_S)
        return viewer.take_screenshot()
    finally:
        viewer.quit()


def main() -> None:
    """Take the picture."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("at_s", type=float)
    arguments = parser.parse_args()
    window = Image.open(io.BytesIO(screenshot(arguments.recording, arguments.at_s)))
    picture = window.convert("RGB").crop((0, MENU_PX, *window.size))
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    # The palette is that of lines and texts; dithering gives photographs their colours back.
    few = picture.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    few.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
