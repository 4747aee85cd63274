"""Writes docs/atlas.md from docs/atlas.json: `python -m benchmarks.atlas_page`."""

import collections
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA, PAGE = DOCS / "atlas.json", DOCS / "atlas.md"
Row = dict[str, Any]

ADAPTIVE = "adaptive sampling"
INSIDE = "as published, away from the border"
_CLAIMS = {
    "as published": "published",
    INSIDE: "inside",
    "circular padding": "circular",
    "circular padding and adaptive sampling": "both",
    "adaptive sampling": "adaptive",
}
NO_SHIFT = "broken: commutes with no shift but 0"
# Above this share of the largest output, two results differ; float32 rounds at 1e-7 an operation.
SAME = 1e-4
PARITY, SECONDS = 1e-4, 20
_CAUSES = {
    "zero_padding": "zero padding",
    "constant_padding": "padding",
    "pool_padding": "a padded pool",
    "reflect_padding": "reflect padding",
    "other_padding": "padding that does not wrap around",
    "beyond_border": "padding of a map that is not whole",
    "dense": "a dense layer after a flatten",
    "still_joined": "a class token",
    "joined_differently": "a class token",
    "position_dependent": "a position embedding or a mask",
    "positions_mixed": "weights that differ between positions",
    "stride_does_not_divide": "a size that a stride does not divide",
    "groups_do_not_divide": "a size that windows or patches do not divide",
    "resampling": "resizing by weights that differ between positions",
    "part_reduced": "a mean or normalisation over a part of the positions",
    "reordered": "positions in another order",
    "move_differently": "dimensions that move differently",
}
_PADDINGS = {"zero_padding", "constant_padding", "pool_padding", "reflect_padding", "other_padding"}

_HEAD = """# An atlas of architectures

Which translations does a network respect, as it is published? Every row below is **proved** by
`jaxinv.certify` from the program of the network. The network as published is also **measured**, in
its own framework, at three shifts, and where its outputs are maps also away from their borders.
What circular padding and adaptive sampling give is measured where the column says so, and else
proved alone. Weights are random; a certificate needs none. In rows of PyTorch that name `circular`
or `both`, batch normalisation has the statistics of noise: outputs of a new network hardly depend
on the image.
`python -m benchmarks.atlas` makes the data ([atlas.json](atlas.json)), `python -m
benchmarks.atlas_page` this page.
"""


def page(data: Row) -> str:
    """The page."""
    rows, failed = apart(data["rows"])
    parts = [_HEAD, "## Findings\n", *[f"* {line}" for line in findings(rows, failed)], ""]
    parts += ["## Families side by side\n", *_table(_FAMILY, families(rows)), ""]
    parts += ["## Every architecture\n", _LEGEND, *_table(_COLUMNS, rows), ""]
    if failed:
        parts += ["## What is not in the table\n"]
        parts += ["| architecture | why |", "|---|---|"]
        parts += [f"| {row['network']} | {_cell(why_not(row))} |" for row in failed]
        parts.append("")
    device = data["machine"]
    parts.append(
        f"Measured on {device['device']}, shared with other work; seconds are those of a core. "
        f"Python {device['python']}, jax {device['jax']}."
    )
    return "\n".join(parts) + "\n"


def apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that stand in the table, and those that do not."""
    return [row for row in rows if not why_not(row)], [row for row in rows if why_not(row)]


def why_not(row: Row) -> str:
    """Why a row does not stand in the table, or ""."""
    if "error" in row:
        return row["error"]
    if row.get("parity", 0) > PARITY:
        return f"differs from its own framework by {row['parity']:.0e} of the largest output"
    return ""


def findings(rows: Sequence[Row], failed: Sequence[Row]) -> list[str]:
    """What the rows say together, in words."""
    count = len(rows)
    kept = [row for row in rows if not _is_broken(row["verdict"])]
    maps = [row for row in rows if row["task"] != "classification"]
    lines = [
        f"**{len(kept)} of {count}** architectures commute, as published, with a lattice of shifts"
        f"{f' ({_names(kept)})' if kept else ''}: {count - len(maps)} classifiers, which would be "
        f"invariant, and {len(maps)} networks whose outputs are maps, which would be equivariant."
    ]
    inside = [row for row in maps if _is_measured(_found(row, INSIDE))]
    lines.append(
        f"Away from the border the outputs of {len(inside)} of the {len(maps)} networks with maps "
        f"still move along ({_names(inside)}); the others lose the last such position before."
    )
    causes = collections.Counter(_cause(row["cause"]) for row in rows if row["cause"])
    most, times = causes.most_common(1)[0]
    rest = ", ".join(f"{name} {n}" for name, n in causes.most_common()[1:])
    lines.append(
        f"What breaks most is **{most}**: {times} of {count} times it is the first line that ends "
        f"the symmetry{f'; then {rest}' if rest else ''}."
    )
    padded = [row for row in rows if _remedy(row, False)]
    circular = [row for row in padded if not _is_broken(_remedy(row, False)["verdict"])]
    still = collections.Counter(
        _cause(_remedy(row, False)["cause"])
        for row in padded
        if _is_broken(_remedy(row, False)["verdict"])
    )
    periods = collections.Counter(max(_remedy(row, False)["period"]) for row in circular)
    often = f", most often to multiples of {periods.most_common(1)[0][0]}" if periods else ""
    lines.append(
        f"With circular padding alone {len(circular)} of {len(padded)} that pad keep a symmetry to "
        f"the end{often}. What stops the others: "
        f"{', '.join(f'{name} {n}' for name, n in still.most_common()) or 'nothing'}."
    )
    sampled = [row for row in rows if _remedy(row, True)]
    all_shifts = [row for row in sampled if _is_every(_remedy(row, True)["verdict"])]
    lines.append(
        f"With adaptive sampling as well, {len(all_shifts)} of {len(sampled)} with strides commute "
        "with every shift."
    )
    promised = [
        _found(row, " and ".join(remedy["changes"]))
        for row in rows
        for remedy in row["remedies"]
        if not _is_broken(remedy["verdict"])
    ]
    lines.append(
        f"Of these {len(promised)} changed networks that commute with something "
        f"{sum(map(_is_measured, promised))} were run and measured, the others proved alone."
    )
    inside = [row for row in rows if row["interior"]]
    lost = [row for row in inside if row["interior_ends"]]
    lines.append(
        f"Away from the border {len(inside)} keep equivariance for some layers, and "
        f"{len(lost)} lose the last such position before the output."
    )
    wide = [row for row in rows if row["sees_everything"] and row["task"] == "classification"]
    early = [row for row in wide if row["field"] == "everything" or row["field"] < row["size"]]
    lines.append(
        f"In {len(early)} of {len(wide)} classifiers the first layer that sees the whole image "
        "comes while receptive fields are still smaller than it: squeeze-and-excitation, attention,"
        " normalisation over space, a dense layer, or a last pooling of a shallow network."
    )
    checked = [m for row in rows for m in row["measured"] if _is_measured(m)]
    wrong = [m for m in checked if not m.get("broken") and m["difference"] > SAME]
    broken = [m for m in checked if m.get("broken")]
    unseen = [m for m in broken if m["difference"] <= SAME]
    lines.append(
        f"{len(checked)} claims were measured at three shifts each. Of the "
        f"{len(checked) - len(broken)} that promise a symmetry {len(wrong)} were off by more than "
        f"{SAME:.0e}; of the {len(broken)} that a network is broken, {len(unseen)} cannot be told "
        "from rounding, with these random weights."
    )
    quick = [row for row in rows if row["seconds"] <= SECONDS]
    lines.append(
        f"{count} of {count + len(failed)} architectures were converted with parity {PARITY:.0e} "
        f"and certified without a crash, {len(quick)} of them in at most {SECONDS} seconds here."
    )
    return lines


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(row["network"] for row in rows)


def _is_broken(verdict: str) -> bool:
    """Whether some output commutes with no shift."""
    return NO_SHIFT in verdict


def _is_every(verdict: str) -> bool:
    return verdict in (
        "invariant to every shift",
        "equivariant to every shift",
        "equivariant to every shift, up to a roll",
    )


def _is_measured(found: Row | None) -> bool:
    return found is not None and found["difference"] is not None


def _found(row: Row, claim: str) -> Row | None:
    """What was measured of a claim."""
    return next((found for found in row["measured"] if found["claim"] == claim), None)


def _cause(cause: str) -> str:
    return _CAUSES.get(cause, cause.replace("_", " ") or "nothing")


def _remedy(row: Row, adaptive: bool) -> Row | None:
    """What circular padding gives, or adaptive sampling as well; None if nothing was changed."""
    found = [r for r in row["remedies"] if (ADAPTIVE in r["changes"]) == adaptive]
    return found[0] if found else None


def families(rows: Sequence[Row]) -> list[Row]:
    """One row for each family."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["family"], []).append(row)
    return [{"family": name, "rows": group} for name, group in sorted(groups.items())]


def _short(verdict: str) -> str:
    """A verdict without what the table says anyway."""
    for words, short in {
        NO_SHIFT: "no shift",
        "multiples of ": "",
        " to every shift": ", every shift",
    }.items():
        verdict = verdict.replace(words, short)
    return verdict


def _given(row: Row, adaptive: bool) -> str:
    found = _remedy(row, adaptive)
    if found is None:
        return ""
    return _short(found["verdict"]) + (f"; {found['ends']}" if _is_broken(found["verdict"]) else "")


def _at_size(row: Row) -> str:
    found = row["divisible"]
    if found is None:
        return ""
    if "error" in found:
        return "takes one size"
    best = next((r for r in found["remedies"] if not _is_broken(r["verdict"])), None)
    return f"{found['size']}: {_short(best['verdict'] if best else found['verdict'])}"


def _blame(row: Row) -> str:
    """What is to blame besides padding and strides: tokens, embeddings, windows, heads."""
    ends = [row["cause"], *(remedy["cause"] for remedy in row["remedies"])]
    return ", ".join(dict.fromkeys(_cause(c) for c in ends if c and c not in _PADDINGS))


def _checked(row: Row) -> str:
    """The largest differences, as published and with the remedies."""
    return ", ".join(
        f"{_CLAIMS[m['claim']]} {m['difference']:.0e}" for m in row["measured"] if _is_measured(m)
    )


def _interior(row: Row) -> str:
    ends = f"; ends at {row['interior_ends']}" if row["interior_ends"] else ""
    return f"{row['interior']} at {row['interior_at']}{ends}" if row["interior"] else "none"


def _field(row: Row) -> str:
    whole = f"; everything from {row['sees_everything']}" if row["sees_everything"] else ""
    return f"{row['field']}, stride {row['stride']}{whole}" if row["stride"] else row["field"]


def _most(group: Sequence[Row], said: Callable[[Row], str]) -> str:
    """What the rows of a family say, with how many of them say it."""
    counts = collections.Counter(said(row) for row in group)
    return ", ".join(
        f"{n} x {text}" if len(group) > 1 else text for text, n in counts.most_common(3)
    )


_COLUMNS: dict[str, Callable[[Row], Any]] = {
    "architecture": lambda row: row["network"],
    "size": lambda row: row["size"],
    "as published": lambda row: _short(row["verdict"]),
    "first break": lambda row: row["first_end"],
    "interior, and where it ends": _interior,
    "receptive field": _field,
    "circular padding gives": lambda row: _given(row, False),
    "adaptive sampling as well": lambda row: _given(row, True),
    "a size that strides divide": _at_size,
    "to blame besides padding": _blame,
    "all shifts, in passes": lambda row: f"{row['passes']:,.0f}",
    "s": lambda row: f"{row['seconds']:.1f}",
    "parity": lambda row: f"{row['parity']:.0e}" if "parity" in row else "",
    "measured": _checked,
}
_FAMILY: dict[str, Callable[[Row], Any]] = {
    "family": lambda row: row["family"],
    "architectures": lambda row: len(row["rows"]),
    "as published": lambda row: _most(row["rows"], lambda r: _short(r["verdict"])),
    "first break": lambda row: _most(row["rows"], lambda r: _cause(r["cause"])),
    "circular padding": lambda row: _most(
        row["rows"], lambda r: _short((_remedy(r, False) or r)["verdict"])
    ),
    "adaptive sampling as well": lambda row: _most(
        row["rows"], lambda r: _short((_remedy(r, True) or _remedy(r, False) or r)["verdict"])
    ),
}
_LEGEND = """`no shift` is a network that commutes with no shift but 0. `s` are seconds of one core
that `certify` takes. `measured` holds, for the network as published and for remedies that were
measured, the largest difference at three shifts, in shares of the largest output: of broken
networks it should be large, of all others rounding. `inside` is of maps away from their borders,
`both` of circular padding and adaptive sampling.
"""


def _table(columns: dict[str, Callable[[Row], Any]], rows: Iterable[Row]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        lines.append(f"| {' | '.join(_cell(cell(row)) for cell in columns.values())} |")
    return lines


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """The program."""
    PAGE.write_text(page(json.loads(DATA.read_text())))


if __name__ == "__main__":
    main()
