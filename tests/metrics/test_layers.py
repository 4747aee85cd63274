"""Layers of Flax models as they are: captured outputs, and where the symmetry is lost."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.shifts import subpixel_translate, translate

IMAGES = jax.random.normal(jax.random.key(0), (3, 12, 12, 2))


class Block(nn.Module):
    padding: str = "CIRCULAR"

    @nn.compact
    def __call__(self, x):
        conv = nn.Conv(2, (3, 3), padding=self.padding)
        return conv(nn.relu(conv(x)))


class Net(nn.Module):
    padding: str = "CIRCULAR"

    @nn.compact
    def __call__(self, x, train=True):
        assert not train
        x = Block(self.padding, name="first")(x)
        x = nn.Conv(4, (3, 3), strides=2, padding=self.padding, name="halved")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
        x = nn.Conv(4, (1, 1), name="last")(x)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


def layers_of(module, variables, **options):
    return functools.partial(metrics.layer_outputs, module, variables, **options)


def rows_of(module, x=IMAGES, **options):
    variables = module.init(jax.random.key(1), x, **options)
    rows = metrics.layerwise(layers_of(module, variables, **options), x)
    return variables, {row.name: row for row in rows}


def test_outputs_in_the_order_of_calls():
    variables = Net().init(jax.random.key(1), IMAGES, train=False)
    outputs = metrics.layer_outputs(Net(), variables, IMAGES, train=False)
    names = ["first/Conv_0", "first/Conv_0[1]", "first", "halved", "norm", "last", "head", "output"]
    assert list(outputs) == names
    params = variables["params"]
    conv = lambda x: nn.Conv(2, (3, 3), padding="CIRCULAR").apply(  # noqa: E731
        {"params": params["first"]["Conv_0"]}, x
    )
    np.testing.assert_allclose(outputs["first/Conv_0"], conv(IMAGES), rtol=1e-6)
    np.testing.assert_allclose(outputs["first"], conv(nn.relu(conv(IMAGES))), rtol=1e-6)
    whole = Net().apply(variables, IMAGES, train=False)
    np.testing.assert_allclose(outputs["output"], whole, rtol=1e-6)


def test_lifted_layers_and_several_outputs():
    class Pair(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x), {"sum": x.sum(-1)}

    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.remat(Pair)(name="pair")(x)[0]

    variables = Lifted().init(jax.random.key(0), IMAGES)
    outputs = metrics.layer_outputs(Lifted(), variables, IMAGES)
    assert set(outputs) == {"pair/Dense_0", "pair[0]", "pair[1]['sum']", "output"}
    assert not any(isinstance(y, jax.core.Tracer) for y in outputs.values())


@pytest.fixture(scope="module")
def circular():
    return rows_of(Net(), train=False)


def test_a_circular_net_keeps_its_lattice(circular):
    _, rows = circular
    assert {name: row.stride for name, row in rows.items()} == {
        "first/Conv_0": (1, 1),
        "first/Conv_0[1]": (1, 1),
        "first": (1, 1),
        "halved": (2, 2),
        "norm": (2, 2),
        "last": (4, 4),
        "head": (),
        "output": (),
    }
    for name in ("first/Conv_0", "first", "halved", "norm", "last"):
        assert rows[name].lattice_error < 1e-5
    for name in ("halved", "last"):
        assert rows[name].integer_error > 0.05
    # A convolution commutes with fractions of a pixel; the relu between the two does not.
    assert rows["first/Conv_0"].half_pixel_error < 1e-5
    assert rows["first/Conv_0[1]"].integer_error < 1e-5
    assert rows["first/Conv_0[1]"].half_pixel_error > 0.05


def test_numbers_by_definition(circular):
    variables, rows = circular
    run = jax.jit(lambda x: metrics.layer_outputs(Net(), variables, x, train=False))

    def halved(x):
        return run(x)["halved"]

    base = halved(IMAGES)
    for field, t in (("integer_error", 1.0), ("half_pixel_error", 0.5), ("lattice_error", 2.0)):
        errors = []
        for shift in ((t, 0), (0, t)):
            moved = halved(subpixel_translate(IMAGES, shift))
            expected = subpixel_translate(base, (shift[0] / 2, shift[1] / 2))
            errors.append(np.linalg.norm(moved - expected) / np.linalg.norm(base))
        # relative to the norm of the expected map, which loses a little at its Nyquist bin
        np.testing.assert_allclose(
            getattr(rows["halved"], field), np.mean(errors), rtol=0.1, atol=1e-5
        )
    cosines = [
        np.mean(metrics.cosine_invariance(base, halved(translate(IMAGES, t))))
        for t in ((1, 0), (0, 1))
    ]
    np.testing.assert_allclose(rows["halved"].cosine, np.mean(cosines), atol=1e-5)
    outputs = run(IMAGES)
    np.testing.assert_allclose(
        rows["first"].aliasing, metrics.energy_above_nyquist(outputs["first"], 6), rtol=1e-4
    )
    assert np.isnan(rows["output"].aliasing)
    assert rows["halved"].aliasing == pytest.approx(0, abs=1e-6)  # norm is no coarser
    invariance = [
        metrics.relative_error(run(translate(IMAGES, t))["output"], outputs["output"])
        for t in ((1, 0), (0, 1))
    ]
    np.testing.assert_allclose(rows["output"].integer_error, np.mean(invariance), rtol=1e-3)


def test_zero_padding_shows_at_the_first_padded_layer():
    _, rows = rows_of(Net("SAME"), train=False)
    assert rows["first/Conv_0"].integer_error > 0.01
    assert rows["halved"].lattice_error > 0.01


@pytest.mark.parametrize("hidden", [False, True], ids=["proved", "measured"])
def test_valid_layers_are_compared_where_nothing_wrapped_around(hidden):
    class Valid(nn.Module):
        @nn.compact
        def __call__(self, x):
            if hidden:  # from the proof, not from the numbers
                x = jax.pure_callback(np.asarray, x, x, vmap_method="expand_dims")
            x = nn.relu(nn.Conv(3, (3, 3), padding="VALID", name="a")(x))  # 10
            x = nn.Conv(3, (3, 3), strides=2, padding="VALID", name="b")(x)  # 4
            return nn.Conv(3, (2, 2), padding="VALID", name="c")(nn.relu(x))  # 3, stride 2

    _, rows = rows_of(Valid())
    assert [rows[n].stride for n in "abc"] == [(1, 1), (2, 2), (2, 2)]
    for name in "abc":
        assert rows[name].lattice_error < 1e-5
    assert rows["a"].integer_error < 1e-5
    assert np.isnan(rows["b"].integer_error)
    assert np.isnan(rows["a"].half_pixel_error)


class Odd(nn.Module):
    """Of 7 positions a stride of 2 leaves 4: the ratio of sizes is 1."""

    hidden: bool

    @nn.compact
    def __call__(self, x):
        if self.hidden:  # from the proof, not from the numbers
            x = jax.pure_callback(np.asarray, x, x, vmap_method="expand_dims")
        return nn.Conv(2, (3, 3), strides=2, padding="SAME", name="conv")(x)


def test_strides_are_proved_where_sizes_mislead():
    images = jax.random.normal(jax.random.key(4), (2, 7, 7, 1))
    strides = []
    for hidden in (False, True):
        variables = Odd(hidden).init(jax.random.key(1), images)
        rows = metrics.layerwise(layers_of(Odd(hidden), variables), images)
        strides.append(next(row.stride for row in rows if row.name == "conv"))
    assert strides == [(2, 2), (1, 1)]


def test_signals_and_whole_number_images():
    class Audio(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Conv(2, (3,), strides=4, padding="CIRCULAR", name="conv")(x)

    signal = (jax.random.uniform(jax.random.key(3), (2, 16, 1)) * 255).astype("uint8")
    variables = Audio().init(jax.random.key(1), signal.astype("float32"))
    rows = metrics.layerwise(layers_of(Audio(), variables), signal, axes=(1,))
    assert rows[0].name == "conv"
    assert rows[0].stride == (4,)
    assert rows[0].lattice_error < 1e-5


def test_images_that_are_not_finite_make_rows_of_nan():
    module = nn.Conv(2, (3, 3), padding="CIRCULAR")
    images = IMAGES.at[1, 2, 3, 0].set(np.inf)
    variables = module.init(jax.random.key(0), IMAGES)
    (row,) = metrics.layerwise(layers_of(module, variables), images)
    numbers = (row.lattice_error, row.integer_error, row.half_pixel_error, row.cosine, row.aliasing)
    assert np.isnan(numbers).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.layer_outputs(nn.relu, {}, IMAGES), "Flax linen module"),
        (lambda: metrics.layerwise(layers_of(nn.relu, {}), IMAGES), "Flax linen module"),
        (lambda: metrics.layerwise(layers_of(Net(), {}), IMAGES, axes=(1, 7)), "out of range"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
