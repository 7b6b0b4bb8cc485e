"""Put into docs/ what the code and the studies know: quoted lines and what was measured.

    python tools/update_docs.py            rewrite what stands between marks
    python tools/update_docs.py --check    change nothing; 1 where something is stale or missing

Marks, each with one of the same name and a slash below it:

``code FILE SYMBOL``: a function, class or constant of a source file, without its docstring.
``code FILE SYMBOL "first" .. "last"``: of it the lines from the one that holds the first text to
the next that holds the last. ``code FILE``: a whole file without the comments above.
``study NAME``: picture and table that tools/run_studies.py left. ``studies``: the table of all.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nn_perception.errors import nearest
from nn_perception.studies import STUDIES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LIMIT_S = 180.0
"""What a study of a training method may take in its default size, on two cores."""

COMMANDS = {
    "tune-case-study": "tune digits --space config/tune/digits_case_study.yaml --sampler grid "
    "--pruner none --workers 2",
    "gyro-held-out": "evaluate models/gyro --data DIR/imu/euroc_V2_02_medium.npz",
}
"""What guides show beside studies: name -> command of nn-perception that leaves a page. DIR is
$NN_PERCEPTION_DATA."""

_BLOCK = re.compile(r"^<!-- (code|study|studies)( [^\n]*?)? -->\n(.*?)^<!-- /\1 -->$", re.M | re.S)
_QUOTE = re.compile(r'(\S+)(?: ([\w.]+))?(?: "(.+)" \.\. "(.+)")?')
_REMARKS = re.compile(r"  # (?:type: ignore|noqa|fmt:)[^\n]*")
"""What is said to tools and not to readers."""
_LANGUAGES = {".py": "python", ".yaml": "yaml"}


class StaleError(Exception):
    """A mark that cannot be filled."""


def pages() -> list[Path]:
    """Return the pages that may have marks."""
    return sorted([*DOCS.glob("*.md"), *DOCS.glob("lectures/*.md")])


def filled(text: str, page: Path, missing: Callable[[str], None] = lambda _: None) -> str:
    """Return a page's text with what stands between its marks made anew.

    Args:
        text: of the page.
        page: its path, from which links lead.
        missing: is told of each study without a result.

    Raises:
        StaleError: a mark names what is not there.
    """

    def fill(found: re.Match[str]) -> str:
        kind, rest = found.group(1), (found.group(2) or "").strip()
        up = Path(*[".."] * len(page.relative_to(ROOT).parent.parts))
        if kind == "code":
            content = quoted(rest, up)
        elif kind == "study":
            content = study_block(rest, page, missing)
        else:
            content = studies_table()
        mark = f"{kind} {rest}".strip()
        return f"<!-- {mark} -->\n{content}\n<!-- /{kind} -->"

    return _BLOCK.sub(fill, text)


def quoted(what: str, up: Path) -> str:
    """Return a fenced block of source code and the link to its file.

    Raises:
        StaleError: the file, the symbol or a line is not there.
    """
    found = _QUOTE.fullmatch(what)
    if found is None:
        raise StaleError(
            f'code {what}: expected FILE, or FILE SYMBOL, or both and "first" .. "last"'
        )
    name, symbol, first, last = found.groups()
    path = ROOT / name
    if not path.is_file():
        raise StaleError(f"code {what}: there is no file {name}")
    source = path.read_text(encoding="utf-8")
    if symbol is None:
        lines = re.sub(r"\A(#[^\n]*\n)+", "", source).splitlines()
    else:
        lines = symbol_lines(source, symbol, what)
    if first is not None:
        lines = _between(lines, first, last, what)
    code = _REMARKS.sub("", textwrap.dedent("\n".join(lines)).strip("\n"))
    label = name if symbol is None else f"{name}: {symbol}"
    fence = f"```{_LANGUAGES.get(path.suffix, 'text')}\n{code}\n```"
    return f"{fence}\n[`{label}`]({(up / name).as_posix()})"


def symbol_lines(source: str, symbol: str, what: str) -> list[str]:
    """Return the lines of a function, class or constant, without its docstring.

    Raises:
        StaleError: there is none of that name.
    """
    body: list[ast.stmt] = ast.parse(source).body
    node: ast.stmt | None = None
    for part in symbol.split("."):
        node = next((each for each in body if part in _names(each)), None)
        if node is None:
            raise StaleError(f"code {what}: there is no {symbol}")
        body = getattr(node, "body", [])
    assert node is not None
    decorators = getattr(node, "decorator_list", [])
    begin = min([node.lineno, *(each.lineno for each in decorators)])
    lines = source.splitlines()
    chosen = range(begin, (node.end_lineno or begin) + 1)
    hidden: range | tuple[()] = ()
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        # A blank line behind the docstring goes with it.
        end = body[0].end_lineno or body[0].lineno
        blank = end < len(lines) and not lines[end].strip()
        hidden = range(body[0].lineno, end + 1 + blank)
    return [lines[number - 1] for number in chosen if number not in hidden]


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {each.id for each in targets if isinstance(each, ast.Name)}


def _between(lines: list[str], first: str, last: str, what: str) -> list[str]:
    begin = next((i for i, line in enumerate(lines) if first in line), None)
    if begin is None:
        raise StaleError(f"code {what}: no line holds '{first}'")
    end = next((i for i in range(begin, len(lines)) if last in lines[i]), None)
    if end is None:
        raise StaleError(f"code {what}: no line from '{first}' on holds '{last}'")
    return lines[begin : end + 1]


def result_of(name: str) -> dict[str, Any] | None:
    """Return what tools/run_studies.py left of a study; None: nothing."""
    path = DOCS / "images" / "studies" / f"{name}.json"
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def study_block(name: str, page: Path, missing: Callable[[str], None]) -> str:
    """Return picture, table and command of a study, or that there is no result yet."""
    if name not in {**STUDIES, **COMMANDS}:
        missing(f"{page.name}: there is no study '{name}'{nearest(name, STUDIES)}")
    result, folder = result_of(name), DOCS / "images" / "studies"
    if result is None or not all((folder / file).is_file() for file in result["pictures"]):
        missing(f"{page.name}: no result of '{name}': run tools/run_studies.py {name}")
        return f"Not measured yet: `{command_of(name)}`."
    base = "images/studies" if page.parent == DOCS else "../images/studies"
    lines = [f"![{title}]({base}/{file})\n" for file, title in result["pictures"].items()]
    return "\n".join([*lines, *table(result), "", measured(result)])


def command_of(name: str) -> str:
    """Return the command whose page a guide shows."""
    return f"nn-perception {COMMANDS.get(name, f'study {name}')}"


def table(result: dict[str, Any]) -> list[str]:
    """Return the table of a result; columns of numbers are set right."""
    header, rows = result["header"], result["rows"]
    number = re.compile(r"[-+\N{MINUS SIGN}]?[\d.,]+(e[-+]?\d+)?\s?[%°]?|-|")
    right = [all(number.fullmatch(row[i]) for row in rows) for i in range(len(header))]
    rule = ["---:" if to_right else "---" for to_right in right]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def measured(result: dict[str, Any]) -> str:
    """Return how a result was made, in a line."""
    told = [f"{result['seconds']:.0f} s on {result['machine'][0]}", *result["machine"][1:]]
    return f"`{result['command']}`, {', '.join([*told, *result.get('remarks', [])])}."


def studies_table() -> str:
    """Return the table of all studies, with the time that each took."""
    guides = {page.stem: page.read_text(encoding="utf-8") for page in DOCS.glob("lectures/*.md")}
    lines = ["| study | what it compares | time | guide |", "|---|---|---:|---|"]
    for name, (_, what) in STUDIES.items():
        result = result_of(name)
        told = [stem for stem, text in guides.items() if f"<!-- study {name} -->" in text]
        links = ", ".join(f"[{_title(guides[stem])}](lectures/{stem}.md)" for stem in sorted(told))
        seconds = f"{result['seconds']:.0f} s" if result else "-"
        lines.append(f"| `{name}` | {what} | {seconds} | {links} |")
    return "\n".join(lines)


def _title(text: str) -> str:
    found = re.search(r"^# (?:\d+\. )?(.*)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def update(check: bool) -> int:
    """Rewrite the pages, or tell what is stale; return the exit status."""
    found: list[str] = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        try:
            new = filled(text, page, found.append)
        except StaleError as error:
            found.append(f"{page.relative_to(ROOT)}: {error}")
            continue
        if new != text and check:
            found.append(f"{page.relative_to(ROOT)} is stale: run tools/update_docs.py")
        elif new != text:
            page.write_text(new, encoding="utf-8")
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing, tell what is stale")
    sys.exit(update(parser.parse_args().check))


if __name__ == "__main__":
    main()
