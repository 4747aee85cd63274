"""The mean over the orbit: invariant, or equivariant of maps that are shifted back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit import every_shift
from tests.orbit.test_distinct import every_second, first_pixel, normal


@pytest.mark.parametrize(("reduce", "combine"), [("mean", jnp.mean), ("max", jnp.max)])
@pytest.mark.parametrize("fun", [every_second, first_pixel, lambda x: x[:, ::2]])
def test_symmetrize_is_the_mean_over_the_orbit_and_invariant(fun, reduce, combine):
    with jax.enable_x64(True):
        x = normal(1, 6, 4, 2)
        symmetric = jaxinv.symmetrize(fun, reduce=reduce)
        want = combine(every_shift(fun)(x), axis=(0, 1))
        np.testing.assert_allclose(symmetric(x), want, rtol=1e-12)
        for shift in [(1, 0), (3, 2), (5, 3)]:
            moved = symmetric(jaxinv.translate(x, shift))
            np.testing.assert_allclose(moved, symmetric(x), rtol=1e-12)


def test_symmetrize_is_certified():
    certificate = jaxinv.certify(jaxinv.symmetrize(first_pixel), jnp.ones((1, 6, 4, 2)))
    assert (certificate.kind, certificate.period) == ("invariant", (1, 1))


def test_symmetrize_can_be_differentiated():
    with jax.enable_x64(True):
        x = normal(1, 4, 4, 1)
        gradient = jax.grad(lambda x: jaxinv.symmetrize(every_second)(x).sum())(x)
        np.testing.assert_allclose(gradient, (1 - jnp.tanh(x) ** 2) / 16, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_whole_numbers_have_no_mean_but_a_maximum(dtype):
    x = normal(2, 4, 4, 3)

    def classes(x):
        return jnp.argmax(every_second(x), axis=-1).astype(dtype)

    with pytest.raises(ValueError, match=f"dtype {dtype}.*argmax of the symmetrized logits"):
        jaxinv.symmetrize(classes)(x)
    with pytest.raises(ValueError, match=f"dtype {dtype}"):
        jaxinv.symmetrize(lambda x: {"map": (x > 0).astype(dtype), "logits": x})(x)
    largest = jaxinv.symmetrize(classes, reduce="max")(x)
    np.testing.assert_array_equal(largest, every_shift(classes)(x).max((0, 1)))
    assert largest.dtype == dtype


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_mean_of_half_precision_does_not_overflow(dtype):
    x = jnp.full((1, 4, 4, 1), 60_000, dtype)
    np.testing.assert_allclose(
        np.asarray(jaxinv.symmetrize(first_in_half)(x), float), float(x[0, 0, 0, 0]), rtol=1e-6
    )


def first_in_half(x):
    return x[:, 0, 0]


def bordered(x):
    """A convolution with zeros at the border, and a nonlinearity."""
    return jnp.tanh(x + jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0))))


def bordered_columns(x):
    return jnp.tanh(x + 2 * jnp.pad(x[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0))))


def placed(x):
    """A position embedding."""
    return jnp.sin(x + jnp.arange(x.shape[1])[:, None, None] * jnp.arange(x.shape[2])[:, None])


def repeated(x):
    return jnp.repeat(jnp.repeat(placed(x), 2, 1), 3, 2)


MAPS = {
    "equivariant": lambda x: jnp.tanh(x + jnp.roll(x, 1, 1)),
    "bordered": bordered,
    "along one axis": bordered_columns,
    "placed": placed,
    "thinned": lambda x: bordered_columns(x)[:, ::2],
    "strides in both": lambda x: jnp.exp(x[:, ::2, ::2]),
    "two strides in one map": lambda x: jnp.repeat(jnp.sin(x[:, ::2]), 2, 1),
    "finer": repeated,
    "transposed": lambda x: jnp.sin(x.swapaxes(1, 2)),
    "reversed": lambda x: jnp.sin(x[:, ::-1]),
    "the same everywhere": lambda x: jnp.broadcast_to(every_second(x)[:, None, None], x.shape),
    "one position": lambda x: placed(x).mean((1, 2), keepdims=True),
    "without channels": lambda x: placed(x)[..., 0],
}


def by_definition(fun, x, reduce):
    """The maps at all shifts that a map can follow, one call for each, shifted back."""
    sizes, own = np.array(x.shape[1:3]), np.array(fun(x).shape[1:3])
    stride = np.maximum(1, sizes // own)
    back = [
        jnp.roll(fun(jaxinv.translate(x, t)), tuple(-np.array(t) * own // sizes), (1, 2))
        for t in np.ndindex(*sizes)
        if not (np.array(t) % stride).any()
    ]
    return reduce(jnp.stack(back), axis=0), tuple(stride)


@pytest.mark.parametrize(("reduce", "combine"), [("mean", jnp.mean), ("max", jnp.max)])
@pytest.mark.parametrize("name", MAPS)
def test_maps_are_shifted_back_before_they_are_averaged(name, reduce, combine):
    fun = MAPS[name]
    with jax.enable_x64(True):
        x = normal(1, 6, 6, 2)
        symmetric = jax.jit(jaxinv.symmetrize(fun, kind="equivariant", reduce=reduce))
        want, stride = by_definition(fun, x, combine)
        got = symmetric(x)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
        scale = np.array(got.shape[1:3]) / 6
        for shift in [(stride[0], 0), (2 * stride[0], 3 * stride[1])]:
            moved = symmetric(jaxinv.translate(x, shift))
            by = tuple(int(s) for s in np.array(shift) * scale)
            np.testing.assert_allclose(moved, jnp.roll(got, by, (1, 2)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "shifts"),
    [
        ("equivariant", 1),
        ("bordered", 6),
        ("along one axis", 6),
        ("placed", 36),
        ("thinned", 6),
        ("strides in both", 1),
        ("two strides in one map", 2),
        ("transposed", 36),
    ],
)
def test_the_cost_is_that_of_the_cosets_that_are_left(name, shifts):
    image = jax.ShapeDtypeStruct((1, 6, 6, 2), jnp.float32)
    cost = jaxinv.symmetrize(MAPS[name], kind="equivariant").cost(image)
    assert cost.shifts == shifts


def test_the_cost_of_an_invariant_one():
    image = jax.ShapeDtypeStruct((1, 6, 8, 2), jnp.float32)
    costs = [jaxinv.symmetrize(f).cost(image).shifts for f in (every_second, first_pixel)]
    assert costs == [4, 48]
    assert jaxinv.symmetrize(lambda x: (every_second(x), x[:, ::2])).cost(image).shifts == 48


@pytest.mark.parametrize(("name", "period"), [("placed", (1, 1)), ("thinned", (2, 1))])
def test_equivariant_maps_are_certified(name, period):
    symmetric = jaxinv.symmetrize(MAPS[name], kind="equivariant")
    certificate = jaxinv.certify(symmetric, jnp.ones((1, 6, 6, 2)))
    assert (certificate.kind, certificate.period) == ("equivariant", period)


def test_several_maps_axes_and_arguments():
    def maps(weights, signal):
        mixed = weights * signal + jnp.arange(6.0)
        return {"whole": mixed, "half": mixed[..., ::2]}

    symmetric = jaxinv.symmetrize(maps, argnums=1, axes=(2,), kind="equivariant")
    signal = normal(2, 3, 6)
    found = symmetric(2.0, signal)
    np.testing.assert_allclose(found["whole"], 2 * signal + 2.5, rtol=1e-5)
    np.testing.assert_allclose(found["half"], (2 * signal + 2.5)[..., ::2] - 0.5 + 0.0, rtol=1e-5)
    gradient = jax.grad(lambda s: symmetric(2.0, s)["whole"].sum())(signal)
    np.testing.assert_allclose(gradient, 2.0, rtol=1e-6)


SOME = [(0, 0), (2, 0), (4, 2)]


@pytest.mark.parametrize("name", ["bordered", "strides in both", "finer"])
def test_the_mean_over_some_shifts_of_maps(name):
    fun = MAPS[name]
    x = normal(1, 6, 6, 2)
    symmetric = jaxinv.symmetrize(fun, kind="equivariant", shifts=SOME)
    own = np.array(fun(x).shape[1:3])
    back = [
        jnp.roll(fun(jaxinv.translate(x, t)), tuple(-np.array(t) * own // 6), (1, 2)) for t in SOME
    ]
    np.testing.assert_allclose(symmetric(x), sum(back) / 3, rtol=1e-5, atol=1e-6)
    assert symmetric.cost(x).shifts == 3


@pytest.mark.parametrize("given", [SOME, np.array(SOME)])
def test_the_mean_over_some_shifts_is_not_invariant_and_not_certified_so(given):
    x = normal(1, 6, 6, 2)
    symmetric = jaxinv.symmetrize(first_pixel, shifts=given)
    want = sum(first_pixel(jaxinv.translate(x, t)) for t in SOME) / 3
    np.testing.assert_allclose(symmetric(x), want, rtol=1e-5)
    assert jaxinv.certify(symmetric, x).kind == "broken"
    assert jnp.abs(symmetric(jaxinv.translate(x, (1, 0))) - symmetric(x)).max() > 0.01
    largest = jaxinv.symmetrize(first_pixel, reduce="max", shifts=given)(x)
    want = jnp.stack([first_pixel(jaxinv.translate(x, t)) for t in SOME]).max(0)
    np.testing.assert_array_equal(largest, want)


@pytest.mark.parametrize("kind", ["invariant", "equivariant"])
def test_certified_only_where_all_that_it_reads_moves_together_or_stays(kind):
    x = normal(1, 4, 4, 2)

    def bordered(x, y):
        return x * jnp.pad(y, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]

    def mean_of(fun, argnums=0):
        last = fun if kind == "equivariant" else lambda *args: fun(*args)[:, 0, 0]
        return jaxinv.symmetrize(last, kind=kind, argnums=argnums)

    def is_proved(fun, *args, **options):
        certificate = jaxinv.certify(fun, *args, **options)
        return (certificate.kind, certificate.period) == (kind, (1, 1))

    both = mean_of(bordered, (0, 1))
    assert is_proved(both, x, x, argnums=(0, 1))
    assert not is_proved(both, x, x)
    assert is_proved(lambda x: both(x, jnp.roll(x, 1, 1)), x)
    assert not is_proved(lambda x: both(x, x[:, ::-1]), x)
    assert not is_proved(lambda x: mean_of(lambda y: bordered(y, x))(x), x)
    assert is_proved(
        lambda x: mean_of(bordered)(x, jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)), x
    )


def test_rolls_along_one_of_two_dimensions_that_move_prove_nothing():
    def at_pairs(x):
        fun = jaxinv.symmetrize(lambda z: z[:, 0, 0], axes=(1,))
        return fun(x[:, :, None] * x[:, None, :])

    assert jaxinv.certify(at_pairs, normal(2, 6), axes=(1,)).kind == "broken"


def test_brute_force_in_disguise_is_said_once():
    x = normal(1, 8, 8, 2)
    weights = normal(8, 8)

    def dense(x):
        return jnp.einsum("nhwc,hw->nc", x, weights) ** 2

    symmetric = jaxinv.symmetrize(dense)
    with pytest.warns(UserWarning, match=r"brute force here: all 64 shifts .*shifts=\[\.\.\.\]"):
        symmetric(x)
    symmetric(x)  # warnings are errors
    jaxinv.symmetrize(dense, shifts=SOME)(x)
    jaxinv.symmetrize(every_second)(normal(1, 16, 16, 2))
    with pytest.warns(UserWarning, match="brute force"):
        jax.jit(jaxinv.symmetrize(jax.vmap(placed), kind="equivariant", axes=(2, 3)))(x[None])


def test_wrong_use():
    with pytest.raises(ValueError, match=r"shifts hold \(1, 0\); a map of stride \(2, 2\) follows"):
        jaxinv.symmetrize(MAPS["strides in both"], kind="equivariant", shifts=[(1, 0)])(
            normal(1, 6, 6, 2)
        )
    with pytest.raises(ValueError, match="reduce is 'median'; allowed are 'mean' and 'max'"):
        jaxinv.symmetrize(every_second, reduce="median")
    with pytest.raises(ValueError, match="kind is 'both'; allowed are 'invariant' and"):
        jaxinv.symmetrize(every_second, kind="both")
    x = normal(1, 6, 6, 2)
    for network, shape in (
        (every_second, r"\(1, 2\)"),
        (lambda x: x[:, 1:-1], r"\(1, 4, 6, 2\)"),
        (lambda x: x[:, :0], r"\(1, 0, 6, 2\)"),
    ):
        with pytest.raises(ValueError, match=f"an output of shape {shape} is no map of images"):
            jaxinv.symmetrize(network, kind="equivariant")(x)
    with pytest.raises(ValueError, match=r"dtype int32.*argmax of the symmetrized logits"):
        jaxinv.symmetrize(lambda x: placed(x).argmax(-1), kind="equivariant")(x)
    with pytest.raises(ValueError, match="side effects"):
        jaxinv.symmetrize(lambda x: jax.debug.print("{}", x.sum()) or x, kind="equivariant")(x)
