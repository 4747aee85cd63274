"""The rewritten program is the original, on one input; what is cut and where it is joined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinv.borders.rewriting import Borders, on_pieces
from jaxinv.symmetry.tracing import trace
from jaxinv.symmetry.walk import line_of, walk
from tests.borders.rewritten import assert_equal, in_pieces, run, shapes
from tests.symmetry import bordered, judged, reference

COUNT, CHUNK = 60, 20


def rewritten(program, differentiated):
    """A random program with its borders cut, as a function, and how many equations it has more."""
    traced = trace(
        program.fun,
        (program.x,),
        argnums=0,
        axes=program.axes,
        enter=not differentiated,
    )
    line = walk(traced, line_of(traced.sizes)).values
    cut = on_pieces(traced, Borders(line), end=10**9, differentiated=differentiated)
    return (lambda x: run(cut, x)), len(cut.program.equations) - len(traced.program.equations)


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
@pytest.mark.parametrize("differentiated", [False, True], ids=["values", "differentiated"])
def test_random_programs(start, differentiated):
    wrong, cut = [], 0
    with jax.enable_x64(True):
        for seed in range(start, start + CHUNK):
            program = bordered.seeded(seed)
            fun, more = rewritten(program, differentiated)
            cut += more > 0
            mine, truth = reference.run(fun, program.x), reference.run(program.fun, program.x)
            for a, b in zip(mine, truth, strict=True):
                if not judged.close(a, b):
                    wrong.append(f"seed {seed}: {judged.difference(a, b)}\n{program}")
    assert not wrong, "\n\n".join(wrong)
    assert cut > 1


def convolve(x, seed=1, extent=3):
    kernel = np.random.default_rng(seed).normal(size=(extent, x.shape[2], 2))
    return lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_pieces_are_joined_at_the_end_that_is_given():
    def fun(x):
        return jnp.tanh(convolve(jnp.tanh(convolve(x))))

    kinds = {0: "ww", 1: "pw", 2: "pw", 3: "pp", 4: "pp"}
    with jax.enable_x64(True):
        for end, kind in kinds.items():
            made = shapes(assert_equal(fun, numbers(1, 9, 2), end=end), "conv_general_dilated")
            rows = {"w": [9], "p": [1, 7, 1]}, {"w": [9], "p": [2, 5, 2]}
            expected = [n for row, letter in zip(rows, kind, strict=True) for n in row[letter]]
            assert [shape[1] for shape in made] == expected


def test_equations_keep_their_layers():
    def fun(x):
        with jax.named_scope("first"):
            x = convolve(x)
        with jax.named_scope("second"):
            return jnp.tanh(convolve(x))

    made = in_pieces(fun, numbers(1, 9, 2)).program.equations
    assert {e.source.module for e in made} == {"first", "second"}
    assert {e.source.line.split(":")[0] for e in made} == {"test_rewriting.py"}


@jax.custom_jvp
def rounded_slope(x):
    return jnp.tanh(x) * 2


@rounded_slope.defjvp
def _(primals, tangents):
    return rounded_slope(*primals), tangents[0] * 0.5


@jax.custom_jvp
def centred(x):
    return x - x.mean()


@centred.defjvp
def _(primals, tangents):
    return centred(*primals), tangents[0]


@jax.custom_vjp
def clipped(x):
    return x * 2


clipped.defvjp(lambda x: (clipped(x), None), lambda _, g: (jnp.clip(g, -1, 1),))


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (jax.nn.relu, 3),
        (rounded_slope, 3),
        (centred, 1),
        (clipped, 1),
        (jax.checkpoint(lambda x: jnp.cumsum(jnp.sin(x), axis=1)), 1),
    ],
    ids=["relu", "pointwise", "over positions", "custom_vjp", "remat along positions"],
)
def test_calls_keep_their_derivatives(call, pieces):
    """A derivative of one's own goes piece by piece if it does position by position."""

    def fun(x):
        return call(convolve(x))

    with jax.enable_x64(True):
        x = numbers(1, 9, 2)
        x[0, 4] = 0
        cut = assert_equal(fun, x, differentiated=True)
        names = ("custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2")
        assert sum(len(shapes(cut, name)) for name in names) == pieces
        mine = jax.grad(lambda x: jnp.sum(jnp.sin(run(cut, x)[0])))(x)
        truth = jax.grad(lambda x: jnp.sum(jnp.sin(fun(x))))(x)
        np.testing.assert_allclose(mine, truth, rtol=1e-12, atol=1e-12)


def block(x):
    return jax.nn.relu(convolve(jnp.tanh(convolve(x))))


def scanned(x):
    kernels = np.random.default_rng(3).normal(size=(2, 3, 2, 2))
    step = lambda x, kernel: (jnp.tanh(convolved(x, kernel)), None)  # noqa: E731
    return jax.lax.scan(step, x, kernels, reverse=True)[0]


def convolved(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )


# Of nine positions one more at each end has met padding after each convolution.
BODIES = {
    "remat": (jax.checkpoint(block), [1, 7, 1, 2, 5, 2]),
    "remat of remat": (jax.checkpoint(jax.checkpoint(block)), [1, 7, 1, 2, 5, 2]),
    "scan over layers": (scanned, [1, 7, 1, 2, 5, 2]),
    "remat and scan": (jax.checkpoint(scanned), [1, 7, 1, 2, 5, 2]),
    "loop": (
        lambda x: lax.fori_loop(0, 3, lambda _, x: convolve(x), x),
        [1, 7, 1, 2, 5, 2, 3, 3, 3],
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("differentiated", [False, True], ids=["values", "differentiated"])
def test_bodies_stand_in_the_place_of_calls(name, differentiated):
    fun, pieces = BODIES[name]
    with jax.enable_x64(True):
        x = numbers(1, 9, 2)
        cut = assert_equal(fun, x, differentiated=differentiated)
        assert [shape[1] for shape in shapes(cut, "conv_general_dilated")] == pieces
        mine = jax.grad(lambda x: jnp.sum(jnp.sin(run(cut, x)[0])))(x)
        truth = jax.grad(lambda x: jnp.sum(jnp.sin(fun(x))))(x)
        np.testing.assert_allclose(mine, truth, rtol=1e-12, atol=1e-12)


def history(x):
    return lax.scan(lambda x, _: (convolve(x), x), x, None, length=2)


def long(x):
    return lax.fori_loop(0, 17, lambda _, x: convolve(x) / 8, x)


def along_rows(x):
    step = lambda carry, row: (convolve(carry) + row[:, None], None)  # noqa: E731
    return lax.scan(step, x, jnp.moveaxis(convolve(x), 1, 0))[0]


@pytest.mark.parametrize("fun", [history, long, along_rows])
def test_other_scans_are_joined(fun):
    with jax.enable_x64(True):
        cut = assert_equal(fun, numbers(1, 9, 2))
        assert len(shapes(cut, "scan")) == 1


def test_calls_are_entered_for_values():
    cut = in_pieces(lambda x: jax.checkpoint(jnp.sin)(convolve(x)), numbers(1, 9, 2))
    assert len(shapes(cut, "sin")) == 3
