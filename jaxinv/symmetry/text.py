"""The certificate as a table of at most 100 columns."""

import math
import textwrap

from jaxinv.symmetry.state import BROKEN, INVARIANT

WIDTH = 100
_LIMITS = (24, 22, 14, 24, 7)


def table(certificate) -> str:
    """The whole certificate: the shifts, the layers, the verdict, the way out."""
    sizes = " x ".join(map(str, certificate.sizes))
    shifts = "circular shift" if certificate.mode == "wrap" else f"shift ({certificate.mode})"
    parts = [f"shifts: every {shifts} of axes {certificate.axes}, {sizes}", ""]
    parts += _rows(certificate)
    parts += ["", *_verdict(certificate)]
    return "\n".join(line.rstrip() for line in parts)


def _rows(certificate) -> list[str]:
    head = ("layer", "at", "output", "commutes with", "copies", "because")
    interiors = any(_interior_text(s) for s in certificate.steps)
    rows = [
        (
            step.layer,
            step.where,
            "x".join(map(str, step.shape[1:] or step.shape)),
            step.after.commutes_with,
            str(step.copies),
            step.reason + (_interior_text(step) if interiors else ""),
        )
        for step in certificate.steps
    ]
    cells = [head, *rows]
    widths = [min(limit, max(len(row[i]) for row in cells)) for i, limit in enumerate(_LIMITS)]
    last = WIDTH - sum(widths) - 2 * len(widths)
    lines = []
    for row in cells:
        columns = [
            _shortened(text, width, keep_end=i == 0)
            for i, (text, width) in enumerate(zip(row, widths, strict=False))
        ]
        aligned = [
            text.rjust(width) if i == 4 else text.ljust(width)
            for i, (text, width) in enumerate(zip(columns, widths, strict=True))
        ]
        wrapped = textwrap.wrap(row[-1], last) or [""]
        lines.append("  ".join([*aligned, wrapped[0]]))
        indent = " " * (WIDTH - last)
        lines += [indent + more for more in wrapped[1:]]
    return lines


def _interior_text(step) -> str:
    if step.after.kind != BROKEN:
        return ""
    inner = [i for i in step.after.interior if i is not None]
    if len(inner) < len(step.after.interior) or not inner:
        return ""
    return (
        f"; interior {', '.join(map(str, inner))}"
        if step.reason
        else (f"interior {', '.join(map(str, inner))}")
    )


def _shortened(text: str, width: int, *, keep_end: bool) -> str:
    if len(text) <= width:
        return text
    return "…" + text[-(width - 1) :] if keep_end else text[: width - 1] + "…"


def _verdict(certificate) -> list[str]:
    lines = []
    for output in certificate.outputs:
        name = f"{output.path}: " if output.path else ""
        lines.append(f"{name}{output.kind}: commutes with {output.state.commutes_with}.")
    end = certificate.first_end
    if end is not None:
        lines.append(f"The symmetry ends at {end.layer} ({end.where}): {end.reason}.")
        if end.before.kind != BROKEN:
            lines.append(f"Up to there {end.before.kind} to {end.before.commutes_with}.")
        lines += _way_out(end)
    gone = certificate.interior_ends
    if end is not None and gone is not None and "border" in end.reason:
        lines.append(
            f"Away from the border equivariance holds up to {gone.layer} ({gone.where}), "
            "where no position is left that has not met it."
        )
    for assumption in certificate.assumptions:
        lines.append(f"Assumed: {assumption}.")
    if certificate.mode == "wrap":
        count = math.prod(certificate.sizes)
        lines.append(
            f"All {count:,} shifts: about {max(1, certificate.cost):,.0f} forward passes' work "
            f"instead of {count:,}."
        )
    return [piece for line in lines for piece in textwrap.wrap(line, WIDTH)]


def _way_out(end) -> list[str]:
    reason = end.reason
    if "border" in reason:
        return ["Circular padding would keep it; so would none (VALID), where content may leave."]
    if "fixed positions" in reason and end.before.kind != INVARIANT:
        return [
            "Global pooling instead would make the output invariant to those; "
            "see jaxinv.layers for the rest."
        ]
    if "not divisible" in reason:
        return ["A size that the strides divide would keep multiples of the stride."]
    if "constant that differs" in reason:
        return ["Without it (a position embedding, a mask) the symmetry would go on."]
    return []
