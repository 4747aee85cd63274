"""Drawings as SVG inside a page: its colours, and ids that no other drawing of it has."""

import collections
import io
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from jaxinv.report.plots import INK, MUTED, SERIES, STYLE, save

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# The colours of a drawing, and the variables of the page's style that replace them.
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)"} | {
    colour: f"var(--s{number})" for number, colour in enumerate(SERIES)
}


def inline_svg(drawn: Figure, *, alternative: str, prefix: str) -> Markup:
    """A drawing as an SVG element for readers with and without sight.

    Args:
      drawn: the figure.
      alternative: what it shows, in words.
      prefix: of the drawing's ids; no other drawing of the page may have it.

    Example:
      >>> svg = inline_svg(Figure(figsize=(1, 1)), alternative="an empty square", prefix="a-")
      >>> 'role="img"' in svg, 'id="a-figure_1"' in svg
      (True, True)
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        save(drawn, buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    seen: collections.Counter[str] = collections.Counter()
    for element in root.iter():
        for key, value in element.items():
            if key == "id":
                # matplotlib names a marker by its content, so that equal ones share a name.
                seen[value] += 1
                again = f"-again{seen[value]}" if seen[value] > 1 else ""
                value = f"{prefix}{value}{again}"
            elif key.endswith("href") and value.startswith("#"):
                value = f"#{prefix}{value[1:]}"
            else:
                value = value.replace("url(#", f"url(#{prefix}")
            for colour, variable in _VARIABLES.items():
                value = value.replace(colour, variable)
            element.set(key, value)
    del root.attrib["width"], root.attrib["height"]  # it is as wide as the page allows
    root.set("role", "img")
    root.set("aria-label", alternative)
    root.set("style", f"--natural:{drawn.get_figwidth() * 96:.0f}px")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))
