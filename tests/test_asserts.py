"""The identities of the subject, each asserted where it holds and refuted where it does not."""

import functools
import re

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.asserts import assert_translation_equivariant, assert_translation_invariant
from jaxinv.shifts import translate

IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
BOTH = [assert_translation_equivariant, assert_translation_invariant]


def initialised(module, x=IMAGES):
    """A flax module with random weights (and statistics) as a function of its input."""
    variables = module.init(jax.random.key(1), x)
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    # Uniform and positive, so that variances of BatchNorm stay so.
    random = [jax.random.uniform(k, v.shape, minval=0.1) for k, v in zip(keys, leaves, strict=True)]
    return functools.partial(module.apply, jax.tree.unflatten(tree, random))


def conv(padding="CIRCULAR", strides=1):
    return nn.Conv(4, (3, 3), strides=strides, padding=padding)


def circular_max_pool(x):
    wide = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="wrap")
    return nn.max_pool(wide, (3, 3), strides=(1, 1))


def flat(x):
    return x.reshape(x.shape[0], -1)


EQUIVARIANT = {
    "circular convolution": conv(),
    "dilated circular convolution": nn.Conv(4, (3, 3), padding="CIRCULAR", kernel_dilation=2),
    "relu": nn.relu,
    "1x1 convolution": nn.Dense(5),
    "stride-1 pooling": circular_max_pool,
    "evaluation-mode BatchNorm": nn.BatchNorm(use_running_average=True),
}


def as_function(layer):
    return initialised(layer) if isinstance(layer, nn.Module) else layer


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_shared_weights_move_with_the_input(name):
    fun = as_function(EQUIVARIANT[name])
    assert_translation_equivariant(fun, IMAGES)
    # The same with chex and by hand, so that the assertion is not its own judge.
    chex.assert_trees_all_close(
        fun(translate(IMAGES, (3, 5))), translate(fun(IMAGES), (3, 5)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_global_pooling_makes_them_invariant(name):
    fun = as_function(EQUIVARIANT[name])
    assert_translation_invariant(lambda x: jnp.mean(fun(x), axis=(1, 2)), IMAGES)
    assert_translation_invariant(lambda x: jnp.max(fun(x), axis=(1, 2)), IMAGES)
    with pytest.raises(AssertionError, match="not translation invariant"):
        assert_translation_invariant(fun, IMAGES)


@pytest.mark.parametrize("stride", [2, 4, (2, 1)])
def test_a_stride_commutes_with_its_multiples_and_nothing_else(stride):
    per_axis = (stride, stride) if isinstance(stride, int) else stride
    fun = initialised(conv(strides=per_axis))
    assert_translation_equivariant(fun, IMAGES, stride=stride)
    # Generic weights: no shift of the output, none but multiples of the stride, explains it.
    base = fun(IMAGES)
    for t in np.ndindex(4, 4):
        matches = any(
            np.allclose(fun(translate(IMAGES, t)), translate(base, u), rtol=1e-4, atol=1e-4)
            for u in np.ndindex(*base.shape[1:3])
        )
        assert matches == all(a % s == 0 for a, s in zip(t, per_axis, strict=True))


def test_all_multiples_of_a_stride_that_does_not_divide_the_torus():
    # Shifts by 0 and 3 read the same value, by 6 another one.
    x = jnp.zeros(8).at[2].set(1)
    with pytest.raises(AssertionError, match=r"at shift \(6,\) by 1"):
        assert_translation_invariant(lambda x: x[0], x, axes=(0,), stride=3)


def test_pooling_with_a_stride_too():
    fun = functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
    assert_translation_equivariant(fun, IMAGES, stride=2)
    assert_translation_invariant(lambda x: fun(x).mean((1, 2)), IMAGES, stride=2)
    with pytest.raises(AssertionError, match=r"at shift \(\d, \d\) by"):
        assert_translation_invariant(lambda x: fun(x).mean((1, 2)), IMAGES)


def test_valid_convolution_commutes_with_cropping():
    fun = initialised(conv("VALID"))
    larger = jax.random.normal(jax.random.key(3), (2, 12, 12, 3))
    for i, j in [(0, 0), (2, 1), (4, 4)]:
        crop = larger[:, i : i + 8, j : j + 8]
        chex.assert_trees_all_close(
            fun(crop), fun(larger)[:, i : i + 6, j : j + 6], rtol=1e-5, atol=1e-6
        )


class LocallyConnected(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.ConvLocal(4, (3, 3), padding="CIRCULAR")(x)


@pytest.mark.parametrize(
    "fun",
    [
        initialised(conv("SAME")),
        initialised(LocallyConnected()),
        lambda x: x * jnp.arange(8.0)[:, None, None],
        lambda x: jnp.cumsum(x, axis=1),
    ],
    ids=["zero padding", "locally connected", "position embedding", "cumulative sum"],
)
def test_what_knows_its_place_is_not_equivariant(fun):
    with pytest.raises(AssertionError, match=r"not translation equivariant: output .* at shift"):
        assert_translation_equivariant(fun, IMAGES)


def test_flatten_and_dense_is_not_invariant():
    dense = initialised(nn.Dense(5), flat(IMAGES))
    with pytest.raises(AssertionError, match="63 of 64 shifts"):
        assert_translation_invariant(lambda x: dense(flat(x)), IMAGES)


def test_the_message_names_the_worst_shift_and_the_difference():
    # One lit pixel, read at one place: only the shift (3, 1) brings it there.
    image = jnp.zeros((1, 8, 8, 1)).at[0, 2, 4].set(7.0)
    with pytest.raises(AssertionError) as raised:
        assert_translation_invariant(lambda x: {"a": x[0, 5, 5] + 1}, image)
    message = str(raised.value)
    assert "output['a'] differs most at shift (3, 1) by 7 " in message
    assert "1 of 64 shifts differ" in message


def test_large_inputs_are_sampled_where_symmetries_break():
    x = jax.random.normal(jax.random.key(4), (1, 64, 64, 1))
    assert_translation_equivariant(nn.relu, x)
    with pytest.raises(AssertionError, match="of 64 shifts differ"):
        assert_translation_equivariant(lambda x: jnp.flip(x, 1), x)
    # A border of one pixel shows at the one-pixel shifts.
    with pytest.raises(AssertionError, match="not translation equivariant"):
        assert_translation_equivariant(lambda x: x.at[:, 0].set(0), x)


def test_signals_volumes_pytrees_and_chosen_shifts():
    assert_translation_equivariant(jnp.square, jnp.arange(7.0), axes=(0,))
    assert_translation_invariant(jnp.sum, jnp.ones((2, 3, 4)), axes=(0, 1, 2))
    both = {"a": IMAGES, "b": IMAGES[..., :1]}
    assert_translation_equivariant(lambda x: (x["a"] * x["b"], x["b"]), both)
    up_and_down = lambda x: jnp.repeat(x[::2], 2)  # noqa: E731
    signal = jax.random.normal(jax.random.key(5), (8,))
    assert_translation_equivariant(up_and_down, signal, axes=(0,), shifts=[(2,), (4,), (-2,)])
    with pytest.raises(AssertionError, match=r"at shift \(1,\)"):
        assert_translation_equivariant(up_and_down, signal, axes=(0,), shifts=[(2,), (1,)])


def test_whole_numbers_and_booleans_are_compared_exactly():
    assert_translation_equivariant(lambda x: x > 0, IMAGES)
    assert_translation_invariant(lambda x: jnp.sum(x > 0), IMAGES)
    with pytest.raises(AssertionError, match="by 1 "):
        assert_translation_equivariant(lambda x: (x > 0).at[:, 0, 0].set(False), IMAGES)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_is_not_equal_to_itself(bad):
    nowhere = "is not finite for 2 of 2 images, first at shift (0, 0)"
    for fun in (lambda x: x * bad, lambda x: x.at[:, 0, 0].set(bad)):
        with pytest.raises(AssertionError, match=re.escape(nowhere)):
            assert_translation_equivariant(fun, IMAGES)
    with pytest.raises(AssertionError, match=re.escape(f"output['a'] {nowhere}")):
        assert_translation_invariant(lambda x: {"a": x.mean((1, 2)) * bad}, IMAGES)
    # One image of two, at the one shift that brings its bright pixel to the corner.
    images = jnp.zeros((2, 8, 8, 1)).at[1, 6, 5].set(1)
    corner = lambda x: jnp.where(x[:, 0, 0] > 0.5, bad, 0)  # noqa: E731
    with pytest.raises(AssertionError, match=r"for 1 of 2 images, first at shift \(2, 3\)"):
        assert_translation_invariant(corner, images)
    with pytest.raises(AssertionError, match=r"1 of 7 entries, first at shift \(0,\)"):
        assert_translation_equivariant(lambda x: x.at[3].set(bad), jnp.ones(7), axes=(0,))


def test_an_empty_array_shows_nothing():
    for x in (IMAGES[:0], IMAGES[..., :0]):
        for check in BOTH:
            with pytest.raises(ValueError, match="allowed are those that hold something"):
                check(nn.relu, x)
    with pytest.raises(ValueError, match="returns no arrays"):
        assert_translation_invariant(lambda x: (), IMAGES)
    with pytest.raises(ValueError, match="dtype key"):
        assert_translation_invariant(lambda x: jax.random.key(0), IMAGES)


@pytest.mark.parametrize("check", BOTH)
@pytest.mark.parametrize(
    ("fun", "x", "options", "message"),
    [
        ("relu", IMAGES, {}, "cannot be called"),
        (nn.relu, IMAGES, {"axes": (1, 5)}, "out of range"),
        (nn.relu, IMAGES, {"axes": ()}, "axes is empty"),
        (nn.relu, 1.0, {}, "no spatial axes"),
        (nn.relu, None, {}, "no arrays"),
        (nn.relu, (IMAGES, IMAGES[:, 1:]), {}, "differ in size"),
        (nn.relu, IMAGES, {"stride": 0}, "stride is 0"),
        (nn.relu, IMAGES, {"stride": (1, 2, 3)}, "3 entries for 2 axes"),
        (nn.relu, IMAGES, {"shifts": [(1,)]}, "1 entries for 2 axes"),
        (nn.relu, IMAGES, {"shifts": []}, "shifts is empty"),
        (nn.relu, IMAGES, {"rtol": -1}, "rtol is -1"),
        (nn.relu, IMAGES, {"rtol": 1}, "allowed are numbers from 0 to below 1"),
        (nn.relu, IMAGES, {"atol": float("inf")}, "atol is inf"),
        (nn.relu, IMAGES, {"atol": "small"}, "atol is 'small'"),
        (nn.relu, IMAGES, {"atol": float("nan")}, "atol is nan"),
        (nn.relu, IMAGES, {"method": "guess"}, "allowed are 'measure', 'proof', 'both'"),
    ],
)
def test_wrong_use_is_a_value_error(check, fun, x, options, message):
    with pytest.raises(ValueError, match=message):
        check(fun, x, **options)


SHAPE = jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_proofs_need_no_data(name):
    fun = as_function(EQUIVARIANT[name])
    assert_translation_equivariant(fun, SHAPE, method="proof")
    assert_translation_invariant(lambda x: fun(x).mean((1, 2)), SHAPE, method="proof")


def test_proofs_and_measurements_agree():
    fun = initialised(conv(strides=2))
    assert_translation_equivariant(fun, IMAGES, stride=2, method="both")
    assert_translation_invariant(lambda x: fun(x).max((1, 2)), IMAGES, stride=2, method="both")
    # Here and back: a map of full size that moves with even shifts only.
    there_and_back = lambda x: jnp.repeat(fun(x), 2, axis=1).repeat(2, axis=2)  # noqa: E731
    even = [(2, 4), (-2, 0)]
    assert_translation_equivariant(there_and_back, IMAGES, shifts=even)
    with pytest.raises(AssertionError, match="not proved"):
        assert_translation_equivariant(there_and_back, SHAPE, method="proof")


@pytest.mark.parametrize(
    ("fun", "options"),
    [
        (initialised(conv("SAME")), {}),
        (lambda x: jnp.swapaxes(x, 1, 2), {}),
        (lambda x: (x, jnp.cumsum(x, 1)), {}),
        (lambda x: jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape), {}),
        # Polyphase components side by side: each rolls in itself, the whole does not.
        (lambda x: jnp.concatenate([x[:, ::2], x[:, 1::2]], axis=1), {"shifts": [(2, 0)]}),
    ],
    ids=["zero padding", "transposed", "second output", "constant", "side by side"],
)
def test_what_is_not_so_is_not_proved(fun, options):
    with pytest.raises(AssertionError, match=r"not proved translation equivariant for"):
        assert_translation_equivariant(fun, SHAPE, method="proof", **options)


def test_what_is_not_invariant_is_not_proved_so():
    dense = initialised(nn.Dense(5), flat(IMAGES))
    for fun in (lambda x: dense(flat(x)), nn.relu):
        with pytest.raises(AssertionError, match=r"not proved translation invariant for"):
            assert_translation_invariant(fun, SHAPE, method="proof")
    with pytest.raises(AssertionError, match=r"for multiples of \(1, 1\)"):
        assert_translation_invariant(lambda x: x[:, ::2, ::2].mean((1, 2)), SHAPE, method="proof")


def test_wrong_strides_are_value_errors():
    with pytest.raises(ValueError, match="for stride 2 and an input of 8 it must be size / s"):
        assert_translation_equivariant(nn.relu, IMAGES, stride=2)
    with pytest.raises(ValueError, match="an output is a scalar"):
        assert_translation_equivariant(jnp.sum, IMAGES)
    with pytest.raises(ValueError, match="no multiple of the stride"):
        assert_translation_invariant(jnp.sum, IMAGES, stride=2, shifts=[(2, 1)])
