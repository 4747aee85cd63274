"""report.html as a reader meets it: in a browser, on a phone, without a network."""

import csv
import dataclasses
import html
import io
import itertools
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxinv.evaluation.results import Estimate, LayerRow, NetworkResult, Results
from jaxinv.report import plots
from jaxinv.report.page import page
from jaxinv.report.plots import shift_map, single_heat_map
from jaxinv.report.tables import write_csv
from jaxinv.report.terminal import console_for, show

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


def test_question_and_verdict_come_first_and_headings_skip_no_level(document, report):
    outline = outline_of(document)
    first = f'<main>\\s*<p class="question">{report[0].question}</p>\\s*<h1>{report[0].headline}'
    assert re.search(first.replace("?", r"\?"), document)
    assert outline.headings.count("h1") == 1
    levels = [int(heading[1]) for heading in outline.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_pictures_have_text_alternatives_and_ids_are_unique(document):
    outline = outline_of(document)
    # for each network accuracy, confidence, curve, radial profile, layers, flips
    assert len(outline.pictures) == 12
    assert all(p["role"] == "img" and len(p["aria-label"]) > 20 for p in outline.pictures)
    assert len(outline.ids) == len(set(outline.ids))


def test_the_page_holds_all_it_needs(document):
    links = re.findall(r'(?:src|href)="([^"]*)"', document)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\((?!#)", document)


def test_contents_link_to_the_sections(document, report):
    links = re.findall(r'<li><a href="#([^"]*)">(.*?)</a></li>', document)
    assert links == re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', document)
    assert len(links) > 4
    short = dataclasses.replace(report[0], claims=(), networks=())
    assert "<nav" not in page(short, accuracy={}, confidence={}, pictures={})


def test_layers_beyond_twenty_are_folded_and_where_the_proof_changes_is_not(report):
    results, drawings = report
    states = ["every shift"] * 12 + ["multiples of (2, 2)"] * 9

    def shown(count):
        rows = [LayerRow(f"conv{i}", (4,), state) for i, state in enumerate(states[:count])]
        network = dataclasses.replace(results.networks[0], layers=tuple(rows))
        document = page(dataclasses.replace(results, networks=(network,)), **drawings)
        outside = re.sub(r"<details.*?</details>", "", document, flags=re.DOTALL)
        return [re.findall(r">(conv\d+)</th>", text) for text in (document, outside)]

    everything = [f"conv{i}" for i in range(21)]
    assert shown(20) == [everything[:20], everything[:20]]
    assert shown(21) == [["conv0", "conv12", *everything], ["conv0", "conv12"]]


def test_every_section_of_numbers_says_over_how_many_images(document):
    main = re.sub(r"<svg.*?</svg>", "", document, flags=re.DOTALL)
    sections = dict(re.findall(r"<h2 [^>]*>(.*?)</h2>(.*?)(?=<h2|</main>)", main, re.DOTALL))
    # Of layers it is said once, below the first table.
    of_words = {
        "What people say",
        "Proved from the program, without data",
        "Layer by layer: pooled",
    }
    of_numbers = {
        title: re.search(r"\b(200|8) images|<th scope=\"col\" class=\"n\">images<", title + text)
        for title, text in sections.items()
        if title not in of_words
    }
    assert len(of_numbers) == 9
    assert all(of_numbers.values()), of_numbers


def test_rounding_has_no_worst_shift(report):
    results, drawings = report
    drawn = {}
    for noise in (1e-7, 1e-2):
        values = np.full((4, 4), 0.5)
        values[1, 2] -= noise
        shown = shift_map(values, (range(4), range(4)), wrap=True)
        document = page(results, **drawings | {"accuracy": {"net": shown}, "confidence": {}})
        lines = len(single_heat_map(shown, title="net").axes[0].lines)
        drawn[noise] = ("50% at every one of all 256 circular shifts" in document, lines)
    assert drawn == {1e-7: (True, 0), 1e-2: (False, 2)}


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_no_title_or_label_leaves_its_picture(report, count):
    results, drawings = report
    network, shown = results.networks[0], drawings["accuracy"]["dense"]
    names = [f"net {number}" for number in range(count)]
    several = [dataclasses.replace(network, name=name) for name in names]
    for figure in (
        plots.heat_maps(
            dict.fromkeys(names, shown), titles=dict(zip(names, names, strict=True)), label="share"
        ),
        plots.curves(several, plots.accuracy_line()),
    ):
        plots.save(figure, io.BytesIO())  # lays it out
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()
        panels = [axes for axes in figure.axes if axes.get_title("left")]
        assert [axes.get_title("left") for axes in panels] == names
        assert all(axes.get_xlabel() for axes in panels[-min(count, 3) :])


def test_text_is_escaped(document):
    assert "<dense>" not in document
    assert "Dense after flatten" in document


HOSTILE = (
    "=cmd|' /C calc'!A0 <script>alert(1)</script> [red]x[/red] :smile: \x1b[31m\n 字 $\\frac{ _a$"
)


def test_names_are_shown_and_not_obeyed(report, tmp_path, capsys):
    results, drawings = report
    names = {"dense": HOSTILE, "pooled": "_hidden from legends"}
    renamed = dataclasses.replace(
        results,
        networks=tuple(
            dataclasses.replace(network, name=names[network.name], says="-1+1")
            for network in results.networks
        ),
    )
    drawn = {
        kind: {names[name]: shown for name, shown in maps.items()}
        for kind, maps in drawings.items()
    }
    document = page(renamed, **drawn)
    outline_of(document)
    assert "<script" not in document
    assert "\x1b" not in document
    shown = html.escape(HOSTILE.replace("\x1b", "\\x1b"), quote=False)
    assert shown.replace("'", "&#39;") in document
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", document)
    assert any("$" in text for text in texts)
    assert any("_hidden" in text for text in texts)
    written = {path.name: path.read_text(encoding="utf-8") for path in write_csv(renamed, tmp_path)}
    with (tmp_path / "networks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1][0].startswith("'=cmd")
    assert rows[1][-1] == "'-1+1"
    assert not any("\x1b" in text for text in written.values())
    assert len(written) == len({name.lower() for name in written}) == 8
    show(renamed, console_for(sys.stdout))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[red]x[/red] :smile:" in " ".join(said.split())


def test_numbers_stay_numbers_in_csv_files(tmp_path):
    figures = {"invariance_error": Estimate(-0.5, -1.0, None, 3, "relative")}
    rows = (LayerRow("-conv", (2,), "@every shift", -1e-8, 0.5, -0.25, 0.1, 0.2),)
    results = Results("", (NetworkResult("n", "n", figures=figures, layers=rows),))
    write_csv(results, tmp_path)
    assert (tmp_path / "networks.csv").read_text().splitlines()[1] == "n,-0.5,-1.0,,3"
    assert (tmp_path / "layers-n.csv").read_text().splitlines()[1] == (
        "'-conv,2,'@every shift,equivariance,-1.0e-08,0.500,-0.250,0.100,20.0%"
    )


def test_colours_follow_the_page_and_not_the_plotting_library(document):
    for colour in (plots.INK, *plots.SERIES):
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
    headings = re.findall(r"<h2.*?>(.*?)</h2>", page(bare, accuracy={}, confidence={}, pictures={}))
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
    # The page itself lets no program run; the probe is one.
    probed = document.replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';"
    )
    assert probed != document
    shown = html.escape(probed.replace("</body>", PROBE))
    (tmp_path / "report.html").write_text(FRAME.format(width=width, page=shown))
    rendered = browse(tmp_path / "report.html")
    assert rendered.console == []
    assert rendered.requests == []
    found = dict(re.findall(r'data-(\w+)="(\d+)"', rendered.document[:200]))
    assert found == {"overflow": "0", "width": str(width), "drawn": "12"}


def test_paper_shows_what_a_screen_folds(document, browse, tmp_path):
    def pages(name, text):
        (tmp_path / f"{name}.html").write_text(text)
        browse(tmp_path / f"{name}.html", pdf=tmp_path / f"{name}.pdf")
        return len(re.findall(rb"/Type\s*/Page\b", (tmp_path / f"{name}.pdf").read_bytes()))

    long = document.replace("layer  commutes with\n", "layer  commutes with\n" * 200)
    folded = pages("folded", long)
    assert folded == pages("open", long.replace("<details>", "<details open>"))
    # Without the rule the certificates are lost: the check above can fail.
    rule = re.search(r"details::details-content.*", long)[0]
    assert pages("without", long.replace(rule, "")) < folded


SMUGGLED = """<img src="http://127.0.0.1:9/pixel.png"><script>document.title = "obeyed"</script>
<link rel="stylesheet" href="http://127.0.0.1:9/style.css"><iframe src="http://127.0.0.1:9/"></iframe>
<style>body { background: url(http://127.0.0.1:9/background.png) }</style></body>"""


def test_nothing_from_outside_is_asked_for_and_no_program_runs(document, browse, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(document.replace("</body>", SMUGGLED))
    rendered = browse(path)
    assert rendered.requests == []
    assert "<title>obeyed</title>" not in rendered.document
    assert any("Content Security Policy" in line for line in rendered.console)
    # Without the policy the browser obeys: the check above can fail.
    policy = re.search(r"<meta http-equiv=.*?>", document)[0]
    path.write_text(document.replace("</body>", SMUGGLED).replace(policy, ""))
    rendered = browse(path)
    assert len(rendered.requests) == 4
    assert "<title>obeyed</title>" in rendered.document


def test_the_browser_check_notices_errors_and_requests(browse, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<img src="http://127.0.0.1:9/pixel.png"><script>console.error("wrong")</script>'
    )
    rendered = browse(path)
    assert any("wrong" in line for line in rendered.console)
    assert rendered.requests == ["http://127.0.0.1:9/pixel.png"]
