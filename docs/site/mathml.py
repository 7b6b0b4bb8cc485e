"""Formulas as MathML, made while the site is built: no script and no network to read them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)


_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_ACCENTS = frozenset(
    "^~\N{MODIFIER LETTER CIRCUMFLEX ACCENT}\N{MODIFIER LETTER MACRON}\N{DOT ABOVE}"
)
_THIN = "0.167em"


def to_mathml(tex: str, block: bool) -> str:
    """Return the MathML element of a formula in LaTeX.

    Raises:
        MathError: it cannot be read.
    """
    text = str(tex2mathml(tex, as_block=block)).replace(
        "&ApplyFunction;", "\N{FUNCTION APPLICATION}"
    )
    root = ET.fromstring(text)
    for element in root.iter():
        _move_accent(element)
        _space(element)
    ET.register_namespace("", _NAMESPACE)
    return ET.tostring(root, encoding="unicode")


def _move_accent(element: ET.Element) -> None:
    """Put an index beside an accented letter, where LaTeX has it; docutils puts it below."""
    parts = list(element)
    if _tag(element) != "munderover" or (parts[2].text or "") not in _ACCENTS:
        return
    letter, index, accent = parts
    for part in parts:
        element.remove(part)
    element.tag = f"{{{_NAMESPACE}}}msub"
    accented = ET.SubElement(element, f"{{{_NAMESPACE}}}mover", accent="true")
    accented.extend([letter, accent])
    element.append(index)


def _space(element: ET.Element) -> None:
    """Set bars close to what they enclose, and ln x apart, as LaTeX does."""
    if _tag(element) == "mo" and element.text in ("|", "\N{DOUBLE VERTICAL LINE}"):
        element.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
    for place, part in reversed([*enumerate(element)]):
        if part.text == "\N{FUNCTION APPLICATION}" and place + 1 < len(element):
            behind = element[place + 1]
            if _tag(behind) != "mo":
                space = ET.Element(f"{{{_NAMESPACE}}}mspace", width=_THIN)
                element.insert(place + 1, space)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _convert(node: Any, block: bool) -> str:
    try:
        return to_mathml(node.astext(), block)
    except MathError as error:
        _LOGGER.warning("formula %r: %s", node.astext(), error, location=node)
        return f"<code>{node.astext()}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    translator.body.append(_convert(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula that stands alone."""
    translator.body.append(f'<div class="formula">{_convert(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
