"""Resizing by indices and by weights, and constants that repeat: what holds inside, what around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.symmetry import measured
from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn

pytestmark = pytest.mark.usefixtures("x64")

WEIGHTS = "resampling weights differ between positions"


def sound_interior(fun, shape, axes):
    """The interior of the one output, once it is seen to hold; start, stop and period an axis."""
    x = drawn(*shape)
    outputs = jaxinv.certify(fun, x, axes=axes, mode="constant").outputs
    orbit = measured.Orbit(fun, x, axes)
    assert not list(measured.interior_violations(orbit, outputs))
    inner = outputs[0].interior
    return [None if i is None else (i.start, i.stop, i.period) for i in inner]


@pytest.mark.parametrize(
    ("method", "size", "inner"),
    [
        # Two taps of the triangle, a quarter of a position off: the first and last output see less.
        ("linear", 24, (1, 23, 1)),
        ("linear", 36, (1, 35, 1)),
        ("linear", 18, (1, 17, 2)),
        # Downwards the kernel widens: an output reads 2 positions more at each end than it covers.
        ("linear", 6, (1, 5, 2)),
        ("linear", 4, (1, 3, 3)),
        ("linear", 8, (1, 7, 3)),
        ("cubic", 24, (3, 21, 1)),
        ("cubic", 36, (4, 32, 1)),
        ("cubic", 6, (2, 4, 2)),
        ("lanczos3", 24, (5, 19, 1)),
        ("nearest", 24, (0, 24, 1)),
        ("nearest", 18, (0, 18, 2)),
        ("nearest", 6, (0, 6, 2)),
        ("nearest", 9, (0, 9, 4)),
    ],
)
def test_resizing_inside(method, size, inner):
    def rows(x):
        return jax.image.resize(x, (1, size, 3, 1), method)

    assert sound_interior(rows, (1, 12, 3, 1), (1,)) == [inner]


def test_resizing_both_axes_of_another_layout():
    def net(x):
        x = jax.image.resize(x, (1, 2, 24, 6), "linear")
        return jnp.tanh(x[:, :, 1:] - x[:, :, :-1])

    assert sound_interior(net, (1, 2, 12, 12), (2, 3)) == [(1, 22, 1), (1, 5, 2)]


def test_sizes_with_no_common_ratio_have_no_interior_and_are_no_dense_layer():
    certificate = jaxinv.certify(
        lambda x: jax.image.resize(x, (1, 11, 3, 1), "linear"), jnp.ones((1, 12, 3, 1))
    )
    assert certificate.outputs[0].interior[0] is None
    assert [step.reason for step in certificate.breaks] == [WEIGHTS]


@pytest.mark.parametrize(
    ("dtype", "size", "inner"),
    [(jnp.float32, 72, (4, 68)), (jnp.bfloat16, 48, (3, 45)), (jnp.bfloat16, 72, (4, 68))],
)
def test_weights_of_other_types(dtype, size, inner):
    interior, _ = jaxinv.certify(
        lambda x: jax.image.resize(x, (1, size, 3, 1), "cubic"),
        jax.ShapeDtypeStruct((1, 24, 3, 1), dtype),
        mode="constant",
    ).interior
    assert (interior and (interior.start, interior.stop)) == inner


def test_weights_that_only_look_alike():
    weights = np.kron(np.eye(6), np.ones((2, 1))) / 2
    other = weights * (1 + 1e-3 * np.arange(6))

    def interior_of(table):
        certificate = jaxinv.certify(
            lambda x: jnp.einsum("nhc,ho->noc", x, table),
            jnp.ones((1, 12, 2)),
            axes=(1,),
            mode="constant",
        )
        return certificate.outputs[0].interior[0]

    assert (interior_of(weights).start, interior_of(weights).stop) == (0, 6)
    assert interior_of(other) is None
    assert interior_of(np.where(weights > 0, np.nan, 0)) is None
    assert interior_of(drawn(12, 6)) is None


def bilinear(x):
    """As PyTorch writes it: four gathers and weights by position, no weight beyond the border."""
    at = jnp.maximum((jnp.arange(24) + 0.5) / 2 - 0.5, 0)
    low = at.astype(int)
    high = jnp.minimum(low + 1, 11)
    t = (at - low)[:, None]
    x = x[:, low] * (1 - t[:, None]) + x[:, high] * t[:, None]
    t = (at - low)[None, :, None]
    return x[:, :, low] * (1 - t) + x[:, :, high] * t


def adaptive_mean(x, size):
    """As PyTorch writes it: all windows as long as the longest, and a mask."""
    starts = np.arange(size) * 12 // size
    lengths = -(-(np.arange(size) + 1) * 12 // size) - starts
    index = np.minimum(starts[:, None] + np.arange(lengths.max()), 11)
    inside = np.arange(lengths.max()) < lengths[:, None]
    values = x[:, index] * inside[:, :, None, None]
    return values.sum(2) / lengths[:, None, None]


def test_interpolation_written_out():
    assert sound_interior(bilinear, (1, 12, 12, 1), (1, 2)) == [(1, 23, 1), (1, 23, 1)]


def test_adaptive_pooling_written_out():
    assert sound_interior(lambda x: adaptive_mean(x, 4), (1, 12, 3, 1), (1,)) == [(0, 4, 3)]
    assert sound_interior(lambda x: adaptive_mean(x, 6), (1, 12, 3, 1), (1,)) == [(0, 6, 2)]


CHECKER = np.indices((6, 4)).sum(0)[:, :, None] % 2


def test_constants_that_repeat():
    x = drawn(2, 6, 4, 3)
    cases = {
        "a checker": (lambda x: x * CHECKER, "2,2 | P2 W6/2 W4/2 P3"),
        "stripes": (lambda x: jnp.where(CHECKER[:, :1] == 0, x, -x), "2,1 | P2 W6/2 W4 P3"),
        "thirds": (lambda x: x + drawn(3, 1, 1)[np.arange(6) % 3], "3,1 | P2 W6/3 W4 P3"),
        "a constant written out": (lambda x: x + np.ones((6, 4, 3)), "1,1 | P2 W6 W4 P3"),
        "on a coarse map": (
            lambda x: jnp.repeat(x[:, ::3], 2, 1) * CHECKER[:4, :1],
            "3,1 | P2 W2*P2 W4 P3",
        ),
        "a period that does not divide": (
            lambda x: x[:, :, :3] * np.array([1.0, 2.0, 1.0])[:, None],
            "1,4 | P2 W6 P3 P3",
        ),
        "almost": (
            lambda x: x * (1 + np.array([0, 1, 0, 1, 0, 1 + 1e-12]))[:, None, None],
            "6,1 | P2 P6 W4 P3",
        ),
        "reversed": (
            lambda x: jnp.flip(x, 1) * CHECKER[:, :1],
            "2,1 | P2 W6/-2 W4 P3",
        ),
    }
    assert_states(cases, x)
    assert_same_gradient(lambda x: [fun(x) for fun, _ in cases.values()], x)


def test_a_constant_that_repeats_only_inside():
    mask = np.array([5.0, *[1.0, 2.0] * 4, 1.0, 7.0, 7.0])

    def fun(x):
        return x * mask[:, None]

    assert sound_interior(fun, (1, 12, 2), (1,)) == [(1, 10, 2)]


def test_resized_and_cropped_on_the_torus_of_a_larger_image():
    def fun(x):
        return lax.slice_in_dim(jax.image.resize(x, (1, 24, 3, 1), "linear"), 1, 23, axis=1).mean()

    x = drawn(1, 12, 3, 1)
    shared, each = (
        jaxinv.orbit(fun, mode="edge", max_shift=(2, 0), share=share)(x) for share in (True, False)
    )
    np.testing.assert_allclose(shared, each, rtol=1e-12)


@pytest.mark.parametrize("mode", ["edge", "reflect", "constant"])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_interior_of_what_is_padded_at_the_border(mode, width):
    """All but the padding, whatever it holds; a kernel of 3 then sees one less at each end."""

    def padded(x):
        return jnp.pad(x, ((0, 0), (width, width), (0, width), (0, 0)), mode=mode)

    x = jax.ShapeDtypeStruct((1, 9, 8, 2), jnp.float32)
    rows, columns = jaxinv.certify(padded, x).interior
    assert (rows.start, rows.stop, rows.size) == (width, 9 + width, 9 + 2 * width)
    assert (columns.start, columns.stop, columns.size) == (0, 8, 8 + width)
    kernel = np.ones((3, 3, 2, 4), np.float32)

    def net(x):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            padded(x), kernel, (1, 1), "VALID", dimension_numbers=layout
        )

    rows, _ = jaxinv.certify(net, x, mode="constant").interior
    assert (rows.start, rows.stop) == (width, 9 + width - 2)


def halo_attention(x, mode="wrap", bias=0.0):
    """Attention of blocks of 2 x 2 positions to themselves and what is around them."""
    batch, rows, columns, channels = x.shape
    blocks = (rows // 2, columns // 2)
    queries = jnp.swapaxes(x.reshape(batch, blocks[0], 2, blocks[1], 2, channels), 2, 3)
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode)
    i, j = (2 * np.arange(n)[:, None] + np.arange(4) for n in blocks)
    keys = padded[:, i[:, None, :, None], j[None, :, None, :]]
    logits = jnp.einsum("nijabc,nijklc->nijabkl", queries, keys) + bias
    weights = jax.nn.softmax(logits.reshape(*logits.shape[:5], 16), -1).reshape(logits.shape)
    mixed = jnp.einsum("nijabkl,nijklc->nijabc", weights, keys)
    return jnp.swapaxes(mixed, 2, 3).reshape(x.shape)


def test_blocks_that_attend_to_their_surroundings():
    x = drawn(1, 6, 6, 2)
    by_distance, by_block = drawn(2, 2, 4, 4), drawn(3, 1, 1, 1, 1, 1)
    cases = {
        "halo": (lambda x: halo_attention(x, bias=by_distance), "2,2 | 1 W3*P2 W3*P2 P2"),
        "a bias of each row of blocks": (
            lambda x: halo_attention(x, bias=by_block),
            "6,2 | 1 P3*P2 W3*P2 P2",
        ),
    }
    assert_states(cases, x)
    padded = lambda x: halo_attention(x, mode="constant")  # noqa: E731
    assert sound_interior(padded, (1, 8, 6, 1), (1, 2)) == [(2, 6, 2), (2, 4, 2)]
