"""Put the tables that the code knows into README: parameters and topics of the nodes."""

from __future__ import annotations

from pathlib import Path

from nn_perception.nodes.image_classifier import EXECUTABLE
from nn_perception.nodes.parameter_text import markdown_table
from nn_perception.nodes.parameters import TABLES

README = Path(__file__).parent.parent / "README.md"


def main() -> None:
    """Rewrite what stands between the marks."""
    rows = [f"| {way} | `{topic}` | {what} |" for way, topic, what in EXECUTABLE.topics]
    topics = "\n".join(["| | topic | type |", "|---|---|---|", *rows])
    text = README.read_text(encoding="utf-8")
    for name, content in (
        ("parameters", markdown_table(TABLES[EXECUTABLE.name]).strip()),
        ("topics", topics),
    ):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
