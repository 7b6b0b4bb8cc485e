from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.evaluation.tum import write_tum


def test_lines_are_what_evo_reads(tmp_path, perfect):
    quat = perfect.orientation_xyzw.copy()
    quat[1] = np.nan
    sequence = replace(perfect, start_ns=1_403_636_579_758_555_392)
    path = tmp_path / "new" / "truth.tum"
    assert write_tum(path, sequence, quat, perfect.position_m) == len(perfect) - 1
    lines = path.read_text().splitlines()
    assert lines[0].split(" ")[0] == "1403636579.758555392"
    assert lines[1].split(" ")[0] == "1403636579.768555392"
    assert all(len(line.split(" ")) == 8 for line in lines)  # one space each, none at the end
    table = np.loadtxt(path)
    kept = np.delete(np.arange(len(perfect)), 1)
    np.testing.assert_allclose(table[:, 1:4], perfect.position_m[kept], atol=1e-9)
    np.testing.assert_allclose(table[:, 4:], perfect.orientation_xyzw[kept], atol=1e-9)


def test_without_positions_and_start_there_are_zeros(tmp_path, perfect):
    write_tum(tmp_path / "x.tum", perfect, perfect.orientation_xyzw)
    table = np.loadtxt(tmp_path / "x.tum")
    np.testing.assert_allclose(table[:, 0], perfect.time_s, atol=1e-9)
    assert not table[:, 1:4].any()


def test_a_file_that_cannot_be_written_is_named(tmp_path, perfect):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file"):
        write_tum(tmp_path / "file" / "x.tum", perfect, perfect.orientation_xyzw)
