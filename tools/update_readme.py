"""Put the tables that the code knows into README: parameters and topics of the nodes."""

from __future__ import annotations

from pathlib import Path

from nn_perception.nodes import (
    attitude_estimator,
    gyro_corrector,
    image_classifier,
    trainer,
    uwb_corrector,
)
from nn_perception.nodes.parameter_text import markdown_table
from nn_perception.nodes.parameters import TABLES, own_rows

README = Path(__file__).parent.parent / "README.md"
NODES = (image_classifier, attitude_estimator, gyro_corrector, uwb_corrector, trainer)


def blocks() -> dict[str, str]:
    """Return what stands between the marks of each name.

    The first node's table has every parameter, the others' those in which they differ.
    """
    found = {}
    for number, module in enumerate(NODES):
        executable = module.EXECUTABLE
        rows = [f"| {way} | `{topic}` | {what} |" for way, topic, what in executable.topics]
        table = TABLES[executable.name] if number == 0 else own_rows(executable.name)
        mark = "" if number == 0 else f" {executable.name}"
        found[f"topics{mark}"] = "\n".join(["| | topic | type |", "|---|---|---|", *rows])
        found[f"parameters{mark}"] = markdown_table(table).strip()
    return found


def main() -> None:
    """Rewrite what stands between the marks."""
    text = README.read_text(encoding="utf-8")
    for name, content in blocks().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
