"""The numpy evaluation of jaxprs agrees with jax, on programs and on single primitives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinv.tolerances import spacing_of
from tests.symmetry import programs, reference


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_agree_with_jax(seed):
    with jax.enable_x64(True):
        program = programs.seeded(seed)
        expected = jax.tree.leaves(jax.jit(program.fun)(program.x))
        # To the rounding of the narrowest numbers that the program computes with.
        near = max(1e-9, 64 * spacing_of(jax.make_jaxpr(program.fun)(program.x)))
        for mine, theirs in zip(reference.run(program.fun, program.x), expected, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=near, atol=near)


X = np.random.default_rng(0).normal(size=(2, 6, 5, 4))
KERNEL = np.random.default_rng(1).normal(size=(2, 3, 2, 6))
PRIMITIVES = {
    "grouped dilated convolution": lambda v: lax.conv_general_dilated(
        v, KERNEL, (2, 1), [(1, 2), (0, 1)], (2, 1), (1, 2), ("NHWC", "HWIO", "CWNH"), 2
    ),
    "batch groups": lambda v: lax.conv_general_dilated(
        v, np.tile(KERNEL, (1, 1, 2, 1)), (1, 1), "VALID", None, None,
        ("NHWC", "HWIO", "NHWC"), 1, 2,
    ),
    "pool": lambda v: lax.reduce_window(
        v, -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 0), (0, 1), (0, 0)),
        (1, 2, 1, 1), (1, 1, 2, 1),
    ),
    "sum pool": lambda v: lax.reduce_window(v, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 1, 1), "SAME"),
    "pad, and crop more than there is": lambda v: lax.pad(
        v, 0.5, [(0, 0, 0), (8, -7, 0), (-9, 10, 0), (0, 0, 0)]
    ),
    "pad and crop": lambda v: lax.pad(v, 0.5, [(0, 0, 0), (-1, 2, 1), (2, -1, 0), (-1, -1, 0)]),
    "contraction": lambda v: jnp.einsum("nhwc,nhvc->cwv", v, jnp.sin(v)),
    "rounding": lambda v: jnp.round(4 * v) + lax.round(4 * v),
    "integer division": lambda v: lax.div(jnp.int64(7) - 3 * v.astype(int), jnp.int64(2)),
    "reverse sums": lambda v: lax.cumsum(v, 1, reverse=True) + lax.cummax(v, 2),
    "reverse scan": lambda v: lax.scan(
        lambda c, u: (jnp.tanh(c + u), c), v[0], jnp.moveaxis(v, 1, 0)[:, 0], reverse=True
    )[1],
    "switch": lambda v: lax.switch(2, [jnp.sin, jnp.cos, jnp.tanh], v),
    "choice of three": lambda v: lax.select_n((v > 0) * 1 + (v > 1), v, 2 * v, -v),
    "clamped update": lambda v: lax.dynamic_update_slice(v, v[:, :2] * 0, (0, 5, 0, 0)),
    "gather": lambda v: jnp.take(v, jnp.array([[3, 0], [1, 9]]), axis=1, mode="clip"),
    "gather of places out of range": lambda v: jnp.nan_to_num(v.at[:, jnp.array([7, 2])].get(
        mode="fill", fill_value=0.5)),
    "batched gather": jax.vmap(
        lambda v: lax.dynamic_slice_in_dim(v, (v[0, 0, 0] > 0).astype(int), 3, axis=0)
    ),
    "take along": lambda v: jnp.take_along_axis(v, jnp.argsort(v, axis=2), axis=2),
    "scatter": lambda v: v.at[:, jnp.array([1, 1, 4])].add(2.0),
    "batched scatter": jax.vmap(lambda v: v.at[(v[0, 0] > 0).astype(int)].add(v[2])),
    "gradient of a gather": jax.grad(
        lambda v: jnp.sum(jnp.sin(jnp.take(v, jnp.array([3, 0, 3]), axis=1)))
    ),
    "batched while": jax.vmap(
        lambda v: lax.while_loop(lambda u: jnp.max(u) > 0.4, lambda u: 0.7 * u, v)
    ),
    "reshape of transposed": lambda v: lax.reshape(v, (10, 24), (2, 0, 1, 3)),
    "split": lambda v: jnp.split(v, [1, 4], axis=1)[1],
    "bound by jax": lambda v: lax.approx_max_k(v, 2)[0],
    "sort by two": lambda v: jnp.stack(lax.sort((jnp.round(v), v), dimension=1, num_keys=2)),
    "largest": lambda v: jnp.concatenate([u.astype(v.dtype) for u in lax.top_k(v, 3)], -1),
    "Fourier": lambda v: jnp.abs(jnp.fft.fft2(v, axes=(1, 2))) + jnp.real(jnp.fft.ifft(v, axis=1)),
    "real Fourier": lambda v: jnp.fft.irfftn(jnp.fft.rfftn(v, axes=(1, 2)), s=(6, 5), axes=(1, 2)),
    "cumulative": lambda v: lax.cumprod(v, 1) + lax.cummin(v, 2, reverse=True)
    + lax.cumlogsumexp(v, 1, reverse=True),
    "tiles": lambda v: jnp.tile(v, (1, 2, 1, 3)) + jnp.tile(jnp.unstack(v, axis=3)[1][..., None],
                                                            (1, 2, 1, 12)),
    "dropped scatters": lambda v: v.at[:, jnp.array([5, 9])].set(0.5, mode="drop")
    .at[:, :, jnp.array([4, 7])].multiply(3.0),
    "clipped scatter": lambda v: v.at[:, jnp.array([2, 9])].add(0.5, mode="clip"),
    "extreme scatters": lambda v: v.at[:, 2].min(-v[:, 1]).at[:, ::2].max(0.1),
    "scatter of differences": lambda v: v.at[:, jnp.array([1, 1])].subtract(0.5),
    "scatter of a function": lambda v: v.at[:, 1::2].apply(jnp.sin),
    "scatter of a block": lambda v: lax.scatter(
        v, jnp.array([[1, 2]]), jnp.ones((1, 2, 3, 2, 4)), lax.ScatterDimensionNumbers(
            update_window_dims=(1, 2, 3, 4), inserted_window_dims=(),
            scatter_dims_to_operand_dims=(1, 2)),
    ),
    "special functions": lambda v: lax.lgamma(1 + abs(v)) + lax.digamma(1 + abs(v))
    + lax.igamma(1 + abs(v), 0.5 + 0 * v) + lax.bessel_i0e(v) + lax.erf_inv(jnp.tanh(v)),
    "random": lambda v: v * jax.random.normal(jax.random.key(3), v.shape, v.dtype),
}  # fmt: skip


def pooled(v, *, init=-np.inf, combine=lax.max):
    return lax.reduce_window(
        v, init, combine, (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 1), (0, 1), (0, 0))
    )


# What chooses among equal values, or meets NaN: the choice is part of the definition.
CHOICES = {
    "gradient of a maximum pool": jax.grad(lambda v: jnp.nansum(W[..., :5, :] * pooled(v))),
    "gradient of a minimum pool": jax.grad(
        lambda v: jnp.nansum(W[..., :5, :] * pooled(v, init=np.inf, combine=lax.min))
    ),
    "gradient of a sort": jax.grad(lambda v: jnp.nansum(jnp.arange(6.0)[:, None, None]
                                                        * jnp.sort(v, axis=1))),
    "gradient of the largest": jax.grad(lambda v: jnp.nansum(
        jnp.arange(1, 3) * lax.top_k(v, 2)[0])),
    "order": lambda v: jnp.argsort(v, axis=1) + jnp.argmax(v, axis=1, keepdims=True),
    "descending order": lambda v: jnp.argsort(v, axis=1, descending=True),
    "largest": lambda v: jnp.concatenate([u.astype(v.dtype) for u in lax.top_k(v, 3)], -1),
    "smallest place": lambda v: jnp.argmin(v, axis=2),
    "pool": pooled,
    "cumulative maximum": lambda v: lax.cummax(v, 1),
    "clamped": lambda v: lax.clamp(-0.5, v, 0.5) + jnp.maximum(v, 0) + jnp.minimum(v, 0.5),
    "sums": lambda v: jnp.sum(v, 1) + jnp.mean(v, (1, 2))[:, None],
    "median": lambda v: jnp.median(v, axis=(1, 2)),
    "rounded": lambda v: jnp.round(v) + jnp.sign(v) + jnp.floor(v),
    "product": lambda v: jnp.einsum("nhwc,hd->ndwc", v, np.eye(6)[:, :3]),
}  # fmt: skip
W = np.random.default_rng(5).normal(size=(2, 3, 6, 4))
TIES = np.random.default_rng(6).integers(0, 3, size=(2, 6, 5, 4)).astype(float)
MISSING = TIES.copy()
MISSING.reshape(-1)[[3, 17, 40, 41, 77, 100]] = [np.nan, np.inf, -np.inf, np.nan, -0.0, np.nan]


@pytest.mark.parametrize("x", [TIES, MISSING], ids=["ties", "NaN and infinities"])
@pytest.mark.parametrize("name", CHOICES)
def test_choices_agree_with_jax(name, x):
    with jax.enable_x64(True):
        (mine,) = reference.run(CHOICES[name], x)
        np.testing.assert_allclose(mine, CHOICES[name](jnp.asarray(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_agree_with_jax(name):
    with jax.enable_x64(True):
        (mine,) = reference.run(PRIMITIVES[name], X)
        np.testing.assert_allclose(mine, PRIMITIVES[name](jnp.asarray(X)), rtol=1e-10, atol=1e-10)
