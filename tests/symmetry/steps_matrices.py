"""Rare steps of other kinds: small matrices, random numbers, and transforms within the program."""

import jax
import jax.numpy as jnp
from jax import lax

from tests.symmetry.steps import Step, rare
from tests.symmetry.steps_rare import bound


# Matrices of a value with itself along one dimension: small, symmetric, well conditioned.
def _solve_by_iteration(a):
    return jax.scipy.sparse.linalg.cg(a, jnp.ones(a.shape[0], a.dtype), maxiter=3)[0]


def _linear_solve(a):
    return lax.custom_linear_solve(
        lambda x: a @ x,
        jnp.ones(a.shape[0], a.dtype),
        lambda matvec, b: jnp.linalg.solve(a, b),
        symmetric=True,
    )


def _tridiagonal(a):
    edge = jnp.zeros(1, a.dtype)
    off = jnp.diag(a, 1) * 0.1
    return lax.linalg.tridiagonal_solve(
        jnp.concatenate([edge, off]), jnp.diag(a), jnp.concatenate([off, edge]),
        jnp.ones((a.shape[0], 1), a.dtype),
    )[:, 0]  # fmt: skip


def _spread(a):
    """Far from the multiples of one matrix, of which reflections and eigenvectors are arbitrary."""
    return a + jnp.diag(jnp.arange(a.shape[0], dtype=a.dtype))


MATRICES = {
    "cholesky": jnp.linalg.cholesky,
    "eigvalsh": lambda a: jnp.linalg.eigvalsh(_spread(a)),
    "eigvals": lambda a: jnp.sort(jnp.abs(jnp.linalg.eigvals(_spread(a)))),
    "svd": lambda a: jnp.linalg.svd(_spread(a), compute_uv=False),
    "qr": lambda a: jnp.abs(jnp.diag(jnp.linalg.qr(a)[1])),
    "lu": jnp.linalg.inv,
    "det": lambda a: jnp.linalg.slogdet(a)[1],
    "triangular_solve": lambda a: jax.scipy.linalg.solve_triangular(
        a, jnp.ones(a.shape[0], a.dtype), lower=True
    ),
    "hessenberg": lambda a: jnp.diag(lax.linalg.hessenberg(_spread(a))[0]),
    "householder_product": lambda a: lax.linalg.householder_product(
        *lax.linalg.hessenberg(_spread(a))
    ),
    "tridiagonal": lambda a: lax.linalg.tridiagonal(_spread(a))[1],
    "schur": lambda a: jnp.sort(jnp.diag(lax.linalg.schur(_spread(a))[0])),
    "tridiagonal_solve": _tridiagonal,
    "linear_solve": _linear_solve,
    "conjugate gradients": _solve_by_iteration,
    "expm": lambda a: jax.scipy.linalg.expm(0.1 * a),
}  # fmt: skip


def _matrix(name):
    def make(d, value, layout):
        dim = d.one_of(range(len(layout)))

        def fun(v):
            few = lax.slice_in_dim(v, 0, min(6, v.shape[dim]), axis=dim)
            rows = jnp.tanh(jnp.moveaxis(few, dim, 0).reshape(few.shape[dim], -1))
            a = rows @ rows.T / rows.shape[1] + 2 * jnp.eye(rows.shape[0], dtype=v.dtype)
            return v + 0.1 * jnp.sum(MATRICES[name](a)).astype(v.dtype)

        return Step(f"{name} of {layout[dim]}", fun, layout)

    return make


for _name in MATRICES:
    rare(_matrix(_name))


# Random numbers: of a key of the program's own, or of one that the data go into.
def _data_key(v):
    return jax.random.fold_in(jax.random.key(3), (jnp.sum(v) > 0.1).astype(jnp.uint32))


def _old(v):
    key = jax.random.PRNGKey(3)
    return v * jax.random.bernoulli(
        jax.random.split(key)[0], 0.5, (v.shape[0],) + (1,) * (v.ndim - 1)
    )


RANDOM = {
    "bits": lambda v: v + (jax.random.bits(_data_key(v), v.shape) % 4).astype(v.dtype),
    "gamma": lambda v: v + jax.random.gamma(jax.random.key(2), 2.0, (), v.dtype),
    "gamma of data": lambda v: v * jax.random.gamma(jax.random.key(2), 1.0 + jnp.abs(v)),
    "rbg": lambda v: v + jax.random.randint(
        jax.random.key(1, impl="rbg"), (), 0, 3
    ).astype(v.dtype),
    "old key": _old,
    "generator": lambda v: v + (
        lax.rng_bit_generator(jnp.arange(4, dtype=jnp.uint32), (), jnp.uint32)[1] % 3
    ).astype(v.dtype),
    **bound("threefry2x32", lambda p, v: v * (1 + p.bind(
        *[jnp.uint32(i) for i in range(2)], *[jnp.arange(2, dtype=jnp.uint32)] * 2
    )[0][1] % 3).astype(v.dtype)),
    "choice": lambda v: v + jax.random.choice(jax.random.key(5), jnp.ravel(v)),
    "categorical": lambda v: v + jax.random.categorical(
        jax.random.key(4), v, axis=-1, shape=v.shape[:-1]
    )[..., None].astype(v.dtype),
    "gumbel noise": lambda v: v + jax.random.gumbel(jax.random.key(6), v.shape, v.dtype),
    "orthogonal": lambda v: v + jax.random.orthogonal(jax.random.key(6), 2, (), v.dtype)[0, 0],
}  # fmt: skip


def _random(name):
    def make(d, value, layout):
        return Step(f"random {name}", RANDOM[name], layout)

    return make


for _name in RANDOM:
    rare(_random(_name))


# Control flow that holds more than arrays, and transforms within the program.
def _switch(v):
    return lax.switch((jnp.sum(v) > 0.1).astype(jnp.int32), [jnp.abs, lambda u: 2 * u], v)


def _while_of_place(v):
    return lax.while_loop(
        lambda c: (c[0] < 5) & (jnp.max(c[1]) < 4), lambda c: (c[0] + 1, 2 * c[1]), (0, v)
    )[1]


def _fori_with_place(v):
    return lax.fori_loop(0, v.shape[-1], lambda i, u: u.at[..., i].multiply(2), v)


def _root(v):
    return lax.custom_root(
        lambda x: x**3 + x - v, v, lambda f, x: lax.fori_loop(
            0, 3, lambda _, y: y - f(y) / (3 * y**2 + 1), x
        ), lambda g, y: y / g(jnp.ones_like(y)),
    )  # fmt: skip


TRANSFORMED = {
    "switch": _switch,
    "while with a count": _while_of_place,
    "fori with a place": _fori_with_place,
    "custom_root": _root,
    "named call": lambda v: jax.named_call(jnp.abs, name="magnitude")(v) + v,
    "linearize": lambda v: jax.linearize(jnp.square, v)[1](jnp.ones_like(v)),
    "hvp": lambda v: jax.jvp(jax.grad(lambda u: jnp.sum(u**3)), (v,), (jnp.ones_like(v),))[1],
    "vmap of grad": lambda v: jax.vmap(jax.grad(lambda u: jnp.sum(u * u)))(v),
    "linear_transpose": lambda v: jax.linear_transpose(lambda u: 2 * jnp.flip(u, -1), v)(v)[0],
    "closure_convert": lambda v: jax.checkpoint(lambda u: jnp.square(u) + v)(v),
    "scan of places": lambda v: v + lax.scan(
        lambda c, i: (c + lax.dynamic_index_in_dim(v, i, -1), None),
        jnp.zeros_like(v[..., :1]), jnp.arange(v.shape[-1]),
    )[0],
    "map of rows": lambda v: lax.map(lambda u: u - jnp.max(u), v),
}  # fmt: skip


def _transformed(name):
    return lambda d, value, layout: Step(name, TRANSFORMED[name], layout)


for _name in TRANSFORMED:
    rare(_transformed(_name))
