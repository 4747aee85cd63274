"""Convolutions with the images in front: the same numbers, wherever in a program they stand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.orbit.images_first import images_first

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 2, 2))
IMAGES = jax.random.normal(jax.random.key(1), (3, 5, 6, 2))
SHIFTS = jnp.array([0.5, 1.0, 2.0, 3.0])


def convolved(x, kernel=KERNEL, **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 1), "SAME", dimension_numbers=numbers, **options
    )


def whole(x):
    return jax.lax.conv_general_dilated(
        x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_jvp
def with_own_derivative(x):
    return whole(x)


with_own_derivative.defjvp(lambda x, dot: (whole(*x), 3 * whole(*dot)))


@jax.custom_vjp
def with_own_backward(x):
    return whole(x)


with_own_backward.defvjp(lambda x: (whole(x), None), lambda _, g: (5 * whole(g),))

PROGRAMS = {
    "plain": lambda t: convolved(t * IMAGES),
    "other dimension numbers": lambda t: jax.lax.conv_general_dilated(
        (t * IMAGES).transpose(3, 1, 0, 2), KERNEL.transpose(3, 0, 2, 1), (1, 1), "VALID",
        dimension_numbers=("CHNW", "OHIW", "CHWN"),
    ),
    "called": lambda t: jax.jit(convolved)(t * IMAGES),
    "a kernel of its own": lambda t: convolved(IMAGES, t * KERNEL),
    "both of its own": lambda t: convolved(t * IMAGES, t * KERNEL),
    "groups of images": lambda t: convolved((t * IMAGES)[:2], batch_group_count=2),
    "in a loop": lambda t: jax.lax.scan(
        lambda x, k: (jax.lax.conv(x, k, (1, 1), "SAME"), x.sum()),
        t * jnp.ones((2, 2, 3, 3)),
        jnp.ones((3, 2, 2, 3, 3)),
    ),
    "in a branch": lambda t: jax.lax.cond(t > 1, whole, lambda x: x, t * IMAGES),
    "recomputed": lambda t: jax.checkpoint(lambda t: convolved(t * IMAGES))(t),
    "with its own derivative": lambda t: with_own_derivative(t * IMAGES),
    "with its own backward pass": lambda t: with_own_backward(t * IMAGES),
    "a gradient": lambda t: jax.grad(lambda x: jnp.tanh(convolved(x)).sum())(t * IMAGES),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_vmap(name):
    fun = PROGRAMS[name]
    changed = images_first(fun, SHIFTS[0])
    assert changed is not fun

    def total(shifts, one):
        outs = jax.vmap(one)(shifts)
        return sum(jnp.sum(jnp.sin(out)) for out in jax.tree.leaves(outs)), outs

    found, expected = (
        jax.jit(jax.grad(total, has_aux=True), static_argnums=1)(SHIFTS, one)
        for one in (changed, fun)
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_program_without_convolutions_is_left_as_it_is():
    def fun(t):
        return jnp.sort(t * IMAGES, axis=1)

    assert images_first(fun, SHIFTS[0]) is fun


def test_the_images_lead():
    """The merged batch is image by image: shift k of image n stands at n * shifts + k."""
    program = jax.make_jaxpr(jax.vmap(images_first(PROGRAMS["plain"], SHIFTS[0])))(SHIFTS)
    found = [e for e in jax.tree.leaves(program.eqns) if "conv" in e.primitive.name]
    (operand, _) = (variable for variable in found[0].invars)
    joined = next(e for e in program.eqns if operand in e.outvars)
    assert joined.primitive.name == "reshape"
    assert joined.invars[0].aval.shape == (len(IMAGES), len(SHIFTS), *IMAGES.shape[1:])
    np.testing.assert_array_equal(operand.aval.shape, (12, 5, 6, 2))
