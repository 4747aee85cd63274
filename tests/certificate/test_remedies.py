"""What circular padding and adaptive sampling would give, and how far layers see."""

import dataclasses
import pickle
from fractions import Fraction
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv

IMAGE = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)


class Residual(nn.Module):
    """A padded pool and a residual block of stride 2, then a mean."""

    padding: str = "SAME"
    head: str = "mean"

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), strides=2, padding=self.padding, name="stem")(x))
        y = nn.Conv(4, (3, 3), strides=2, padding=self.padding, name="main")(x)
        x = nn.relu(y + nn.Conv(4, (1, 1), strides=2, name="short")(x))
        return nn.Dense(5)(x.mean((1, 2)) if self.head == "mean" else x.reshape(len(x), -1))


def certified(network, x=IMAGE):
    params = network.init(jax.random.key(0), x)
    return params, jaxinv.certify(partial(network.apply, params), x)


def run(program, *inputs):
    values = {i: np.asarray(v, program.avals[i].dtype) for i, v in program.constants.items()}
    values |= dict(zip(program.inputs, inputs, strict=True))
    for equation in program.equations:
        outs = equation.bind(*(values[i] for i in equation.ins))
        values |= dict(zip(equation.outs, outs, strict=True))
    return [values[i] for i in program.outputs]


def test_a_padded_network_says_what_circular_padding_and_adaptive_sampling_give():
    _, certificate = certified(Residual())
    circular, adaptive = certificate.remedies
    assert [str(s) for s in circular.states] == ["invariant to multiples of (4, 4)"]
    assert adaptive.changes == ("circular padding", "adaptive sampling")
    assert adaptive.states[0].is_invariant
    assert adaptive.assumptions == ("no two polyphase components tie in their norm",)
    lines = str(certificate).splitlines()
    text = " ".join(lines)
    assert (
        "With circular padding: invariant to multiples of (4, 4); "
        "with adaptive sampling as well: to every shift." in text
    )
    assert max(map(len, lines)) <= 100


def test_the_changed_program_is_the_network_with_circular_padding():
    params, certificate = certified(Residual())
    circular = Residual("CIRCULAR").apply(params, IMAGE)
    # SAME and CIRCULAR pad an even map at other ends where the stride is 2.
    moved = jnp.roll(IMAGE, (-1, -1), (1, 2))
    (found,) = run(certificate.remedies[0].program, IMAGE)
    assert found.shape == circular.shape
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found, Residual().apply(params, IMAGE), atol=1e-5)
    for shift in ((4, 0), (0, 4), (8, 12)):
        (other,) = run(certificate.remedies[0].program, jnp.roll(IMAGE, shift, (1, 2)))
        np.testing.assert_allclose(other, found, atol=1e-5)
    (other,) = run(certificate.remedies[0].program, moved)
    assert np.abs(other - found).max() > 1e-3


def test_the_changed_program_pads_like_numpy_does():
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 3, 2)), jnp.float32)

    def network(x):
        x = lax.conv_general_dilated(
            x, kernel, (1, 1), ((1, 1), (2, 0)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)
        return nn.max_pool(jnp.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0))), (2, 2))

    def circular(x):
        x = jnp.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0)), mode="wrap")
        x = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = nn.avg_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap"), (3, 3))
        return nn.max_pool(jnp.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)), mode="wrap"), (2, 2))

    (remedy,) = jaxinv.certify(network, IMAGE).remedies
    np.testing.assert_allclose(run(remedy.program, IMAGE)[0], circular(IMAGE), atol=1e-5)
    assert str(remedy.states[0]) == "equivariant to every shift"


def test_a_transposed_convolution_is_continued_around():
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(4, 1, 1)), jnp.float32)

    def network(x):
        return lax.conv_transpose(x, kernel, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 1)), jnp.float32)
    (remedy,) = jaxinv.certify(network, x, axes=(1,)).remedies
    (found,) = run(remedy.program, x)
    np.testing.assert_allclose(found[:, 2:-2], network(x)[:, 2:-2], atol=1e-6)
    (moved,) = run(remedy.program, jnp.roll(x, 3, 1))
    np.testing.assert_allclose(moved, jnp.roll(found, 6, 1), atol=1e-6)
    assert str(remedy.states[0]).startswith("equivariant to every shift")


def test_adaptive_sampling_is_invariant_to_every_shift():
    _, certificate = certified(Residual(), IMAGE[:, :8, :8])
    program, x = certificate.remedies[1].program, IMAGE[:, :8, :8]
    (found,) = run(program, x)
    for shift in np.ndindex(8, 8):
        (moved,) = run(program, jnp.roll(x, shift, (1, 2)))
        np.testing.assert_allclose(moved, found, atol=1e-5)


def test_strides_without_padding_are_mended_by_adaptive_sampling_alone():
    def network(x):
        return nn.max_pool(x, (2, 2), (2, 2))[:, ::2, 1::2].mean((1, 2))

    certificate = jaxinv.certify(network, IMAGE)
    (remedy,) = certificate.remedies
    assert remedy.changes == ("adaptive sampling",)
    assert remedy.states[0].is_invariant
    assert "With adaptive sampling: invariant to every shift." in str(certificate)


@pytest.mark.parametrize(
    "then",
    [
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, :, :, :],
        lambda x: nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False) - x,
    ],
)
def test_padding_apart_from_its_kernel_and_counts_follow_the_same_choices(then):
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 3, 3)), jnp.float32)

    def slid(x, stride, padding):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (stride,) * 2, padding, dimension_numbers=numbers
        )

    def network(x):
        x = jnp.tanh(slid(x, 2, ((1, 1), (1, 1))))
        before = x.shape
        x = then(x)
        return slid(x, 2, "VALID" if x.shape != before else "SAME").mean((1, 2))

    remedy = jaxinv.certify(network, IMAGE).remedies[-1]
    assert remedy.states[0].is_invariant
    (found,) = run(remedy.program, IMAGE)
    for shift in ((1, 0), (0, 1), (5, 7)):
        (moved,) = run(remedy.program, jnp.roll(IMAGE, shift, (1, 2)))
        np.testing.assert_allclose(moved, found, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "ends"),
    [
        (lambda x: Residual(head="flatten").init_with_output(jax.random.key(0), x)[0], "Dense"),
        (lambda x: jnp.pad(x[:, 1:], ((0, 0), (1, 1), (0, 0), (0, 0))).mean((1, 2)), ""),
        (lambda x: jnp.pad(jnp.cumsum(x, 1), ((0, 0), (1, 1), (1, 1), (0, 0))).mean(), "cumsum"),
    ],
)
def test_nothing_is_said_that_is_not_proved(network, ends):
    certificate = jaxinv.certify(network, IMAGE)
    for remedy in certificate.remedies:
        assert remedy.end is not None
        assert ends in remedy.end.layer + remedy.end.reason
    assert "invariant to multiples" not in str(certificate)


def test_an_invariant_function_needs_no_remedy():
    certificate = jaxinv.certify(lambda x: x.mean((1, 2)), IMAGE)
    assert certificate.remedies == ()
    assert "With " not in str(certificate)


def test_what_comes_after_the_first_break_is_told():
    _, certificate = certified(Residual())
    steps = {step.layer: step for step in certificate.steps}
    assert [str(r) for r in steps["main"].inside][:1] == ["zero padding of 1 meets the border"]
    assert str(steps["main"].after.interior[0]) == "0:3 of 4, multiples of 4"
    assert "stride 2: multiples of 4 only" in map(str, steps["short"].inside)
    assert "interior 0:3 of 4, multiples of 4" in str(certificate)
    assert (
        steps["main"].to_dict()["receptive_field"]
        == [{"size": 7, "stride": "4", "halo": ["0", "3"]}] * 2
    )


def test_a_certificate_with_its_answers_can_be_pickled():
    _, certificate = certified(Residual())
    again = pickle.loads(pickle.dumps(certificate))
    assert str(again) == str(certificate)
    assert again.steps == certificate.steps
    assert again.remedies == certificate.remedies


def brute_force_field(fun, size):
    """The widest range of the input that one output far from the border depends on."""
    jacobian = np.asarray(jax.jacobian(lambda x: fun(x[None, :, None]).ravel())(jnp.ones(size)))
    reads = [np.flatnonzero(row) for row in jacobian]
    inner = [r for r in reads if r.size and r[0] > 0 and r[-1] < size - 1]
    return max(r[-1] - r[0] + 1 for r in inner)


def slid(k, s=1, pad="SAME", dilation=1):
    kernel = jnp.ones((k, 1, 1))
    return lambda x: lax.conv_general_dilated(
        x, kernel, (s,), pad, rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
    )


def chained(*layers):
    def fun(x):
        for layer in layers:
            x = layer(x)
        return x

    return fun


FIELDS = {
    "odd": (chained(slid(7, 2, ((3, 3),)), slid(3)), 7 + 2 * 2),
    "valid": (chained(slid(2, 2, "VALID"), slid(3, 3, "VALID"), slid(2, 1, "VALID")), 6 + 6),
    "dilated": (chained(slid(3, 1, "SAME", 4), slid(3, 2)), 11),
    "pooled": (chained(slid(3), lambda x: nn.avg_pool(x, (3,), (2,), ((1, 1),)), slid(5)), 13),
    "causal": (lambda x: jnp.pad(x, ((0, 0), (2, 0), (0, 0)))[:, :-2] - 2 * x, 3),
    "sliced": (lambda x: x[:, 3:-2][:, ::2], 1),
    "residual": (lambda x: slid(1, 2)(x) + slid(5, 2, ((2, 2),))(x), 5),
    "reversed": (chained(slid(3), lambda x: x[:, ::-1], slid(3)), 5),
    "patches": (lambda x: x.reshape(1, 15, 4).sum(-1, keepdims=True), 4),
    "shifted": (lambda x: slid(3)(x[:, 4:-4]) + x[:, :-8], 6),
    "circular": (lambda x: slid(3, 1, "VALID")(jnp.pad(x, ((0, 0), (1, 1), (0, 0)), "wrap")), 3),
}


def field_of_output(fun):
    certificate = jaxinv.certify(fun, jnp.ones((1, 60, 1)), axes=(1,))
    every = dataclasses.replace(certificate, layers=certificate.equations)
    (found,) = every.steps[-1].fields
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_are_those_of_the_jacobian(name):
    fun, expected = FIELDS[name]
    assert field_of_output(fun).size == expected
    if name != "circular":  # where some outputs read both ends
        assert expected == brute_force_field(fun, 60)


def repeated(x):
    return jnp.repeat(x, 2, axis=1)


def enlarged(x):
    return jax.image.resize(x, (x.shape[0], 3 * x.shape[1], x.shape[2]), "linear")


def upconv(k, s):
    kernel = jnp.ones((k, 1, 1))
    return lambda x: lax.conv_transpose(
        x, kernel, (s,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )


UPSAMPLED = {
    "repeated": (chained(repeated, slid(3)), Fraction(1, 2)),
    "there and back": (chained(slid(4, 2), repeated, slid(3), slid(5)), 1),
    "transposed": (chained(slid(4, 2), upconv(3, 2), slid(3, 2, dilation=2)), 2),
    "of its own kernel": (chained(slid(2, 2), slid(3), upconv(2, 2), slid(3)), 1),
    "enlarged": (chained(slid(3), enlarged, slid(3)), Fraction(1, 3)),
    "thinned": (chained(enlarged, lambda x: x[:, 1::2], slid(3)), Fraction(2, 3)),
    "skip": (lambda x: slid(3)(x) + chained(slid(2, 2), slid(5), repeated)(x), 1),
    "reversed": (chained(slid(2, 2), repeated, lambda x: x[:, ::-1], slid(4)), 1),
    "gaps": (chained(upconv(1, 2), slid(2)), Fraction(1, 2)),
}


@pytest.mark.parametrize("name", UPSAMPLED)
def test_receptive_fields_after_upsampling_are_those_of_the_jacobian(name):
    fun, stride = UPSAMPLED[name]
    found = field_of_output(fun)
    assert found.size == brute_force_field(fun, 60)
    assert found.stride == stride


def test_halos_after_upsampling_are_the_largest_of_all_positions():
    fun, _ = UPSAMPLED["there and back"]
    (found,) = jaxinv.certify(fun, jnp.ones((1, 60, 1)), axes=(1,)).steps[-1].fields
    jacobian = np.asarray(jax.jacobian(lambda x: fun(x[None, :, None]).ravel())(jnp.ones(60)))
    reads = {j: np.flatnonzero(jacobian[j]) for j in range(20, 40)}
    before = max(j - r[0] for j, r in reads.items())
    after = max(r[-1] - j for j, r in reads.items())
    assert found.halo == (before, after)
    assert before + 1 + after > found.size  # no position reads furthest on both sides


def test_a_field_may_be_larger_than_the_image():
    fun = chained(*[slid(9, 2) for _ in range(5)])
    (found,) = jaxinv.certify(fun, jnp.ones((1, 64, 1)), axes=(1,)).steps[-1].fields
    assert (found.size, found.stride) == (1 + 8 * (1 + 2 + 4 + 8 + 16), 32)
    assert found.halo[0] + found.stride + found.halo[1] == found.size


def test_a_table_says_how_far_layers_see():
    _, certificate = certified(Residual())
    table = certificate.receptive_fields.splitlines()
    assert table[0].split() == ["layer", "at", "output", "receptive", "field", "stride", "halo"]
    (main,) = (line for line in table if line.startswith("main"))
    assert main.split()[2:] == ["4x4x4", "7", "4", "0", "+", "3"]
    assert any(line.endswith("everything") for line in table)
    assert max(map(len, table)) <= 100


def test_global_layers_see_everything():
    certificate = jaxinv.certify(lambda x: x - x.mean((1, 2), keepdims=True), IMAGE)
    assert certificate.steps[-1].fields == (None, None)
    assert certificate.steps[-1].to_dict()["receptive_field"] == ["everything"] * 2
