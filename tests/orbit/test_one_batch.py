"""Shifts and images as one batch: the same numbers, wherever in a program they stand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify, orbit
from jaxinv.orbit.one_batch import in_one_batch
from jaxinv.symmetry import processor_convolution

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 2, 2))
IMAGES = jax.random.normal(jax.random.key(1), (3, 5, 6, 2))
SHIFTS = jnp.array([0.5, 1.0, 2.0, 3.0])
SCALE = jnp.array([0.5, -2.0])[None, None, None]


def convolved(x, kernel=KERNEL, **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 1), "SAME", dimension_numbers=numbers, **options
    )


def whole(x):
    return jax.lax.conv_general_dilated(
        x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def strongest(x):
    """The strongest channel of a map whose positions come first: the images are in the middle."""
    numbers = ("HNWC", "HWIO", "HNWC")
    x = x.transpose(1, 0, 2, 3)
    return jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=numbers).max(3)


def pooled(x, window=(1, 2, 3, 1), combine=jax.lax.max, first=-jnp.inf, **options):
    strides, padding = (1, 2, 1, 1), ((0, 0), (1, 0), (0, 2), (0, 0))
    return jax.lax.reduce_window(x, first, combine, window, strides, padding, **options)


def scaled(x, scale):
    """Each operation from both sides."""
    y = jnp.minimum(jnp.maximum((scale - (x + scale) * scale) / scale, -scale), x) - scale
    return scale / (scale + jnp.tanh(y))


with_own_derivative = jax.custom_jvp(strongest)
with_own_derivative.defjvp(lambda x, dot: jax.jvp(strongest, x, dot))
with_own_backward = jax.custom_vjp(strongest)
with_own_backward.defvjp(lambda x: jax.vjp(strongest, x), lambda back, g: back(g))


def smoothed(x):
    sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    return 4 * x + sums


POOLED = {
    "the largest": lambda t: pooled(t * IMAGES),
    "the smallest": lambda t: pooled(t * IMAGES, combine=jax.lax.min, first=jnp.inf),
    "the sum": lambda t: pooled(t * IMAGES, combine=jax.lax.add, first=0.0),
    "over images": lambda t: pooled(t * IMAGES, (2, 2, 2, 1)),
    "over all dimensions": lambda t: pooled(t * IMAGES, (2, 2, 2, 2)),
    "over channels and positions": lambda t: pooled(t * IMAGES, (1, 2, 2, 2)),
    "dilated": lambda t: pooled(
        t * IMAGES, combine=jax.lax.add, first=0.0, base_dilation=(1, 2, 1, 1),
        window_dilation=(3, 1, 2, 2),
    ),
    "dilated images": lambda t: pooled(t * IMAGES, base_dilation=(2, 1, 1, 1)),
    "of no image": lambda t: pooled(t * IMAGES[:0]),
    "beside one that no shift changes": lambda t: t * pooled(IMAGES),
    "images last": lambda t: jnp.moveaxis(pooled((t * IMAGES).T, (3, 2, 2, 1)), 3, 0),
    "scaled, channels": lambda t: scaled(pooled(t * IMAGES), SCALE),
    "scaled, rows": lambda t: scaled(pooled(t * IMAGES), jnp.ones((1, 3, 1, 1)) / 3),
    "scaled, images": lambda t: scaled(pooled(t * IMAGES), jnp.ones((3, 1, 1, 1)) / 2),
    "scaled by what shifts change": lambda t: scaled(pooled(t * IMAGES), t * SCALE),
    "scaled, of no shift": lambda t: t + scaled(pooled(IMAGES), SCALE),
    "after a convolution": lambda t: pooled(jax.nn.relu(whole(t * IMAGES) + SCALE)),
    "in a loop": lambda t: jax.lax.fori_loop(0, 2, lambda i, x: scaled(jnp.repeat(
        pooled(x), 2, 1)[:, :5, :6], SCALE), t * IMAGES),
    "in a branch": lambda t: jax.lax.cond(t > 1, pooled, lambda x: x[:, :3], t * IMAGES),
    "before a linear solver": lambda t: jax.scipy.sparse.linalg.cg(
        lambda x: 4 * x + jnp.roll(x, 1, 1) + jnp.roll(x, -1, 1), pooled(t * IMAGES))[0],
    "in a linear solver": lambda t: jax.lax.custom_linear_solve(
        smoothed, t * IMAGES, lambda of, b: (b - (of(b) - 4 * b) / 8) / 4, symmetric=True),
    "of whole numbers": lambda t: t * pooled(
        (9 * t * IMAGES).astype(jnp.int32), first=jnp.iinfo(jnp.int32).min),
}  # fmt: skip
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
    "beside one with its own derivative": lambda t: with_own_derivative(convolved(t * IMAGES)),
    "beside one with its own backward pass": lambda t: with_own_backward(convolved(t * IMAGES)),
    "of no images": lambda t: convolved(t * IMAGES[:0]),
    "beside one that no shift changes": lambda t: t * convolved(IMAGES),
    "a gradient": lambda t: jax.grad(lambda x: jnp.tanh(convolved(x)).sum())(t * IMAGES),
}  # fmt: skip


@pytest.fixture
def _as_on_several_devices(monkeypatch):
    """On one device the images of a convolution stay where they are."""
    monkeypatch.setattr(jax, "device_count", lambda: 2)


@pytest.mark.usefixtures("_as_on_several_devices")
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_vmap(name):
    compare(PROGRAMS[name])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", POOLED)
def test_pools_and_what_surrounds_them(name, several, request):
    if several:
        request.getfixturevalue("_as_on_several_devices")
    compare(POOLED[name])


def depthwise(x):
    return convolved(x, KERNEL[:, :, :1], feature_group_count=2)


SLOW = {
    "depthwise": lambda t: depthwise(t * IMAGES),
    "depthwise, of no shift": lambda t: t * depthwise(IMAGES),
    "depthwise, a kernel of its own": lambda t: convolved(
        IMAGES, t * KERNEL[:, :, :1], feature_group_count=2
    ),
    "a small map": lambda t: convolved((t * IMAGES)[:, :2, :3]),
    "a small map of no shift": lambda t: t * convolved(IMAGES[:, :2, :3]),
    "a small map, other dimension numbers": lambda t: jax.lax.conv_general_dilated(
        (t * IMAGES).transpose(3, 1, 0, 2)[:, :2, :, :2], KERNEL.transpose(3, 0, 2, 1), (1, 1),
        "SAME", dimension_numbers=("CHNW", "OHIW", "CHWN"),
    ),
    "a small map, kernels of their own": lambda t: convolved(IMAGES[:, :2, :2], t * KERNEL),
    "a small map in a loop": lambda t: jax.lax.fori_loop(
        0, 2, lambda i, x: jnp.tanh(whole(x)), (t * IMAGES)[:, :2, :2]
    ),
}  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", SLOW)
def test_convolutions_at_which_xla_is_slow(name, several, monkeypatch, request):
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 0)
    if several:
        request.getfixturevalue("_as_on_several_devices")
    compare(SLOW[name])
    program = jax.make_jaxpr(jax.vmap(in_one_batch(SLOW[name], SHIFTS[0])))(SHIFTS)
    assert "processor_convolution[" in str(program)
    assert "conv_general_dilated[" not in str(program)


def test_certify_knows_what_stands_in_for_convolutions_and_pools():
    def network(x):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        y = jax.lax.conv_general_dilated(
            padded, KERNEL, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.lax.reduce_window(
            jax.nn.relu(y + SCALE), -jnp.inf, jax.lax.max, (1, 5, 6, 1), (1, 1, 1, 1), "VALID"
        )

    def twice(x):
        return jax.vmap(in_one_batch(network, x))(jnp.stack([x, 2 * x]))

    program = str(jax.make_jaxpr(twice)(IMAGES))
    assert "processor_convolution[" in program
    assert certify(twice, IMAGES).kind == "invariant"


def compare(fun):
    changed = in_one_batch(fun, SHIFTS[0])
    assert changed is not fun

    def total(shifts, one):
        outs = jax.vmap(one)(shifts)
        return sum(jnp.sum(jnp.sin(out)) for out in jax.tree.leaves(outs)), outs

    found, expected = (
        jax.jit(jax.grad(total, has_aux=True), static_argnums=1)(SHIFTS, one)
        for one in (changed, fun)
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_as_on_several_devices")
@pytest.mark.parametrize("chunk", [1, 2, 8, None])
@pytest.mark.parametrize("share", [True, False])
def test_gradient_of_weights_that_meet_what_no_shift_changes(share, chunk):
    """The kernel slides over the image and over a template that stands still."""

    def compared(x, kernel, template):
        return jnp.mean(convolved(x, kernel) * convolved(template, kernel), axis=(1, 2, 3))

    def total(kernel, evaluate):
        return jnp.sum(jnp.sin(evaluate(IMAGES, kernel, IMAGES[:1])))

    def one_by_one(x, kernel, template):
        outs = [compared(jnp.roll(x, t, 1), kernel, template) for t in range(5)]
        return jnp.stack(outs)

    shared = orbit(compared, axes=(1,), share=share, chunk=chunk)
    for derivative in (jax.grad(total), jax.jacfwd(total)):
        found, expected = (derivative(KERNEL, one) for one in (shared, one_by_one))
        chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_as_on_several_devices")
def test_gradient_of_one_shift_in_a_chunk_of_several():
    def total(x):
        return jnp.sum(jnp.sin(orbit(whole, shifts=[(0, -1)], chunk=4, share=False)(x)))

    expected = jax.grad(lambda x: jnp.sum(jnp.sin(whole(jnp.roll(x, -1, 2)))))
    chex.assert_trees_all_close(jax.grad(total)(IMAGES), expected(IMAGES), rtol=1e-4, atol=1e-4)


OWN = {"jvp": with_own_derivative, "vjp": with_own_backward}


@pytest.mark.parametrize("fun", [jnp.sort, *OWN.values()], ids=["sort", *OWN])
def test_a_program_without_convolutions_is_left_as_it_is(fun):
    def of(t):
        return fun(t * IMAGES)

    assert in_one_batch(of, SHIFTS[0]) is of


@pytest.mark.parametrize("fun", OWN.values(), ids=OWN)
def test_what_reads_the_result_of_a_function_with_its_own_derivative_finds_the_shifts(fun):
    """JAX pairs the function with its derivative rule; a split shows where each put the shifts."""

    def rows(x):
        return jnp.split(fun(x[None]), [1, 3])[1]

    def total(x, share):
        return jnp.sum(jnp.sin(orbit(rows, axes=(0,), share=share)(x)))

    expected = jax.grad(lambda x: sum(jnp.sum(jnp.sin(rows(jnp.roll(x, t, 0)))) for t in range(5)))
    for share in (True, False):
        found = jax.jit(jax.grad(total), static_argnums=1)(IMAGES[0], share)
        chex.assert_trees_all_close(found, expected(IMAGES[0]), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_as_on_several_devices")
def test_the_images_lead():
    """The merged batch is image by image: shift k of image n stands at n * shifts + k."""
    program = jax.make_jaxpr(jax.vmap(in_one_batch(PROGRAMS["plain"], SHIFTS[0])))(SHIFTS)
    found = [e for e in jax.tree.leaves(program.eqns) if "conv" in e.primitive.name]
    (operand, _) = (variable for variable in found[0].invars)
    joined = next(e for e in program.eqns if operand in e.outvars)
    assert joined.primitive.name == "reshape"
    assert joined.invars[0].aval.shape == (len(IMAGES), len(SHIFTS), *IMAGES.shape[1:])
    np.testing.assert_array_equal(operand.aval.shape, (12, 5, 6, 2))
