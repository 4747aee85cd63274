"""The translation symmetry of architectures as published: certified, and each claim measured.

python -m benchmarks.atlas                               # those that docs/atlas.json has not
python -m benchmarks.atlas resnet18 timm/convnext_atto   # these again
python -m benchmarks.atlas --most 600                    # no further one after so many seconds
python -m benchmarks.atlas --published                   # measures no remedies; a later run does

Every network has random weights: a certificate needs none. Rows are kept as they come, so an
interrupted run goes on; `python -m benchmarks.atlas_page` makes docs/atlas.md of them.
Needs `pip install '.[torch]' torchvision timm keras`.
"""

import argparse
import contextlib
import gc
import json
import math
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import numpy as np

import jaxinv
from benchmarks import machine
from benchmarks.atlas_networks import NETWORKS, Built, Network, built, named
from benchmarks.atlas_page import INSIDE, NO_SHIFT
from jaxinv.certificate import Certificate, Step
from jaxinv.certificate.questions import Remedy
from jaxinv.symmetry.fields import EVERYTHING
from jaxinv.symmetry.program import Program
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.state import BROKEN, INVARIANT, UP_TO_A_ROLL, State

ROWS = Path(__file__).resolve().parents[1] / "docs" / "atlas.json"
Row = dict[str, Any]
Run = Callable[[np.ndarray], list[np.ndarray]]
# Sizes that more strides divide, tried where those of the network do not divide its own.
DIVISIBLE = (256, 320)
_SIZES = {Cause.STRIDE_DOES_NOT_DIVIDE, Cause.GROUPS_DO_NOT_DIVIDE}


def row_of(network: Network, *, published: bool = False) -> Row:
    """All that the atlas says of a network.

    Args:
      network: the network.
      published: whether only the claim about it as published is measured, and no remedy.
    """
    net = built(network)
    images = np.random.default_rng(0).normal(size=net.shape).astype(np.float32)
    # Of the processor: what a quiet core takes, however busy this one is.
    start = time.process_time()
    certificate = _certified(net, net.shape)
    seconds = time.process_time() - start
    row: Row = {
        "network": network.key,
        "family": network.family,
        "task": network.task,
        "parameters": net.count,
        "size": net.shape[net.axes[0]],
        "seconds": round(seconds, 2),
        "rows": len(certificate.layers),
    }
    row |= _parity(net, images)
    row |= _verdicts(certificate) | _fields(certificate)
    row["remedies"] = [_remedy(remedy) for remedy in certificate.remedies]
    row["divisible"] = _at_divisible_size(network, certificate)
    row["passes"] = round(certificate.cost, 1)
    row["measured"] = list(_measured(net, certificate, images, published=published))
    return row


def _certified(net: Built, shape: tuple[int, ...]) -> Certificate:
    spec = jax.ShapeDtypeStruct(shape, np.float32)
    return jaxinv.certify(net.apply, net.params, spec, argnums=1, axes=net.axes)


def _parity(net: Built, images: np.ndarray) -> Row:
    """The largest difference from its own framework, in shares of the largest output."""
    if net.theirs is None:
        return {}
    compiled = jax.jit(net.apply).lower(net.params, images).compile(_QUICKLY)
    ours = jax.tree.leaves(compiled(net.params, images))
    theirs = jax.tree.leaves(net.theirs(images))
    return {"parity": float(f"{max(map(_difference, ours, theirs)):.2g}")}


def _difference(one: Any, two: Any) -> float:
    one, two = np.asarray(one), np.asarray(two)
    return float(np.abs(one - two).max() / np.abs(two).max())


def _verdicts(certificate: Certificate) -> Row:
    """The verdict as published, the first break, the interior and where it ends."""
    end, gone = certificate.first_end, certificate.interior_ends
    kept = [step for step in certificate.layers if any(step.after.interior)]
    inside = "; ".join(dict.fromkeys(str(i) for i in kept[-1].after.interior)) if kept else ""
    return {
        "verdict": _said(output.state for output in certificate.outputs),
        "period": list(certificate.outputs[0].period),
        "first_end": _ended(end),
        "cause": _cause(end),
        "interior": inside,
        "interior_at": kept[-1].place if kept else "",
        "interior_ends": gone.place if gone is not None else "",
    }


def _said(states) -> str:
    return "; ".join(dict.fromkeys(map(str, states)))


def _keeps_some(states: Sequence[State]) -> bool:
    """Whether some output commutes with more than no shift."""
    return any(state.kind != BROKEN for state in states)


def _ended(end: Step | None) -> str:
    return f"{end.place}: {end.reason}" if end else ""


def _cause(end: Step | None) -> str:
    return end.reasons[0].cause.name.lower() if end and end.reasons else ""


def _fields(certificate: Certificate) -> Row:
    """The receptive field of the last layer that does not see everything, and what does first."""
    known = [step for step in certificate.steps if all(step.fields)]
    whole = next((step for step in certificate.steps if not all(step.fields)), None)
    row: Row = {"field": EVERYTHING, "stride": "", "field_at": ""}
    if known:
        first = [step for step in known if step is known[-1] or whole is None]
        field = first[-1].fields[0]
        row = {"field": field.size, "stride": str(field.stride), "field_at": first[-1].place}
    return row | {"sees_everything": whole.place if whole is not None else ""}


def _remedy(remedy: Remedy) -> Row:
    return {
        "changes": list(remedy.changes),
        "verdict": _said(remedy.states),
        "period": list(remedy.states[0].period),
        "ends": _ended(remedy.end),
        "cause": _cause(remedy.end),
    }


def _at_divisible_size(network: Network, certificate: Certificate) -> Row | None:
    """What circular padding gives at a size that strides divide, where they do not divide this."""
    ends = [certificate.first_end, *(remedy.end for remedy in certificate.remedies)]
    if not any(reason.cause in _SIZES for end in ends if end for reason in end.reasons):
        return None
    for size in DIVISIBLE:
        try:
            net = built(network, size)
            found = _certified(net, net.shape)
        except Exception as error:  # the network takes one size
            return {"size": size, "error": _first_line(error)}
        remedies = [_remedy(remedy) for remedy in found.remedies]
        row = {"size": size, "verdict": _said(o.state for o in found.outputs), "remedies": remedies}
        if any(not remedy.is_broken for remedy in found.remedies):
            return row
    return row


def _measured(
    net: Built, certificate: Certificate, images: np.ndarray, *, published: bool
) -> Iterator[Row]:
    """Each claim held to the network: the outputs at three shifts, in its own framework."""

    def theirs(x: np.ndarray) -> list[np.ndarray]:
        found = net.theirs(x) if net.theirs else net.apply(net.params, x)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(found)]

    states = [output.state for output in certificate.outputs]
    yield {"claim": "as published"} | _at_shifts(theirs, net, states, images)
    if any(all(state.interior) for state in states):
        yield {"claim": INSIDE} | _inside(theirs, net, states, images)
    for remedy in () if published else certificate.remedies:
        if _keeps_some(remedy.states):
            changed = _runs(remedy.program, net.params, images)
            claim = " and ".join(remedy.changes)
            yield {"claim": claim} | _at_shifts(changed, net, remedy.states, images)


# Compiled in a fraction of the time, and run five times.
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _runs(program: Program, params: Any, images: np.ndarray):
    """A program as a function of the images."""
    known = {number: v for number, v in program.constants.items() if np.isscalar(v)}
    arrays = {number: v for number, v in program.constants.items() if number not in known}

    def run(arrays: dict[int, Any], leaves: Sequence[Any], images: jax.Array) -> list[Any]:
        values = {i: np.asarray(v, program.avals[i].dtype) for i, v in known.items()} | arrays
        values |= dict(zip(program.inputs, [*leaves, images], strict=True))
        for equation in program.equations:
            results = equation.bind(*(values[i] for i in equation.ins))
            values |= dict(zip(equation.outs, results, strict=True))
        return [values[number] for number in program.outputs]

    leaves = jax.tree.leaves(params)
    compiled = jax.jit(run).lower(arrays, leaves, images).compile(_QUICKLY)
    return lambda x: [np.asarray(leaf) for leaf in compiled(arrays, leaves, x)]


def _at_shifts(run: Run, net: Built, states: Sequence[State], images: np.ndarray) -> Row:
    """How far outputs are from what their states say, at three shifts of the lattice.

    Of a network that keeps nothing the shifts are any, and the outputs should differ.
    """
    held = [state for state in states if state.kind != BROKEN]
    unit = [math.lcm(*(state.period[a] for state in held)) for a in range(len(net.axes))]
    shifts = [(unit[0], 0), (0, unit[1]), (3 * unit[0], 2 * unit[1])]
    base, found = run(images), []
    for shift in shifts:
        moved = run(np.roll(images, shift, net.axes))
        for state, before, after in zip(states, base, moved, strict=True):
            if state.kind == INVARIANT or not held:
                found.append(_difference(after, before))
            elif all(state.whole) and None not in state.moves:
                by = [t // d * m for t, d, m in zip(shift, state.period, state.moves, strict=True)]
                if state.kind == UP_TO_A_ROLL:
                    by = _roll_between(before, after, state.dims)
                found.append(_difference(after, np.roll(before, by, state.dims)))
    worst = float(f"{max(found):.2g}") if found else None
    return {"shifts": shifts, "broken": not held, "difference": worst}


def _roll_between(before: np.ndarray, after: np.ndarray, dims: Sequence[Any]) -> Sequence[int]:
    """By how many positions one array is the other rolled, if it is."""
    spectra = [np.fft.fftn(array, axes=dims) for array in (before, after)]
    match = np.fft.ifftn(spectra[1] * spectra[0].conj(), axes=dims).real
    match = match.sum(tuple(d for d in range(match.ndim) if d not in dims))
    return [int(place) for place in np.unravel_index(match.argmax(), match.shape)]


def _inside(run: Run, net: Built, states: Sequence[State], images: np.ndarray) -> Row:
    """How far maps move along away from their borders, at three shifts."""
    kept = [state.interior for state in states if all(state.interior)]
    unit = [math.lcm(*(interior[a].period for interior in kept)) for a in range(len(net.axes))]
    shifts = [(unit[0], 0), (0, unit[1]), (unit[0], unit[1])]
    base, found = run(images), []
    for shift in shifts:
        moved = run(np.roll(images, shift, net.axes))
        for state, before, after in zip(states, base, moved, strict=True):
            if not all(state.interior):
                continue
            for axis, interior, t in zip(net.axes, state.interior, shift, strict=True):
                rate = round(interior.period * interior.size / images.shape[axis])
                by = t // interior.period * rate
                stays = np.arange(interior.start + by, interior.stop)
                after, before = after.take(stays, axis), before.take(stays - by, axis)
            if after.size:
                found.append(_difference(after, before))
    worst = float(f"{max(found):.2g}") if found else None
    return {"shifts": shifts, "difference": worst}


def _is_done(row: Row | None, arguments: argparse.Namespace) -> bool:
    """Whether a network has its row, and each claim of it is measured that shall be."""
    if row is None or "error" in row:
        return row is not None
    told = {found["claim"] for found in row["measured"]}
    return arguments.published or told.issuperset(
        " and ".join(r["changes"]) for r in row["remedies"] if r["verdict"] != NO_SHIFT
    )


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raises TimeoutError after so many seconds of the processor."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} seconds of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="names; by default those without a row")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where they are kept")
    parser.add_argument("--published", action="store_true", help="measure no remedies yet")
    parser.add_argument("--most", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--limit", type=int, default=600, help="seconds of the processor for one")
    arguments = parser.parse_args()
    told = json.loads(arguments.rows.read_text()) if arguments.rows.exists() else {}
    rows: dict[str, Row] = {row["network"]: row for row in told.get("rows", [])}
    asked = named(arguments.networks)
    start = time.monotonic()
    for network in asked or [n for n in NETWORKS if not _is_done(rows.get(n.key), arguments)]:
        if time.monotonic() - start > arguments.most:
            break
        try:
            with _limited(arguments.limit):
                row = row_of(network, published=arguments.published)
        except Exception as error:
            traceback.print_exc()
            row = {
                "network": network.key,
                "family": network.family,
                "task": network.task,
                "error": _first_line(error),
            }
        rows[network.key] = row
        kept = [rows[n.key] for n in NETWORKS if n.key in rows]
        text = json.dumps({"machine": machine.describe(), "rows": kept}, indent=1)
        arguments.rows.write_text(text + "\n")
        print(json.dumps(row), flush=True)
        jax.clear_caches()
        gc.collect()


if __name__ == "__main__":
    main()
