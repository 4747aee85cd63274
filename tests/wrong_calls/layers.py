"""Bad calls of the layers, functions and modules."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv
from jaxinv import layers
from tests.wrong_calls.given import INF, KEY, NAN, flat, row, x

WARP = "thin_plate_spline"
SIGNS = np.array([1.0, -1.0], np.float16)


def applied(layer, value=None):
    value = x() if value is None else value
    return jax.eval_shape(layer.init, KEY, value)


_FUNCTIONS = {
    "avg_pool with a window of 0": (lambda: layers.avg_pool(x(), 0), "window is 0; allowed are"),
    "avg_pool of a window of 2.5": (lambda: layers.avg_pool(x(), 2.5), "window is 2.5; allowed"),
    "avg_pool of a list": (lambda: layers.avg_pool([[1.0]]), "input is a list; needed is an array"),
    "avg_pool of vectors": (lambda: layers.avg_pool(jnp.ones((2, 3))), "needed is (batch, one or"),
    "avg_pool with a window larger than the map": (
        lambda: layers.avg_pool(x(), 9),
        "allowed are at most 8",
    ),
    "max_pool with a stride of -1": (
        lambda: layers.max_pool(x(), stride=-1),
        "stride is -1; allow",
    ),
    "max_pool with a word for a window": (lambda: layers.max_pool(x(), "2"), "window is '2'"),
    "max_pool with three windows": (
        lambda: layers.max_pool(x(), (2, 2, 2)),
        "3 entries for 2 axes",
    ),
    "max_pool with PyTorch's word for zeros": (
        lambda: layers.max_pool(x(), padding="zeros"),
        "allowed are SAME, CIRCULAR",
    ),
    "max_pool with one padding for two axes": (
        lambda: layers.max_pool(x(), padding=("SAME",)),
        "give one name, or 2",
    ),
    "max_pool of complex numbers": (
        lambda: layers.max_pool(x().astype(complex)),
        "allowed are types with an order",
    ),
    "blur_pool with 8 taps": (lambda: layers.blur_pool(x(), taps=8), "allowed are 1 to 7"),
    "blur_pool with no taps": (lambda: layers.blur_pool(x(), taps=0), "allowed are 1 to 7"),
    "blur_pool with 2.5 taps": (lambda: layers.blur_pool(x(), taps=2.5), "taps is 2.5; allowed"),
    "blur_pool with three taps for two axes": (
        lambda: layers.blur_pool(x(), taps=(1, 3, 5)),
        "3 entries for 2 axes",
    ),
    "blur_pool with a Gaussian": (
        lambda: layers.blur_pool(x(), kind="gaussian"),
        "allowed are binomial, rectangular",
    ),
    "blur_pool of one position by reflection": (
        lambda: layers.blur_pool(jnp.ones((1, 1, 8, 1))),
        "allowed are at most 0",
    ),
    "blur_filter of NaN taps": (lambda: layers.blur_filter(taps=NAN), "taps is nan; allowed"),
    "ideal_lowpass with a stride of 0": (lambda: layers.ideal_lowpass(x(), 0), "stride is 0"),
    "ideal_upsample by a fraction": (lambda: layers.ideal_upsample(x(), 1.5), "stride is 1.5"),
    "ideal_lowpass of vectors": (
        lambda: layers.ideal_lowpass(jnp.ones((2, 3))),
        "one or more axes",
    ),
    "filtered_nonlinearity with a factor of 0": (
        lambda: layers.filtered_nonlinearity(x(), jnp.tanh, factor=0),
        "factor is 0; allowed",
    ),
    "filtered_nonlinearity of no function": (
        lambda: layers.filtered_nonlinearity(x(), "tanh"),
        "give a function",
    ),
    "alias_free_norm of complex numbers": (
        lambda: layers.alias_free_norm(x().astype(complex)),
        "allowed are real numbers",
    ),
    "alias_free_norm of vectors": (lambda: layers.alias_free_norm(jnp.ones((2, 3))), "one or more"),
    "convolve with a kernel of another rank": (
        lambda: layers.convolve(x(), jnp.ones((3, 2, 1))),
        "2 spatial axes need 4",
    ),
    "convolve with a kernel of other channels": (
        lambda: layers.convolve(x(), jnp.ones((3, 3, 5, 1))),
        "the input has 2",
    ),
    "convolve in three groups": (
        lambda: layers.convolve(x(), jnp.ones((3, 3, 1, 3)), groups=3),
        "allowed are divisors of both 2",
    ),
    "convolve in half a group": (
        lambda: layers.convolve(x(), jnp.ones((3, 3, 1, 2)), groups=0.5),
        "groups is 0.5; allowed",
    ),
    "convolve with a dilation of 0": (
        lambda: layers.convolve(x(), jnp.ones((3, 3, 2, 1)), dilation=0),
        "dilation is 0; allowed",
    ),
    "convolve_transposed with reflection": (
        lambda: layers.convolve_transposed(x(), jnp.ones((2, 2, 2, 1)), padding="REFLECT"),
        "allowed are SAME, CIRCULAR, FULL",
    ),
    "convolve_transposed with a kernel of other channels": (
        lambda: layers.convolve_transposed(x(), jnp.ones((2, 2, 3, 1))),
        "2 channels and the features",
    ),
    "locally_connected at another size": (
        lambda: layers.locally_connected(x(), jnp.ones((4, 4, 18, 1)), window=3),
        "this map needs (8, 8, 18)",
    ),
    "pad along three axes of two": (
        lambda: layers.pad(x(), [(1, 1)] * 3, padding="SAME"),
        "3 pairs for 2 spatial axes",
    ),
    "pad by less than nothing": (
        lambda: layers.pad(x(), [(-1, 0), (0, 0)], padding="CIRCULAR"),
        "width of padding is (-1, 0); allowed are whole numbers from 0",
    ),
    "crop_or_pad to one size": (lambda: layers.crop_or_pad(x(), (4,)), "for 2 spatial axes"),
    "crop_or_pad to a negative size": (
        lambda: layers.crop_or_pad(x(), (-4, 4)),
        "allowed are whole numbers from 0",
    ),
    "subsample by 0": (lambda: layers.subsample(x(), 0), "stride is 0; allowed"),
    "attention_pool with other channels": (
        lambda: layers.attention_pool(x(), jnp.ones((1, 3))),
        "the map has 2",
    ),
    "polynomial with other channels": (
        lambda: layers.polynomial(x(), jnp.ones((3, 5))),
        "needed is (degree + 1, 2)",
    ),
    "polynomial with no coefficients": (
        lambda: layers.polynomial(x(), jnp.ones((0, 2))),
        "needed is (degree + 1, 2)",
    ),
    "read_at with another number of axes": (
        lambda: layers.read_at(x(), jnp.ones((1, 2, 3))),
        "coordinates have 3 axes, the map has 2",
    ),
    "read_at for another number of maps": (
        lambda: layers.read_at(x(), jnp.ones((3, 2, 2))),
        "1 maps and coordinates for 3",
    ),
    "read_at beyond an unknown border": (
        lambda: layers.read_at(x(), jnp.ones((1, 2, 2)), border="zeros"),
        "border is 'zeros'; allowed are SAME",
    ),
    "thin_plate_spline_warp of five points": (
        lambda: layers.thin_plate_spline_warp(jnp.ones((1, 10)), layers.identity_grid((4, 4))),
        "allowed are 2 p^2",
    ),
    "thin_plate_spline_warp of a signal": (
        lambda: layers.thin_plate_spline_warp(jnp.ones((1, 8)), layers.identity_grid((4,))),
        "need 2 spatial axes",
    ),
    "affine_warp with five numbers": (
        lambda: layers.affine_warp(jnp.ones((1, 5)), layers.identity_grid((4, 4))),
        "theta has shape (1, 5); allowed is (n, 6)",
    ),
    "translation_warp with three numbers": (
        lambda: layers.translation_warp(jnp.ones((1, 3)), layers.identity_grid((4, 4))),
        "theta has shape (1, 3); allowed is (n, 2)",
    ),
    "polyphase_components of a map smaller than the stride": (
        lambda: layers.polyphase_components(x(), 9),
        "allowed are strides up to its sizes",
    ),
    "polyphase_norms of an unknown norm": (
        lambda: layers.polyphase_norms(x(), 2, criterion="l0"),
        "allowed are l1, l2, linf",
    ),
    "select_phase with phases for other maps": (
        lambda: layers.select_phase(x(), jnp.zeros(3, int), 2),
        "phase has shape (3,); allowed is (1,)",
    ),
    "select_phase with fractions": (
        lambda: layers.select_phase(x(), jnp.array([0.5]), 2),
        "phase has dtype float32; allowed are whole numbers",
    ),
    "select_phase with a phase that is not there": (
        lambda: layers.select_phase(x(), np.array([4]), 2),
        "phase is 4; allowed are 0 to 3",
    ),
    "polyphase_upsample with phases for other maps": (
        lambda: layers.polyphase_upsample(x(), jnp.zeros(3, int), 2),
        "phase has shape (3,); allowed is (1,)",
    ),
    "polyphase_upsample with a phase that is not there": (
        lambda: layers.polyphase_upsample(x(), np.array([-1]), 2),
        "phase is -1; allowed are 0 to 3",
    ),
}

_MODULES = {
    "Conv in a word": (lambda: applied(layers.Conv("8")), "Conv: features is '8'; allowed"),
    "Conv with no features": (lambda: applied(layers.Conv(0)), "Conv: features is 0; allowed"),
    "Conv with groups by another name": (
        lambda: applied(layers.Conv(2, groups="all")),
        "Conv: groups is 'all'; allowed",
    ),
    "Conv of vectors": (lambda: applied(layers.Conv(2), jnp.ones((1, 8))), "Conv: input has shape"),
    "LocallyConnected with no features": (
        lambda: applied(layers.LocallyConnected(0)),
        "LocallyConnected: features is 0; allowed",
    ),
    "ConvTranspose with a stride of 0": (
        lambda: applied(layers.ConvTranspose(2, stride=0)),
        "ConvTranspose: stride is 0",
    ),
    "max_blur_pool with an unknown filter": (
        lambda: layers.max_blur_pool(x(), kind="box"),
        "filter is 'box'; allowed are binomial",
    ),
    "sums of a filtered map that always tie": (
        lambda: applied(layers.AdaptivePolyphaseSampling(criterion="l1", taps=3)),
        "allowed are another criterion, taps=1",
    ),
    "a filter in an unknown place": (
        lambda: applied(layers.AdaptivePolyphaseSampling(filter_place="between")),
        "allowed are before, after",
    ),
    "LearnablePolyphaseSampling at temperature NaN": (
        lambda: applied(layers.LearnablePolyphaseSampling(temperature=NAN)),
        "temperature is nan; allowed are values above 0",
    ),
    "LearnablePolyphaseSampling with no hidden features": (
        lambda: applied(layers.LearnablePolyphaseSampling(hidden=0)),
        "hidden is 0; allowed",
    ),
    "Activation by an unknown name": (
        lambda: applied(layers.Activation("elu")),
        "Activation: activation is 'elu'; allowed are relu",
    ),
    "Activation on a grid as coarse": (
        lambda: applied(layers.Activation("filtered_relu", factor=0)),
        "Activation: factor is 0; allowed",
    ),
    "Norm by an unknown name": (
        lambda: applied(layers.Norm("group")),
        "Norm: norm is 'group'; allo",
    ),
    "Head by an unknown name": (
        lambda: applied(layers.Head("cls")),
        "Head: head is 'cls'; allowed",
    ),
    "Head with no queries": (
        lambda: applied(layers.Head("attention", queries=0)),
        "Head: queries is 0; allowed",
    ),
    "Downsample by an unknown name": (
        lambda: applied(layers.Downsample("pool")),
        "Downsample: downsample is 'pool'; allowed are stride",
    ),
    "SpatialTransformer by an unknown warp": (
        lambda: applied(layers.SpatialTransformer(layers.Head("gap"), "projective")),
        "warp is 'projective'; allowed are translation",
    ),
    "SpatialTransformer with a single control point": (
        lambda: applied(layers.SpatialTransformer(layers.Head("gap"), WARP, points=1)),
        "points is 1; allowed are whole numbers from 2",
    ),
    **{
        f"{layer.__class__.__name__} with {option} {getattr(layer, option)!r}": (
            lambda layer=layer: applied(layer),
            f"{option} is {getattr(layer, option)!r}; allowed are {allowed}",
        )
        for option, layer, allowed in (
            ("features", layers.Conv((2,)), "whole numbers from 1"),
            ("features", layers.ConvTranspose(2.5), "whole numbers from 1"),
            ("features", layers.LocallyConnected(True), "whole numbers from 1"),
            ("use_bias", layers.Conv(2, use_bias="no"), "True and False"),
            (
                "groups",
                layers.Conv(2, groups=(2,)),
                "whole numbers from 1 to 2147483647 or 'depthwise'",
            ),
            ("stride", layers.Conv(2, stride=10**10), "whole numbers from 1 to 2147483647"),
            ("queries", layers.Head("attention", queries=(2,)), "whole numbers from 1"),
            ("factor", layers.Activation("filtered_relu", factor=NAN), "whole numbers from 1"),
            ("temperature", layers.LearnablePolyphaseSampling(temperature=INF), "values above 0"),
            ("temperature", layers.LearnablePolyphaseSampling(temperature="1"), "values above 0"),
            ("temperature", layers.LearnablePolyphaseSampling(temperature=1e-50), "values above 0"),
            ("hidden", layers.LearnablePolyphaseSampling(hidden=(2,)), "whole numbers from 1"),
            ("init_coefficients", layers.Polynomial((NAN, 1.0)), "sequences of finite numbers"),
            ("init_coefficients", layers.Polynomial(2.0), "sequences of finite numbers"),
            ("init_scale", layers.Polynomial(init_scale=INF), "finite numbers or None"),
            ("padding", layers.AdaptivePolyphaseSampling(padding="zeros"), "SAME"),
            ("points", layers.SpatialTransformer(layers.Head(), WARP, points=2.5), "whole numbers"),
            (
                "identity",
                layers.SpatialTransformer(layers.Head(), layers.affine_warp, identity=(NAN,) * 6),
                "sequences of finite numbers",
            ),
        )
    },
}

REFUSED = {**_FUNCTIONS, **_MODULES}

ANSWERED = {
    "blur_pool of uint8": (
        lambda: flat(layers.blur_pool(row(0, 200, 0, 0), 1, padding="CIRCULAR")),
        np.array([50.0, 100, 50, 0]),
    ),
    "blur_pool of Booleans": (
        lambda: flat(layers.blur_pool(row(0, 1, 0, 0, dtype=bool), 1, padding="CIRCULAR")),
        np.array([0.25, 0.5, 0.25, 0]),
    ),
    "avg_pool of int8": (
        lambda: flat(layers.avg_pool(row(100, 101, -128, -127, dtype=jnp.int8), 2, stride=2)),
        np.array([100.5, -127.5]),
    ),
    "avg_pool of float16 that would overflow": (
        lambda: flat(layers.avg_pool(row(60000, 60000, dtype=jnp.float16), 2)),
        np.array([60000.0]),
    ),
    "max_pool of uint8 beside a border": (
        lambda: flat(layers.max_pool(row(3, 0, 0, 7), 3, padding="SAME")),
        np.array([3.0, 3, 7, 7]),
    ),
    "max_pool of int8 below zero": (
        lambda: flat(layers.max_pool(row(-128, -100, -128, dtype=jnp.int8), 3, padding="FULL")),
        np.array([-128.0, -100, -100, -100, -128]),
    ),
    "max_pool of NaN": (
        lambda: flat(layers.max_pool(row(1, NAN, 2, 3, dtype=jnp.float32), 2)),
        np.array([NAN, NAN, 3]),
    ),
    "ideal_lowpass of uint8": (
        lambda: flat(layers.ideal_lowpass(row(9, 1, 9, 1), 2)),
        np.full(4, 5.0),
    ),
    "ideal_upsample of uint8": (
        lambda: flat(layers.ideal_upsample(row(7, 7, 7))),
        np.full(6, 7.0),
    ),
    "polyphase_norms of uint8": (
        lambda: flat(layers.polyphase_norms(row(200, 3, 150, 4), 2)),
        np.array([250.0, 5]),
    ),
    "polyphase_norms of large float16": (
        lambda: flat(layers.polyphase_norms(row(300, 0, 400, 0, dtype=jnp.float16), 2)),
        np.array([500.0, 0]),
    ),
    "adaptive sampling of uint8": (
        lambda: flat(layers.adaptive_polyphase_sample(row(200, 16, 0, 0))[0]),
        np.array([200.0, 0]),
    ),
    "adaptive sampling of norms that tie in bfloat16": (
        lambda: flat(layers.adaptive_polyphase_sample(row(256, 256, 0, 16, dtype=jnp.bfloat16))[0]),
        np.array([256.0, 16]),
    ),
    "alias_free_norm of float16 that would overflow": (
        lambda: flat(layers.alias_free_norm(jnp.full((1, 9, 1), 300, jnp.float16) * SIGNS)),
        np.tile([1.0, -1], 9),
    ),
    "alias_free_norm of float32 whose squares would overflow": (
        lambda: flat(layers.alias_free_norm(jnp.full((1, 9, 1), 3e38, jnp.float32) * SIGNS)),
        np.tile([1.0, -1], 9),
    ),
    "polynomial of int8 with int8": (
        lambda: flat(layers.polynomial(row(100, dtype=jnp.int8), jnp.full((3, 1), 3, jnp.int8))),
        np.array([30303.0]),
    ),
    "convolve of uint8 with uint8": (
        lambda: flat(layers.convolve(row(200), jnp.full((1, 1, 1), 7, jnp.uint8))),
        np.array([1400.0]),
    ),
    "attention_pool of uint8": (
        lambda: flat(layers.attention_pool(row(0, 200), jnp.zeros((1, 1)))),
        np.array([100.0]),
    ),
    "tie_margin of all zeros": (lambda: flat(layers.tie_margin(jnp.zeros((1, 4)))), np.zeros(1)),
    "tie_margin of NaN": (lambda: flat(layers.tie_margin(jnp.full((1, 4), NAN))), np.array([NAN])),
    "declared_margin of a network without choices": (
        lambda: float(jaxinv.declared_margin(jnp.tanh)(x())),
        INF,
    ),
}
