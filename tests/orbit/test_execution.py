"""Sharing gives what every shift on its own gives: outputs, gradients, dtypes, for every mode."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit import every_shift
from jaxinv.orbit.transform import plan_call
from tests.sweeps import few

LAYOUT = ("NHWC", "HWIO", "NHWC")


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def convolve(x, kernel, stride=1, **options):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=LAYOUT, **options
    )


def circular(x, kernel, stride=1):
    p = kernel.shape[0] // 2
    return convolve(jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), mode="wrap"), kernel, stride)


def pool(x):
    return nn.max_pool(x, (2, 2), (2, 2))


def features(x):
    """Two stages without padding: 14 x 10 to 2 x 1 positions, 4 cosets along each axis."""
    x = pool(jax.nn.relu(convolve(x, normal(3, 3, 3, 4))))
    return pool(jax.nn.relu(convolve(x, normal(2, 2, 4, 3))))


def valid_net(x):
    x = features(x).reshape(x.shape[0], -1)
    return jax.nn.relu(x @ normal(x.shape[1], 5)) @ normal(5, 2)


def pooled_net(x):
    return jax.nn.relu(circular(x, normal(3, 3, 3, 4), 2)).mean(axis=(1, 2)) @ normal(4, 3)


def dense_net(x):
    x = pool(jax.nn.relu(circular(x, normal(3, 3, 3, 4))))
    return x.reshape(x.shape[0], -1) @ normal(x[0].size, 5)


def padded_net(x):
    x = jax.lax.conv_general_dilated(
        x, normal(3, 3, 3, 4), (1, 1), "SAME", dimension_numbers=LAYOUT
    )
    return jax.nn.relu(x).mean(axis=(1, 2))


def assert_shares(fun, x, *, saves=None, tolerance=1e-12, **options):
    """The shared orbit against the brute force; `saves`: at least so many times less work."""
    shared = jaxinv.orbit(fun, **options)(x)
    brute = every_shift(fun, **options)(x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), shared, brute
    )
    assert jax.tree.map(lambda a: a.dtype, shared) == jax.tree.map(lambda a: a.dtype, brute)
    if saves is not None:
        assert jaxinv.orbit_cost(fun, x, **options).ratio >= saves


@pytest.mark.parametrize(
    ("fun", "saves"),
    [(pooled_net, 20), (dense_net, 8), (padded_net, 3)],
    ids=["pooled", "dense", "padded"],
)
def test_circular_shifts(fun, saves):
    with jax.enable_x64(True):
        assert_shares(fun, normal(2, 12, 8, 3), saves=saves)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_other_fills_share_where_nothing_is_padded(mode):
    with jax.enable_x64(True):
        assert_shares(valid_net, normal(2, 14, 10, 3), mode=mode, max_shift=3, saves=5)


def test_windows_of_a_larger_image():
    with jax.enable_x64(True):
        assert_shares(valid_net, normal(1, 20, 16, 3), mode="crop", max_shift=(3, 2), saves=4)


def test_sizes_that_strides_do_not_divide():
    def odd_net(x):
        return features(x).reshape(1, -1) @ normal(features(x).size, 5)

    with jax.enable_x64(True):
        assert_shares(odd_net, normal(1, 15, 11, 3), saves=8)


def test_listed_shifts_compute_the_cosets_they_need():
    with jax.enable_x64(True):
        x = normal(2, 12, 8, 3)
        assert_shares(dense_net, x, shifts=[(0, 0), (2, 4), (-2, 6), (5, 1)])
        few = jaxinv.orbit_cost(pooled_net, x, shifts=[(0, 0), (2, 2), (4, 6)])
        every = jaxinv.orbit_cost(pooled_net, x)
        assert few.shared_flops < 0.5 * every.shared_flops


def test_one_and_three_dimensions():
    def audio(x):
        y = jax.lax.conv_general_dilated(
            x, normal(3, 2, 4), (2,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")
        )
        return jax.nn.relu(y).reshape(x.shape[0], -1) @ normal(28, 3)

    def volume(x):
        y = jax.lax.conv_general_dilated(
            x,
            normal(2, 2, 2, 1, 2),
            (2, 2, 2),
            "VALID",
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )
        return jax.nn.relu(y).mean(axis=(1, 2, 3))

    with jax.enable_x64(True):
        assert_shares(audio, normal(2, 16, 2), axes=(1,), saves=2)
        assert_shares(volume, normal(1, 4, 4, 6, 1), axes=(1, 2, 3), saves=8)


def test_outputs_of_every_kind():
    def several(x):
        maps = circular(x, normal(3, 3, 3, 4), 2)
        return {"maps": maps, "total": x.sum(), "again": maps, "number": 3.0, "input": x}

    with jax.enable_x64(True):
        assert_shares(several, normal(1, 6, 4, 3))


def test_several_arguments_and_those_that_are_no_arrays():
    def fun(scale, images, how):
        return (images["a"] + images["b"] * scale).mean() if how == "mean" else images["a"].sum()

    with jax.enable_x64(True):
        images = {"a": normal(1, 4, 6, 1), "b": normal(1, 4, 6, 1, seed=1)}
        shared = jaxinv.orbit(fun, argnums=1)(2.0, images, "mean")
        brute = every_shift(fun, argnums=1)(2.0, images, "mean")
        np.testing.assert_allclose(shared, brute, rtol=1e-12)


def test_a_chunk_changes_nothing():
    with jax.enable_x64(True):
        x = normal(1, 14, 10, 3)
        whole = jaxinv.orbit(valid_net)(x)
        np.testing.assert_allclose(jaxinv.orbit(valid_net, chunk=3)(x), whole, rtol=1e-12)


def test_under_jit_vmap_and_checkpoint():
    with jax.enable_x64(True):
        x = normal(3, 1, 6, 4, 3)
        run = jaxinv.orbit(pooled_net)
        want = jnp.stack([every_shift(pooled_net)(one) for one in x])
        np.testing.assert_allclose(jax.jit(jax.vmap(run))(x), want, rtol=1e-12)
        remat = jaxinv.orbit(jax.checkpoint(pooled_net))
        np.testing.assert_allclose(remat(x[0]), want[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtypes(dtype):
    def net(x):
        y = jax.nn.relu(circular(x, normal(3, 3, 3, 4).astype(dtype), 2))
        return y.reshape(y.shape[0], -1) @ normal(y[0].size, 5).astype(dtype)

    x = normal(1, 8, 8, 3).astype(dtype)
    rtol, _ = jaxinv.tolerance(dtype, depth=96)
    shared, brute = jaxinv.orbit(net)(x), every_shift(net)(x)
    assert shared.dtype == brute.dtype == dtype
    scale = float(jnp.max(jnp.abs(brute.astype(jnp.float32))))
    np.testing.assert_allclose(
        shared.astype(jnp.float32), brute.astype(jnp.float32), rtol=0, atol=rtol * scale
    )


def gradients(fun, x, share):
    def loss(scale, x):
        out = jaxinv.orbit(lambda s, y: fun(s * y), argnums=1, share=share)(scale, x)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(out))

    return jax.grad(loss, argnums=(0, 1))(jnp.asarray(1.3), x)


def relu_at_its_kink(x):
    return jax.nn.relu(convolve(x, normal(3, 3, 3, 2)) * 0.0).sum(axis=(1, 2))


def pool_of_ties(x):
    return pool(jnp.round(x)).sum(axis=(1, 2))


@jax.custom_jvp
def doubled_derivative(x):
    return jnp.tanh(x)


@doubled_derivative.defjvp
def _(primals, tangents):
    return doubled_derivative(*primals), 2.0 * tangents[0]


@jax.custom_vjp
def clipped(x):
    return x


clipped.defvjp(lambda x: (x, None), lambda _, ct: (jnp.clip(ct, -0.1, 0.1),))


GRADIENTS = {
    "valid": valid_net,
    "dense": dense_net,
    "kink": relu_at_its_kink,
    "ties": pool_of_ties,
    "custom_jvp": lambda x: doubled_derivative(circular(x, normal(3, 3, 3, 2), 2)).mean((1, 2)),
    "custom_vjp": lambda x: clipped(circular(x, normal(3, 3, 3, 2), 2)).sum((1, 2)),
    "custom_vjp_shared": lambda x: clipped(circular(x, normal(3, 3, 3, 2), 2).mean((1, 2))),
    "stop_gradient": lambda x: (jax.lax.stop_gradient(x) * circular(x, normal(3, 3, 3, 3))).mean(
        (1, 2)
    ),
}


@pytest.mark.parametrize("name", few(GRADIENTS, "dense", "kink", "custom_jvp", "custom_vjp"))
def test_gradients_are_those_of_every_shift(name):
    fun = GRADIENTS[name]
    with jax.enable_x64(True):
        x = normal(1, 14, 10, 3)
        shared, brute = gradients(fun, x, True), gradients(fun, x, False)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(
                a, b, rtol=0, atol=1e-10 * max(1.0, float(jnp.max(jnp.abs(b))))
            ),
            shared,
            brute,
        )


def test_a_program_that_shares_nothing_takes_the_brute_path():
    x = jnp.ones((1, 6, 6, 3))
    options = {"argnums": 0, "axes": (1, 2), "mode": "wrap", "max_shift": None, "shifts": None}
    places = normal(1, 6, 6, 3)
    assert plan_call(lambda x: jnp.tanh(x + places), (x,), {}, **options).saves_nothing()
    assert not plan_call(pooled_net, (x,), {}, **options).saves_nothing()


def test_side_effects_run_at_every_shift(capsys):
    def noisy(x):
        jax.debug.print("seen {}", x.sum())
        return x.sum()

    jax.block_until_ready(jaxinv.orbit(noisy)(jnp.ones((1, 2, 3, 1))))
    jax.effects_barrier()
    assert capsys.readouterr().out.count("seen") == 6


def test_an_orbit_that_cannot_fit_is_refused():
    def enormous(x):
        return jnp.broadcast_to(x, (2**24, *x.shape))

    with pytest.raises(ValueError, match=r"an orbit of 4,096 shifts needs about .* GiB"):
        jaxinv.orbit(enormous)(jnp.ones((1, 64, 64, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": (1, 7)}, "axis|axes"),
        ({"mode": "mirror"}, "mode is 'mirror'; allowed are"),
        ({"chunk": 0}, "chunk is 0"),
        ({"argnums": 3}, "argnums"),
        ({"mode": "constant"}, "needs max_shift"),
        ({"shifts": []}, "shifts is empty"),
    ],
    ids=["axes", "mode", "chunk", "argnums", "max_shift", "shifts"],
)
def test_wrong_use(options, message):
    with pytest.raises(ValueError, match=message):
        jaxinv.orbit(pooled_net, **options)(jnp.ones((1, 6, 6, 3)))


def test_meshes_with_explicit_axes_are_refused():
    kind = jax.sharding.AxisType.Explicit
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(kind,), devices=jax.devices()[:1])
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
    kernel = normal(3, 3, 1, 2)

    def network(x):
        return circular(x, kernel).max((1, 2))

    x = normal(2, 4, 4, 1)
    with jax.set_mesh(mesh):
        placed = jax.device_put(x, place)
        with pytest.raises(ValueError, match="axes rows are explicit; allowed are axes of"):
            jaxinv.orbit(network)(placed)
