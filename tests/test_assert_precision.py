"""How close is equal: tolerances of each dtype and platform, and what rounding may explain."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinv import tolerances
from jaxinv.asserts import assert_translation_equivariant, assert_translation_invariant
from tests.sweeps import few

IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
BOTH = [assert_translation_equivariant, assert_translation_invariant]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_tolerance_follows_the_dtype(dtype):
    with jax.enable_x64(True):
        x = IMAGES.astype(dtype)
        kernel = jax.random.normal(jax.random.key(6), (3, 3, 3, 4)).astype(dtype)

        def fun(x, bias=0.0):
            wide = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="wrap")
            y = lax.conv_general_dilated(
                wide, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return y * (1 + bias * jnp.arange(8, dtype=x.dtype)[:, None, None])

        assert_translation_equivariant(fun, x)
        bias = 4 * float(jnp.finfo(dtype).eps) * 16 * np.sqrt(32)
        with pytest.raises(AssertionError, match="not translation equivariant"):
            assert_translation_equivariant(functools.partial(fun, bias=bias), x)


def mixed_precision(x, kernel):
    """Computes in bfloat16, returns float32."""
    return layers(x.astype("bfloat16"), kernel.astype("bfloat16")).astype("float32")


def layers(x, kernel, precision=None):
    for _ in range(4):
        wide = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="wrap")
        y = lax.conv_general_dilated(
            wide, kernel, (1, 1), "VALID", precision=precision,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        x = x + jnp.tanh(y)
    return x


PRECISIONS = {
    "bfloat16": ("bfloat16", "cpu", layers),
    "float16": ("float16", "cpu", layers),
    "bfloat16 inside": ("float32", "cpu", mixed_precision),
    "float32": ("float32", "cpu", layers),
    "TPU": ("float32", "tpu", layers),
    "TF32": ("float32", "gpu", layers),
    "pinned on a TPU": ("float32", "tpu", functools.partial(layers, precision="bfloat16")),
    "pinned to TF32": ("float32", "gpu", functools.partial(layers, precision="default")),
    "float64": ("float64", "cpu", layers),
}


@pytest.mark.parametrize("name", few(PRECISIONS, "bfloat16", "float32", "TF32", "pinned on a TPU"))
def test_five_per_cent_of_the_largest_output_are_seen_in_every_precision(name, monkeypatch):
    dtype, platform, network = PRECISIONS[name]
    monkeypatch.setattr(tolerances.jax, "default_backend", lambda: platform)
    shifts = [(0, 0), (1, 0), (0, 1), (4, 4), (3, 6), (-1, 2)]
    with jax.enable_x64(dtype == "float64"):
        x = IMAGES.astype(dtype)
        kernel = 0.2 * jax.random.normal(jax.random.key(6), (3, 3, 3, 3), dtype)
        largest = float(jnp.abs(network(x, kernel)).max())

        def moves(x, miss=0.0):
            return network(x, kernel).at[1, 2, 3, 0].add(miss * largest)

        def stays(x, miss=0.0):
            y = network(x, kernel).mean((1, 2))
            corner = (x[:, :1, 0] == x[:, :, :].max((1, 2), keepdims=True)[:, :1, 0]).any(1)
            return y + miss * jnp.abs(y).max() * corner

        for check, fun in zip(BOTH, (moves, stays), strict=True):
            # One shift brings an image's largest value to the corner; not all 64 are compared.
            at = shifts if fun is moves else [*shifts, *brightest_to_the_corner(x)]
            check(fun, x, shifts=at)
            for miss in (0.05, -0.05):
                with pytest.raises(AssertionError, match=r"translation (equi|in)variant"):
                    check(functools.partial(fun, miss=miss), x, shifts=at)


def brightest_to_the_corner(x):
    place = np.unravel_index(np.argmax(np.asarray(x[0, :, :, 0], float)), x.shape[1:3])
    return [tuple(-int(i) for i in place)]


def test_what_rounding_may_explain_is_neither_asserted_nor_denied():
    x = IMAGES.astype("bfloat16")
    bias = 1 + jnp.linspace(0, 0.06, 8, dtype="bfloat16")[:, None, None]
    with pytest.raises(AssertionError, match=r"not shown to be .* or ask for method='proof'"):
        assert_translation_equivariant(lambda x: x * bias, x)
    assert_translation_equivariant(lambda x: x * bias, x, rtol=0.1, atol=0)
    with pytest.raises(AssertionError, match="not translation equivariant"):
        assert_translation_equivariant(lambda x: x * bias**9, x)
    with pytest.raises(AssertionError, match="not translation equivariant"):
        assert_translation_equivariant(lambda x: x * bias, x, rtol=0.01, atol=0)
    assert_translation_equivariant(lambda x: x * bias[0, 0, 0], x, method="both")


def test_matrix_products_run_in_the_highest_precision():
    seen = []

    def fun(x):
        seen.append(jax.config.jax_default_matmul_precision)
        return x

    with jax.default_matmul_precision("bfloat16"):
        assert_translation_equivariant(fun, IMAGES, shifts=[(1, 1)])
    assert seen[-1] == "highest"


def test_given_tolerances_count():
    slightly = lambda x: x * (1 + 1e-3 * jnp.arange(8.0)[:, None, None])  # noqa: E731
    with pytest.raises(AssertionError):
        assert_translation_equivariant(slightly, IMAGES)
    with pytest.raises(AssertionError):
        assert_translation_equivariant(slightly, IMAGES, rtol=1e-4, atol=0)
    assert_translation_equivariant(slightly, IMAGES, rtol=1e-2, atol=0)
    assert_translation_equivariant(slightly, IMAGES, rtol=0, atol=1e-2)
