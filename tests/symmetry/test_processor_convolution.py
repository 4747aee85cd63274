"""Convolutions for processors are those of `lax`, and become products where that is quicker."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinv.symmetry import processor_convolution
from jaxinv.symmetry.processor_convolution import LEAST_PRODUCTS, convolution_p, quick_in_loops
from jaxinv.symmetry.rules import matrix_products
from jaxinv.symmetry.rules.matrix_products import PART_BYTES
from tests.sweeps import few

CHANNELS = LEAST_PRODUCTS  # enough for kernels of any extent


@pytest.fixture(autouse=True)
def _x64(monkeypatch):
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 0)
    with jax.enable_x64(True):
        yield


@pytest.fixture
def products(monkeypatch):
    """The shapes of the images whose convolution became matrix products."""
    made = []
    original = matrix_products.MatrixProduct.convolve

    def noted(self, images, kernel):
        made.append(images.shape)
        return original(self, images, kernel)

    monkeypatch.setattr(matrix_products.MatrixProduct, "convolve", noted)
    return made


def convolve(x, w, groups=(1, 1), **params):
    names = ("feature_group_count", "batch_group_count")
    rest = dict(zip(names, groups, strict=True), out_sharding=None)
    return processor_convolution.convolve(x, w, **params, **rest)


def settings(specs, x, w, **changes):
    """What `lax.conv_general_dilated` binds for a dense convolution of stride 1."""
    spatial = x.ndim - 2
    return {
        "window_strides": (1,) * spatial,
        "padding": ((0, 0),) * spatial,
        "lhs_dilation": (1,) * spatial,
        "rhs_dilation": (1,) * spatial,
        "dimension_numbers": lax.conv_dimension_numbers(x.shape, w.shape, specs),
        "precision": None,
        "preferred_element_type": None,
    } | changes


def operands(specs, kernel=(3, 2), dtype=jnp.float64, channels=CHANNELS):
    """Images 7 wide, 8 high and 9 deep, and a kernel, laid out as the specs say."""
    rng = np.random.default_rng(0)
    letters = [c for c in specs[0] if c not in "NC"]
    sizes = {"N": 2, "C": channels, **dict(zip("WHD", (7, 8, 9), strict=True))}
    extents = {"I": channels, "O": 5, **dict(zip(sorted(letters), kernel, strict=True))}
    x = rng.normal(size=[sizes[c] for c in specs[0]])
    w = rng.normal(size=[extents[c] for c in specs[1]])
    return jnp.asarray(x, dtype), jnp.asarray(w, dtype)


LAYOUTS = {
    "channels last": (("NHWC", "HWIO", "NHWC"), (3, 2)),
    "channels first": (("NCHW", "OIHW", "NCHW"), (2, 3)),
    "axes in another order in each": (("HNCW", "WOHI", "CWNH"), (3, 2)),
    "one axis": (("NWC", "WIO", "NWC"), (4,)),
    "three axes": (("NDHWC", "DHWIO", "NDHWC"), (2, 3, 2)),
    "one position": (("NHWC", "HWIO", "NHWC"), (1, 1)),
    "a row": (("NHWC", "HWIO", "NHWC"), (1, 3)),
    "a column": (("NHWC", "HWIO", "NHWC"), (3, 1)),
    "the whole image": (("NHWC", "HWIO", "NHWC"), (8, 7)),
}


CASES = {
    f"{name}, dilation {dilation}": (specs, kernel, dilation)
    for name, (specs, kernel) in LAYOUTS.items()
    for dilation in (1, 2)
    if dilation * (max(kernel) - 1) < 7 or dilation == 1
}
QUICK = ("channels last, dilation 2", "axes in another order in each, dilation 1")
QUICK += ("one axis, dilation 1", "three axes, dilation 1")


@pytest.mark.parametrize("case", few(CASES, *QUICK))
@pytest.mark.parametrize(
    "part", few([1, PART_BYTES], PART_BYTES), ids=["image by image", "all together"]
)
def test_values_and_gradients_are_those_of_lax(products, monkeypatch, case, part):
    specs, kernel, dilation = CASES[case]
    monkeypatch.setattr(matrix_products, "PART_BYTES", part)
    x, w = operands(specs, kernel)
    params = settings(specs, x, w, rhs_dilation=(dilation, *(1,) * (x.ndim - 3)))
    weight = jnp.cos(jnp.arange(lax.conv_general_dilated(x, w, **params).size))

    def loss(fun):
        return lambda x, w: (fun(x, w, **params).ravel() * weight).sum()

    np.testing.assert_allclose(
        convolve(x, w, **params), lax.conv_general_dilated(x, w, **params), rtol=1e-12, atol=1e-12
    )
    assert products
    for ours, theirs in zip(
        jax.grad(loss(convolve), (0, 1))(x, w),
        jax.grad(loss(lax.conv_general_dilated), (0, 1))(x, w),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


SPECS = ("NHWC", "HWIO", "NHWC")
WITH_LAX = {
    "stride": {"window_strides": (2, 1)},
    "padding": {"padding": ((1, 0), (0, 0))},
    "dilated images": {"lhs_dilation": (1, 2)},
    "another result type": {"preferred_element_type": jnp.float64, "dtype": jnp.float32},
    "half precision": {"dtype": jnp.bfloat16},
    "few channels": {"channels": LEAST_PRODUCTS // 2 - 1},
    "feature groups": {"groups": (5, 1)},
    "a kernel longer than the image": {"rhs_dilation": (4, 1)},
    "no images": {"images": 0},
}


@pytest.mark.parametrize("changes", WITH_LAX.values(), ids=WITH_LAX)
def test_other_convolutions_stay_with_lax(products, changes):
    changes = dict(changes)
    groups = changes.pop("groups", (1, 1))
    channels = changes.pop("channels", CHANNELS)
    x, w = operands(SPECS, dtype=changes.pop("dtype", jnp.float64), channels=channels * groups[0])
    x, w = x[: changes.pop("images", 2)], w[:, :, :channels]
    params = settings(SPECS, x, w, **changes)
    ours = convolve(x, w, groups=groups, **params)
    theirs = lax.conv_general_dilated(x, w, feature_group_count=groups[0], **params)
    assert not products
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_large_convolutions_go_in_parts(monkeypatch):
    x, w = operands(SPECS)
    x = jnp.concatenate([x, x + 1, x - 1])[:5]
    params = settings(SPECS, x, w)
    # 8 x 7 positions, each with 2 * CHANNELS numbers gathered and 3 * 5 products, 8 bytes each.
    monkeypatch.setattr(matrix_products, "PART_BYTES", 2 * 56 * (2 * CHANNELS + 15) * 8)
    np.testing.assert_allclose(
        convolve(x, w, **params), lax.conv_general_dilated(x, w, **params), rtol=1e-12, atol=1e-12
    )
    text = str(jax.make_jaxpr(evaluated(params))(x, w))
    assert f"f64[2,48,{2 * CHANNELS}]" in text.replace(" ", "")  # two images at a time
    assert f"f64[5,48,{2 * CHANNELS}]" not in text.replace(" ", "")


def test_little_work_stays_with_lax(products, monkeypatch):
    x, w = operands(SPECS)
    # 2 images of 6 x 6 positions
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 2 * 36 * w.size + 1)
    convolve(x, w, **settings(SPECS, x, w))
    assert not products
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 2 * 36 * w.size)
    convolve(x, w, **settings(SPECS, x, w))
    assert products


def test_other_devices_stay_with_lax(products, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, w = operands(SPECS)
    convolve(x, w, **settings(SPECS, x, w))
    assert not products


def evaluated(params):
    """What the primitive computes."""
    rest = {"feature_group_count": 1, "batch_group_count": 1, "out_sharding": None}
    return lambda x, w: convolution_p.impl(x, w, **params, **rest)


@pytest.mark.parametrize("precision", [None, (lax.Precision.HIGHEST,) * 2])
def test_the_precision_is_handed_on(precision):
    x, w = operands(SPECS)
    params = settings(SPECS, x, w, precision=precision)
    jaxpr = jax.make_jaxpr(evaluated(params))(x, w)
    (dot,) = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert dot.params["precision"] == precision


def depthwise_operands(specs, kernel, features=6):
    """Images of 6 channels, and a kernel of so many features that sees one channel for each."""
    x, w = operands(specs, kernel, channels=6)
    w = jnp.repeat(
        lax.slice_in_dim(w, 0, 1, axis=specs[1].index("O")), features, specs[1].index("O")
    )
    w = lax.slice_in_dim(w, 0, 1, axis=specs[1].index("I"))
    return x, w * jnp.asarray(np.random.default_rng(1).normal(size=w.shape))


@pytest.fixture
def taps(monkeypatch):
    """The shapes of the images whose convolution became a sum over taps."""
    made = []
    original = matrix_products.MatrixProduct.by_taps

    def noted(self, images, kernel):
        made.append(images.shape)
        return original(self, images, kernel)

    monkeypatch.setattr(matrix_products.MatrixProduct, "by_taps", noted)
    return made


SLIDES = {
    "stride": {"window_strides": (2, 3)},
    "padding": {"padding": ((2, 0), (1, 3))},
    "padding taken away": {"padding": ((-1, 1), (2, -1))},
    "stride, padding, dilation": {
        "window_strides": (3, 2), "padding": ((1, 2), (2, 1)), "rhs_dilation": (2, 1)
    },
}  # fmt: skip


def are_those_of_lax(x, w, groups, params):
    def theirs(x, w):
        return lax.conv_general_dilated(x, w, feature_group_count=groups[0], **params)

    def ours(x, w):
        return convolve(x, w, groups=groups, **params)

    weight = jnp.cos(jnp.arange(theirs(x, w).size))
    np.testing.assert_allclose(ours(x, w), theirs(x, w), rtol=1e-12, atol=1e-12)
    pairs = (
        jax.grad(lambda x, w, f=f: (f(x, w).ravel() * weight).sum(), (0, 1))(x, w)
        for f in (ours, theirs)
    )
    for mine, other in zip(*pairs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("slides", SLIDES.values(), ids=SLIDES)
def test_depthwise_convolutions_that_slide_otherwise(taps, slides):
    x, w = depthwise_operands(SPECS, (3, 2))
    are_those_of_lax(x, w, (6, 1), settings(SPECS, x, w, **slides))
    assert taps


# Of the width, then of the height.
AROUND = {
    "padding": {"padding": ((5, 5), (2, 2))},
    "stride": {"padding": ((5, 6), (3, 2)), "window_strides": (2, 3)},
    "dilation": {"padding": ((9, 6), (2, 3)), "rhs_dilation": (2, 1)},
    "padding taken away": {"padding": ((7, -1), (-1, 5))},
}


@pytest.mark.parametrize("channels", [1, CHANNELS])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5)], ids=str)
def test_kernels_larger_than_the_map(products, size, around, channels):
    """XLA takes them for images, and the map for the kernel."""
    specs = ("HNCW", "WOHI", "CWNH")
    x, w = operands(specs, (3, 2), channels=channels)
    w = jnp.concatenate([w, 2 * w, -w], 0)  # 6 wide, 3 high
    x = x[: size[0], :, :, : size[1]]
    are_those_of_lax(x, w, (1, 1), settings(specs, x, w, **around))
    assert products


def test_a_kernel_as_large_as_the_map_stays_with_lax(products):
    x, w = operands(SPECS)
    x = x[:, :2, :3]
    convolve(x, w, **settings(SPECS, x, w, padding=((1, 1), (1, 1))))
    assert not products


def test_depthwise_kernels_of_many_places_stay_with_lax(taps, monkeypatch):
    x, w = depthwise_operands(SPECS, (3, 2))
    monkeypatch.setattr(processor_convolution, "MOST_TAPS", 5)
    convolve(x, w, groups=(6, 1), **settings(SPECS, x, w))
    assert not taps


@pytest.mark.parametrize("case", few(CASES, *QUICK))
def test_depthwise_values_and_gradients_are_those_of_lax(taps, case):
    specs, kernel, dilation = CASES[case]
    x, w = depthwise_operands(specs, kernel)
    params = settings(specs, x, w, rhs_dilation=(dilation, *(1,) * (x.ndim - 3)))
    are_those_of_lax(x, w, (6, 1), params)
    assert taps


@pytest.mark.parametrize(
    ("features", "changes"),
    [
        (12, {}),
        (6, {"lhs_dilation": (2, 1)}),
        (6, {"rhs_dilation": (4, 1)}),
    ],
    ids=["two features a channel", "dilated images", "a kernel longer than the image"],
)
def test_other_depthwise_convolutions_stay_with_lax(taps, features, changes):
    x, w = depthwise_operands(SPECS, (3, 2), features)
    params = settings(SPECS, x, w, **changes)
    ours = convolve(x, w, groups=(6, 1), **params)
    theirs = lax.conv_general_dilated(x, w, feature_group_count=6, **params)
    assert not taps
    np.testing.assert_array_equal(ours, theirs)


def test_little_depthwise_work_stays_with_lax(taps, monkeypatch):
    x, w = depthwise_operands(SPECS, (3, 2))
    params = settings(SPECS, x, w)
    # 2 images of 6 x 6 positions, worth as much as dense convolutions of 16 times the work
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 16 * (2 * 36 * w.size + 1))
    convolve(x, w, groups=(6, 1), **params)
    assert not taps
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 16 * 2 * 36 * w.size)
    convolve(x, w, groups=(6, 1), **params)
    assert taps


IN_LOOPS = {
    "channels last": (("NHWC", "HWIO", "NHWC"), {}),
    "channels first": (("NCHW", "OIHW", "NCHW"), {}),
    "stride": (("NHWC", "HWIO", "NHWC"), {"window_strides": (2, 1)}),
    "padding": (("HNCW", "WOHI", "CWNH"), {"padding": ((1, 1), (0, 2))}),
    "dilated images": (("NCHW", "OIHW", "NCHW"), {"lhs_dilation": (2, 1)}),
    "dilated kernel": (("NCHW", "OIHW", "NCHW"), {"rhs_dilation": (2, 1)}),
    "one axis": (("NCW", "OIW", "NCW"), {}),
}


@pytest.mark.parametrize("case", IN_LOOPS)
@pytest.mark.parametrize("gradient", [False, True])
def test_in_a_loop_channels_are_last(case, gradient):
    """So XLA's library takes them, whose sizes and layouts it knows in the outermost program."""
    specs, changes = IN_LOOPS[case]
    x, w = operands(specs, (3, 2)[: len(specs[0]) - 2], channels=3)
    params = settings(specs, x, w, **changes)

    def total(x, w):
        return jnp.sum(jnp.sin(lax.conv_general_dilated(x, w, **params)))

    fun = jax.grad(total, (0, 1)) if gradient else total

    def looped(fun):
        return lambda x, w: lax.map(lambda x: fun(x, w), jnp.stack([x, -x, 2 * x]))

    quick = quick_in_loops(total)
    quick = jax.grad(quick, (0, 1)) if gradient else quick
    for one in (quick, quick_in_loops(fun)):
        found, expected = looped(one)(x, w), looped(fun)(x, w)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
        text = jax.jit(looped(one)).lower(x, w).as_text()
        found = re.findall(r"dim_numbers = (.+?), window", text)
        places = ", ".join(map(str, range(x.ndim - 2)))
        assert set(found) == {f"[b, {places}, f]x[{places}, i, o]->[b, {places}, f]"}, found


def test_a_kernel_that_overlaps_more_than_the_map_is_not_exchanged_with_it():
    x, w = operands(SPECS, channels=2)
    x = x[:, :2, :2]
    params = settings(SPECS, x, w, padding=((2, 2), (1, 1)), lhs_dilation=(2, 1))
    are_those_of_lax(x, w, (1, 1), params)
    text = jax.jit(lambda x, w: convolve(x, w, **params)).lower(x, w).as_text()
    assert "optimization_barrier" in text


def test_second_derivatives_are_those_of_lax():
    x, w = operands(("NCHW", "OIHW", "NCHW"), channels=2)
    params = settings(("NCHW", "OIHW", "NCHW"), x, w, padding=((1, 0), (0, 2)))

    def total(of):
        return lambda w: jnp.sum(jnp.sin(of(jnp.tanh(x), w, **params)))

    found, expected = (
        jax.jvp(jax.grad(total(of)), (w,), (jnp.cos(w),))[1]
        for of in (convolve, lax.conv_general_dilated)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
