"""``nn-perception bench``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure speed, loss, memory and accuracy against the goals"
DESCRIPTION = """Measure against the goals. Without names everything runs but what takes long or
looks at test data: 'accuracy', 'lecture', 'digit-best', 'objects', 'digit-frames', 'foreign',
'attitude', 'gyro', 'uwb-accuracy', 'soak', 'fuzz', 'kills' and 'lifecycle'.

Results are merged into --json FILE, so that benchmarks can be run one by one; --readme puts the
table made from it between the marks <!-- bench --> and <!-- /bench --> of a Markdown file.
"""
MORE = "names"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="see --list")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="MNIST, or digits/, objects/, camera/, imu/"
    )
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="default: the one that ships")
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of trainings")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that they work")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="length of 'soak'; 1440 is a day"
    )
    parser.add_argument("--json", metavar="FILE", help="merge the results into FILE; '-' prints")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table into FILE")


def run(arguments: argparse.Namespace) -> int:
    """Measure; exit code 1 when a goal was missed."""
    from nn_perception import bench
    from nn_perception.bench.results import merge, update_readme
    from nn_perception.cli.common import format_table, text_stream, write_json

    out = text_stream(arguments.json)
    if arguments.list:
        print(format_table([(n, text) for n, (_, text) in bench.BENCHMARKS.items()]), file=out)
        return 0
    names = arguments.names or [name for name in bench.BENCHMARKS if name not in bench.LONG]
    functions = {name: bench.load(name) for name in names}
    arguments.work.mkdir(parents=True, exist_ok=True)
    settings = bench.BenchSettings(
        work=arguments.work.resolve(),  # links and processes elsewhere name it, too
        data=arguments.data,
        model=arguments.model,
        seeds=arguments.seeds,
        quick=arguments.quick,
        minutes=arguments.minutes,
    )
    results = merge(arguments.json, {})
    missed = 0
    for name, function in functions.items():
        measurements = function(settings, lambda text: print(f"... {text}", file=out, flush=True))
        for row in measurements:
            figure = bench.format_figure(row.value, row.unit)
            verdict = {True: "met", False: "MISSED", None: ""}[row.passed]
            print(f"{row.what}: {figure}  goal {row.goal or '-'} {verdict}", file=out)
            print(f"    {row.detail}", file=out, flush=True)
            missed += row.passed is False
        if measurements:
            results = merge(arguments.json, {name: measurements})
    write_json(results, arguments.json)
    if arguments.readme:
        update_readme(arguments.readme, results)
    return 1 if missed else 0
