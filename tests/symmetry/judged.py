"""A random program held to brute force: its certificate, its shared orbit, and its gradient.

The orbit transform is traced, and what it made of the program is evaluated by numpy: that takes
no compilation. The truth is the program itself at inputs that numpy moved, evaluated the same way.
`compiled` does both by XLA instead, for few programs.
"""

import contextlib
import math
from unittest import mock

import jax
import numpy as np

import jaxinv
from jaxinv.orbit import choice, plan
from jaxinv.symmetry import correlation, processor_convolution
from tests.symmetry import measured, reference
from tests.symmetry.programs import Program

TOLERANCE = {8: 1e-10, 4: 1e-5, 16: 1e-10}
# One program in ten is compared at every shift, the others at so many drawn at random.
EVERY, LOOKED_AT = 10, 8


def close(mine, truth, *, gradient: bool = False) -> bool:
    """Equality up to rounding. NaN equals NaN, and infinities have their sign.

    Of a gradient: finite where the truth is, and equal there. A derivative that is infinite is
    multiplied by a sum of cotangents or summed over shifts, which is infinite or NaN by turns.
    """
    if mine.shape != truth.shape or mine.dtype != truth.dtype:
        return False
    if truth.dtype.kind not in "fc":
        return bool(np.array_equal(mine, truth))
    finite = np.isfinite(truth)
    if gradient:
        if not np.array_equal(finite, np.isfinite(mine)):
            return False
        mine, truth = mine[finite], truth[finite]
        finite = np.isfinite(truth)
    scale = max(1.0, float(np.max(np.abs(truth), initial=0.0, where=finite)))
    atol = TOLERANCE[truth.dtype.itemsize] * scale
    return bool(np.allclose(mine, truth, rtol=0.0, atol=atol, equal_nan=True))


def certified(program: Program, mode="wrap"):
    return jaxinv.certify(program.fun, program.x, axes=program.axes, mode=mode).outputs


def measured_orbit(program: Program) -> measured.Orbit:
    return measured.Orbit(program.fun, program.x, program.axes, program.material.another)


def false_claims(program: Program, seed: int, orbit=None, outputs=None) -> list[str]:
    """Claims of the certificate that a shifted input contradicts; in every fourth interiors too."""
    outputs = certified(program) if outputs is None else outputs
    orbit = measured_orbit(program) if orbit is None else orbit
    every = seed % EVERY == 0
    found = list(measured.violations(orbit, outputs, every=every, seed=seed))
    if program.material.exact and program.material.dtype == np.float64:
        # Ties may hide what is false; comparisons of generic numbers are safe in 64 bits.
        found += measured.violations(orbit, outputs, every=every, seed=seed, start=1)
    if seed % 4 == 0:
        found += measured.interior_violations(orbit, certified(program, "constant"))
    return found


def is_coarse(program: Program, orbit=None, outputs=None) -> bool:
    """Whether the measured orbit has a finer symmetry than the certificate claims."""
    outputs = certified(program) if outputs is None else outputs
    orbit = measured_orbit(program) if orbit is None else orbit
    return any(True for _ in measured.finer_symmetry(orbit, outputs))


def shared_orbit(program: Program, *, cut: bool = False, **options):
    """The orbit that is judged; `cut`: with borders cut as far as possible, at any cost."""
    domain = program.domain
    options = {"axes": program.axes, "mode": domain.mode} | domain.options | options
    fun = jaxinv.orbit(program.fun, **options)

    def run(*args):
        with contextlib.ExitStack() as stack:
            if cut:
                stack.enter_context(mock.patch.object(choice, "pays_until", _to_the_end))
                stack.enter_context(mock.patch.object(choice, "LEAST_SAVED", -math.inf))
            if domain.forced:
                # What sharing costs is left out of the plan: rules run, not only where it pays.
                stack.enter_context(mock.patch.object(plan, "shared_flops", return_value=0))
            if program.material.exact and np.isfinite(program.x).all():
                # Fourier transforms round, and what tied then ties no more. Of infinities none
                # is taken.
                stack.enter_context(mock.patch.object(correlation, "DIRECT", 10**6))
            # The programs have few channels: from 4 products on they take the way of large kernels.
            stack.enter_context(mock.patch.object(processor_convolution, "LEAST_PRODUCTS", 4))
            stack.enter_context(mock.patch.object(processor_convolution, "LEAST_WORK", 0))
            return fun(*args)

    return run


def _to_the_end(traced, *_) -> int:
    return len(traced.program.equations)


def looked_at(program: Program, seed: int) -> list[int]:
    count = len(program.domain.table)
    if seed % EVERY == 0 or count <= LOOKED_AT:
        return list(range(count))
    return np.random.default_rng(seed).choice(count, LOOKED_AT, replace=False).tolist()


def wrong_values(program: Program, seed: int, *, cut: bool = False) -> str:
    """The first output that differs from the program at some shift, or ""."""
    domain = program.domain
    truth = jax.make_jaxpr(program.fun)(program.x)
    found = reference.run(shared_orbit(program, cut=cut), domain.argument(program.x))
    rows = [y.reshape(len(domain.table), *y.shape[len(domain.lead) :]) for y in found]
    for i in looked_at(program, seed):
        shift = domain.table[i]
        moved = domain.moved(program.x, shift, program.axes)
        expected = reference.evaluate(truth, moved)
        for leaf, (mine, want) in enumerate(zip(rows, expected, strict=True)):
            if not close(mine[i], want) and measured.is_settled(truth, moved, alike=close):
                return f"output {leaf} at shift {shift} is off by {difference(mine[i], want)}"
    return ""


def difference(mine, truth) -> str:
    if mine.shape != truth.shape or mine.dtype != truth.dtype:
        return f"{mine.dtype}{mine.shape} for {truth.dtype}{truth.shape}"
    with np.errstate(all="ignore"):
        gap = np.abs(np.where(mine == truth, 0, mine - truth.astype(mine.dtype)))
    return f"{np.max(gap, initial=0.0, where=np.isfinite(gap)):.3g}, not finite {np.sum(~np.isfinite(mine))} for {np.sum(~np.isfinite(truth))}"  # noqa: E501


def pulled_back(run):
    """The function of an input and cotangents of the outputs that is the gradient of `run`."""

    def pull(x, *cotangents):
        outs, back = jax.vjp(lambda v: jax.tree.leaves(run(v)), x)
        return back([c.astype(y.dtype) for c, y in zip(cotangents, outs, strict=True)])[0]

    return pull


def _is_lost_under_custom_jvp(fun, x, cotangents) -> bool:
    """Whether JAX loses the gradient once the function stands in a `custom_jvp`, as in an orbit.

    A `custom_vjp` whose operands have tangents of zero is then left in the program, not transposed.
    """
    wrapped = jax.custom_jvp(fun)
    wrapped.defjvp(lambda primals, tangents: jax.jvp(fun, primals, tangents))
    jaxpr = jax.make_jaxpr(pulled_back(wrapped))(x, *cotangents)
    return any(eqn.primitive.name == "custom_lin" for eqn in jaxpr.jaxpr.eqns)


def _has_gradient_under_vmap(fun, x, cotangents) -> bool:
    """Whether JAX differentiates the function of several inputs at once.

    It does not where `vmap` turns a branch inside of a `custom_jvp` into a selection: the tangents
    then pass through a `stop_gradient`, which cannot be transposed.
    """
    several = [np.stack([a, a]) for a in (x, *cotangents)]
    try:
        jax.make_jaxpr(pulled_back(jax.vmap(fun)))(*several)
    except NotImplementedError:
        return False
    return True


def wrong_gradient(program: Program, seed: int, *, cut: bool = False) -> str | None:
    """Pulls random cotangents back through the orbit, and through the program at each shift.

    Cotangents are zero but at the shifts that are looked at, so that those alone are run. Where
    the gradient is infinite or NaN every shift is, for zero times infinity is something.

    Returns:
      What is wrong, "" if nothing is, and None where JAX has no gradient of the program itself,
      or none of the program under `vmap`.
    """
    domain, x = program.domain, program.x
    shapes = jax.tree.leaves(jax.eval_shape(program.fun, x))
    if x.dtype.kind != "f" or not all(s.dtype.kind == "f" for s in shapes):
        return None
    numbers, n = np.random.default_rng(seed), len(domain.table)
    rows = [numbers.normal(size=(n, *s.shape)).astype(s.dtype) for s in shapes]
    chosen = list(range(n)) if program.material.special else looked_at(program, seed)
    for row in rows:
        row[[i for i in range(n) if i not in set(chosen)]] = 0
    try:
        single = jax.make_jaxpr(pulled_back(program.fun))(x, *(row[0] for row in rows))
    except (NotImplementedError, ValueError):
        return None  # while loops, dilated pools, top_k of an integer
    if _is_lost_under_custom_jvp(program.fun, x, [row[0] for row in rows]):
        return None
    given = [row.reshape(*domain.lead, *row.shape[1:]) for row in rows]
    shared_pull = pulled_back(shared_orbit(program, cut=cut))
    try:
        shared = jax.make_jaxpr(shared_pull)(domain.argument(x), *given)
    except NotImplementedError:
        if _has_gradient_under_vmap(program.fun, x, [row[0] for row in rows]):
            raise
        return None
    (mine,) = reference.evaluate(shared, domain.argument(x), *given)
    if not np.isfinite(mine).all():
        chosen = list(range(n))

    def each_shift(x):
        total = np.zeros_like(domain.argument(x))
        with np.errstate(all="ignore"):
            for i in chosen:
                moved = domain.moved(x, domain.table[i], program.axes)
                (pulled,) = reference.evaluate(single, moved, *(row[i] for row in rows))
                total = total + domain.moved_back(pulled, domain.table[i], program.axes)
        return total

    truth = each_shift(x)
    if close(mine, truth, gradient=True) or _is_of_unread_infinities(mine, truth, each_shift, x):
        return ""
    for i in chosen:
        moved = domain.moved(x, domain.table[i], program.axes)
        if not measured.is_settled(single, moved, *(row[i] for row in rows), alike=_alike):
            return ""
    return f"gradient off by {difference(mine, truth)}"


def _is_of_unread_infinities(mine, truth, each_shift, x) -> bool:
    """Whether NaN is only where JAX multiplies an infinity that is not read by zero.

    It stands in the input, or is the slope of a root at a negative number. The derivative is then
    the same whatever number of a finite slope stands in its place.
    """
    unread = np.isfinite(mine) & ~np.isfinite(truth)
    steep = unread if unread.shape == x.shape else np.zeros(x.shape, bool)

    def replaced(infinity: float, root: float):
        known = np.where(steep, x.dtype.type(root), x)
        return np.where(np.isfinite(x), known, x.dtype.type(infinity))

    finite = [each_shift(replaced(*numbers)) for numbers in ((0.375, 0.375), (-1.25, 0.75))]
    merged = [np.where(unread, other, truth) for other in finite]
    return bool(unread.any()) and all(close(mine, other, gradient=True) for other in merged)


def _alike(mine, truth) -> bool:
    return close(mine, truth, gradient=True)


def wrong_when_compiled(program: Program, seed: int, *, cut: bool = False) -> str:
    """As `wrong_values`, but both sides are compiled and run by XLA."""
    domain = program.domain
    found = jax.tree.leaves(shared_orbit(program, cut=cut)(domain.argument(program.x)))
    rows = [np.asarray(y).reshape(len(domain.table), *y.shape[len(domain.lead) :]) for y in found]
    single, truth = jax.jit(program.fun), jax.make_jaxpr(program.fun)(program.x)
    for i in looked_at(program, seed):
        shift = domain.table[i]
        moved = domain.moved(program.x, shift, program.axes)
        for leaf, want in enumerate(map(np.asarray, jax.tree.leaves(single(moved)))):
            if not close(rows[leaf][i], want) and measured.is_settled(truth, moved, alike=close):
                return f"output {leaf} at shift {shift} is off by {difference(rows[leaf][i], want)}"
    return ""
