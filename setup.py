"""How colcon and pip install nn_perception."""

from __future__ import annotations

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "nn_perception"
SHARE = f"share/{PACKAGE}"
HERE = Path(__file__).parent

# A robot's cv2, rclpy and messages come from its distribution (package.xml, rosdep). They stand in
# extras, because as requirements their wheels would shadow the distribution's own.
INSTALL_REQUIRES = ["array-api-compat>=1.12", "numpy>=1.21", "onnxruntime>=1.16", "PyYAML>=5.4"]
EXTRAS = {
    "opencv": ["opencv-python-headless>=4.5"],
    "train": [
        "torch>=2.4",
        "onnx>=1.16",
        "onnxscript>=0.1",
        "safetensors>=0.4",
        "scikit-learn>=1.3",
        "matplotlib>=3.5",
        "pyarrow>=14.0",
        "rosbags>=0.10",
        "tqdm>=4.60",
    ],
    # vqf and riann: what the estimates of orientation are compared with.
    "eval": [
        "rosbags>=0.10",
        "matplotlib>=3.5",
        "riann>=0.2",
        "roma>=1.4",
        "tqdm>=4.60",
        "vqf>=2.1",
    ],
    # For a machine without a ROS distribution, for development and the demo. The release (Kilted,
    # Jazzy) is chosen by the constraints file.
    "ros": [
        "ros-rclpy[fastrtps]>=7.1.6,<10",
        "ros-ament-index-python",
        "ros-diagnostic-msgs",
        "ros-geometry-msgs",
        "ros-lifecycle-msgs",
        "ros-nav-msgs",
        "ros-sensor-msgs",
        "ros-std-msgs",
        "ros-std-srvs",
    ],
    # nn-perception tune: search of configurations.
    "tune": ["optuna>=5.0"],
    # Transfer from pretrained backbones; torchvision must fit to torch.
    "timm": ["timm>=1.0", "torchvision"],
    "tensorboard": ["tensorboard>=2.10"],
    # Ed25519 signatures of bundles.
    "security": ["cryptography>=41.0"],
    # nn-perception view: recordings for Rerun.
    "view": ["rerun-sdk>=0.31"],
    "test": [
        "pytest>=7.4",
        "pytest-xdist>=3.0",
        "hypothesis>=6.80",
        "mcap>=1.0",
        "mypy>=1.10",
        "ruff>=0.6",
        "scipy>=1.8",
        "setuptools",
        "types-PyYAML",
        "types-tqdm",
    ],
    # make docs; pictures of studies need "train" as well.
    "docs": ["furo>=2024.8.6", "myst-parser>=4.0", "sphinx>=8.1"],
}


def version() -> str:
    """Return the version that the package states, without importing it."""
    text = (HERE / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{PACKAGE}/__init__.py states no __version__")
    return found.group(1)


def data_files() -> list[tuple[str, list[str]]]:
    """Return what goes to share/: the package marker, package.xml, launch, config and models."""
    patterns = ["launch/*.launch.py", "config/*", "config/tune/*", "models/*/*"]
    found = {
        "share/ament_index/resource_index/packages": [f"resource/{PACKAGE}"],
        SHARE: ["package.xml"],
    }
    for path in sorted(path for pattern in patterns for path in glob(pattern)):
        if Path(path).is_file():
            found.setdefault(f"{SHARE}/{Path(path).parent}", []).append(path)
    return list(found.items())


setup(
    name=PACKAGE,
    version=version(),
    description="Neural networks for robot perception in ROS 2: train, bundle, run live, replay",
    long_description=(HERE / "README.md").read_text(encoding="utf-8")
    if (HERE / "README.md").is_file()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="nn_perception contributors",
    maintainer_email="maintainers@example.org",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "**/*.yaml", "**/*.html", "**/*.css", "**/*.svg"]},
    data_files=data_files(),
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS,
    # Other packages register tasks through the entry-point group nn_perception.tasks.
    entry_points={
        "console_scripts": [
            "nn-perception = nn_perception.cli.main:main",
            "image_classifier = nn_perception.nodes.image_classifier:main",
            "attitude_estimator = nn_perception.nodes.attitude_estimator:main",
            "gyro_corrector = nn_perception.nodes.gyro_corrector:main",
            "uwb_corrector = nn_perception.nodes.uwb_corrector:main",
            "perception = nn_perception.nodes.perception:main",
            "trainer = nn_perception.nodes.trainer:main",
        ],
    },
    zip_safe=True,
)
