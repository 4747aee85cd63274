"""Declarations: the identity in execution, a promise to the certificate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv


def chosen_phase(x):
    """Of the two polyphase components of a signal the one with the larger sum, as declared."""
    sums = x.reshape(x.shape[0], -1, 2, x.shape[2]).sum(axis=(0, 1, 3))
    decision = jnp.argmax(sums)
    return jnp.where(decision == 0, x[:, 0::2], x[:, 1::2]), decision


def adaptive(x):
    y, decision = chosen_phase(x)
    return jaxinv.declare_equivariance(x, y, axes=(1,), stride=2, decision=decision)


def restored(x):
    y, decision = chosen_phase(x)
    y = jaxinv.declare_equivariance(x, y, axes=(1,), stride=2, decision=decision)
    zeros = jnp.zeros_like(y)
    first, second = jnp.where(decision == 0, y, zeros), jnp.where(decision == 0, zeros, y)
    up = jnp.stack([first, second], axis=2).reshape(x.shape)
    return jaxinv.declare_equivariance(
        y, up, axes=(1,), stride=2, decision=decision, restores=True, assumption="no ties"
    )


SIGNAL = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 3)), jnp.float32)


def test_execution_is_the_identity():
    want, _ = chosen_phase(SIGNAL)
    np.testing.assert_array_equal(adaptive(SIGNAL), want)
    np.testing.assert_array_equal(jax.jit(adaptive)(SIGNAL), want)
    np.testing.assert_array_equal(jax.vmap(adaptive, in_axes=1)(SIGNAL[:, None])[0], want)


def test_differentiation_is_that_of_the_identity():
    gradient = jax.grad(lambda x: (adaptive(x) ** 2).sum())(SIGNAL)
    want = jax.grad(lambda x: (chosen_phase(x)[0] ** 2).sum())(SIGNAL)
    np.testing.assert_array_equal(gradient, want)


def test_the_promise_holds_and_is_believed():
    certificate = jaxinv.certify(adaptive, SIGNAL, axes=(1,))
    assert (certificate.kind, certificate.period) == ("equivariant up to a roll", (1,))
    outputs = jaxinv.orbit(adaptive, axes=(1,), share=False)(SIGNAL)
    for shifted in outputs:
        rolls = [jnp.roll(outputs[0], k, axis=1) for k in range(4)]
        assert any(np.allclose(shifted, roll) for roll in rolls)


def test_pooling_over_the_positions_makes_it_invariant_to_every_shift():
    certificate = jaxinv.certify(lambda x: jnp.tanh(adaptive(x)).mean(axis=1), SIGNAL, axes=(1,))
    assert (certificate.kind, certificate.period) == ("invariant", (1,))
    undeclared = jaxinv.certify(lambda x: chosen_phase(x)[0].mean(axis=1), SIGNAL, axes=(1,))
    assert undeclared.kind == "broken" or undeclared.period == (2,)


def test_values_of_one_decision_can_meet_and_of_two_cannot():
    def one(x):
        y = adaptive(x)
        return (y + jnp.tanh(y)).mean(axis=1)

    def two(x):
        return (adaptive(x) + adaptive(jnp.sin(x))).mean(axis=1)

    assert jaxinv.certify(one, SIGNAL, axes=(1,)).period == (1,)
    certificate = jaxinv.certify(two, SIGNAL, axes=(1,))
    assert certificate.kind == "broken"
    assert any("different decisions" in step.reason for step in certificate.breaks)


def each_adaptive(x):
    return jaxinv.layers.adaptive_polyphase_sample(x)[0]


@pytest.mark.parametrize(
    ("then", "holds"),
    [
        (lambda y: y[:, :, :1] - y.mean((0, 1)), True),
        (lambda y: y[1:3].reshape(-1, 3) @ jnp.ones((3, 2)), True),
        (lambda y: jnp.einsum("npc,nqc->npq", y, y).sum(2), True),
        (lambda y: y / (1 + jnp.abs(y).max((1, 2), keepdims=True)), True),
        (lambda y: y / (1 + jnp.abs(y).max((0, 2), keepdims=True)), False),
        (lambda y: y.max(0), False),
        (lambda y: y * y[:1], False),
        (lambda y: jnp.einsum("npc,mpc->nm", y, y), False),
    ],
)
def test_images_that_are_rolled_one_by_one_follow_no_shift_together(then, holds):
    def proved(sample):
        certificate = jaxinv.certify(lambda x: jnp.tanh(then(sample(x))).sum(), x, axes=(1,))
        return certificate.kind == "invariant"

    # The choice of each image is its own: shifted by 1, some are rolled and others are not.
    x = jnp.zeros((4, 8, 3))
    assert proved(each_adaptive) == holds
    assert proved(adaptive)  # one choice for all


def test_rounds_of_a_loop_have_rolls_of_their_own():
    def views(x):
        y = jax.lax.map(lambda view: each_adaptive(view[None])[0], x)
        return jnp.tanh(y.max(0)).sum()

    assert jaxinv.certify(views, jnp.zeros((4, 8, 3)), axes=(1,)).kind == "broken"


def test_the_same_phase_at_every_shift_is_no_choice():
    def first(x):
        return jaxinv.layers.select_phase(x, jnp.array([1]), 2)

    assert jaxinv.certify(first, SIGNAL, axes=(1,)).period == (2,)


@pytest.mark.parametrize(("stride", "holds"), [(2, True), (3, False)])
def test_a_phase_used_again_on_the_mirror_image(stride, holds):
    def mirrored(x):
        _, phase = jaxinv.layers.adaptive_polyphase_sample(x, stride)
        return jnp.tanh(jaxinv.layers.select_phase(x[:, ::-1], phase, stride)).sum(1)

    certificate = jaxinv.certify(mirrored, jnp.zeros((1, 12, 2)), axes=(1,))
    assert (certificate.kind == "invariant" and certificate.period == (1,)) == holds


def test_what_is_restored_follows_the_shift_exactly():
    certificate = jaxinv.certify(restored, SIGNAL, axes=(1,))
    assert (certificate.kind, certificate.period, certificate.only.whole) == (
        "equivariant",
        (1,),
        (True,),
    )
    assert certificate.assumptions == ("no ties",)
    want = jnp.stack([jnp.roll(restored(SIGNAL), t, axis=1) for t in range(8)])
    got = jaxinv.orbit(restored, axes=(1,), share=False)(SIGNAL)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_stride_after_a_choice_ends_the_symmetry():
    certificate = jaxinv.certify(lambda x: adaptive(x)[:, ::2], SIGNAL, axes=(1,))
    assert certificate.kind == "broken"
    assert "phase of a rolled value" in certificate.first_end.reason


def test_a_torus_of_one_position_does_not_move():
    def down_to_one(x):
        for _ in range(3):
            x = adaptive(x)
        return x[:, 0]

    certificate = jaxinv.certify(down_to_one, SIGNAL, axes=(1,))
    assert (certificate.kind, certificate.period) == ("invariant", (1,))
    outputs = jaxinv.orbit(down_to_one, axes=(1,), share=False)(SIGNAL)
    np.testing.assert_array_equal(outputs, jnp.broadcast_to(outputs[:1], outputs.shape))


def test_the_orbit_does_not_believe_promises():
    def false_promise(x):
        return jaxinv.declare_invariance(x, x[:, 0], axes=(1,))

    assert jaxinv.certify(false_promise, SIGNAL, axes=(1,)).kind == "invariant"
    outputs = jaxinv.orbit(false_promise, axes=(1,))(SIGNAL)
    np.testing.assert_array_equal(outputs[:, 0], SIGNAL[0, (-np.arange(8)) % 8])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride is"),
        ({"stride": (2, 2)}, "2 entries for 1 axes"),
        ({"stride": 3}, "no subsampling by 3"),
        ({"axes": (5,)}, "axis 5 is not a dimension"),
        ({"restores": True}, "needs the decision"),
    ],
    ids=["zero", "entries", "size", "axis", "restores"],
)
def test_wrong_use(options, message):
    given = {"axes": (1,), "stride": 2} | options
    with pytest.raises(ValueError, match=message):
        jaxinv.declare_equivariance(SIGNAL, SIGNAL[:, ::2], **given)


def test_invariance_of_what_has_no_such_axis():
    with pytest.raises(ValueError, match=r"axis|axes"):
        jaxinv.declare_invariance(SIGNAL, SIGNAL.sum(), axes=(4,))
