"""The certificate as a table of at most 100 columns."""

import itertools
import math
import re
import textwrap
from collections.abc import Sequence

from jaxinv.notebook import html_table
from jaxinv.symmetry.fields import EVERYTHING
from jaxinv.symmetry.reasons import BORDERS, advice, in_words
from jaxinv.symmetry.state import BROKEN, INVARIANT, State, axes_in_words

WIDTH = 100
# What the last column has at least.
_REST = 20
_FIELD_HEAD = ("layer", "at", "output", "receptive field", "stride", "halo")
_HEAD = ("layer", "at", "output", "commutes with", "copies", "because")
# Outputs that a line names.
_SHOWN = 2
_COPIES = _HEAD.index("copies")


def summary(certificate) -> str:
    """The certificate in one line."""
    parts = [
        f"{f'{output.path}: ' * bool(output.path)}{output.state}" for output in certificate.outputs
    ]
    ends = [f"ends at {step.place}" for step in (certificate.first_end,) if step]
    text = "; ".join([*parts[:_SHOWN], *["..."] * (len(parts) > _SHOWN), *ends])
    return f"Certificate({text})"


def html(certificate) -> str:
    """The certificate as a table for notebooks, its breaking rows marked."""
    return html_table(
        shifts_in_words(certificate),
        rows_in_words(certificate),
        head=_HEAD,
        numbers=(_COPIES,),
        marks=["ends" if s.ends else "thins" if s.reasons else "" for s in certificate.steps],
        notes=_verdict(certificate, wrapped=False),
    )


def table(certificate) -> str:
    """The whole certificate: the shifts, the layers, the verdict, the way out."""
    parts = [shifts_in_words(certificate), ""]
    rows = rows_in_words(certificate)
    parts += (
        [*columns([_HEAD, *rows], right=_COPIES), ""]
        if rows
        else ["The function returns no arrays."]
    )
    parts += _verdict(certificate)
    return "\n".join(line.rstrip() for line in parts)


def field_table(certificate) -> str:
    """How far each layer sees, as a table."""
    rows = []
    for step in certificate.steps:
        cells = [
            (EVERYTHING, "", "")
            if field is None
            else (str(field.size), str(field.stride), " + ".join(map(str, field.halo)))
            for field in step.fields
        ]
        said = [", ".join(dict.fromkeys(column)) for column in zip(*cells, strict=True)]
        rows.append((step.layer, step.where, _size(certificate, step.shape), *said))
    return "\n".join(line.rstrip() for line in columns([_FIELD_HEAD, *rows]))


def shifts_in_words(certificate) -> str:
    """The shifts that a certificate speaks of."""
    sizes = " x ".join(map(str, certificate.sizes))
    shifts = "circular shift" if certificate.mode == "wrap" else f"shift ({certificate.mode})"
    return f"shifts: every {shifts} of axes {certificate.axes}, {sizes}"


def rows_in_words(certificate) -> list[tuple[str, ...]]:
    """One row for each layer, and one for each output."""
    rows = [
        _row(step.layer, step.where, _size(certificate, step.shape), step.after, because)
        for step in certificate.steps
        for because in [_because(certificate, step)]
    ]
    for output in certificate.outputs:
        name = f"output {output.path}".rstrip()
        because = "; ".join(filter(None, [output.state.movement, _interior(output.state)]))
        rows.append(_row(name, "", _size(certificate, output.shape), output.state, because))
    return rows


def _size(certificate, shape: Sequence[int]) -> str:
    """A shape, of images without their number."""
    return "x".join(map(str, shape[1:] if certificate.has_batch else shape))


def _row(name: str, where: str, size: str, state: State, because: str):
    copies = str(math.prod(state.period))
    return (name, where, size, state.commutes_with, copies, because)


def _because(certificate, step) -> str:
    """What happens to the symmetry in a layer, and where a broken one still holds."""
    parts = [in_words((*step.reasons, *step.inside))]
    if step.pooled:
        whole = len(step.pooled) == len(certificate.axes)
        of = "the whole map" if whole else f"all of {axes_in_words(step.pooled)}"
        stays = all(
            state.kind == INVARIANT
            for output in certificate.outputs
            for state in output.per_axis
            if state.axis in step.pooled
        )
        parts.append(f"{step.pooling} over {of}: invariant{' from here' if stays else ''}")
    parts += [
        f"axis {state.axis} moves {'the other way' if state.mirrored else 'with the input again'}"
        for state in step.after.per_axis
        if state.axis in step.mirrored
    ]
    return "; ".join(filter(None, [*parts, _interior(step.after)]))


def _interior(state: State) -> str:
    """Where symmetries that are broken still hold, if they do along all the axes concerned."""
    broken = [along for along in state.per_axis if along.kind == BROKEN]
    if not broken or any(along.interior is None for along in broken):
        return ""
    return f"interior {' and '.join(dict.fromkeys(str(along.interior) for along in broken))}"


def columns(rows: Sequence[tuple[str, ...]], *, right: int | None = None) -> list[str]:
    """The rows, with the cells that are too wide for their column wrapped.

    Args:
      rows: of texts.
      right: the column that is aligned to the right; it keeps its width.
    """
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    while (rest := WIDTH - sum(widths) - 2 * len(widths)) < _REST:
        widths[max(set(range(len(widths))) - {right}, key=widths.__getitem__)] -= 1
    lines = []
    for row in rows:
        cells = [_wrapped(text, width) for text, width in zip(row, [*widths, rest], strict=True)]
        for parts in itertools.zip_longest(*cells, fillvalue=""):
            aligned = [
                text.rjust(width) if i == right else text.ljust(width)
                for i, (text, width) in enumerate(zip(parts, widths, strict=False))
            ]
            lines.append("  ".join([*aligned, parts[-1]]))
    return lines


# Where a word that is wider than its column may end: after the signs of paths, lines and shapes.
_JOINTS = re.compile(r"(?<=[/:_.-])|(?<=\dx)")


def _wrapped(text: str, width: int) -> list[str]:
    """A cell in lines: between words, else between their parts, else anywhere."""
    parts: list[tuple[str, str]] = []
    for word in text.split():
        inner = _JOINTS.split(word) if len(word) > width else [word]
        parts += [(part, " " * (not i and bool(parts))) for i, part in enumerate(inner) if part]
    lines = [""]
    for part, gap in parts:
        if lines[-1] and len(lines[-1]) + len(gap) + len(part) > width:
            lines.append("")
        lines[-1] += (gap if lines[-1] else "") + part
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return lines


def _verdict(certificate, *, wrapped: bool = True) -> list[str]:
    lines = []
    for output in certificate.outputs:
        name = f"{output.path}: " if output.path else ""
        lines.append(f"{name}{output.state}.")
    ends = certificate.first_ends
    # Along several axes it may end at several equations of one layer.
    for place in dict.fromkeys(step.place for step in ends.values()):
        axes = [axis for axis, step in ends.items() if step.place == place]
        lines += _end([ends[axis] for axis in axes], axes, len(certificate.axes))
    gone = certificate.interior_ends
    at_border = any(r.cause in BORDERS for step in ends.values() for r in step.reasons)
    if gone is not None and at_border:
        lines.append(
            f"Away from the border equivariance holds up to {gone.place}, "
            "where no position is left that has not met it."
        )
    lines += _remedies(certificate)
    for assumption in certificate.assumptions:
        lines.append(f"Assumed: {assumption}.")
    if certificate.mode == "wrap":
        count = math.prod(certificate.sizes)
        lines.append(f"All {count:,} shifts: {certificate.work.in_words(count)}.")
    return [piece for line in lines for piece in textwrap.wrap(line, WIDTH)] if wrapped else lines


def _remedies(certificate) -> list[str]:
    """What circular padding, and adaptive sampling as well, would give: one sentence."""
    proved = [remedy for remedy in certificate.remedies if not remedy.is_broken]
    if not proved:
        return []
    parts: list[str] = []
    kind = ""
    for remedy in proved:
        verdict = _of_outputs(certificate, remedy.states)
        also = len(parts) > 0 and len(remedy.changes) > 1
        change = f"{remedy.changes[-1]} as well" if also else " and ".join(remedy.changes)
        parts.append(f"with {change}: {verdict.removeprefix(kind)}")
        # What is said again of the same kind, of other shifts: "to every shift".
        kind = verdict.partition("to ")[0]
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."]


def _of_outputs(certificate, states: Sequence[State]) -> str:
    """The verdicts on the outputs, once if they are the same."""
    verdicts = [str(state) for state in states]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    named = zip(certificate.outputs, verdicts, strict=True)
    return ", ".join(f"{output.path} {verdict}" for output, verdict in named)


def _end(steps, axes: Sequence[int], count: int) -> list[str]:
    """Where the symmetry along some of the axes ends and why, what held before, the way out."""
    along = "" if len(axes) == count else f" along {axes_in_words(axes)}"
    reasons = [reason for step in steps for reason in step.reasons if reason.axis in axes]
    lines = [f"The symmetry{along} ends at {steps[0].place}: {in_words(reasons)}."]
    before = steps[0].before
    if before.kind != BROKEN:
        lines.append(f"Up to there {before.statement}.")
    return [*lines, *filter(None, [advice(reasons)])]
