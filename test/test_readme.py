"""What README says is what the code does."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from nn_perception.cli.main import parse
from nn_perception.nodes.parameter_text import markdown_table
from nn_perception.nodes.parameters import TABLES, own_rows
from nn_perception.studies import STUDIES

ROOT = Path(__file__).parent.parent
UPDATE = "run: python tools/update_readme.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def between(name):
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


def test_parameters_are_those_of_the_tables():
    assert between("parameters") == markdown_table(TABLES["image_classifier"]).strip(), UPDATE
    for name in set(TABLES) - {"image_classifier"}:
        assert between(f"parameters {name}") == markdown_table(own_rows(name)).strip(), UPDATE


@pytest.mark.parametrize("executable", TABLES)
def test_topics_are_those_of_the_node(executable):
    pytest.importorskip("rclpy")
    module = importlib.import_module(f"nn_perception.nodes.{executable}")
    rows = [f"| {way} | `{topic}` | {what} |" for way, topic, what in module.EXECUTABLE.topics]
    mark = "topics" if executable == "image_classifier" else f"topics {executable}"
    assert between(mark).splitlines()[2:] == rows, UPDATE


def test_studies_are_those_that_there_are():
    rows = [f"| `{name}` | {text} |" for name, (_, text) in STUDIES.items()]
    assert between("studies").splitlines()[2:] == rows, UPDATE


def test_results_were_written_by_bench():
    rows = between("bench").splitlines()
    assert len(rows) > 8
    assert all("nn-perception bench" in row for row in rows[2:] if row.startswith("|"))


@pytest.mark.parametrize("command", re.findall(r"^    (nn-perception .*)$", README, re.MULTILINE))
def test_commands_are_accepted_by_the_parser(command):
    assert parse(shlex.split(command, comments=True)[1:]).run


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_stated_parameter_counts():
    pytest.importorskip("torch")
    from nn_perception.networks import build_network

    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", README, re.MULTILINE)
    assert len(rows) == 3
    for name, count in rows:
        parameters = build_network(name).parameters()
        assert sum(p.numel() for p in parameters) == int(count.replace(",", ""))
