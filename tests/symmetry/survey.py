"""Many random programs held to brute force: what is false, wrong, raised or too coarse.

    python -m tests.symmetry.survey START COUNT [--results FILE] [--compiled EVERY] [--bordered]

runs the programs of the seeds START .. START + COUNT - 1. Each finding is printed with the
smallest part of its program that still shows it. With `--results`, one JSON line a seed is
appended to FILE, and seeds that it holds are not run again: a survey that was stopped goes on.
With `--bordered` maps are padded by zeros, edges and mirror images, and their borders are cut.
"""

import argparse
import collections
import itertools
import json
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator

import jax

import jaxinv
from jaxinv.symmetry.reasons import UNKNOWN
from tests.symmetry import bordered, judged, programs
from tests.symmetry.programs import Program

CHECKS: dict[str, Callable[..., object]] = {
    "false claim": judged.false_claims,
    "wrong value": judged.wrong_values,
    "wrong gradient": judged.wrong_gradient,
    "wrong when compiled": judged.wrong_when_compiled,
}
FAULTS = (*CHECKS, "exception")
# Counted among the programs of generic weights, which is a finding of its own. Of a callback, say,
# nothing can be proved, and the certificate says so.
COARSE, NO_RULE, GENERIC = "coarse", "no rule", "generic"


def verdict(
    check: str, program: Program, seed: int, *, cut: bool = False
) -> tuple[str, str] | None:
    """The kind of a finding and what it says, or None; `cut`: of the orbit with borders cut."""
    options = {"cut": True} if cut and check != "false claim" else {}
    try:
        found = CHECKS[check](program, seed, **options)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        inner = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in frames if "jaxinv" in f.filename]  # fmt: skip  # noqa: E501
        return "exception", f"{type(error).__name__}: {error!s:.150} at {inner[-1:]} in {check}"
    if not found:
        return None
    return check, str(found[0] if isinstance(found, list) else found)


def runs(program: Program) -> bool:
    try:
        jax.eval_shape(program.fun, program.x)
    except Exception:
        return False
    return True


def smallest(program: Program, fails: Callable[[Program], bool]) -> Program:
    """The shortest beginning that fails, without the steps that it fails without."""
    for length in range(1, len(program.steps)):
        if fails(program.prefix(length)):
            program = program.prefix(length)
            break
    i = 0
    while i < len(program.steps):
        steps = program.steps[:i] + program.steps[i + 1 :]
        if not steps:
            break
        shorter = program.of_steps(steps)
        if runs(shorter) and fails(shorter):
            program = shorter
        else:
            i += 1
    return program


def first_coarse_step(program: Program) -> tuple[str, str]:
    """The step after which the certificate is first coarser than the truth.

    Returns:
      Whether the certificate says that it knows nothing of an operation, and the step's name.
    """
    for length in range(1, len(program.steps) + 1):
        part = program.prefix(length)
        if judged.is_coarse(part):
            certificate = jaxinv.certify(part.fun, part.x, axes=part.axes)
            causes = {reason.cause for step in certificate.steps for reason in step.reasons}
            return COARSE if causes.isdisjoint(UNKNOWN) else NO_RULE, program.steps[length - 1].name
    return COARSE, "another output"


def is_coarse(program: Program) -> bool:
    """Whether the certificate says less than the truth, and not for want of a rule."""
    return judged.is_coarse(program) and first_coarse_step(program)[0] == COARSE


def findings(seed: int, *, compiled: int = 0, cut: bool = False) -> Iterator[dict]:
    """What one program shows: at most one finding of each check, and whether it is coarse."""
    program = bordered.seeded(seed) if cut else programs.seeded(seed)
    for check in CHECKS:
        if check == "wrong when compiled" and (not compiled or seed % compiled):
            continue
        found = verdict(check, program, seed, cut=cut)
        if found is None:
            continue
        kind, text = found

        def fails(part, check=check, kind=kind):
            again = verdict(check, part, seed, cut=cut)
            return again is not None and again[0] == kind

        part = smallest(program, fails)
        text = (verdict(check, part, seed, cut=cut) or found)[1]
        yield {"kind": kind, "text": text, "program": str(part)}
    if program.material.exact:  # its weights hold zeros, and what they hide is a symmetry
        return
    yield {"kind": GENERIC, "text": "", "program": ""}
    try:
        if judged.is_coarse(program):
            kind, step = first_coarse_step(program)
            yield {"kind": kind, "text": step, "program": str(program)}
    except Exception:  # reported by the first check
        return


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.symmetry.survey", description=__doc__)
    parser.add_argument("start", type=int, help="the first seed")
    parser.add_argument("count", type=int, help="how many programs")
    parser.add_argument("--results", type=pathlib.Path, help="JSON lines; seeds in it are skipped")
    parser.add_argument("--compiled", type=int, default=0, help="every so many also run by XLA")
    parser.add_argument("--bordered", action="store_true", help="padding that makes borders, cut")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    seeds = range(options.start, options.start + options.count)
    rows: dict[int, list[dict]] = {}
    if options.results is not None and options.results.exists():
        lines = [json.loads(line) for line in options.results.read_text().splitlines()]
        rows = {row["seed"]: row["findings"] for row in lines if row["seed"] in seeds}
    began, done = time.monotonic(), 0
    # Of the whole process: the threads in which callbacks run do not see a context of this one.
    jax.config.update("jax_enable_x64", True)
    for seed in seeds:
        if seed in rows:
            continue
        rows[seed] = list(findings(seed, compiled=options.compiled, cut=options.bordered))
        if options.results is not None:
            with options.results.open("a") as file:
                file.write(json.dumps({"seed": seed, "findings": rows[seed]}) + "\n")
        for row in rows[seed]:
            if row["kind"] in FAULTS:
                print(f"seed {seed}, {row['kind']}: {row['text']}\n{row['program']}\n")
        done += 1
        if done % 100 == 0:
            # Every program has functions of its own; what was compiled for them is not needed.
            jax.clear_caches()
            print(f"{summary(rows)}; {(time.monotonic() - began) / done:.2f} s each", flush=True)
    print(coarse_ones(rows))
    print(summary(rows))
    return int(any(row["kind"] in FAULTS for row in itertools.chain(*rows.values())))


def summary(rows: dict[int, list[dict]]) -> str:
    """The counts of all kinds, in one line."""
    counts = collections.Counter(row["kind"] for row in itertools.chain(*rows.values()))
    parts = [f"{counts[kind]} {kind}" for kind in FAULTS]
    share = 100 * counts[COARSE] / max(1, counts[GENERIC])
    coarse = (
        f"{counts[COARSE]} coarse of {counts[GENERIC]} with generic weights ({share:.1f} %), "
        f"{counts[NO_RULE]} more by an operation without a rule"
    )
    return f"{len(rows)} programs: {', '.join(parts)}; {coarse}"


def coarse_ones(rows: dict[int, list[dict]]) -> str:
    """The coarse certificates by the step that first makes them so, most frequent first."""
    seeds: dict[str, list[int]] = {}
    for seed, row in rows.items():
        for found in row:
            if found["kind"] == COARSE:
                seeds.setdefault(" ".join(found["text"].split()[:2]), []).append(seed)
    ordered = sorted(seeds.items(), key=lambda pair: -len(pair[1]))
    return "\n".join(f"{len(s):5} coarse first at {step}   seeds {s[:4]}" for step, s in ordered)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
