"""Run the studies as they are by default, time them, and leave what the guides show of them.

    python tools/run_studies.py                        every study, one after the other
    python tools/run_studies.py epochs optimisers      these
    python tools/run_studies.py --try epochs -- --samples 1000 --epochs 2

Each leaves docs/images/studies/NAME.png, its main picture, and NAME.json with table, command and
time; then the pages are made anew (tools/update_docs.py). With --try nothing is left there: the
studies run with the options behind ``--`` into runs/study-pictures, to see that all of this works.
A study of a training method may take 180 s; one that takes longer is named at the end, with exit
status 1. On a busy machine times say nothing: run this when nothing else runs.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import json
import multiprocessing
import re
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import update_docs
from PIL import Image

from nn_perception.bench import environment
from nn_perception.cli.common import format_cell
from nn_perception.cli.main import parse
from nn_perception.errors import ConfigError, NnPerceptionError, nearest
from nn_perception.studies import STUDIES, load

WORK = update_docs.ROOT / "runs" / "study-pictures"
PICTURES = update_docs.DOCS / "images" / "studies"

OPTIONS = {"rotation-heads": "--seeds 0 1 2"}
"""What a study is run with; most are run as they are."""

LONG = ("rotation-heads", "uwb-adaptation")
"""Studies of whole networks, which have no limit of time."""

MAIN: dict[str, str] = {}
"""Study -> title of its main picture, where that is not the first of its page."""

LARGEST_BYTES = 150_000
_WIDTHS_PX = (1600, 1200, 1000, 800)


def run_study(name: str, options: list[str], out: Path) -> dict[str, Any]:
    """Run one study; meant for a process of its own.

    Args:
        name: of the study.
        options: as on the command line.
        out: directory of its report.

    Returns:
        Header, rows as text, and seconds.
    """
    arguments = parse(["study", name, *options, "--out", str(out)])
    start = time.perf_counter()
    result = load(name).run(arguments, lambda text: print(f"... {text}", flush=True))
    seconds = time.perf_counter() - start
    rows = [[format_cell(value) for value in row] for row in result.rows]
    return {"header": [*result.header], "rows": rows, "seconds": round(seconds, 1)}


def main_picture(page: str, title: str | None) -> tuple[str, bytes]:
    """Return title and PNG of a report's picture: the first, or the one of that title.

    Raises:
        ConfigError: there is none.
    """
    found = re.findall(r'alt="([^"]*)" src="data:image/png;base64,([^"]*)"', page)
    titles = [html.unescape(each) for each, _ in found]
    if not found or (title is not None and title not in titles):
        raise ConfigError(f"the page has the pictures {titles}, expected {title or 'one'}")
    chosen = 0 if title is None else titles.index(title)
    return titles[chosen], base64.b64decode(found[chosen][1])


def reduced(png: bytes) -> bytes:
    """Return a picture with a palette, and fewer pixels where it is still too large.

    Raises:
        ConfigError: it is too large at 800 pixels, too.
    """
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    for width in _WIDTHS_PX:
        size = (width, round(whole.height * width / whole.width))
        picture = whole if width >= whole.width else whole.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        # Without dithering: what is one colour stays one, and PNG keeps it small.
        palette = picture.quantize(128, dither=Image.Dither.NONE)
        palette.save(buffer, "png", optimize=True)
        if buffer.tell() <= LARGEST_BYTES:
            return buffer.getvalue()
    raise ConfigError(f"a picture of {buffer.tell()} bytes, expected {LARGEST_BYTES} at most")


def machine() -> list[str]:
    """Return what a time depends on."""
    found = environment()
    return [found["cpu"], *(f"{name} {found[name]}" for name in ("python", "torch", "numpy"))]


def leave(name: str, options: list[str], outcome: dict[str, Any], page: str, out: Path) -> None:
    """Write picture and figures of a study into a directory."""
    title, png = main_picture(page, MAIN.get(name))
    out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["nn-perception", "study", name, *options])
    result = {"study": name, "command": command, "title": title, **outcome, "machine": machine()}
    (out / f"{name}.png").write_bytes(reduced(png))
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def run_all(names: list[str], extra: list[str], out: Path) -> list[str]:
    """Run studies one after the other; return what went wrong, a line for each."""
    wrong = []
    for name in names:
        options = [*shlex.split(OPTIONS.get(name, "")), *extra]
        print(f"==> {name}", flush=True)
        report = WORK / name
        try:
            # A process of its own: nothing that an earlier study left makes it faster or slower.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                outcome = pool.submit(run_study, name, options, report).result()
            page = (report / "index.html").read_text(encoding="utf-8")
            leave(name, options, outcome, page, out)
        except NnPerceptionError as error:
            wrong.append(f"{name}: {error}")
            continue
        seconds = outcome["seconds"]
        print(f"==> {name}: {seconds:.0f} s of {update_docs.LIMIT_S:.0f} s", flush=True)
        if seconds > update_docs.LIMIT_S and name not in LONG:
            wrong.append(f"{name}: {seconds:.0f} s, expected {update_docs.LIMIT_S:.0f} s at most")
    return wrong


def main() -> None:
    """Read the command line."""
    own, extra = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every study")
    parser.add_argument("--try", dest="trial", action="store_true", help="leave nothing in docs/")
    arguments = parser.parse_args(own)
    unknown = [name for name in arguments.names if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study '{unknown[0]}'{nearest(unknown[0], STUDIES)}")
    if extra and not arguments.trial:
        parser.error("what is behind '--' is for --try: pages show studies as they are by default")
    out = WORK / "pictures" if arguments.trial else PICTURES
    wrong = run_all(arguments.names or [*STUDIES], extra, out)
    for line in wrong:
        print(line, file=sys.stderr)
    if not arguments.trial:
        update_docs.update(check=False)
    sys.exit(1 if wrong else 0)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what stands before ``--`` and what behind it."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


if __name__ == "__main__":
    main()
