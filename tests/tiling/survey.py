"""Random programs with borders, evaluated by tiles and as a whole: those that differ.

    python -m tests.tiling.survey START COUNT

runs the programs of the seeds START .. START + COUNT - 1 and prints each whose tiles are not the
whole, or that raises anything but a refusal; then how many were tiled and how many refused.
"""

import argparse
import collections
import contextlib
import dataclasses
import traceback
from unittest import mock

import jax
import numpy as np
from jax.extend.core import primitives

import jaxinv
from jaxinv.tiling.call import Call
from tests.symmetry import programs, reference
from tests.symmetry.drawing import SeededDraw
from tests.symmetry.steps_blocks import grow
from tests.symmetry.steps_windows import BORDERED

# Large enough for an interior, and for several tiles.
SIZES_1D = (48, 60, 53, 41)
SIZES_2D = ((32, 36), (40, 30), (37, 32))
# How often a further step is drawn; a program without a tiling goes on without it.
TRIES = 8
FIRST_OF_STEPS = 1_000_000
# Differences of rounding, in float32.
NEAR = 1e-5


def dense(seed: int) -> tuple[programs.Program, jaxinv.Tiling | None]:
    """A program of this seed that is grown as long as it has a tiling, and that tiling."""
    with (
        mock.patch.object(programs, "SIZES_1D", SIZES_1D),
        mock.patch.object(programs, "SIZES_2D", SIZES_2D),
        mock.patch("tests.symmetry.steps_windows.PADDINGS", BORDERED),
        np.errstate(all="ignore"),
    ):
        program = programs.seeded(seed)
        x, layout, material = program.x, program.layout, program.material
        steps = program.steps[:1] if x.dtype != material.dtype else []
        value, letters, tiling = x.astype(material.dtype), layout, None
        d = SeededDraw(FIRST_OF_STEPS + seed)
        d.exact, d.dtype = material.exact, material.dtype
        for _ in range(TRIES):
            more, grown, then = grow(d, value, letters, 1, material=material)
            longer = program.of_steps([*steps, *more])
            with contextlib.suppress(ValueError):
                tiling = jaxinv.tiling(longer.fun, x, axes=program.axes)
                steps, value, letters = longer.steps, grown, then
    return program.of_steps(steps), tiling


def difference(program: programs.Program, tiling: jaxinv.Tiling) -> float:
    """The largest difference between tiles and the whole, by their scale.

    The whole is evaluated by XLA or, where that differs, by numpy: of a NaN in a pool XLA makes
    this or that, as the shape of the map has it. A product with a matrix makes NaN of 0 times
    infinity as far as the image goes, or a tile: of those programs what is no NaN is compared, and
    all of it without infinities.
    """
    tile = [min(a, b) for a, b in zip(tiling.smallest, tiling.sizes, strict=True)]
    by_tile = jaxinv.tiled(program.fun, tile=tile, axes=program.axes)(np.asarray(program.x))
    apart = _largest(by_tile, jax.jit(program.fun)(program.x))
    if apart > NEAR:
        truth = reference.run(program.fun, program.x)
        apart = min(apart, _largest(by_tile, truth))
    if apart > NEAR and not np.isfinite(program.x).all() and _is_resampled(program):
        finite = dataclasses.replace(program, x=np.nan_to_num(program.x, posinf=1, neginf=-1))
        apart = max(_largest(by_tile, truth, but_nan=True), difference(finite, tiling))
    return apart


def _is_resampled(program: programs.Program) -> bool:
    """Whether a product with a matrix stands in the program that reads a few neighbours."""
    call = Call(program.fun, (program.x,), {}, 0, program.axes)
    sized = call.at(call.sizes)
    return any(sized.band(e) for e in sized.equations if e.primitive is primitives.dot_general_p)


def _largest(mine, truth, *, but_nan: bool = False) -> float:
    pairs = zip(jax.tree.leaves(mine), jax.tree.leaves(truth), strict=True)
    return max(_apart(np.asarray(a), np.asarray(b), but_nan=but_nan) for a, b in pairs)


def _apart(mine: np.ndarray, truth: np.ndarray, *, but_nan: bool = False) -> float:
    if but_nan and mine.shape == truth.shape and mine.dtype == truth.dtype:
        mine = np.where(np.isnan(truth), truth, mine)
    if mine.shape != truth.shape or mine.dtype != truth.dtype:
        return np.inf
    if mine.dtype.kind not in "fc":
        return 0.0 if np.array_equal(mine, truth) else np.inf
    same = (mine == truth) | (np.isnan(mine) & np.isnan(truth))
    if same.all():
        return 0.0
    scale = np.abs(truth[np.isfinite(truth)]).max(initial=1.0)
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.abs(mine - truth)[~same] / scale, nan=np.inf).max())


def judged(seed: int) -> tuple[str, str]:
    """What came of the program of a seed, and what there is to say of it."""
    try:
        part, tiling = dense(seed)
        if tiling is None:
            return "refused", ""
        apart = difference(part, tiling)
    except Exception:
        return "raised", traceback.format_exc(limit=-3)
    inside = all(a < b for a, b in zip(tiling.smallest, tiling.sizes, strict=True))
    if apart > NEAR:
        return "different", f"{apart}\n{part}\n{tiling}"
    return f"tiled, {len(part.steps)} steps" if inside else "as one tile", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("start", type=int)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(arguments.start, arguments.start + arguments.count):
        with jax.enable_x64(True):
            kind, said = judged(seed)
        counts[kind] += 1
        if said:
            print(f"seed {seed}, {kind}: {said}", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
