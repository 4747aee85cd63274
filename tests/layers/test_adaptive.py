from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify
from jaxinv.layers import (
    CRITERIA,
    AdaptivePolyphaseSampling,
    LearnablePolyphaseSampling,
    adaptive_polyphase_sample,
    blur_pool,
    convolve,
    polyphase_norms,
    polyphase_upsample,
    tie_margin,
)
from jaxinv.margins import TIE
from jaxinv.orbit import orbit
from tests.sweeps import few


def is_a_roll(moved, y):
    """Whether two maps `(h, w, c)` are rolls of each other, bit for bit."""
    h, w = y.shape[:2]
    rolls = (np.roll(y, (a, b), (0, 1)) for a in range(h) for b in range(w))
    return any(np.array_equal(moved, roll) for roll in rolls)


def sampler(kind, stride):
    layer = {
        "aps": AdaptivePolyphaseSampling(stride),
        "filtered": AdaptivePolyphaseSampling(stride, taps=3),
        "filtered after": AdaptivePolyphaseSampling(stride, taps=3, filter_place="after"),
        "lps": LearnablePolyphaseSampling(stride, hidden=4),
        **{c: AdaptivePolyphaseSampling(stride, criterion=c) for c in CRITERIA},
    }[kind]
    return layer


SIZES = [((6, 6), 2), ((4, 8), 2), ((6, 6), 3), ((9, 3), 3), ((4, 6), (2, 3))]


@pytest.mark.parametrize(
    ("kind", "sizes", "stride"),
    few(
        [
            *(("aps", *case) for case in SIZES),
            *(("lps", *case) for case in SIZES),
            *((criterion, (4, 6), 2) for criterion in CRITERIA if criterion != "l2"),
            ("filtered", (4, 6), 2),
            ("filtered after", (6, 3), 3),
        ],
        ("aps", (4, 8), 2),
        ("aps", (4, 6), (2, 3)),
        ("lps", (6, 6), 3),
        ("linf", (4, 6), 2),
        ("filtered", (4, 6), 2),
        ("filtered after", (6, 3), 3),
    ),
)
def test_all_shifts_give_the_same_values_up_to_a_roll(signal, weights, kind, sizes, stride):
    with jax.enable_x64(True):
        x = signal(2, *sizes, 3, dtype=jnp.float64)
        layer = sampler(kind, stride)
        variables = weights(layer, x, dtype=jnp.float64)
        sample = orbit(lambda x: layer.apply(variables, x)[0])
        every = np.asarray(jax.jit(sample)(x))
        for shift in np.ndindex(*sizes):
            for n in range(2):
                if kind.startswith(
                    "filtered"
                ):  # sums in another order: equal to rounding, not to the bit
                    moved, y = (np.round(v, 9) for v in (every[shift][n], every[0, 0][n]))
                else:
                    moved, y = every[shift][n], every[0, 0][n]
                assert is_a_roll(moved, y), (shift, n)
        pooled = every.mean((3, 4))
        assert np.abs(pooled - pooled[0, 0]).max() < 1e-12


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_component_of_the_largest_norm_is_kept(signal, criterion):
    x = signal(3, 4, 4, 2).at[:, 1::2, 0::2].multiply(10.0)
    y, phase = adaptive_polyphase_sample(x, criterion=criterion)
    np.testing.assert_array_equal(phase, [2, 2, 2])
    np.testing.assert_array_equal(y, x[:, 1::2, 0::2])


@pytest.mark.parametrize("sizes", [(8,), (4, 2, 6)])
def test_one_and_three_dimensions(signal, sizes):
    x = signal(1, *sizes, 2)
    y, _ = adaptive_polyphase_sample(x)
    assert y.shape == (1, *(s // 2 for s in sizes), 2)
    moved, _ = adaptive_polyphase_sample(jnp.roll(x, 1, 1))
    np.testing.assert_array_equal(jnp.sort(moved.ravel()), jnp.sort(y.ravel()))


def test_a_second_branch_is_sampled_at_the_phases_of_the_first(signal):
    x, other = signal(2, 4, 4, 1), signal(2, 4, 4, 3, seed=1)
    layer = AdaptivePolyphaseSampling()
    _, phase = layer.apply({}, x)
    y, again = layer.apply({}, other, phase)
    np.testing.assert_array_equal(again, phase)
    for n in range(2):
        p, q = divmod(int(phase[n]), 2)
        np.testing.assert_array_equal(y[n], other[n, p::2, q::2])


def test_a_tie_takes_the_first_phase_and_is_reported():
    x = jnp.array([1.0, 2.0, 2.0, 1.0]).reshape(1, 4, 1)  # components (1, 2) and (2, 1)
    layer = AdaptivePolyphaseSampling()
    (y, phase), sown = layer.apply({}, x, mutable="intermediates")
    assert int(phase[0]) == 0
    np.testing.assert_array_equal(y.ravel(), [1, 2])
    np.testing.assert_array_equal(sown["intermediates"]["tie_margin"][0], [0.0])
    # The promise is void: a shift by one brings the other component to the first phase.
    x = jnp.array([3.0, 0.0, 0.0, 5.0, 4.0, 0.0, 0.0, 0.0]).reshape(1, 8, 1)  # 3 0 4 0, 0 5 0 0
    here, there = (layer.apply({}, v)[0].ravel() for v in (x, jnp.roll(x, 1, 1)))
    np.testing.assert_array_equal(here, [3, 0, 4, 0])
    assert not any(np.array_equal(there, np.roll(here, r)) for r in range(4))


@pytest.mark.parametrize("taps", [2, 3, 5, (1, 5), (3, 1)])
def test_sums_behind_a_filter_always_tie_and_are_refused(signal, taps):
    x = jnp.abs(signal(4, 8, 8, 3))
    norms = polyphase_norms(blur_pool(x, 1, taps=taps, padding="CIRCULAR"), 2, criterion="l1")
    assert float(tie_margin(norms).max()) < TIE
    layer = AdaptivePolyphaseSampling(criterion="l1", taps=taps, name="s")
    with pytest.raises(ValueError, match="Sampling 's': criterion is 'l1' after a filter of"):
        layer.apply({}, x)


@pytest.mark.parametrize(
    "layer",
    [
        AdaptivePolyphaseSampling(criterion="l1"),
        AdaptivePolyphaseSampling(criterion="l1", taps=3, filter_place="after"),
        AdaptivePolyphaseSampling(4, criterion="l1", taps=3),
        AdaptivePolyphaseSampling((2, 4), criterion="l1", taps=(1, 3)),
        AdaptivePolyphaseSampling(criterion="l2", taps=5),
        AdaptivePolyphaseSampling(criterion="linf", taps=2),
    ],
)
def test_other_norms_and_filters_do_not_tie_on_maps_that_are_not_negative(signal, layer):
    x = jnp.abs(signal(20, 8, 8, 3))
    _, sown = layer.apply({}, x, mutable="intermediates")
    assert float(sown["intermediates"]["tie_margin"][0].min()) > TIE
    pooled, moved = (layer.apply({}, v)[0].mean((1, 2)) for v in (x, jnp.roll(x, (1, 1), (1, 2))))
    np.testing.assert_allclose(moved, pooled, rtol=1e-5)


def test_a_size_that_the_stride_does_not_divide_breaks_the_promise(signal):
    x = signal(1, 7, 1)
    here, there = (adaptive_polyphase_sample(jnp.roll(x, t, 1))[0].ravel() for t in (0, 1))
    assert here.shape == (3,)
    assert not any(np.array_equal(there, np.roll(here, r)) for r in range(3))


@pytest.mark.parametrize(("stride", "taps"), [(2, 1), (3, 1), (2, 3)])
def test_down_and_up_commute_with_every_shift_exactly(signal, stride, taps):
    x = signal(2, 6, 3 * stride, 2)

    def there_and_back(x):
        y, phase = AdaptivePolyphaseSampling(stride).apply({}, x)
        return polyphase_upsample(y, phase, stride, taps=taps)

    certificate = certify(there_and_back, x)
    assert (certificate.kind, certificate.period) == ("equivariant", (1, 1))
    every = np.asarray(jax.jit(orbit(there_and_back))(x))
    for a, b in np.ndindex(6, 3 * stride):
        np.testing.assert_array_equal(every[a, b], np.roll(every[0, 0], (a, b), (1, 2)))


def test_the_filter_of_the_way_up_smooths():
    x = jnp.array([4.0, 8.0]).reshape(1, 2, 1)
    y = polyphase_upsample(x, jnp.array([0]), 2, taps=3)
    np.testing.assert_allclose(y.ravel(), [2, 3, 4, 3])  # 4 0 8 0 with (1 2 1) / 4 on the circle


class TestLearnable:
    def test_training_keeps_one_component_and_gradients_reach_the_scores(self, signal, weights):
        layer = LearnablePolyphaseSampling(hidden=3)
        x = signal(2, 4, 4, 2)
        variables = weights(layer, x)

        def loss(variables):
            y, phase = layer.apply(variables, x, train=True)
            return jnp.sum(y**2), (y, phase)

        grads, (y, phase) = jax.jit(jax.grad(loss, has_aux=True))(variables)
        for n in range(2):
            p, q = divmod(int(phase[n]), 2)
            np.testing.assert_allclose(y[n], x[n, p::2, q::2], atol=1e-6)
        assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads))

    def test_noise_explores_in_training_only(self, signal, weights):
        layer = LearnablePolyphaseSampling(hidden=3)
        x = jnp.broadcast_to(signal(1, 4, 4, 2), (64, 4, 4, 2))
        variables = weights(layer, x)
        rngs = {"dropout": jax.random.key(1)}
        _, drawn = jax.jit(partial(layer.apply, train=True))(variables, x, rngs=rngs)
        _, quiet = jax.jit(partial(layer.apply, train=False))(variables, x, rngs=rngs)
        assert len(set(drawn.tolist())) == 4
        assert len(set(quiet.tolist())) == 1

    def test_the_gradient_is_that_of_the_softmax(self, weights):
        layer = LearnablePolyphaseSampling(2, hidden=1, temperature=2.0)
        x = jnp.array([1.0, 5.0, 2.0, 7.0]).reshape(1, 4, 1)
        variables = weights(layer, x)

        def total(scale):
            params = {**variables["params"], "score2": {"kernel": scale * jnp.ones((1, 1))}}
            return layer.apply({"params": params}, x, train=True)[0].sum()

        def by_hand(scale):
            def score(part):
                return layer_score(variables["params"], part) * scale

            logits = jnp.stack([score(x[:, 0::2]), score(x[:, 1::2])])
            return jax.nn.softmax(logits / 2) @ jnp.array([3.0, 12.0])

        slope, expected = (float(jax.jit(jax.grad(f))(0.7)) for f in (total, by_hand))
        assert slope == pytest.approx(expected, rel=1e-4)
        assert abs(slope) > 1e-3


def layer_score(params, part):
    """The scoring network on one component, before its last weight."""
    y = part
    for index in range(2):
        layer = params[f"score{index}"]
        y = convolve(y, layer["kernel"], padding="CIRCULAR") + layer["bias"]
        y = jax.nn.relu(y) if index == 0 else y
    return y.mean()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (AdaptivePolyphaseSampling(0, name="s"), "Sampling 's': stride is 0"),
        (AdaptivePolyphaseSampling(criterion="l0", name="s"), "Sampling 's': criterion is 'l0'"),
        (AdaptivePolyphaseSampling(filter_place="in", name="s"), "filter_place is 'in'; allowed"),
        (AdaptivePolyphaseSampling(taps=9, name="s"), "Sampling 's': filter has 9 taps"),
        (LearnablePolyphaseSampling(9, name="s"), r"Sampling 's': stride \(9, 9\) is larger"),
        (LearnablePolyphaseSampling(temperature=0.0, name="s"), "'s': temperature is 0.0"),
    ],
)
def test_wrong_use_names_the_layer(layer, message):
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


def test_wrong_upsampling_is_refused():
    with pytest.raises(ValueError, match="stride is 0"):
        polyphase_upsample(jnp.zeros((1, 4, 1)), jnp.array([0]), 0)
