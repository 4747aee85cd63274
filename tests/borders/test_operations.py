"""Each operation piece by piece: where its result is cut, and that it is the whole operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.borders.rewritten import assert_equal, in_pieces, lengths, run, shapes

pytestmark = pytest.mark.usefixtures("x64")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def convolve(x, extent, stride=1, padding="SAME", *, features=3, **options):
    kernel = numbers(extent, x.shape[2] // options.get("feature_group_count", 1), features, seed=1)
    return lax.conv_general_dilated(
        x, kernel, (stride,), padding, dimension_numbers=("NWC", "WIO", "NWC"), **options
    )


def pool(x, initial, combine, extent, stride, padding, dilation=1):
    sizes = (1, extent, 1), (1, stride, 1), [(0, 0), padding, (0, 0)]
    initial = np.asarray(initial, x.dtype)
    return lax.reduce_window(x, initial, combine, *sizes, window_dilation=(1, dilation, 1))


def bordered(x):
    """Twelve positions, of which the first has met padding and the last two."""
    return lax.pad(x, 0.5, ((0, 0, 0), (1, 2, 0), (0, 0, 0)))


def added_to_itself(x):
    """Of two maps with other cuts the interior is what both have of it."""
    x = bordered(x)
    return convolve(x, 3, features=2) + x


def resized(x):
    return jax.image.resize(bordered(x), (1, 24, 2), "nearest")


def scaled_rows(x):
    return bordered(x) * np.arange(1.0, 13).reshape(1, 12, 1)


# Twelve positions come from nine: cut at 1 and 10. Where a result is cut is worked out by hand.
ALONG_ROWS = {
    "pad": (bordered, [1, 9, 2]),
    "pad with zeros in between": (
        lambda x: lax.pad(x, 0.0, ((0, 0, 0), (3, 0, 1), (0, 0, 0))),
        [2, 18],
    ),
    "negative pad": (
        lambda x: lax.pad(bordered(x), 0.0, ((0, 0, 0), (-1, -1, 0), (0, 0, 0))),
        [9, 1],
    ),
    "convolution": (lambda x: convolve(x, 3), [1, 7, 1]),
    "convolution of what is cut": (lambda x: convolve(bordered(x), 5), [3, 5, 4]),
    "stride 2": (lambda x: convolve(bordered(x), 3, 2, [(1, 1)]), [1, 4, 1]),
    "stride 3": (lambda x: convolve(bordered(x), 3, 3, [(1, 1)]), [1, 2, 1]),
    "dilated": (lambda x: convolve(x, 3, padding=[(2, 2)], rhs_dilation=(2,)), [2, 5, 2]),
    "groups": (lambda x: convolve(x, 3, features=4, feature_group_count=2), [1, 7, 1]),
    "transposed": (
        lambda x: convolve(bordered(x), 3, padding=[(1, 2)], lhs_dilation=(2,)),
        [2, 17, 5],
    ),
    "cropped by its padding": (lambda x: convolve(bordered(x), 3, padding=[(-1, 1)]), [7, 3]),
    "maximum": (lambda x: pool(bordered(x), -np.inf, lax.max, 2, 2, (0, 0)), [1, 4, 1]),
    "minimum": (lambda x: pool(x, np.inf, lax.min, 3, 1, (1, 1)), [1, 7, 1]),
    "mean": (lambda x: pool(x, 0.0, lax.add, 3, 2, (1, 1)) / 3, [1, 3, 1]),
    "product": (lambda x: pool(x, 1.0, lax.mul, 2, 1, (1, 0), 1), [1, 8]),
    "dilated pool": (lambda x: pool(x, -np.inf, lax.max, 2, 1, (2, 0), 2), [2, 7]),
    "pointwise": (lambda x: jnp.tanh(bordered(x)) * 2 + 1, [1, 9, 2]),
    "bias": (lambda x: bordered(x) + numbers(2), [1, 9, 2]),
    "residual sum": (added_to_itself, [2, 7, 3]),
    "choice": (lambda x: jnp.where(bordered(x) > 0, bordered(x), 0.0), [1, 9, 2]),
    "whole numbers": (lambda x: (bordered(x) > 0).astype("int32"), [1, 9, 2]),
    "slice": (lambda x: bordered(x)[:, 0:11], [1, 9, 1]),
    "strided slice": (lambda x: bordered(x)[:, ::2], [1, 4, 1]),
    "reversed": (lambda x: bordered(x)[:, ::-1], [2, 9, 1]),
    "channels joined": (
        lambda x: jnp.concatenate([bordered(x), convolve(bordered(x), 3)], 2),
        [2, 7, 3],
    ),
    "channels split": (lambda x: jnp.split(bordered(x), 2, axis=2)[1], [1, 9, 2]),
    "channels of a place": (lambda x: bordered(x)[:, :, 1], [1, 9, 2]),
    "edge padding": (lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="edge"), [2, 9, 1]),
    "reflect padding": (lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="reflect"), [2, 9, 1]),
    "symmetric padding": (
        lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="symmetric"),
        [2, 9, 1],
    ),
    "repeated": (lambda x: jnp.repeat(bordered(x), 2, axis=1), [2, 18, 4]),
    "nearest neighbours": (resized, [2, 18, 4]),
    "split into two": (lambda x: bordered(x).reshape(1, 6, 2, 2), [1, 4, 1]),
    "transposed dimensions": (lambda x: jnp.transpose(bordered(x), (2, 1, 0)), [1, 9, 2]),
    "one dimension more": (lambda x: bordered(x)[:, :, None] + numbers(1, 1, 3, 2), [1, 9, 2]),
    "dense over channels": (lambda x: bordered(x) @ numbers(2, 4), [1, 9, 2]),
    "softmax over channels": (lambda x: jax.nn.softmax(bordered(x), axis=2), [1, 9, 2]),
    "ranks of channels": (lambda x: jnp.sort(bordered(x), axis=2), [1, 9, 2]),
    "sums along channels": (lambda x: jnp.cumsum(bordered(x), axis=2), [1, 9, 2]),
    "the largest channel": (lambda x: jnp.argmax(bordered(x), axis=2), [1, 9, 2]),
    "relu": (lambda x: jax.nn.relu(bordered(x)), [1, 9, 2]),
}


@pytest.mark.parametrize("name", ALONG_ROWS)
def test_pieces_of_a_map(name):
    fun, expected = ALONG_ROWS[name]
    assert lengths(assert_equal(fun, numbers(1, 9, 2))) == [n for n in expected if n]


def nine(x):
    """A map of 12 x 10 positions, cut at 1 and 10 along the rows, at 2 and 9 along the columns."""
    return lax.pad(x, 0.5, ((0, 0, 0), (1, 2, 0), (2, 1, 0), (0, 0, 0)))


def convolve_map(x, stride=1, features=3):
    kernel = numbers(3, 3, x.shape[3], features, seed=1)
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 2, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


SMALL, ROWS, COLUMNS = (1, 1, 1, 3), (1, 1, 5, 3), (1, 7, 1, 3)


def test_a_padded_convolution_makes_nine_pieces():
    cut = assert_equal(convolve_map, numbers(1, 9, 7, 2), axes=(1, 2))
    row = [SMALL, ROWS, SMALL]
    assert shapes(cut, "conv_general_dilated") == [*row, COLUMNS, (1, 7, 5, 3), COLUMNS, *row]


def test_pieces_only_read_what_they_need():
    """The interior of the second convolution is one without padding, of the first's interior."""

    def fun(x):
        return convolve_map(convolve_map(x))

    cut = assert_equal(fun, numbers(1, 9, 7, 2), axes=(1, 2))
    second = [e for e in cut.program.equations if str(e.primitive) == "conv_general_dilated"][9:]
    read = [e.in_avals[0].shape[1:3] for e in second]
    assert read == [(3, 3), (3, 5), (3, 3), (7, 3), (7, 5), (7, 3), (3, 3), (3, 5), (3, 3)]
    padding = [e.params["padding"] for e in second]
    assert padding[0] == ((1, 0), (1, 0))
    assert padding[1] == ((1, 0), (0, 0))
    assert padding[4] == ((0, 0), (0, 0))
    assert padding[8] == ((0, 1), (0, 1))


def test_a_map_whose_borders_meet_is_not_cut():
    """Four positions after a kernel of 9: each has met padding."""

    def fun(x):
        return convolve(convolve(x, 9), 3)

    cut = assert_equal(fun, numbers(1, 4, 2))
    assert shapes(cut, "conv_general_dilated") == [(1, 4, 3), (1, 4, 3)]


SUMS = {
    "sum": ("reduce_sum", lambda x: x.sum(axis=(1, 2)), 9),
    "sum along one axis": ("reduce_sum", lambda x: x.sum(axis=1), 9),
    "sum over channels": ("reduce_sum", lambda x: x.sum(axis=3), 9),
    "mean": ("reduce_sum", lambda x: x.mean(axis=(1, 2)), 9),
    "maximum": ("reduce_max", lambda x: x.max(axis=(1, 2)), 9),
    "minimum": ("reduce_min", lambda x: x.min(axis=(1, 2, 3)), 9),
    "product": ("reduce_prod", lambda x: x.prod(axis=(1, 2)), 9),
    "all": ("reduce_and", lambda x: (x > 0).all(axis=(1, 2)), 9),
    "any": ("reduce_or", lambda x: (x > 2).any(axis=(1, 2)), 9),
    "position of the maximum": ("argmax", lambda x: x.argmax(axis=1), 3),
    "flatten + Dense": (
        "dot_general",
        lambda x: x.reshape(x.shape[0], -1) @ numbers(12 * 10 * 2, 4),
        9,
    ),
    "activation, flatten + Dense": (
        "dot_general",
        lambda x: jnp.tanh(x.reshape(x.shape[0], -1)) @ numbers(240, 4),
        9,
    ),
    "dense over rows": ("dot_general", lambda x: jnp.einsum("nhwc,hk->nwck", x, numbers(12, 3)), 9),
    "scores of queries": (
        "dot_general",
        lambda x: jnp.einsum("nhwc,qc->nhwq", x, numbers(3, 2)),
        9,
    ),
    "pooling by attention": (
        "dot_general",
        lambda x: jnp.einsum("nhwc,nhwd->ncd", x, jnp.tanh(x)),
        9,
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_over_pieces(name):
    primitive, fun, count = SUMS[name]
    cut = assert_equal(lambda x: fun(nine(x)), numbers(2, 9, 7, 2), axes=(1, 2))
    assert len(shapes(cut, primitive)) == count


def test_a_sum_in_half_precision_is_rounded_once():
    kernel = numbers(12 * 2, 4)

    def dense(x):
        return bordered(x).astype("bfloat16").reshape(1, -1) @ kernel.astype("bfloat16")

    cut = assert_equal(lambda x: dense(x) * 0, numbers(1, 9, 2))
    made = [e for e in cut.program.equations if str(e.primitive) == "dot_general"]
    assert [e.out_avals[0].dtype for e in made] == ["float32"] * 3


@pytest.mark.parametrize("reduce", [jnp.max, jnp.min])
def test_an_extremum_that_is_differentiated_is_taken_at_once(reduce):
    """Of equal positions each has the same share of the gradient, whichever piece it lies in."""

    def fun(x):
        return reduce(bordered(x), axis=1)

    cut = in_pieces(fun, numbers(1, 9, 2), differentiated=True)
    assert (
        len(shapes(cut, reduce.__name__.replace("max", "reduce_max").replace("min", "reduce_min")))
        == 1
    )


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: lax.associative_scan(jnp.add, bordered(x), axis=1),
        lambda x: jnp.fft.fft(bordered(x), axis=1).real,
        lambda x: lax.scan(
            lambda c, row: (c + row, c * row), jnp.zeros((1, 2)), jnp.moveaxis(bordered(x), 1, 0)
        )[1],
        lambda x: jax.image.resize(bordered(x), (1, 24, 2), "linear"),
        lambda x: bordered(x)[:, jnp.argsort(bordered(x)[0, :, 0])],
        lambda x: jnp.cumsum(bordered(x), axis=1),
        lambda x: convolve(bordered(x).reshape(1, 8, 3), 3),
        lambda x: bordered(x).at[:, 3].set(0.0),
    ],
    ids=["scan", "Fourier", "loop", "linear", "sorted", "cumsum", "across cuts", "scatter"],
)
def test_anything_else_joins_the_pieces(fun):
    assert_equal(fun, numbers(1, 9, 2))


def test_padding_by_a_constant_reads_nothing():
    cut = in_pieces(bordered, numbers(1, 9, 2))
    assert [str(e.primitive) for e in cut.program.equations] == ["broadcast_in_dim"] * 2 + [
        "concatenate"
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_is(value):
    """Nothing is read in a piece that the whole operation would not read there."""
    x = numbers(1, 9, 7, 2)
    x[0, 2, 3, 1] = value

    def fun(x):
        y = convolve_map(convolve_map(x), 2)
        z = lax.reduce_window(y, -np.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
        return y, z, y.reshape(1, -1) @ numbers(5 * 4 * 3, 2)

    for mine, truth in zip(run(in_pieces(fun, x, axes=(1, 2)), x), fun(x), strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-12, atol=1e-12)


def test_three_axes_and_channels_first():
    def fun(x):
        kernel = numbers(2, 1, 3, 3, 3, seed=1)
        return lax.conv_general_dilated(
            x, kernel, (1, 2, 1), "SAME", dimension_numbers=("NCHWD", "OIHWD", "NCHWD")
        )

    cut = assert_equal(fun, numbers(1, 1, 5, 6, 5), axes=(2, 3, 4))
    assert len(shapes(cut, "conv_general_dilated")) == 3 * 2 * 3


def test_empty_arrays_and_scalars():
    def fun(x):
        return bordered(x)[:, :0], bordered(x)[0, 0, 0], jnp.float32(2), x

    assert_equal(fun, numbers(1, 9, 2))
