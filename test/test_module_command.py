"""Modules of the package are not looked for where a process happens to be started."""

import os
import subprocess
import sys

import pytest

from nn_perception.module_command import module_command
from nn_perception.nodes.guarded import guarded_command

FOREIGN = "print('FOREIGN', flush=True)\nraise SystemExit(77)\n"


@pytest.fixture
def place(tmp_path):
    """A working directory with a file that is called like a module of Python."""
    (tmp_path / "json.py").write_text(FOREIGN)
    return tmp_path


def output(command, place):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    ran = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 knows no -P")
def test_a_file_of_the_working_directory_is_no_module(place):
    assert output([sys.executable, "-m", "json.tool", "--help"], place) == (77, "FOREIGN\n")
    code, text = output([*module_command("json.tool"), "--help"], place)
    assert code == 0
    assert "usage" in text
    assert "FOREIGN" not in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 knows no -P")
def test_nor_is_it_for_what_ends_with_its_parent(place):
    code, text = output([*guarded_command("json.tool"), "--help"], place)
    assert code == 0
    assert "usage" in text
    assert "FOREIGN" not in text
