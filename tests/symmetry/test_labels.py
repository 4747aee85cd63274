"""Numbers with one label are equal, and divide alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.symmetry.labels import labels
from jaxinv.symmetry.program import flatten


def labels_of(fun, *args):
    """The labels of what a function adds to its argument."""
    program = flatten(jax.make_jaxpr(fun)(*args))
    (number,) = (i for i in program.equations[-1].ins if i not in program.inputs)
    return labels(program, number)


KNOWN = {
    "float32": np.array([1.5, -0.0, 0.0, 1.5, np.nan, np.nan, -np.inf], np.float32),
    "bfloat16": jnp.array([1.5, -0.0, 0.0, 1.5, 2.0, 2.0, -1.0], jnp.bfloat16),
    "whole numbers": np.array([3, -1, 0, 3, 2**31 - 1, 2**31 - 1, -(2**31)], np.int32),
    "complex": np.array([1j, 0j, -0j, 1j, 2, 2, 1], np.complex64),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_numbers(name):
    found = labels_of(lambda x: x + KNOWN[name], np.zeros_like(KNOWN[name]))
    assert found.shape == (7,)
    equal = found[:, None] == found
    assert equal[0, 3]
    assert equal[4, 5]
    assert equal.sum() == 7 + 4  # no others


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64])
def test_known_numbers_of_eight_bytes_and_more(dtype):
    with jax.enable_x64(True):
        known = np.array([1, 2**40, 2**40, 2**40 + 1], dtype)
        found = labels_of(lambda x: x + known, np.zeros_like(known))
    np.testing.assert_array_equal(found[:, None] == found, known[:, None] == known)


def test_sums_of_two_tables():
    """Equal where both are: a number each for the pairs."""
    first, second = np.array([7, 7, 5, 5]), np.array([2.0, 3.0, 2.0, 2.0], np.float32)

    def fun(x, a, b):
        return x * (jnp.take(a, first) + jnp.take(b, second.astype(int)))

    program = flatten(jax.make_jaxpr(fun)(np.zeros(4), np.zeros(8), np.zeros(8)))
    (number,) = (i for i in program.equations[-1].ins if i not in program.inputs)
    found = labels(program, number)
    np.testing.assert_array_equal(
        found[:, None] == found,
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
    )
