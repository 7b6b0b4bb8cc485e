"""Sphinx builds the site from docs/ and README: make docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "site"))

_INIT = (HERE.parent / "nn_perception" / "__init__.py").read_text(encoding="utf-8")

project = "nn_perception"
author = "nn_perception contributors"
release = re.findall(r'^__version__ = "([^"]+)"$', _INIT, re.MULTILINE)[0]

extensions = ["myst_parser", "mathml", "start_page"]
exclude_patterns = ["site"]
nitpicky = True

# Formulas are written as code hosts know them: $...$ in a line, ```math for those that stand alone.
myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_labels = False
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "furo"
html_title = f"nn_perception {release}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
highlight_language = "none"

# make docs-links: what a server refuses to robots says nothing about the link.
linkcheck_report_timeouts_as_broken = False
linkcheck_timeout = 20
linkcheck_retries = 2
