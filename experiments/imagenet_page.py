"""docs/imagenet.md, made of the figures of `experiments.imagenet`."""

from collections.abc import Iterable, Sequence

import numpy as np

from experiments.cells import Figures

# The photographs of the pictures.
SHOWN = ("astronaut", "chelsea", "motorcycle", "rocket")
# ImageNet's names of the classes that turn up, by their numbers.
_NAMES = {
    281: "tabby",
    282: "tiger cat",
    285: "Egyptian cat",
    504: "coffee mug",
    540: "drilling platform",
    560: "football helmet",
    599: "honeycomb",
    610: "jersey",
    657: "missile",
    665: "moped",
    670: "motor scooter",
    698: "palace",
    744: "projectile",
    759: "reflex camera",
    812: "space shuttle",
    872: "tripod",
    967: "espresso",
    968: "cup",
}


def class_name(number: int) -> str:
    """The name of a class of ImageNet, its number where the pages name none."""
    return _NAMES.get(number, f"class {number}")


def page(cells: dict[str, Figures]) -> str:
    """docs/imagenet.md."""
    return "\n".join([*_INTRODUCTION, *_trained(cells), *_mended(cells), *_averaged(cells)]) + "\n"


_INTRODUCTION = [
    "# A trained network on real photographs",
    "",
    "*This page is written by `python -m experiments.imagenet --weights",
    "mobilenet_v2_imagenet.npz`; its figures are those in `imagenet.json` beside it.*",
    "",
    "MobileNetV2 at 224 pixels, trained on ImageNet, is zero-padded and has five strides of 2. The",
    "weights are those of `google-coral/test_data` (Apache-2.0), made real numbers again after",
    'training with quantisation in mind, `jaxinv.models.create("mobilenet_v2", norm="none",',
    'padding="SAME_UPPER")`. The photographs come with scikit-image and scikit-learn. Each is',
    "resized until its shorter side has 256 pixels, and its middle of 256 x 256 kept; the network",
    "sees a window of 224 x 224, which is moved over the photograph: what enters at the border is",
    "the rest of the photograph, as in Azulay and Weiss (https://arxiv.org/abs/1805.12177) and",
    "Zhang (https://arxiv.org/abs/1904.11486). *Shift (1, 0)* moves the content one pixel down.",
    "",
    "These are eight photographs, not a test set: the figures say what happens to them and nothing",
    "about a percent on ImageNet.",
    "",
]


def _of(cells: dict[str, Figures], network: str) -> dict[str, Figures]:
    """The cells of the photographs that a network has seen."""
    names = (name.split("/") for name in cells)
    return {
        photo: cells[f"{network}/{photo}"]
        for found, photo in names
        if found == network and photo not in ("proof", "pairs")
    }


def _trained(cells: dict[str, Figures]) -> list[str]:
    """What shifts do to the network as it was trained."""
    photographs = _of(cells, "as trained")
    rows = []
    for name, cell in photographs.items():
        changed = cell.get("changed")
        where = "none" if changed is None else f"{_shift(changed['shift'])}"
        becomes = "" if changed is None else class_name(changed["class"])
        rows.append(
            f"| {name} | {class_name(cell['class'])} | {_percent(cell['probability'])} "
            f"| {_percent(cell['least'])} at {_shift(cell['least_at'])} | {_percent(cell['kept'])} "
            f"| {where} | {becomes} | {_largest_step(cell['curve'])} |"
        )
    changing = sum("changed" in cell for cell in photographs.values())
    return [
        "## As trained",
        "",
        "All 289 shifts of up to 8 pixels along each axis:",
        "",
        "| photograph | class, unmoved | its probability | the least, and where | shifts that keep "
        "the class | smallest shift that does not | class there | largest step of one pixel |",
        "|---|---|---:|---|---:|---|---|---:|",
        *rows,
        "",
        f"{changing} of {len(photographs)} photographs change their class within 8 pixels. The "
        "last column is the largest change of the probability between neighbours among 33 "
        "positions along a row; the curves are not smooth but jagged:",
        "",
        "![Probability of the class of the unmoved photograph as it moves to the right, for four "
        "photographs: jagged curves](images/imagenet-curves.png)",
        "",
        "The smallest shift that changes the class, before and after:",
        "",
        "![Photographs unmoved above, moved by the smallest shift that changes their class "
        "below](images/imagenet-pairs.jpg)",
        "",
        *_proved(cells),
    ]


def _largest_step(curve: Sequence[float]) -> str:
    return _percent(float(np.abs(np.diff(curve)).max()))


def _proved(cells: dict[str, Figures]) -> list[str]:
    """The certificate of the trained network."""
    proof = cells.get("as trained/proof")
    if proof is None:
        return []
    lines = [
        f"| {layer} | {start} to {stop - 1} of {size} | {_multiples(period)} |"
        for layer, start, stop, size, period in proof["interior"]
    ]
    return [
        "## What is proved of it",
        "",
        f"`jaxinv.certify`: {proof['kind']}. The symmetry ends at {proof['first_end']}. Away from "
        "the border it goes on for a while: positions of a map whose receptive field has not met "
        "zeros still commute exactly with the shifts of the last column. Each layer leaves fewer, "
        "and none are left before the mean over the last map:",
        "",
        "| from layer | interior | shifts |",
        "|---|---|---|",
        *lines,
        "",
    ]


def _mended(cells: dict[str, Figures]) -> list[str]:
    """The same weights with other paddings and samplings."""
    networks = list(dict.fromkeys(name.split("/")[0] for name in cells))
    networks.sort(key=lambda name: name != "as trained")
    base = _of(cells, "as trained")
    rows = []
    for network in networks:
        seen = {name: cell for name, cell in _of(cells, network).items() if name in base}
        if not seen or len(seen) < len(base):
            continue
        same = np.mean([cell["class"] == base[name]["class"] for name, cell in seen.items()])
        outcomes = [cell["compared"] for cell in seen.values()]
        right, of = np.sum([outcome["right"] for outcome in outcomes], 0)
        always = [hits == shifts for hits, shifts in (o["right"] for o in outcomes) if shifts]
        within = np.mean([outcome["consistency"] for outcome in outcomes])
        proof, pairs = cells.get(f"{network}/proof"), cells.get(f"{network}/pairs")
        proved = measured = crops = ""
        if proof is not None:
            proved = proof["kind"]
            if proved != "broken":
                proved += ", " + _multiples(proof["period"])
                measured = f"{proof['difference']:.0e}"
        if pairs is not None:
            crops = f"{_percent(pairs['value'])} ± {100 * pairs['standard_error']:.1f}"
        rows.append(
            f"| {network} | {proved} | {measured} | {_percent(same)} | {_share(right, of)} "
            f"| {sum(always)} of {len(always)} | {_percent(within)} | {crops} |"
        )
    known = sum(cell["compared"]["right"][1] > 0 for cell in base.values())
    return [
        "## The same weights, mended without training",
        "",
        "Circular padding makes the network invariant to multiples of 32 circular pixels, adaptive "
        "sampling in place of the five strides to every one; blurred sampling thins aliasing and "
        "proves nothing more. The weights have seen none of it. *Same class*: photographs whose "
        "unmoved window gets the class that the trained network gives it. *Right*: of the windows "
        f"of the {known} photographs that show a class of ImageNet, over the 81 shifts of up to "
        "4 pixels; *always*: photographs right at each of them, the worst shift within 4 pixels. "
        "*Within 4*: chance "
        "that two of the 81 windows get the same class; *crops*: the same of two random windows "
        "of the whole square, as Zhang counts it, ± standard error.",
        "",
        "| network | proved of circular shifts | measured | same class | right | always | within 4 "
        "| crops |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "*Measured* is the largest relative difference of the logits at some circular shifts of "
        "which the certificate speaks. A photograph that is moved under a window is not shifted "
        "circularly: new content enters at one side, and of that no certificate speaks. Hence "
        "the consistency below 100% of networks that are proved invariant. TensorFlow's border "
        "puts the centres of strided windows one position further than the paddings of the mended "
        "networks do; for circular ones that is a shift of the whole image.",
        "",
    ]


def _averaged(cells: dict[str, Figures]) -> list[str]:
    """Means over a few shifts of the trained network."""
    photographs = _of(cells, "as trained")
    if not photographs:
        return []

    def row(label: str, passes: int, found: Iterable[Figures]) -> str:
        found = list(found)
        right, of = np.sum([each["right"] for each in found], 0)
        within = np.mean([each["consistency"] for each in found])
        return f"| {label} | {passes} | {_share(right, of)} | {_percent(within)} |"

    sides = next(iter(photographs.values()))["averaged"]
    return [
        "## Averaging over a few shifts",
        "",
        "Without touching the network: the mean of the probabilities over a square of neighbouring "
        "shifts, at so many times the work.",
        "",
        "| mean over | passes | right | within 8 |",
        "|---|---:|---:|---:|",
        row("one shift, as trained", 1, (cell["every"] for cell in photographs.values())),
        *(
            row(
                f"{side} x {side} shifts",
                int(side) ** 2,
                (c["averaged"][side] for c in photographs.values()),
            )
            for side in sides
        ),
        "",
        "`jaxinv.symmetrize` takes the mean over a whole orbit, and is invariant by construction.",
    ]


def _share(count: float, of: float) -> str:
    return _percent(count / of) if of else "none"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _shift(shift: Sequence[int]) -> str:
    return f"({shift[0]}, {shift[1]})"


def _multiples(period: int) -> str:
    return "every shift" if period == 1 else f"multiples of {period}"
