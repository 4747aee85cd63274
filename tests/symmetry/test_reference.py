"""The numpy evaluation of jaxprs agrees with jax, on programs and on single primitives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.symmetry import programs, reference


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_agree_with_jax(seed):
    with jax.enable_x64(True):
        program = programs.seeded(seed)
        expected = jax.tree.leaves(jax.jit(program.fun)(program.x))
        for mine, theirs in zip(reference.run(program.fun, program.x), expected, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


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
    "bound by jax": lambda v: lax.top_k(v, 2)[0],
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_agree_with_jax(name):
    with jax.enable_x64(True):
        (mine,) = reference.run(PRIMITIVES[name], X)
        np.testing.assert_allclose(mine, PRIMITIVES[name](jnp.asarray(X)), rtol=1e-10, atol=1e-10)
