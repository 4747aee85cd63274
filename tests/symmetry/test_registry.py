"""Rules of primitives that jaxinv does not know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import mlir

import jaxinv
from jaxinv.symmetry import registry
from jaxinv.symmetry.rules.pointwise import pointwise


@pytest.fixture
def double_p():
    primitive = Primitive("double")
    primitive.def_impl(lambda x: 2 * x)
    primitive.def_abstract_eval(lambda x: x)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: 2 * x, multiple_results=False))
    jax.interpreters.batching.defvectorized(primitive)
    yield primitive
    registry.REGISTERED.pop(primitive, None)


def test_a_rule_makes_a_primitive_known(double_p):
    x = np.arange(8.0, dtype=np.float32).reshape(1, 4, 2, 1)

    def net(x):
        return double_p.bind(jnp.tanh(x))

    assert jaxinv.certify(net, x).kind == "broken"
    jaxinv.register_rule(double_p, pointwise, layer="double", flops=lambda equation: 1000)
    certificate = jaxinv.certify(net, x)
    assert (certificate.kind, certificate.period) == ("equivariant", (1, 1))
    assert [step.layer for step in certificate.steps] == ["double"]
    assert jaxinv.orbit_cost(net, x).forward_flops == 1008
    shared, each = (jaxinv.orbit(net, share=share)(x) for share in (True, False))
    np.testing.assert_array_equal(shared, each)


def test_what_only_moves_numbers_costs_nothing(double_p):
    x = np.ones((1, 4, 2, 1), np.float32)
    jaxinv.register_rule(double_p, pointwise, moves_only=True)
    assert jaxinv.orbit_cost(lambda x: jnp.tanh(double_p.bind(x)), x).forward_flops == 8


def test_what_is_no_primitive_is_refused(double_p):
    with pytest.raises(TypeError, match="primitive is a str; allowed are JAX's primitives"):
        jaxinv.register_rule("sin", pointwise)
    with pytest.raises(TypeError, match="rule is a str; allowed are functions"):
        jaxinv.register_rule(double_p, "pointwise")
