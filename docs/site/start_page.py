"""README is the site's start page, CONTRIBUTING and CHANGELOG are pages, from where they lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MARK = "<!-- file -->"
"""Stands in a page where the file's text goes."""

FILES = {
    "index": "README.md",
    "results": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
"""Page -> file of the repository's root."""

_RESULTS = re.compile(r"^## Results\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
"""A hundred rows of README have a page of their own."""

_PAGES = {"README.md": "index", "CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog"}


def page_text(page: str, text: str) -> str:
    """Return what of a file's text stands on a page."""
    if page == "index":
        text = _RESULTS.sub("What was measured, and how: [Results](results.md).\n\n", text)
    elif page == "results":
        found = _RESULTS.search(text)
        text = found.group(0).replace("## ", "# ", 1) if found else ""
    return moved(text)


def moved(text: str) -> str:
    """Return a text of the repository's root with its links as they are from docs/."""

    def link(found: re.Match[str]) -> str:
        target, anchor = found.group(1), found.group(2) or ""
        if "://" in target or target == "results.md":
            return found.group(0)
        if target in _PAGES:
            target = f"{_PAGES[target]}.md"
        else:
            inside = target.startswith("docs/")
            target = target.removeprefix("docs/") if inside else f"../{target}"
        return f"]({target}{anchor})"

    return re.sub(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", link, text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page in FILES:
        file = Path(app.srcdir).parent / FILES[page]
        app.env.note_dependency(str(file))
        source[0] = source[0].replace(MARK, page_text(page, file.read_text(encoding="utf-8")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
