"""Class tokens: what is joined to what moves, and kept apart where that is worth it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxinv
from jaxinv.borders.pieces import Layout, uncut
from jaxinv.borders.seams import Seams
from jaxinv.symmetry.program import flatten
from tests.sweeps import few
from tests.symmetry.shifted import drawn


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


class Block(nn.Module):
    """Attention of two heads and an MLP, both residual."""

    @nn.compact
    def __call__(self, tokens):
        tokens += nn.MultiHeadDotProductAttention(2, param_dtype=jnp.float64)(
            nn.LayerNorm()(tokens)
        )
        hidden = nn.gelu(nn.Dense(12, param_dtype=jnp.float64)(nn.LayerNorm()(tokens)))
        return tokens + nn.Dense(6, param_dtype=jnp.float64)(hidden)


class Transformer(nn.Module):
    """A vision transformer without position embedding.

    Attributes:
      first: how many class tokens stand before those of the image.
      last: and how many after them.
      read: what is made of all tokens.
    """

    first: int = 1
    last: int = 0
    read: str = "token"

    @nn.compact
    def __call__(self, x):
        window = tuple(2 for _ in x.shape[1:-1])
        patches = nn.Conv(6, window, window, "VALID", param_dtype=jnp.float64)(x)
        image = patches.reshape(len(x), -1, 6)
        shape = (1, self.first + self.last, 6)
        tokens = self.param("tokens", nn.initializers.normal(1.0), shape, jnp.float64)
        tokens = jnp.broadcast_to(tokens, (len(x), *shape[1:]))
        before, after = tokens[:, : self.first], tokens[:, self.first :]
        joined = jnp.concatenate([before, image, after], axis=1)
        for _ in range(2):
            joined = Block()(joined)
        joined = nn.LayerNorm()(joined)
        end = self.first + image.shape[1]
        return {
            "token": joined[:, 0],
            "mean": joined.mean(axis=1),
            "last": joined[:, -1],
            "image": joined[:, self.first : end].reshape(patches.shape),
            "all": joined,
        }[self.read]


def applied(net, x):
    variables = net.init(jax.random.key(0), x)
    return lambda x: net.apply(variables, x)


NETWORKS = {
    "a class token": (Transformer(), "invariant"),
    "two, the mean of all": (Transformer(first=2, read="mean"), "invariant"),
    "a register behind the image": (Transformer(first=0, last=1, read="last"), "invariant"),
    "before and behind": (Transformer(first=1, last=2, read="token"), "invariant"),
    "the image goes on": (Transformer(last=1, read="image"), "equivariant"),
}


@pytest.mark.parametrize("name", few(NETWORKS, "a class token", "the image goes on"))
def test_class_tokens_keep_the_symmetry(name):
    net, kind = NETWORKS[name]
    x = drawn(1, 8, 4, 2)
    fun = applied(net, x)
    certificate = jaxinv.certify(fun, x)
    assert (certificate.kind, certificate.period) == (kind, (2, 2))
    assert all(reason.cause.name == "STRIDE" for b in certificate.breaks for reason in b.reasons)
    # What is shown is the function as it was written: the tokens joined.
    whole = 8 + net.first + net.last
    assert any(step.shape == (1, whole, 6) for step in certificate.steps)
    np.testing.assert_allclose(
        jaxinv.orbit(fun)(x), jaxinv.orbit(fun, share=False)(x), rtol=0, atol=1e-12
    )
    assert certificate.cost == pytest.approx(jaxinv.orbit_cost(fun, x).forward_passes)
    assert certificate.cost < 8
    assert "interior" not in certificate.work.largest  # The pieces at seams meet no border.


@pytest.mark.parametrize("form", ["scan", "remat"])
def test_blocks_in_a_loop(form):
    x, kernels = drawn(1, 6, 4, 2), drawn(3, 2, 2)

    def block(tokens, kernel):
        scores = jax.nn.softmax(tokens @ kernel @ tokens.swapaxes(1, 2), -1)
        return jnp.tanh(tokens + scores @ tokens), None

    def fun(x):
        tokens = jnp.concatenate([jnp.ones((1, 1, 2)), x.reshape(1, 24, 2)], 1)
        if form == "scan":
            return jax.lax.scan(block, tokens, kernels)[0][:, 0]
        for kernel in kernels:
            tokens = jax.checkpoint(block)(tokens, kernel)[0]
        return tokens[:, 0]

    certificate = jaxinv.certify(fun, x)
    assert (certificate.kind, certificate.period) == ("invariant", (1, 1))
    assert certificate.cost < 3

    def loss(x, share):
        return (jaxinv.orbit(fun, share=share)(x) * drawn(6, 4, 1, 2)).sum()

    for transform in (lambda f: f, jax.grad):
        shared, each = (transform(loss)(x, share) for share in (True, False))
        np.testing.assert_allclose(shared, each, rtol=0, atol=1e-12)


def test_all_tokens_together_follow_no_shift():
    x = drawn(1, 8, 4, 2)
    certificate = jaxinv.certify(applied(Transformer(read="all"), x), x)
    assert certificate.kind == "broken"
    assert certificate.first_end.primitive == "concatenate"


def test_a_position_embedding_beside_a_class_token():
    x = drawn(1, 8, 4, 2)
    table = drawn(9, 2)

    def fun(x):
        tokens = jnp.concatenate([jnp.ones((1, 1, 2)), x[:, ::2, ::2].reshape(1, 8, 2)], 1)
        return jax.nn.softmax((tokens + table) @ drawn(2, 1), 1).max((1, 2))

    certificate = jaxinv.certify(fun, x)
    assert certificate.kind == "broken"
    assert np.array_equal(jaxinv.orbit(fun)(x).shape, (8, 4, 1))


def test_the_maximum_of_a_softmax_has_no_derivative():
    def fun(x):
        return jax.nn.softmax(x), x.max(), jax.lax.stop_gradient(x.min())

    program = flatten(jax.make_jaxpr(fun)(jnp.ones(3)))
    passing = [
        (e.primitive.name, e.outs[0] in program.passing_derivatives)
        for e in program.equations
        if e.primitive.name in ("reduce_max", "reduce_min", "exp")
    ]
    assert passing == [
        ("reduce_max", False),
        ("exp", True),
        ("reduce_max", True),
        ("reduce_min", False),
    ]


def test_gradients_at_ties_beside_a_class_token():
    x = jnp.round(2 * drawn(1, 6, 2))

    def fun(x):
        tokens = jnp.concatenate([jnp.ones((1, 1, 2)), x], 1)
        scores = jax.nn.softmax(tokens @ tokens.swapaxes(1, 2), -1)
        return jnp.maximum((scores @ tokens).max(1), tokens.max(1))

    def loss(x, share):
        outputs = jaxinv.orbit(fun, axes=(1,), share=share)(x)
        return (outputs * jnp.arange(12.0).reshape(6, 1, 2)).sum()

    shared, each = (jax.grad(loss)(x, share) for share in (True, False))
    np.testing.assert_allclose(shared, each, rtol=0, atol=1e-11)


# Of the second dimension of (2, 5, 4), cut at 1 and 3: where it is in each result, and its bounds.
FOLLOWED = {
    "split": (lambda v: jnp.split(v, [2], axis=1), 1, [(0, 1, 2), (0, 1, 3)]),
    "sliced": (lambda v: v[:, 1::2], 1, [(0, 1, 2)]),
    "turned": (lambda v: jnp.flip(v, 1), 1, [(0, 2, 4, 5)]),
    "heads": (lambda v: v.reshape(2, 5, 2, 2).transpose(0, 2, 1, 3), 2, [(0, 1, 3, 5)]),
    "merged": (lambda v: v.reshape(10, 4), 0, [(0, 10)]),
    "scores": (lambda v: v @ v.swapaxes(1, 2), 2, [(0, 1, 3, 5)]),
    "channels joined": (lambda v: jnp.concatenate([v, v], 2), 1, [(0, 1, 3, 5)]),
    "joined": (lambda v: jnp.concatenate([v, jnp.ones((2, 2, 4))], 1), 1, [(0, 1, 3, 7)]),
    "reduced": (lambda v: v.sum((0, 2)), 0, [(0, 1, 3, 5)]),
    "reduced along it": (lambda v: v.sum(1), 1, [(0, 4)]),
    "spread": (lambda v: jnp.broadcast_to(v.sum(2)[:, :, None], (2, 5, 3)), 1, [(0, 1, 3, 5)]),
    "sorted": (lambda v: jnp.sort(v, 1), 1, [(0, 5)]),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_where_results_are_cut(name):
    fun, dim, expected = FOLLOWED[name]
    program = flatten(jax.make_jaxpr(fun)(jnp.zeros((2, 5, 4))))
    layouts = {i: uncut(aval.shape) for i, aval in program.avals.items()}
    layouts[program.inputs[0]] = Layout((((0, 2),), ((0, 1, 3, 5),), ((0, 4),)))
    for equation in program.equations:
        rows = Seams(frozenset()).layouts(equation, [layouts[i] for i in equation.ins])
        layouts |= dict(zip(equation.outs, rows, strict=True))
    assert [layouts[i].dims[dim] for i in program.outputs] == [(bounds,) for bounds in expected]
