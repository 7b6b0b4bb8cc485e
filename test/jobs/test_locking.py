"""One trainer for one directory, also behind one that was killed."""

import os
import subprocess
import sys

import pytest

from nn_perception.jobs.files import JobError, Workplace
from nn_perception.jobs.locking import Lock

HOLD = """
import subprocess, sys
from pathlib import Path
from nn_perception.jobs.files import Workplace
from nn_perception.jobs.locking import Lock
lock = Lock(Workplace(Path(sys.argv[1])))
child = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=[lock.descriptor],
                         stdin=subprocess.PIPE if sys.argv[2] == "pipe" else None)
print("held", flush=True)
child.wait()
"""


def hold(out, kind):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_second_one_is_refused_and_told_who(tmp_path):
    lock = Lock(Workplace(tmp_path))
    with pytest.raises(JobError, match=rf"process {os.getpid()}\) writes into {tmp_path}"):
        Lock(Workplace(tmp_path), wait_s=0.0)
    lock.release()
    lock.release()
    Lock(Workplace(tmp_path), wait_s=0.0).release()


def test_other_directories_are_free(tmp_path):
    locks = [Lock(Workplace(tmp_path / name), wait_s=0.0) for name in "ab"]
    for lock in locks:
        lock.release()


def test_a_killed_trainer_lets_the_next_one_in(tmp_path):
    holder = hold(tmp_path, "pipe")  # its child ends at the end of its input, as a job does
    holder.kill()
    holder.communicate()
    Lock(Workplace(tmp_path)).release()


def test_a_child_that_lives_on_keeps_others_out(tmp_path):
    holder = hold(tmp_path, "inherit")
    holder.kill()
    holder.wait()
    with pytest.raises(JobError, match="another trainer"):
        Lock(Workplace(tmp_path), wait_s=0.0)
    holder.communicate()  # now its child's input ends, too
    Lock(Workplace(tmp_path)).release()
