#!/usr/bin/env bash
# Build the package with colcon in a temporary workspace and look its executables up as `ros2 run`
# does. colcon lives in an environment of its own, which sees the packages of .venv as a robot's
# Python sees those of its distribution.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$PWD/.venv colcon=$PWD/.venv-colcon
python=${PYTHON:-python3}
if [[ ! -x $venv/bin/python ]]; then
    echo "colcon: $venv is not there; run 'make venv' first" >&2
    exit 1
fi

requirements=(
    colcon-core colcon-ros colcon-cmake colcon-python-setup-py colcon-library-path colcon-bash
    colcon-package-selection colcon-recursive-crawl colcon-output colcon-metadata colcon-defaults
    colcon-parallel-executor "setuptools==68.1.2" # that of Ubuntu 24.04, where colcon uses the system's
)
key="${requirements[*]} $(sha256sum constraints-base.txt) $("$venv/bin/python" --version)"
if [[ ! -f $colcon/.installed || $(<"$colcon/.installed") != "$key" ]]; then
    rm -rf "$colcon"
    "$python" -m venv "$colcon"
    "$colcon/bin/python" -m pip install -q -c constraints-base.txt "${requirements[@]}"
    # Seen after colcon's own packages; .pth files in there (our editable install) are not read.
    "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        > "$("$colcon/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/robot.pth"
    echo "$key" > "$colcon/.installed"
fi

workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT
mkdir -p "$workspace/src/nn_perception"
tar --exclude='./.venv*' --exclude=./.git --exclude=./build --exclude=./install --exclude=./log \
    --exclude=./runs --exclude=./demo_output --exclude=__pycache__ --exclude='*.egg-info' \
    --exclude='./.*_cache' -cf - . | tar -xf - -C "$workspace/src/nn_perception"
cd "$workspace"
unset PYTHONPATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
# What the setup.bash of a distribution would set.
export AMENT_PREFIX_PATH=$venv
LD_LIBRARY_PATH=$venv/lib$(printf ':%s' "$venv"/lib/python3.*/site-packages/ros_*.libs)
export LD_LIBRARY_PATH
"$colcon/bin/colcon" build

set +u
# shellcheck disable=SC1091
source "$workspace/install/local_setup.bash"
set -u
"$colcon/bin/python" - <<'CHECK'
"""Find and start each executable the way `ros2 run nn_perception NAME` does."""
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory

NODES = "nn_perception.nodes."
prefix = Path(get_package_prefix("nn_perception"))
folder = prefix / "lib" / "nn_perception"
share = Path(get_package_share_directory("nn_perception"))
scripts = {script for script in entry_points(group="console_scripts")}
names = sorted({script.name for script in scripts if script.value.startswith(NODES)})
problems = [] if names else ["setup.py names no node"]
for pattern in ("package.xml", "launch/*.launch.py", "config/*.xml", "models/*/config.json"):
    found = sorted(share.glob(pattern))
    print(f"share/nn_perception/{pattern}: {len(found)}")
    if not found:
        problems.append(f"{share} holds no {pattern}")
for name in names:
    if not os.access(folder / name, os.X_OK):
        problems.append(f"{folder / name} is not there or not executable")
    launch = {"trainer": "train"}.get(name, name)
    for file in (share / "launch" / f"{launch}.launch.py", share / "config" / f"{name}.yaml"):
        if not file.is_file():
            problems.append(f"{file} is not there")
where = "import nn_perception; print(nn_perception.__file__)"
got = subprocess.run([sys.executable, "-c", where], text=True, capture_output=True).stdout
if str(prefix) not in got:
    problems.append(f"nn_perception is imported from {got.strip()}, not from {prefix}")
for name in [] if problems else names:
    # An argument that rclpy refuses: the executable starts, imports everything, says so and exits.
    run = subprocess.run(
        [str(folder / name), "--ros-args", "-p", "not-a-parameter"],
        text=True, capture_output=True, timeout=60,
    )
    print(f"{name} with a bad argument: exit code {run.returncode}")
    if run.returncode == 0 or "not-a-parameter" not in run.stdout + run.stderr:
        problems.append(f"{name} did not start: {run.stdout}{run.stderr}")
print("\n".join(problems) or f"ros2 run would start {', '.join(names)}")
sys.exit(bool(problems))
CHECK
