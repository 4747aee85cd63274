"""Random programs: valid by construction, small enough to be run at every shift.

A program is a chain of two to six steps drawn from the families in `steps_*.py`, with some of
its intermediate values as further outputs. It is grown against its own input: each step is drawn
for the shape it will meet and run on it, so no shape arithmetic is repeated here, and a step
whose result is saturated, or no longer of the program's material, is drawn again. `seeded(n)` and
the hypothesis strategy `programs()` draw from the same class.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from tests.symmetry.domains import Domain, draw_domain
from tests.symmetry.drawing import Draw, HypothesisDraw, SeededDraw
from tests.symmetry.materials import ORDINARY, WITH_RARE, Material
from tests.symmetry.steps import Step, has_rare
from tests.symmetry.steps_blocks import grow

# A small set of sizes, odd and even, square and not: repeated shapes are compiled once.
SIZES_2D = ((6, 6), (8, 8), (6, 8), (9, 6), (5, 7), (8, 12), (10, 6), (8, 8), (6, 6), (4, 8))
SIZES_1D = (8, 12, 9, 6, 7, 11, 10, 4, 12, 8)


@dataclass
class Program:
    """`fun(x)` with the shift's `axes`; `outputs` says which intermediate values it returns."""

    steps: list[Step]
    taps: tuple[int | None, ...]
    x: Any
    layout: str
    axes: tuple[int, ...]
    material: Material
    domain: Domain

    @property
    def fun(self) -> Callable[[Any], Any]:
        steps, taps = self.steps, self.taps

        def run(v):
            values = [v]
            for step in steps:
                values.append(step.fun(values[-1]))
            outputs = [jnp.asarray(2.5) if t is None else values[t] for t in taps]
            return outputs[0] if len(outputs) == 1 else {f"y{i}": y for i, y in enumerate(outputs)}

        return run

    def of_steps(self, steps: list[Step]) -> "Program":
        """These steps with their result as the one output."""
        return replace(self, steps=steps, taps=(len(steps),))

    def prefix(self, length: int) -> "Program":
        """The first `length` steps with their result as the one output."""
        return self.of_steps(self.steps[:length])

    def __str__(self) -> str:
        lines = [
            f"x: {self.layout} {self.x.shape} {self.x.dtype} ({self.material.name}), "
            f"shifted along {self.axes}; {self.domain}"
        ]
        lines += [f"  {i + 1}. {s.name} -> {s.layout}" for i, s in enumerate(self.steps)]
        return "\n".join([*lines, f"  outputs: values {self.taps} (None: a literal)"])


def build(d: Draw) -> Program:
    if d.chance(35):
        sizes, letters = {"H": d.one_of(SIZES_1D)}, "NHC"
    else:
        sizes, letters = dict(zip("HW", d.one_of(SIZES_2D), strict=True)), "NHWC"
    if d.chance(25):
        letters = "".join(d.shuffled(letters))
    shape = [(sizes | {"N": 1, "C": 2}).get(c, 1) for c in letters]
    if d.chance(30):
        shape[letters.index("N")] = 2
    if d.chance(40):
        shape[letters.index("C")] = d.one_of((1, 3))
    axes = tuple(letters.index(c) for c in sizes)
    if len(axes) == 2 and d.chance(8):
        axes = (d.one_of(axes),)
    material = d.one_of(WITH_RARE if has_rare(d) else ORDINARY)
    d.exact, d.dtype = material.exact, material.dtype
    x = material.numbers(d.numbers, shape)
    first = []
    if material.exact and not material.special and d.chance(10):
        x, first = _stored_as_whole_numbers(d, x, letters)
    value = x.astype(material.dtype)
    steps, _, _ = grow(d, value, letters, d.integer(2, 6), material=material)
    steps = first + steps
    taps: list[int | None] = [len(steps)]
    if d.chance(25):
        taps += [d.integer(0, len(steps)) for _ in range(d.integer(1, 2))]
        if d.chance(30):
            taps.append(None)
    domain = draw_domain(d, x, axes)
    return Program(steps, tuple(taps), x, letters, axes, material, domain)


def _stored_as_whole_numbers(d, x, letters):
    """Images are: the network's first step makes numbers of them."""
    stored, dtype = np.abs(2 * x).astype(d.one_of((np.uint8, np.int32))), d.dtype
    return stored, [Step(f"{stored.dtype} to {dtype.__name__}", lambda v: v.astype(dtype), letters)]


def seeded(seed: int) -> Program:
    """The program of this seed; call it with 64-bit types enabled."""
    with np.errstate(all="ignore"):
        return build(SeededDraw(seed))


@st.composite
def programs(draw) -> Program:
    with jax.enable_x64(True), np.errstate(all="ignore"):
        return build(HypothesisDraw(draw))
