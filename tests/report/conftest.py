"""Results with something in every part of a report, and a headless browser to look at it with."""

import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from jaxinv.evaluation.results import (
    Claim,
    Estimate,
    Flip,
    LayerRow,
    NetworkResult,
    Results,
    circumstances,
)
from jaxinv.report.plots import shift_map

SIZE = 16


def network(name, reach):
    rows = np.arange(SIZE)
    distance = np.minimum(rows, SIZE - rows)
    field = np.exp(-np.maximum(distance[:, None], distance[None]) / reach)
    sizes = list(range(SIZE // 2 + 1))
    result = NetworkResult(
        name=name,
        title=f"a network with <{name}> & reach {reach}",
        says="Keeps its accuracy for shifts that are smaller than its reach, and then loses it.",
        parameters=1234,
        certificate={
            "verdict": "broken: no shift but (0, 0)",
            "first_break": "Dense_0 (lenet.py:26): Dense after flatten mixes fixed positions",
            "text": "layer  commutes with\n" + "Dense_0  no shift but (0, 0)  " * 6,
        },
        figures={
            "centred": Estimate(0.975, 0.95, 0.99, 200),
            "mean": Estimate(float(field.mean()), 0.4, 0.6, 200),
            "worst": Estimate(0.0, 0.0, 0.02, 200),
            "consistency": Estimate(0.4, 0.3, 0.5, 200),
            "equivariance_error": Estimate(2e-7, None, None, 8, unit="relative"),
            "invariance_error": Estimate(0.9, None, None, 200, unit="relative"),
        },
        protocols={"zhang": {"exact": Estimate(0.4, 0.3, 0.5, 200)}},
        curve={
            "shift": sizes,
            "accuracy": [float(field[0, s]) for s in sizes],
            "consistency": [float(field[0, s]) for s in sizes],
        },
        radial={"radius": sizes, "sensitivity": [1 - float(field[0, s]) for s in sizes]},
        worst_shift=(-8, -8),
        layers=tuple(
            LayerRow(f"Conv_{i}", (16, 16, 8), "every shift", 10.0 ** (i - 7), 0.01, 0.1, 0.9, 0.2)
            for i in range(5)
        ),
        flips=(Flip(3, 1, 1, 7, (0, 1), 0.9, 0.2), Flip(5, 2, 2, 4, (1, -1), 0.8, 0.1)),
    )
    return result, shift_map(field, (range(SIZE), range(SIZE)), wrap=True)


@pytest.fixture(scope="session")
def report():
    """Results and the keyword arguments of `page`."""
    made = {name: network(name, reach) for name, reach in {"dense": 2, "pooled": 9}.items()}
    results = Results(
        headline="No: convolution commutes with translation, but most networks built on it do not.",
        networks=tuple(result for result, _ in made.values()),
        question="Are convolutional networks invariant to translation?",
        claims=(
            Claim("Shared weights make convolution equivariant.", "true", "error 2e-07"),
            Claim("Therefore ConvNets are invariant.", "false", "97.5% centred, 12% on average"),
        ),
        comparisons=(
            {
                "first": "dense",
                "second": "pooled",
                "figure": "at every shift",
                "only_first": 2,
                "only_second": 30,
                "p_value": 2.1e-7,
                "images": 200,
            },
        ),
        dataset={"name": "digits", "split": "test", "images": 200, "shape": [16, 16, 1]},
        shifts={"mode": "wrap", "max_shift": None, "count": 256, "shape": [16, 16]},
        run=circumstances(seed=0, seconds=12.3),
    )
    maps = {name: shown for name, (_, shown) in made.items()}
    dot = np.zeros((SIZE, SIZE, 1), np.uint8)
    dot[4:9, 6:9] = 255
    pair = (dot, np.roll(dot, 1, axis=1))
    pictures = {name: [pair, pair] for name in made}
    return results, {"accuracy": maps, "confidence": maps, "pictures": pictures}


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What a browser made of a file: its document, what it complained of, what it asked for."""

    document: str
    console: list[str]
    requests: list[str]


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """A function that opens an HTML file in a headless browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        pytest.skip("no chromium here: the page is not looked at in a browser")

    def open_page(path, *, width=1280, height=900, screenshot=None, pdf=None):
        profile = tmp_path_factory.mktemp("profile")
        log = profile / "net.json"
        what = f"--screenshot={screenshot}" if screenshot else "--dump-dom"
        what = f"--print-to-pdf={pdf}" if pdf else what
        done = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={profile}",
                "--hide-scrollbars",
                "--host-resolver-rules=MAP * ~NOTFOUND",  # a request is logged and goes nowhere
                "--enable-logging=stderr",
                f"--log-net-log={log}",
                f"--window-size={width},{height}",
                what,
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return Rendered(done.stdout, console, requested(log))

    return open_page


def requested(log):
    """Every address outside the file that the page, not the browser itself, asked for."""
    text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # a browser that is stopped leaves the list open
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    # A request that a page makes names its origin; the browser's own say "not an origin".
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    found = {ask["url"] for ask in asked if ask["initiator"] != "not an origin"}
    return sorted(url for url in found if re.match(r"(https?|wss?|ftp):", url))
