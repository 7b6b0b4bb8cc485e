"""Put the tables that the code knows into README: each node's parameters and topics, studies."""

from __future__ import annotations

import importlib
from pathlib import Path

from nn_perception.nodes.parameter_text import markdown_table
from nn_perception.nodes.parameters import TABLES, own_rows
from nn_perception.studies import STUDIES

README = Path(__file__).parent.parent / "README.md"


def blocks() -> dict[str, str]:
    """Return what stands between the marks of each name.

    The first node's table has every parameter, the others' those in which they differ.
    """
    found = {}
    for number, name in enumerate(TABLES):
        topics = importlib.import_module(f"nn_perception.nodes.{name}").EXECUTABLE.topics
        rows = [f"| {way} | `{topic}` | {what} |" for way, topic, what in topics]
        table = TABLES[name] if number == 0 else own_rows(name)
        mark = "" if number == 0 else f" {name}"
        found[f"topics{mark}"] = "\n".join(["| | topic | type |", "|---|---|---|", *rows])
        found[f"parameters{mark}"] = markdown_table(table).strip()
    rows = [f"| `{name}` | {text} |" for name, (_, text) in STUDIES.items()]
    found["studies"] = "\n".join(["| study | what it compares |", "|---|---|", *rows])
    return found


def main() -> None:
    """Rewrite what stands between the marks."""
    text = README.read_text(encoding="utf-8")
    for name, content in blocks().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"{README} needs one '{begin}' and, below it, one '{end}'")
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
