"""report.html as a reader meets it: in a browser, on a phone, without a network."""

import dataclasses
import html
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxinv.report import page as page_module
from jaxinv.report.page import page, write_page
from jaxinv.report.plots import shift_map, single_heat_map

VOID = {"meta", "link", "br", "img", "path", "use", "circle", "rect", "image", "stop"}


class Outline(HTMLParser):
    """Headings, ids and pictures of a document; fails on tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.ids, self.pictures = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "svg":
            self.pictures.append(attributes)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def document(report):
    results, drawings = report
    return page(results, **drawings)


def outline_of(document):
    outline = Outline()
    outline.feed(document)
    assert outline.open == []
    return outline


def test_the_verdict_comes_first_and_headings_skip_no_level(document, report):
    outline = outline_of(document)
    assert re.search(r"<main>\s*<h1>" + re.escape(report[0].headline), document)
    assert outline.headings.count("h1") == 1
    levels = [int(heading[1]) for heading in outline.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_pictures_have_text_alternatives_and_ids_are_unique(document):
    outline = outline_of(document)
    # accuracy and confidence for two networks, curve, radial profile, two layer plots, two flips
    assert len(outline.pictures) == 10
    assert all(p["role"] == "img" and len(p["aria-label"]) > 20 for p in outline.pictures)
    assert len(outline.ids) == len(set(outline.ids))


def test_the_page_holds_all_it_needs(document):
    links = re.findall(r'(?:src|href)="([^"]*)"', document)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\((?!#)", document)


def test_rounding_has_no_worst_shift(report):
    results, drawings = report
    drawn = {}
    for noise in (1e-7, 1e-2):
        values = np.full((4, 4), 0.5)
        values[1, 2] -= noise
        shown = shift_map(values, (range(4), range(4)), wrap=True)
        document = page(results, **drawings | {"accuracy": {"net": shown}, "confidence": {}})
        lines = len(single_heat_map(shown, title="net").axes[0].lines)
        drawn[noise] = ("50% at every shift" in document, lines)
    assert drawn == {1e-7: (True, 0), 1e-2: (False, 2)}


def test_text_is_escaped(document):
    assert "<dense>" not in document
    assert "Dense after flatten" in document


def test_colours_follow_the_page_and_not_the_plotting_library(document):
    for colour in (page_module.plots.INK, *page_module.plots.SERIES):
        drawings = "".join(re.findall(r"<svg.*?</svg>", document, re.DOTALL))
        assert colour not in drawings
    assert "prefers-color-scheme: dark" in document


def test_an_interrupted_evaluation_says_so(report):
    results, drawings = report
    partial = page(dataclasses.replace(results, complete=False), **drawings)
    assert "<strong>Partial.</strong>" in partial
    assert "<strong>Partial.</strong>" not in page(results, **drawings)


def test_a_report_without_maps_layers_or_claims_leaves_them_out(report):
    results, _ = report
    bare = dataclasses.replace(results, claims=(), networks=(), comparisons=())
    headings = re.findall(r"<h2>(.*?)</h2>", page(bare, accuracy={}, confidence={}, pictures={}))
    assert headings == ["How to repeat it"]


# Reads the widths of the page once it is laid out, and leaves them in the document.
PROBE = """<script>
const root = document.documentElement;
root.dataset.overflow = root.scrollWidth - root.clientWidth;
root.dataset.width = root.clientWidth;
root.dataset.drawn = [...document.querySelectorAll("svg")]
  .filter(svg => svg.getBoundingClientRect().width > 100).length;
</script></body>"""


# A browser window has a least width, a frame in it has none: a phone's screen is a frame.
FRAME = """<iframe width="{width}" height="800" style="border: 0" srcdoc="{page}"></iframe>
<script>
document.querySelector("iframe").onload = event => Object.assign(
  document.documentElement.dataset, event.target.contentDocument.documentElement.dataset);
</script>"""


@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_renders_it_without_errors_requests_or_overflow(
    document, browse, tmp_path, width
):
    shown = html.escape(document.replace("</body>", PROBE))
    write_page(tmp_path / "report.html", FRAME.format(width=width, page=shown))
    rendered = browse(tmp_path / "report.html")
    assert rendered.console == []
    assert rendered.requests == []
    found = dict(re.findall(r'data-(\w+)="(\d+)"', rendered.document[:200]))
    assert found == {"overflow": "0", "width": str(width), "drawn": "10"}


def test_the_browser_check_notices_errors_and_requests(browse, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<img src="http://127.0.0.1:9/pixel.png"><script>console.error("wrong")</script>'
    )
    rendered = browse(path)
    assert any("wrong" in line for line in rendered.console)
    assert rendered.requests == ["http://127.0.0.1:9/pixel.png"]
