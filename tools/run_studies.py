"""Run the studies as they are by default, time them, and leave what the guides show of them.

    python tools/run_studies.py                        studies of methods, one after the other
    python tools/run_studies.py epochs uwb-adaptation  these
    python tools/run_studies.py --again epochs         its pictures anew, from the last run's report
    python tools/run_studies.py --try epochs -- --samples 1000 --epochs 2

Each leaves docs/images/studies/NAME.png, its main picture (NAME-2.png and so on where there are
more), and NAME.json with table, command and time; then the pages are made anew (by
tools/update_docs.py). With --try nothing is left there: the studies run with the options behind
``--`` into runs/study-pictures, to see that all of this works.
A study of a training method may take 180 s; one that takes longer is named at the end, with exit
status 1. On a busy machine times say nothing: run this when nothing else runs.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import itertools
import json
import multiprocessing
import re
import shlex
import shutil
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
from nn_perception.datasets.environment import data_from_environment
from nn_perception.errors import ConfigError, NnPerceptionError, nearest
from nn_perception.studies import STUDIES, load

WORK = update_docs.ROOT / "runs" / "study-pictures"
OUTCOME = "outcome.json"
PICTURES = update_docs.DOCS / "images" / "studies"

OPTIONS = {"rotation-heads": "--seeds 0 1 2"}
"""What a study is run with; most are run as they are."""

LONG = ("rotation-heads", "uwb-adaptation", *update_docs.COMMANDS)
"""What has no limit of time, and runs only when it is named."""

PAGES = {"evaluate": "--report"}
"""Command -> its option for the report, where that is not --out."""

SHOWN = {
    "activations": ("Gradients at the start", "Accuracy over the epochs"),
    "decision-boundary": ("Boundaries",),
    "features": ("Kernels written by hand, on a digit", "Filters of lecture_cnn"),
    "initialisation": ("Spread of the answers", "Accuracy over the epochs"),
    "learning-rate": ("Accuracy by learning rate", "Loss and accuracy over the epochs"),
    "mlp-vs-cnn": ("Over the epochs", "With fewer and with moved pictures"),
    "optimisers": ("Paths", "Digits"),
    "recurrence": ("Accuracy", "Gradients through time"),
    "regularisation": ("Fits", "Bias and variance of polynomials", "Regularisation on digits"),
    "tune-case-study": ("The grid",),
}
"""Study -> titles of the pictures that guides show, where that is not the first of its page."""

LARGEST_BYTES = 150_000
_WIDTHS_PX, _COLOURS = (1600, 1200, 1000, 800), (128, 64, 32)


def run_one(name: str, extra: list[str], out: Path) -> dict[str, Any]:
    """Run one study or command; meant for a process of its own.

    Args:
        name: of the study.
        extra: further options, as on the command line.
        out: directory of its report.

    Returns:
        Command, table and seconds.
    """
    words = shlex.split(update_docs.command_of(name))[1:]
    words += [*shlex.split(OPTIONS.get(name, "")), *extra]
    data = str(data_from_environment())
    arguments = parse(
        [
            *(word.replace("DIR/", f"{data}/") for word in words),
            PAGES.get(words[0], "--out"),
            str(out),
        ]
    )
    start = time.perf_counter()
    if name in STUDIES:
        result = load(name).run(arguments, lambda text: print(f"... {text}", flush=True))
        header, rows = [*result.header], [[format_cell(v) for v in row] for row in result.rows]
    else:
        arguments.run(arguments)
        header, rows = first_table((out / "index.html").read_text(encoding="utf-8"))
    seconds = round(time.perf_counter() - start, 1)
    command = shlex.join(["nn-perception", *words])
    return {
        **{"command": command, "header": header, "rows": rows, "seconds": seconds},
        "machine": machine(),
    }


def first_table(page: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the first table of a report that has a header.

    Raises:
        ConfigError: there is none.
    """
    found = re.search(r"<thead><tr>(.*?)</tr></thead><tbody>(.*?)</tbody>", page, re.DOTALL)
    if found is None:
        raise ConfigError("the page has no table, expected one with a header")

    def cells(row: str) -> list[str]:
        return [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]

    return cells(found[1]), [cells(row) for row in re.findall(r"<tr>(.*?)</tr>", found[2])]


def shown_pictures(page: str, titles: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return a report's pictures of these titles, PNG by title; the first where none is given.

    Raises:
        ConfigError: there is none.
    """
    found = re.findall(r'alt="([^"]*)" src="data:image/png;base64,([^"]*)"', page)
    pictures = {html.unescape(title): data for title, data in found}
    missing = [title for title in titles if title not in pictures]
    if not pictures or missing:
        raise ConfigError(f"the page has the pictures {[*pictures]}, expected {missing or 'one'}")
    chosen = titles or tuple(pictures)[:1]
    return {title: base64.b64decode(pictures[title]) for title in chosen}


def reduced(png: bytes) -> bytes:
    """Return a picture with a palette, and fewer pixels where it is still too large.

    Raises:
        ConfigError: it is too large at 800 pixels, too.
    """
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    for width, colours in itertools.product(_WIDTHS_PX, _COLOURS):
        size = (width, round(whole.height * width / whole.width))
        picture = whole if width >= whole.width else whole.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        # Without dithering: what is one colour stays one, and PNG keeps it small. The colours of
        # thin lines are few pixels, which median cut would blend.
        palette = picture.quantize(
            colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        palette.save(buffer, "png", optimize=True)
        if buffer.tell() <= LARGEST_BYTES:
            return buffer.getvalue()
    raise ConfigError(f"a picture of {buffer.tell()} bytes, expected {LARGEST_BYTES} at most")


def machine() -> list[str]:
    """Return what a time depends on."""
    found = environment()
    return [found["cpu"], *(f"{name} {found[name]}" for name in ("python", "torch", "numpy"))]


def leave(name: str, outcome: dict[str, Any], page: str, out: Path) -> None:
    """Write pictures and figures of a study into a directory."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for number, (title, png) in enumerate(shown_pictures(page, SHOWN.get(name, ())).items(), 1):
        file = f"{name}.png" if number == 1 else f"{name}-{number}.png"
        (out / file).write_bytes(reduced(png))
        pictures[file] = title
    result = {"study": name, **outcome, "pictures": pictures}
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def measure(name: str, extra: list[str]) -> None:
    """Run one and write its report, and beside it what `leave` takes."""
    report = WORK / name
    shutil.rmtree(report, ignore_errors=True)  # what goes on from there is timed too short
    # A process of its own: nothing that an earlier study left makes it faster or slower.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        outcome = {**pool.submit(run_one, name, extra, report).result(), "extra": extra}
    (report / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def run_all(names: list[str], extra: list[str], out: Path, again: bool = False) -> list[str]:
    """Run studies one after the other; return what went wrong, a line for each.

    Args:
        names: of the studies.
        extra: further options.
        out: where pictures and figures go.
        again: take the reports of the last run instead.
    """
    wrong = []
    for name in names:
        print(f"==> {name}", flush=True)
        report = WORK / name
        try:
            if not again:
                measure(name, extra)
            outcome = json.loads((report / OUTCOME).read_text(encoding="utf-8"))
            if outcome.pop("extra") and out == PICTURES:
                raise ConfigError("the last run was a trial; run it without --again")
            leave(name, outcome, (report / "index.html").read_text(encoding="utf-8"), out)
        except (NnPerceptionError, OSError) as error:
            wrong.append(f"{name}: {error}")
            continue
        seconds, limit = outcome["seconds"], update_docs.LIMIT_S
        print(f"==> {name}: {seconds:.0f} s of {limit:.0f} s", flush=True)
        if seconds > limit and name not in LONG:
            wrong.append(f"{name}: {seconds:.0f} s, expected {limit:.0f} s at most")
    return wrong


def main() -> None:
    """Read the command line."""
    own, extra = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every study")
    parser.add_argument("--again", action="store_true", help="take the reports of the last run")
    parser.add_argument("--try", dest="trial", action="store_true", help="leave nothing in docs/")
    arguments = parser.parse_args(own)
    known = {**STUDIES, **update_docs.COMMANDS}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"there is no study '{unknown[0]}'{nearest(unknown[0], known)}")
    if not arguments.trial and data_from_environment() is None:
        parser.error("guides show MNIST: set NN_PERCEPTION_DATA to its directory")
    if extra and not arguments.trial:
        parser.error("what is behind '--' is for --try: pages show studies as they are by default")
    out = WORK / "pictures" if arguments.trial else PICTURES
    usual = [name for name in STUDIES if name not in LONG]
    wrong = run_all(arguments.names or usual, extra, out, arguments.again)
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
