import subprocess
import sys
from dataclasses import replace

import pytest

from nn_perception import tasks
from nn_perception.errors import TaskError
from nn_perception.tasks import BUILT_IN, all_tasks, build_registry, get_task


def test_every_task_names_parts_that_are_there():
    pytest.importorskip("torch")
    for task in all_tasks().values():
        assert task.load_pipeline().inputs
        assert task.load_learning().task == task.name
        assert callable(task.load_evaluation())


def test_unknown_task_names_the_nearest():
    with pytest.raises(TaskError, match="did you mean 'digits'"):
        get_task("digit")


def test_two_tasks_of_one_name_are_refused():
    with pytest.raises(TaskError, match="two tasks"):
        build_registry([*BUILT_IN, BUILT_IN[0]])


def test_missing_part_is_named():
    with pytest.raises(TaskError, match="Nothing"):
        replace(BUILT_IN[0], pipeline="nn_perception.tasks.digits.pipeline:Nothing").load_pipeline()


def test_task_of_another_package_is_picked_up(tmp_path):
    """A real installed distribution with an entry point, seen by a fresh interpreter."""
    (tmp_path / "sorting.py").write_text(
        "from nn_perception.tasks import BUILT_IN\n"
        "from dataclasses import replace\n"
        "task = replace(BUILT_IN[0], name='sorting')\n"
        "wrong = 3\n"
    )
    info = tmp_path / "sorting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sorting\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    points.write_text(f"[{tasks.ENTRY_POINT_GROUP}]\nsorting = sorting:task\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from nn_perception import tasks\n"
    code += "print(','.join(tasks.all_tasks()))"

    def run():
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert run().stdout.strip() == "digits,objects,attitude,gyro,uwb,sorting"
    points.write_text(f"[{tasks.ENTRY_POINT_GROUP}]\nsorting = sorting:wrong\n")
    assert "expected a nn_perception.tasks.Task" in run().stderr


def test_settings_choose_the_shipped_model():
    digits = get_task("digits")
    assert digits.shipped_model({}) == "digits"
    assert digits.shipped_model({"regions": "center"}) == "digits"
    assert digits.shipped_model({"regions": "digits"}) == "digit_reader"
    assert get_task("objects").shipped_model({"regions": "digits"}) == "objects"
