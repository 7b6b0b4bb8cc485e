"""Where the shared files of the package lie: models, configuration, launch files."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import nn_perception


def share_path(name: str) -> Path:
    """Return a folder of the package's shared files, from a source tree or an installation.

    A source tree counts first, so that what runs beside an older installation is not mixed with it.
    """
    package = Path(nn_perception.__file__).resolve().parent
    source = package.parent
    if (source / "package.xml").is_file():
        return source / name
    candidates = [base / "share" / "nn_perception" / name for base in _prefixes(package)]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def shipped_models() -> Path:
    """Return the directory with the models that came with the package."""
    return share_path("models")


def shipped_model(name: str) -> Path:
    """Return the directory of one model that came with the package."""
    return shipped_models() / name


def _prefixes(package: Path) -> list[Path]:
    """Prefixes of an installation: those above ``lib/python3.x/site-packages``, and Python's own.

    Debian's Python installs into ``local/lib/python3.x/dist-packages``, so the depth varies.
    """
    return [*package.parents[1:6], Path(sysconfig.get_path("data"))]
