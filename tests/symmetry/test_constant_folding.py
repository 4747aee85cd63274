"""What is computed in numpy is what JAX computes, at numbers where the two may differ."""

import functools
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from jaxinv.symmetry import constant_folding

INTEGERS = (np.int8, np.uint8, np.int32, np.uint32, np.int64)
FLOATS = (np.float16, np.float32, jnp.bfloat16)
DTYPES = (np.bool_, *INTEGERS, *FLOATS, np.complex64)
NAMES = [np.dtype(dtype).name for dtype in DTYPES]
UNARY = (lax.neg, lax.sign, lax.ceil, lax.floor)
BINARY = (
    lax.add, lax.sub, lax.mul, lax.div, lax.rem, lax.max, lax.min, lax.eq, lax.ne, lax.lt, lax.le,
    lax.gt, lax.ge, lax.bitwise_and, lax.bitwise_or,
)  # fmt: skip


def extremes(dtype):
    """Numbers at the ends of a type, and some between."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        numbers = [0, 1, 2, 7, -1, -7, 2**53 + 1, 2**62 + 7, ends.max, ends.max - 1, ends.min]
        return np.array([n for n in numbers if ends.min <= n <= ends.max], dtype)
    numbers = np.array([0, -0.0, 1, -2.5, 0.5, -0.9, 255.9, 3e4, 1e30, np.inf, -np.inf, np.nan])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (numbers + 2j if dtype.kind == "c" else numbers).astype(dtype)


def check(fun, *operands):
    """Both are the same, without a warning; nothing where JAX does not take these types."""
    try:
        (eqn,) = jax.make_jaxpr(fun)(*operands).eqns
    except TypeError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(fun(*operands))
    equation = types.SimpleNamespace(
        primitive=eqn.primitive,
        params=eqn.params,
        in_avals=[v.aval for v in eqn.invars],
        out_avals=[v.aval for v in eqn.outvars],
        outs=(0,),
        bind=lambda *arrays: [eqn.primitive.bind(*arrays, **eqn.params)],
    )
    found = constant_folding.evaluated(equation, list(operands), 0)
    assert found.dtype == expected.dtype
    if found.dtype == jnp.bfloat16:  # numpy does not take its NaNs for equal.
        found, expected = found.astype(np.float32), expected.astype(np.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture(autouse=True)
def _in_64_bits():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_arithmetic(dtype):
    numbers = extremes(dtype)
    left, right = (a.ravel() for a in np.meshgrid(numbers, numbers))
    for fun in UNARY:
        check(fun, numbers)
    for fun in BINARY:
        check(fun, left, right)
    low, x, high = (a.ravel() for a in np.meshgrid(numbers[:4], numbers, numbers[-4:]))
    check(lax.clamp, low, x, high)
    check(lax.select_n, np.arange(len(left)) % 3 > 0, left, right)


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_conversions(dtype):
    for other in DTYPES:
        if other is not dtype:
            convert = functools.partial(
                lax.convert_element_type_p.bind,
                new_dtype=np.dtype(other),
                weak_type=False,
                sharding=None,
            )
            check(convert, extremes(dtype))


def test_a_choice_among_many():
    cases = [np.full(3, i) for i in range(40)]
    check(lax.select_n, np.array([0, 39, 7], np.int32), *cases)


def test_an_index_beyond_what_a_double_holds():
    """(2**53 + 1 + 2) // 2 % 4 read as doubles is another position."""

    def fun(x):
        places = (jnp.arange(4) + 2**53 + 1) * 3 // 3 - 2**53 - 1
        return x[:, places]

    x = jax.ShapeDtypeStruct((1, 4, 2), np.float32)
    assert jaxinv.certify(fun, x, axes=(1,)).kind == "equivariant"
