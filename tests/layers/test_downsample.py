import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify
from jaxinv.layers import (
    DOWNSAMPLES,
    PADDINGS,
    Downsample,
    adaptive_polyphase_sample,
    avg_pool,
    blur_pool,
    ideal_lowpass,
    max_blur_pool,
    max_pool,
    subsample,
)
from tests.sweeps import few

BY_HAND = {
    "stride": lambda x: x[:, ::2, ::2],
    "max": lambda x: max_pool(x, 2, stride=2),
    "avg": lambda x: avg_pool(x, 2, stride=2),
    "blur": lambda x: blur_pool(x, 2, padding="CIRCULAR"),
    "maxblur": lambda x: max_blur_pool(x, padding="CIRCULAR"),
    "aps": lambda x: adaptive_polyphase_sample(x, 2)[0],
    "ideal": lambda x: ideal_lowpass(x, 2, subsample=True),
    "none": lambda x: x,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_name_is_its_layer(signal, kind):
    x = signal(2, 6, 4, 3)
    y = Downsample(kind, padding="CIRCULAR").apply({}, x)
    np.testing.assert_array_equal(y, BY_HAND[kind](x))


def test_every_name_halves_the_map_but_none(signal):
    x = signal(1, 8, 8, 2)
    for kind in DOWNSAMPLES:
        init = partial(Downsample(kind).init_with_output, return_phase=True)
        (y, phase), _ = jax.eval_shape(init, jax.random.key(0), x)
        assert y.shape == (1, *([8, 8] if kind == "none" else [4, 4]), 2)
        assert (phase is not None) == (kind in ("aps", "lps"))


def floor(n, stride):
    return n // stride


def ceil(n, stride):
    return -(-n // stride)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("stride", "sizes"),
    few(
        itertools.product([1, 2, 3, 5], [(13,), (10, 15), (11, 10, 12)]), (2, (10, 15)), (3, (13,))
    ),
)
def test_any_stride_size_rank_and_padding(stride, sizes, padding):
    x = jax.ShapeDtypeStruct((2, *sizes, 3), jnp.float32)
    for kind in DOWNSAMPLES:
        layer = Downsample(kind, stride, padding)
        init = partial(layer.init_with_output, return_phase=True)
        (y, phase), _ = jax.eval_shape(init, jax.random.key(0), x)
        if kind in ("blur", "maxblur") and padding in ("VALID", "FULL"):
            grown = 1 if padding == "FULL" else -1  # two a filter of three taps, on two sides
            extra = 2 * grown + (grown * (stride - 1) if kind == "maxblur" else 0)
            expected = tuple(ceil(n + extra, stride) for n in sizes)
        elif kind == "none":
            expected = sizes
        elif kind in ("aps", "lps"):
            expected = tuple(floor(n, stride) for n in sizes)
            assert phase.shape == (2,)
        elif kind in ("max", "avg") and padding != "CIRCULAR":
            expected = tuple(floor(n, stride) for n in sizes)
        else:
            expected = tuple(ceil(n, stride) for n in sizes)
        assert y.shape == (2, *expected, 3), kind


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kind", DOWNSAMPLES)
def test_what_is_promised_at_divisible_sizes_and_reported_at_others(signal, weights, kind, stride):
    layer = Downsample(kind, stride, "CIRCULAR")
    x = signal(1, 6 * stride, 2)
    apply = partial(layer.apply, weights(layer, x))
    certificate = certify(apply, x, axes=(1,))
    rolls = kind in ("aps", "lps") and stride > 1
    assert certificate.kind == ("equivariant up to a roll" if rolls else "equivariant")
    assert certificate.period == (1 if rolls or kind == "none" else stride,)
    tie = [a for a in certificate.assumptions if "no two polyphase components tie" in a]
    assert bool(tie) == rolls
    if stride > 1 and kind != "none":
        certificate = certify(apply, x[:, :-1], axes=(1,))
        assert certificate.kind == "broken"
        reason = certificate.breaks[0].reason
        assert f"{6 * stride - 1} positions are not divisible by stride {stride}" in reason


@pytest.mark.parametrize("kind", ["aps", "lps"])
def test_phases_of_another_branch_are_used_again(signal, weights, kind):
    x = signal(2, 4, 4, 1)
    layer = Downsample(kind)
    variables = weights(layer, x)
    y, phase = layer.apply(variables, x, jnp.array([3, 1]), return_phase=True)
    np.testing.assert_array_equal(phase, [3, 1])
    np.testing.assert_array_equal(y[0], x[0, 1::2, 1::2])


@pytest.mark.parametrize("kind", DOWNSAMPLES)
def test_it_is_a_layer_of_a_sequential(signal, weights, kind):
    net = nn.Sequential([Downsample(kind), nn.Dense(2)])
    x = signal(1, 4, 4, 3)
    alone = Downsample(kind)
    variables = weights(net, x)
    inner = {"params": variables["params"].get("layers_0", {})}
    dense = {"params": variables["params"]["layers_1"]}
    np.testing.assert_allclose(
        net.apply(variables, x), nn.Dense(2).apply(dense, alone.apply(inner, x)), rtol=1e-6
    )


def test_subsample_takes_the_first_phase():
    np.testing.assert_array_equal(subsample(jnp.arange(7.0).reshape(1, 7, 1), 3).ravel(), [0, 3, 6])
    with pytest.raises(ValueError, match="stride is 0"):
        subsample(jnp.zeros((1, 4, 1)), 0)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'d': downsample is 'pool'; allowed are stride"):
        Downsample("pool", name="d").apply({}, jnp.zeros((1, 4, 1)))


@pytest.mark.parametrize("kind", DOWNSAMPLES)
def test_strides_below_one_are_refused_by_every_kind(kind):
    for stride in (0, -2):
        with pytest.raises(ValueError, match=r"'d': stride is .* allowed are whole numbers from 1"):
            Downsample(kind, stride, name="d").init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))


@pytest.mark.parametrize("kind", ["max", "avg", "aps", "lps"])
def test_strides_larger_than_the_map_are_refused(kind):
    with pytest.raises(ValueError, match=r"'d': .*(filter of 5 .*|stride .*) is larger"):
        Downsample(kind, 5, name="d").init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
