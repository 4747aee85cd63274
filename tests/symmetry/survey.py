"""Many random programs: false claims, and coarse ones by the step that first makes them coarse.

Run as `python -m tests.symmetry.survey 10000`; a second number sets the first seed.
"""

import collections
import sys

import jax

import jaxinv
from tests.symmetry import measured, programs


def coarse(program) -> bool:
    """Whether the measured orbit has a finer symmetry than the certificate claims."""
    outputs = jaxinv.certify(program.fun, program.x, axes=program.axes).outputs
    orbit = measured.Orbit(program.fun, program.x, program.axes)
    return any(True for _ in measured.finer_symmetry(orbit, outputs))


def first_coarse_step(program) -> str:
    """The name of the step after which the certificate is first coarser than the truth."""
    for length in range(1, len(program.steps) + 1):
        if coarse(program.prefix(length)):
            return program.steps[length - 1].name.split(" [")[0].split(" with roll(")[0]
    return "another output"


def main(count: int, first: int = 0) -> None:
    false, causes = [], collections.Counter()
    seeds_of = collections.defaultdict(list)
    with jax.enable_x64(True):
        for seed in range(first, first + count):
            program = programs.seeded(seed)
            try:
                outputs = jaxinv.certify(program.fun, program.x, axes=program.axes).outputs
            except Exception as error:
                false.append(f"seed {seed} raises {error!r:.200}")
                continue
            orbit = measured.Orbit(program.fun, program.x, program.axes)
            false += [f"seed {seed}: {v}" for v in measured.violations(orbit, outputs, seed=seed)]
            if any(True for _ in measured.finer_symmetry(orbit, outputs)):
                cause = first_coarse_step(program)
                causes[cause] += 1
                seeds_of[cause].append(seed)
    coarse_ones = sum(causes.values())
    print(f"{count} programs, {len(false)} false claims and errors, {coarse_ones} coarse ones")
    print("\n".join(false))
    for cause, number in causes.most_common():
        print(f"{100 * number / count:6.2f} %  {cause}   seeds {seeds_of[cause][:5]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
