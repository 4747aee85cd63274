"""Look-ups and updates: place by place along what moves, at every mode and by every function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.symmetry.shifted import (
    assert_same_gradient,
    assert_states,
    drawn,
    states_when_right,
    strongest,
)

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"
BROKEN_ROWS = "6,1 | P2 P6 W4 P3"
CODES = np.random.default_rng(0).normal(size=(7, 5))


def test_scatters_by_every_function(x):
    cases = {
        name: (fun, EVERY)
        for name, fun in {
            "apply everywhere": lambda x: x.at[:].apply(jnp.sin),
            "apply to a channel": lambda x: x.at[..., 0].apply(jnp.sin),
            "apply to channels twice": lambda x: x.at[..., np.array([1, 1, 2])].apply(jnp.sin),
            "apply to the batch": lambda x: x.at[1].apply(lambda v: v * v + 1),
            "set": lambda x: x.at[..., 2].set(x[..., 0]),
            "subtract": lambda x: x.at[..., np.array([0, 0])].subtract(x[..., 1:]),
            "add": lambda x: x.at[..., np.array([2, 0])].add(x[..., :2]),
            "multiply": lambda x: x.at[..., 1].multiply(x[..., 0]),
            "divide": lambda x: x.at[..., 1].divide(x[..., 0] ** 2 + 1),
            "power": lambda x: (x**2).at[..., 1].power(2),
            "maximum": lambda x: x.at[..., 1].max(x[..., 0]),
            "minimum": lambda x: x.at[1, ..., 1:].min(0.0),
        }.items()
    }
    assert_states(cases, x)


def test_scatters_of_every_mode(x):
    far = np.array([2, 5, -9])
    cases = {}
    for mode in ("clip", "drop"):
        for unique in (False, True):
            for sorted_ in (False, True):
                options = {"mode": mode, "unique_indices": unique, "indices_are_sorted": sorted_}
                index = np.array([1, 3]) if unique or sorted_ else far
                cases[f"{options}"] = (
                    lambda x, i=index, o=options: x.at[..., i].add(jnp.sin(x[..., : len(i)]), **o),
                    EVERY,
                )
    cases["out of bounds where it moves"] = (
        lambda x: x.at[:, np.array([7, 2])].set(1.0, mode="drop"),
        BROKEN_ROWS,
    )
    cases["apply where it moves"] = (lambda x: x.at[:, 2:4].apply(jnp.sin), BROKEN_ROWS)
    cases["multiply where it moves"] = (
        lambda x: x.at[:, np.array([1, 1])].multiply(2.0),
        BROKEN_ROWS,
    )
    assert_states(cases, x)


def test_scatters_at_places_from_the_data(x):
    cases = {
        "one channel of all": (
            lambda x: x.at[..., jnp.argmax(x.sum((0, 1, 2)))].apply(jnp.sin),
            EVERY,
        ),
        "a channel of each position": (
            lambda x: jax.vmap(lambda row, c: row.at[..., c].set(0.0), (1, 0), 1)(
                x, strongest(x.sum((0, 2)))
            ),
            EVERY,
        ),
        "a channel of each position, by all indices": (
            lambda x: jnp.put_along_axis(x, strongest(x)[..., None], 0.0, 3, inplace=False),
            EVERY,
        ),
        "periods of two": (
            lambda x: x.at[..., jnp.argmax(x[:, ::2].sum((0, 1, 2)))].set(0.0),
            "2,1 | P2 W6/2 W4 P3",
        ),
        "rows": (lambda x: x.at[:, jnp.argmax(x.sum((0, 1, 2)))].set(0.0), BROKEN_ROWS),
        "counted": (
            lambda x: jnp.zeros(3).at[strongest(x).reshape(-1)].add(1.0),
            "1,1 | P3",
        ),
    }
    assert_states(cases, x)


def test_lookups(x):
    cases = {
        "codebook": (lambda x: jnp.asarray(CODES)[strongest(x)], "1,1 | P2 W6 W4 P5"),
        "codebook of tokens": (
            lambda x: jnp.take(jnp.asarray(CODES), strongest(x.reshape(2, 24, 3)), axis=0),
            "1,1 | P2 W6*W4 P5",
        ),
        "codebook, out of bounds": (
            lambda x: jnp.take(jnp.asarray(CODES), 6 * strongest(x), axis=0, mode="fill"),
            "1,1 | P2 W6 W4 P5",
        ),
        "codebook of the mean": (
            lambda x: jnp.asarray(CODES)[strongest(x.mean((1, 2)))],
            "1,1 | P2 P5",
        ),
        "one-hot": (
            lambda x: jax.nn.one_hot(strongest(x), 3) @ CODES[:3],
            "1,1 | P2 W6 W4 P5",
        ),
        "along channels": (
            lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=3)[..., ::-1], axis=3),
            EVERY,
        ),
        "along channels with a stride": (
            lambda x: jnp.take_along_axis(x[:, ::2], strongest(x[:, 1::2])[..., None], axis=3),
            "2,1 | P2 W3 W4 1",
        ),
        "along channels, not all of the batch": (
            lambda x: jnp.take_along_axis(x, strongest(x[:1])[..., None], axis=3),
            "1,1 | P2 W6 W4 1",
        ),
        "along positions": (
            lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=1), axis=1),
            BROKEN_ROWS,
        ),
        "one channel of all": (
            lambda x: x[..., jnp.argmax(x.sum((0, 1, 2)))],
            "1,1 | P2 W6 W4",
        ),
        "two channels from one on": (
            lambda x: lax.dynamic_slice_in_dim(x, jnp.argmax(x.sum((0, 1, 2))), 2, 3),
            "1,1 | P2 W6 W4 P2",
        ),
        "channels replaced": (
            lambda x: lax.dynamic_update_slice_in_dim(
                x, jnp.sin(x[..., :2]), jnp.argmax(x[:, ::3].sum((0, 1, 2))), 3
            ),
            "3,1 | P2 W6/3 W4 P3",
        ),
        "the strongest": (lambda x: lax.top_k(x, 2)[0], "1,1 | P2 W6 W4 P2"),
        "where the strongest are": (lambda x: lax.top_k(x, 1)[1], "1,1 | P2 W6 W4 1"),
        "the strongest rows": (
            lambda x: lax.top_k(jnp.moveaxis(x, 1, 3), 2)[0],
            "1,1 | P2 W4 P3 P2",
        ),
        "in a loop": (
            lambda x: lax.fori_loop(0, 3, lambda i, y: y + x[..., i], 0 * x[..., 0]),
            "1,1 | P2 W6 W4",
        ),
    }
    assert_states(cases, x)


def test_gradients(x):
    x = jnp.round(2 * x)  # Ties.

    def fun(x):
        return [
            x.at[..., 0].max(x[..., 1]),
            x.at[..., np.array([0, 0])].add(x[..., 1:] ** 2),
            x.at[..., 1].multiply(x[..., 0], unique_indices=True),
            x.at[..., np.array([0, 0])].min(x[..., 1:]),
            x.at[..., np.array([0, 0])].set(x[..., 1:]),
            jnp.take_along_axis(x, strongest(x)[..., None], axis=3),
            lax.top_k(x, 2)[0],
            x[:, np.array([0, 2, 4])[:, None], np.array([1, 3])],
            jnp.tile(x, (1, 2, 1, 1)),
            x[..., jnp.argmax(x.sum((0, 1, 2)))],
        ]

    assert_same_gradient(fun, x)


def test_a_derivative_that_jax_has_not_got_is_refused_in_its_words(x):
    def loss(x):
        return jaxinv.orbit(lambda x: x.at[..., 0].apply(jnp.sin))(x).sum()

    with pytest.raises(NotImplementedError, match="scatter_apply JVP"):
        jax.grad(loss)(x)


def _wrapped(x, width):
    """The map with rows of its other end around."""
    return jnp.pad(x, [(0, 0), (width, width), (0, 0), (0, 0)], mode="wrap")


def _strided(sizes, strides):
    """What `as_strided` reads of a flattened map."""
    return sum(
        np.arange(n).reshape(-1, *[1] * i) * step
        for i, (n, step) in enumerate(zip(reversed(sizes), reversed(strides), strict=True))
    )


def test_grids_of_known_places(x):
    i, j = np.array([1, 3, 5]), np.array([0, 2])
    around = np.arange(-1, 5) % 6
    cases = {
        "two strides": (lambda x: x[:, i[:, None], j[None]], "2,2 | P2 W3 W2 P3"),
        "columns first": (lambda x: x[:, i[None], j[:, None]], "2,2 | P2 W2 W3 P3"),
        "apart": (lambda x: x[:, i[:, None], :, np.array([2, 0])], "2,1 | W3 P2 P2 W4"),
        "channels first": (
            lambda x: jnp.moveaxis(x, 3, 1)[:, :, i[:, None], j[None]],
            "2,2 | P2 P3 W3 W2",
        ),
        "nearest": (
            lambda x: x[:, (np.arange(12) // 2)[:, None], (np.arange(4) // 1)[None]],
            "1,1 | P2 W6*U2 W4 P3",
        ),
        "around": (lambda x: x[:, around[:, None], np.arange(4)[None]], EVERY),
        "reversed": (
            lambda x: x[:, np.arange(6)[::-1][:, None], np.arange(4)],
            "1,1 | P2 W6/-1 W4 P3",
        ),
        "reversed and around": (
            lambda x: x[:, (4 - 2 * np.arange(3)) % 6],
            "2,1 | P2 W3/-1 W4 P3",
        ),
        "two phases": (
            lambda x: x[:, np.repeat(np.arange(-1, 6), 2)[1:-1] % 6],
            "1,1 | P2 W6*P2 W4 P3",
        ),
        "phases with a stride": (
            lambda x: x[:, np.array([0, 1, 0, 2, 3, 2, 4, 5, 4])],
            "2,1 | P2 W3*P3 W4 P3",
        ),
        "patches": (
            lambda x: x[:, (np.arange(6)[:, None] + np.arange(3)) % 6],
            "1,1 | P2 W6 P3 W4 P3",
        ),
        "patches with a stride": (
            lambda x: x[:, np.arange(0, 6, 2)[:, None] + np.arange(2)],
            "2,1 | P2 W3 P2 W4 P3",
        ),
        "blocks with halos": (
            lambda x: x[:, (np.arange(0, 6, 2)[:, None] + np.arange(-1, 3)) % 6],
            "2,1 | P2 W3 P4 W4 P3",
        ),
        "of a padded map": (
            lambda x: jax.vmap(
                lambda a: lax.dynamic_slice_in_dim(_wrapped(x, 2), a, 7, 1), out_axes=1
            )(np.arange(0, 6, 3)),
            "3,1 | P2 W2 P7 W4 P3",
        ),
        "of a flattened map": (
            lambda x: _wrapped(x, 1).reshape(2, 96)[:, _strided((3, 4, 4, 3), (24, 12, 3, 1))],
            "2,1 | P2 W3 P4 W4 P3",
        ),
        "blocks that do not go around": (
            lambda x: x[:, np.arange(0, 6, 4)[:, None] + np.arange(-1, 2)],
            "1,1 | P2 P2 W3 W4 P3",
        ),
        "blocks at uneven distances": (
            lambda x: x[:, np.array([0, 2, 3])[:, None] + np.arange(2)],
            "1,1 | P2 P3 W2 W4 P3",
        ),
        "blocks of a map with zeros around": (
            lambda x: jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0)])[
                :, np.arange(0, 6, 2)[:, None] + np.arange(4)
            ],
            "6,1 | P2 P3 P4 W4 P3",
        ),
        "windows": (
            lambda x: jax.vmap(lambda a: lax.dynamic_slice_in_dim(x, a, 3, 1))(np.arange(0, 4)),
            "1,1 | W4 P2 P3 W4 P3",
        ),
        "a diagonal": (lambda x: x[:, np.arange(4), np.arange(4)], "6,4 | P2 P4 P3"),
        "no order": (
            lambda x: x[:, np.array([0, 2, 1])[:, None], np.arange(4)],
            "6,1 | P2 P3 W4 P3",
        ),
        "out of bounds": (
            lambda x: x.at[:, np.array([4, 6])].get(mode="fill", fill_value=0.0),
            "6,1 | P2 P2 W4 P3",
        ),
        "out of bounds and clipped": (
            lambda x: x.at[:, np.arange(2, 8)].get(mode="clip"),
            BROKEN_ROWS,
        ),
        "unstacked": (lambda x: jnp.unstack(x, axis=3)[1], "1,1 | P2 W6 W4"),
        "unstacked rows": (lambda x: jnp.unstack(x, axis=1)[1], "6,1 | P2 W4 P3"),
        "tiled": (lambda x: jnp.tile(x, (1, 2, 1, 2)), "1,1 | P2 W12 W4 U2*P3"),
        "a part tiled": (lambda x: jnp.tile(x[:, :4], (1, 2, 1, 1)), "1,1 | P2 U2*W4 W4 P3"),
        "what does not move tiled": (
            lambda x: jnp.tile(x.mean((1, 2)), (2, 2)),
            "1,1 | U2*P2 U2*P3",
        ),
    }
    assert_states(cases, x)


def test_an_orbit_of_one_dimension_and_other_types():
    x = drawn(2, 6, 3)

    def fun(x):
        signs = (4 * x).astype(jnp.int8)
        return x.astype(jnp.float32)[..., 1:].at[..., 0].max(0.5), signs.at[..., 1].apply(
            lambda v: -v
        )

    assert states_when_right(fun, x, axes=(1,)) == ["1 | P2 W6 P2", "1 | P2 W6 P3"]


KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)


def test_random_keys(x):
    def in_a_carry(x):
        def step(carry, _):
            y, key = carry
            key, used = jax.random.split(key)
            return (y[..., jax.random.permutation(used, 3)], key), None

        return lax.scan(step, (x, KEY), length=2)[0][0]

    cases = {
        name: (fun, EVERY)
        for name, fun in {
            "made here": lambda x: x[..., jax.random.permutation(jax.random.key(0), 3)],
            "of the old kind": lambda x: x[..., jax.random.permutation(jax.random.PRNGKey(0), 3)],
            "of another kind": lambda x: x[
                ..., jax.random.permutation(jax.random.key(0, impl="rbg"), 3)
            ],
            "a constant": lambda x: x[..., jax.random.permutation(KEY, 3)],
            "one of several": lambda x: x[..., jax.random.permutation(KEYS.reshape(3, 1)[1, 0], 3)],
            "split here": lambda x: x[..., jax.random.permutation(jax.random.split(KEY, 4)[2], 3)],
            "folded": lambda x: x[..., jax.random.permutation(jax.random.fold_in(KEY, 5), 3)],
            "by its data": lambda x: x * jax.random.key_data(KEY)[0],
            "chosen": lambda x: x * jax.random.uniform(jnp.where(x.sum() > 0, KEY, KEYS[0])),
            "in a carry": in_a_carry,
            "mapped": lambda x: jax.vmap(lambda k, c: c * jax.random.uniform(k), (0, 3), 3)(
                KEYS, x
            ),
        }.items()
    }
    cases["rolled"] = (lambda x: jnp.roll(x, jax.random.randint(KEY, (), 0, 6), 1), EVERY)
    cases["known positions"] = (
        lambda x: x[:, jax.random.randint(jax.random.key(1), (), 0, 6)],
        "6,1 | P2 W4 P3",
    )
    cases["from the data"] = (
        lambda x: x + jax.random.normal(jax.random.fold_in(KEY, strongest(x)[0, 0, 0]), (3,)),
        "6,4 | P2 P6 P4 P3",
    )
    assert_states(cases, x)


def test_random_keys_as_arguments_and_outputs(x):
    def fun(key, x):
        return x[..., jax.random.permutation(key, 3)], jax.random.split(key), KEYS

    outputs = jaxinv.certify(fun, KEY, x, argnums=1).outputs
    assert [o.kind for o in outputs] == ["equivariant", "invariant", "invariant"]
    shared, brute = (jaxinv.orbit(fun, argnums=1, share=share)(KEY, x) for share in (True, False))
    np.testing.assert_array_equal(shared[0], brute[0])
    for a, b in zip(shared[1:], brute[1:], strict=True):
        np.testing.assert_array_equal(jax.random.key_data(a), jax.random.key_data(b))
