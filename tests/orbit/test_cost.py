"""The cost of an orbit against counts made by hand."""

import functools
import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit import choice
from jaxinv.symmetry.cost import Work

IMAGE = jax.ShapeDtypeStruct((2, 8, 6, 3), jnp.float32)


def strided(x):
    kernel = np.ones((1, 1, 3, 4), np.float32)
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_a_strided_convolution_is_computed_at_stride_one():
    cost = jaxinv.orbit_cost(strided, IMAGE)
    assert cost.forward_flops == 2 * 2 * 4 * 3 * 4 * 3
    assert cost.shared_flops == 2 * 2 * 8 * 6 * 4 * 3
    assert (cost.shifts, cost.forward_passes, cost.ratio) == (48, 4.0, 12.0)
    assert cost.distinct_activations == 2 * 8 * 6 * 4
    assert cost.dominant_layer == "conv_general_dilated"


def test_taps_that_read_one_position_are_one():
    def around(x):
        rows = jnp.pad(x[:, ::4], ((0, 0), (2, 2), (0, 0), (0, 0)), mode="wrap")
        kernel = np.ones((5, 1, 3, 4), np.float32)
        return jax.lax.conv_general_dilated(
            rows, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    cost = jaxinv.orbit_cost(around, IMAGE)
    assert cost.forward_flops == 2 * 2 * 2 * 6 * 4 * 5 * 3
    assert cost.shared_flops == 2 * 2 * 4 * 2 * 6 * 4 * 2 * 3


def test_what_shares_nothing_costs_every_shift():
    cost = jaxinv.orbit_cost(
        lambda x: jnp.tanh(x + np.arange(48, dtype=np.float32).reshape(8, 6, 1)), IMAGE
    )
    assert (cost.forward_passes, cost.ratio) == (48.0, 1.0)


def test_memory_counts_the_outputs_at_all_shifts():
    cost = jaxinv.orbit_cost(lambda x: jnp.mean(x, axis=(1, 2)), IMAGE)
    assert cost.peak_bytes >= 48 * 2 * 3 * 4


def test_it_reads_as_a_sentence():
    text = str(jaxinv.orbit_cost(strided, IMAGE))
    assert text.startswith("48 shifts: about 4 forward passes' work instead of 48, ")


def test_a_function_without_arithmetic():
    cost = jaxinv.orbit_cost(lambda x: x[:, ::2], jnp.zeros((1, 6, 5, 2)))
    assert (cost.forward_passes, cost.ratio, cost.dominant_layer) == (1, 30, "")
    assert "% of it" not in str(cost)


def test_wrong_use():
    with pytest.raises(ValueError, match="side effects"):
        jaxinv.orbit_cost(lambda x: jax.debug.print("{}", x[0, 0, 0, 0]) or x, IMAGE)
    with pytest.raises(ValueError, match="mode is 'mirror'"):
        jaxinv.orbit_cost(strided, IMAGE, mode="mirror")


def test_sharing_stops_where_few_shifts_need_less():
    # Stride 4 twice: 256 cosets, of which 9 shifts meet few. The second layer is not worth it.
    def twice(x):
        for kernel in (np.ones((4, 4, 1, 8), np.float32), np.ones((4, 4, 8, 64), np.float32)):
            x = jax.lax.conv_general_dilated(
                x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return x.mean(axis=(1, 2))

    image = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
    every = jaxinv.orbit_cost(twice, image)
    few = jaxinv.orbit_cost(twice, image, shifts=[(0, 0), (1, 3), (2, 1)])
    assert every.flops_per_shift == 0
    assert few.forward_passes <= 3.0
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 64, 64, 1)), jnp.float32)
    shifts = [(0, 0), (1, 3), (2, 1)]
    shared = jaxinv.orbit(twice, shifts=shifts)(x)
    brute = jaxinv.orbit(twice, shifts=shifts, share=False)(x)
    np.testing.assert_allclose(shared, brute, rtol=1e-4, atol=1e-3)


def padded(x, extent=3):
    spatial = "DHW"[-(x.ndim - 2) :]
    kernel = np.ones((extent,) * len(spatial) + (8, 8), np.float32)
    spec = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    x = jax.lax.conv_general_dilated(x, kernel, (1,) * len(spatial), "SAME", dimension_numbers=spec)
    return x.sum(axis=tuple(range(1, x.ndim - 1)))


# Of n positions along an axis b have met padding; the interior has n places on the torus, and what
# meets a border is new at each shift along that axis: 1 + b copies.
@pytest.mark.parametrize(
    ("shape", "extent", "part", "share"),
    [
        ((16, 12, 8), 3, "2 ends of conv_general_dilated", 2 / 3),
        ((1, 12, 9, 8), 5, "4 corners of conv_general_dilated", 16 / 25),
        ((1, 6, 5, 5, 8), 3, "12 edges of conv_general_dilated", 12 / 27),
    ],
)
def test_the_pieces_with_the_most_work(shape, extent, part, share):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    fun = functools.partial(padded, extent=extent)
    cost = jaxinv.orbit_cost(fun, x, axes=range(1, x.ndim - 1))
    assert cost.dominant_part == part
    # The sums over the pieces take little beside the convolution.
    assert cost.dominant_share == pytest.approx(share, rel=0.1)
    assert cost.forward_passes == pytest.approx(extent ** (x.ndim - 2), rel=0.1)
    assert f"{cost.dominant_share:.0%} of it in {part}" in str(cost)
    assert cost.to_dict()["dominant_part"] == part


def test_pieces_along_four_axes_have_a_name_too():
    def fun(x):
        x = jnp.pad(x, [(0, 0)] + [(1, 1)] * 4)
        with jax.named_scope("waves"):
            x = jnp.sin(jnp.cos(x))
        return x.sum(axis=(1, 2, 3, 4))

    certificate = jaxinv.certify(fun, np.zeros((64, 4, 4, 4, 6), np.float32), axes=(1, 2, 3, 4))
    assert certificate.work.largest == "80 borders of waves"  # of 3^4


@pytest.mark.parametrize("fun", [padded, strided, jnp.tanh], ids=["padded", "strided", "pointwise"])
def test_the_certificate_tells_the_same_cost(fun):
    x = jax.ShapeDtypeStruct((1, 12, 10, 8) if fun is padded else IMAGE.shape, jnp.float32)
    certificate, cost = jaxinv.certify(fun, x), jaxinv.orbit_cost(fun, x)
    assert certificate.cost == certificate.to_dict()["cost"] == cost.forward_passes
    assert certificate.work == (cost.forward_passes, cost.dominant_part, cost.dominant_share)
    assert pickle.loads(pickle.dumps(certificate)).work == certificate.work


def test_little_memory_is_named_and_changes_no_certificate(monkeypatch):
    ample, certificate = jaxinv.orbit_cost(strided, IMAGE), jaxinv.certify(strided, IMAGE)
    # The outputs at all shifts take 48 times 768 bytes, what is shared 4 times 768 bytes.
    monkeypatch.setattr(choice, "free_bytes", lambda: 4 * 3071)
    scarce = jaxinv.orbit_cost(strided, IMAGE)
    assert not ample.short_of_memory
    assert "memory" not in str(ample)
    assert scarce.short_of_memory
    assert str(scarce).startswith("48 shifts: 48 forward passes' work: nothing is shared")
    assert str(scarce).endswith("; with more memory more would be shared")
    assert jaxinv.certify(strided, IMAGE).work == certificate.work
    x = np.random.default_rng(0).normal(size=IMAGE.shape).astype(np.float32)
    np.testing.assert_allclose(
        jaxinv.orbit(strided)(x), jaxinv.orbit(strided, share=False)(x), rtol=1e-5
    )


def test_shown_in_one_line_and_in_a_notebook():
    cost = jaxinv.orbit_cost(strided, IMAGE)
    assert repr(cost) == f"OrbitCost({cost})"
    assert len(repr(cost)) < 150
    page = cost._repr_html_()
    assert f'<td>operations of a forward pass</td><td class="number">{cost.forward_flops:,}' in page
    assert page.count("<tr") == 7


@pytest.mark.parametrize(
    ("passes", "says"),
    [
        (0.2, "about one forward pass's work instead of 1,024"),
        (1.04, "about one forward pass's work instead of 1,024"),
        (1.4, "about 1.4 forward passes' work instead of 1,024"),
        (9.96, "about 10 forward passes' work instead of 1,024"),
        (1023.8, "1,024 forward passes' work: nothing is shared"),
        (1300.0, "1,024 forward passes' work: nothing is shared"),
    ],
)
def test_the_work_in_words(passes, says):
    assert Work(passes, "", 0.0).in_words(1024) == says


def test_what_a_network_does_outside_of_its_layers_is_named_by_the_operation():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            embedding = np.arange(48, dtype=np.float32).reshape(8, 6, 1)
            return nn.Dense(1)(x) + embedding

    network = Network()
    variables = network.init(jax.random.key(0), jnp.zeros(IMAGE.shape))
    cost = jaxinv.orbit_cost(lambda x: network.apply(variables, x), IMAGE)
    assert (cost.dominant_part, cost.shifts) == ("add", 48)


def test_arrays_of_numpy_without_a_warning():
    """Of double precision, as numpy makes them, which JAX takes for single precision."""
    image, weights = np.ones((1, 4, 4, 3)), np.ones(3)

    def fun(weights, x):
        return (x * weights).mean((1, 2))

    assert jaxinv.orbit_cost(fun, weights, image, argnums=1).shifts == 16
    assert jaxinv.orbit(fun, argnums=1, align=True)(weights, image).shape == (4, 4, 1, 3)
    assert jaxinv.symmetrize(fun, argnums=1)(weights, image).dtype == jnp.float32
