"""A program walked with arrays and read at every shift, beside the program run at every shift."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry import walk
from jaxinv.symmetry.program import flatten
from jaxinv.symmetry.relayout import Context, Findings, reader
from jaxinv.symmetry.values import Torus, Value, Window, tracked_input
from jaxinv.symmetry.walk import torus_of

LETTERS = {"Window": "W", "Plain": "P", "Uniform": "U"}


class Read(NamedTuple):
    """What the walk says of one output.

    Attributes:
      state: period and layout, as `"2,1 | 1 W6 W4*P2 P3"`: a factor is a window (with `/rate`
        unless that is 1), plain or uniform positions; 1 is a dimension without factors.
      value: the output as the walk holds it, without an array.
      got: its array at every shift, shifts first.
      want: the program's at every shift.
    """

    state: str
    value: Value
    got: np.ndarray
    want: np.ndarray


class Walk(NamedTuple):
    outputs: list[Read]
    notes: dict[int, list[str]]

    @property
    def states(self) -> list[str]:
        return [output.state for output in self.outputs]


def drawn(*shape, dtype=np.float64, seed=0):
    """Normal numbers, others for another shape."""
    numbers = np.random.default_rng([seed, *shape]).normal(size=shape)
    return jnp.asarray(numbers, dtype)


def strongest(x):
    """The strongest channel at each position."""
    return jnp.argmax(x, axis=-1)


def state_of(value: Value) -> str:
    rows = ["*".join(map(_factor, row)) or "1" for row in value.dims]
    return f"{','.join(map(str, value.period))} | {' '.join(rows)}"


def _factor(factor) -> str:
    rate = isinstance(factor, Window) and factor.rate != 1
    return LETTERS[type(factor).__name__] + str(factor.size) + (f"/{factor.rate}" if rate else "")


def walked(fun, x, *, axes=(1, 2), shifts=None) -> Walk:
    """The outputs of `fun` by the rules, with arrays under `jit`, and by brute force.

    Args:
      fun: a function of `x`.
      x: its argument.
      axes: the spatial dimensions.
      shifts: per axis the shifts that are asked for, ascending; None for all.
    """
    sizes = tuple(x.shape[a] for a in axes)
    rows = [range(n) for n in sizes] if shifts is None else shifts
    torus = torus_of(sizes) if shifts is None else Torus(sizes, tuple(shifts))
    program = flatten(jax.make_jaxpr(fun)(x), enter=False)
    findings = Findings()

    def outputs_of(array):
        ctx = Context(torus, program, computes=array is not None, findings=findings)
        given = tracked_input(array, x.shape, axes, (0,) * len(axes), torus)
        return ctx, walk.evaluate(ctx, program, [given])

    states = outputs_of(None)[1]
    notes = {axis: list(map(str, reasons)) for axis, reasons in findings.notes.items()}
    table = np.stack(np.meshgrid(*rows, indexing="ij"), -1).reshape(-1, len(axes))

    @jax.jit
    def both(x, table):
        ctx, values = outputs_of(x)
        # Arrays or none: the steps are the same.
        assert list(map(state_of, values)) == list(map(state_of, states))
        got = jax.vmap(lambda shift: [reader(ctx, v)(shift) for v in values])(table)
        want = jax.vmap(lambda shift: jax.tree.leaves(fun(jnp.roll(x, shift, axes))))(table)
        return got, want

    results = [map(np.asarray, arrays) for arrays in both(x, table)]
    return Walk(
        [
            Read(state_of(state), state, got, want)
            for state, got, want in zip(states, *results, strict=True)
        ],
        notes,
    )


def assert_same_at_every_shift(walk: Walk, *, rtol=1e-12):
    for output in walk.outputs:
        assert output.got.dtype == output.want.dtype
        assert output.got.shape == output.want.shape
        scale = max(1.0, float(np.max(np.abs(output.want.astype(np.float64)), initial=0.0)))
        np.testing.assert_allclose(output.got, output.want, rtol=0, atol=rtol * scale)


def assert_states(cases, x, **options):
    """Several functions of one input, all in one program: each is right and in the state given.

    Args:
      cases: by name the function and its state.
      x: the input.
      **options: those of `walked`.
    """
    result = walked(lambda x: [fun(x) for fun, _ in cases.values()], x, **options)
    assert_same_at_every_shift(result)
    found = dict(zip(cases, result.states, strict=True))
    wrong = {name: found[name] for name, (_, state) in cases.items() if found[name] != state}
    assert not wrong, wrong


def states_when_right(fun, x, **options) -> list[str]:
    """The states that the rules find, once they are seen to hold at every shift."""
    result = walked(fun, x, **options)
    assert_same_at_every_shift(result)
    return result.states


def assert_same_gradient(fun, x, *, axes=(1, 2), rtol=1e-12):
    """The gradient of a loss over all shifts: through what the walk holds, and of each shift."""
    sizes = tuple(x.shape[a] for a in axes)
    program = flatten(jax.make_jaxpr(fun)(x), enter=False)
    table = np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), -1).reshape(-1, len(axes))
    torus = torus_of(sizes)

    def loss(outputs):
        return sum(jnp.sum(drawn(*y.shape, dtype=y.dtype) * jnp.sin(y)) for y in outputs)

    def shared(x):
        ctx = Context(torus, program, computes=True, differentiated=True)
        values = walk.evaluate(ctx, program, [tracked_input(x, x.shape, axes, (0, 0), torus)])
        return loss(jax.vmap(lambda shift: [reader(ctx, v)(shift) for v in values])(table))

    def each(x):
        return loss(jax.vmap(lambda shift: jax.tree.leaves(fun(jnp.roll(x, shift, axes))))(table))

    got, want = jax.jit(lambda x: (jax.grad(shared)(x), jax.grad(each)(x)))(x)
    scale = max(1.0, float(jnp.max(jnp.abs(want))))
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * scale)
