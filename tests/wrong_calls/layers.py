"""Bad calls of translations, declarations, layers, networks and random distortions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv
from jaxinv import augment, layers, models

NAN, INF = float("nan"), float("inf")


def x():
    return jnp.ones((1, 8, 8, 2))


def key():
    return jax.random.key(0)


def applied(layer, value=None):
    value = x() if value is None else value
    return jax.eval_shape(layer.init, jax.random.key(0), value)


def network(name, shape=(1, 32, 32, 3), **options):
    return jax.eval_shape(models.create(name, **options).init, jax.random.key(0), jnp.ones(shape))


TRANSLATIONS = {
    "translate by half a pixel": (lambda: jaxinv.translate(x(), (0.5, 0)), "allowed are whole num"),
    "translate by a Boolean": (lambda: jaxinv.translate(x(), (True, 0)), "allowed are whole num"),
    "translate by None": (lambda: jaxinv.translate(x(), None), "1 entries for 2 axes"),
    "translate by a word": (lambda: jaxinv.translate(x(), "ab"), "allowed are whole numbers"),
    "translate by one number along two axes": (lambda: jaxinv.translate(x(), 1), "one per axis"),
    "translate by a matrix": (
        lambda: jaxinv.translate(x(), np.eye(2, dtype=int)),
        "has shape (2,)",
    ),
    "translate along a number": (lambda: jaxinv.translate(x(), (1,), axes=1), "axes is 1; allowed"),
    "translate along no axes": (lambda: jaxinv.translate(x(), (), axes=()), "axes is empty"),
    "translate along an axis that is not there": (
        lambda: jaxinv.translate(x(), (1,), axes=(4,)),
        "allowed are -4 to 3",
    ),
    "translate along one axis twice": (
        lambda: jaxinv.translate(x(), (1, 1), axes=(1, -3)),
        "names a dimension twice",
    ),
    "translate a scalar": (lambda: jaxinv.translate(2.0, (1, 1)), "is a scalar"),
    "translate with PyTorch's word for it": (
        lambda: jaxinv.translate(x(), (1, 1), mode="circular"),
        "allowed are 'wrap', 'constant'",
    ),
    "translate by cropping": (lambda: jaxinv.translate(x(), (1, 1), mode="crop"), "crop_translate"),
    "subpixel_translate by NaN": (
        lambda: jaxinv.subpixel_translate(x(), (NAN, 0)),
        "shift is nan; allowed are finite",
    ),
    "subpixel_translate by infinity": (
        lambda: jaxinv.subpixel_translate(x(), (0, -INF)),
        "shift is -inf; allowed are finite",
    ),
    "subpixel_translate by an imaginary number": (
        lambda: jaxinv.subpixel_translate(x(), (1j, 0)),
        "allowed are real numbers",
    ),
    "subpixel_translate by cubic splines": (
        lambda: jaxinv.subpixel_translate(x(), (0.5, 0), method="cubic"),
        "allowed are 'fourier', 'linear'",
    ),
    "crop_translate of more than there is": (
        lambda: jaxinv.crop_translate(x(), (0, 0), size=9),
        "allowed are 1 to 8",
    ),
    "crop_translate of nothing": (
        lambda: jaxinv.crop_translate(x(), (0, 0), size=0),
        "allowed are 1 to 8",
    ),
    "crop_translate of half a pixel": (
        lambda: jaxinv.crop_translate(x(), (0, 0), size=2.5),
        "size is 2.5; allowed are a whole number",
    ),
    "crop_translate out of the image": (
        lambda: jaxinv.crop_translate(x(), (3, 0), size=4),
        "allowed are -2 to 2",
    ),
    "declare_equivariance of other sizes": (
        lambda: jaxinv.declare_equivariance(x(), x(), stride=2),
        "no subsampling by 2",
    ),
    "declare_equivariance at half a stride": (
        lambda: jaxinv.declare_equivariance(x(), x(), stride=0.5),
        "stride is 0.5; allowed are",
    ),
    "declare_equivariance along a number": (
        lambda: jaxinv.declare_equivariance(x(), x(), axes=1),
        "axes is 1; allowed",
    ),
    "declare_invariance along no axis": (
        lambda: jaxinv.declare_invariance(x(), x(), axes=()),
        "axes is empty",
    ),
    "declared_margin of a number": (lambda: jaxinv.declared_margin(3), "give a function"),
}

FUNCTIONS = {
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
        "allowed are pairs of whole numbers from 0",
    ),
    "crop_or_pad to one size": (lambda: layers.crop_or_pad(x(), (4,)), "for 2 spatial axes"),
    "crop_or_pad to a negative size": (
        lambda: layers.crop_or_pad(x(), (-4, 4)),
        "allowed are integers from 0",
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

MODULES = {
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
    "MaxBlurPool with an unknown filter": (
        lambda: applied(layers.MaxBlurPool(kind="box")),
        "MaxBlurPool: filter is 'box'; allowed are binomial",
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
        "points is 1; allowed are integers from 2",
    ),
    "a network by an unknown name": (lambda: models.create("lenet6"), "allowed are mlp, simard"),
    "a network with an unknown option": (
        lambda: models.create("mlp", padding="SAME"),
        "model mlp has no option 'padding'; allowed",
    ),
    "a network with an unknown padding of one axis": (
        lambda: models.create("lenet", padding=("SAME", "wrap")),
        "padding is ('SAME', 'wrap'); allowed are SAME",
    ),
    "a network with padding for three axes": (
        lambda: network("lenet", padding=("SAME",) * 3),
        "for 2 spatial axes; give one name, or 2",
    ),
    "a network with no classes": (
        lambda: models.create("lenet", num_classes=0),
        "num_classes is 0; allowed are integers from 1",
    ),
    "a network with 2.5 classes": (
        lambda: models.create("lenet", num_classes=2.5),
        "num_classes is 2.5; allowed",
    ),
    "a network on images that are too small": (
        lambda: network("simard", (1, 8, 8, 1)),
        "Conv 'conv1': filter of 5 positions is larger",
    ),
    "a stem's polynomial without a place": (
        lambda: network("convnext_tiny", stem_polynomial=True),
        "needs another than 'stride'",
    ),
    "weights from a file that is not there": (
        lambda: models.from_torch("nowhere.npz", models.create("resnet20")),
        "nowhere.npz",
    ),
}
WARP = "thin_plate_spline"

DISTORTIONS = {
    "augment.translate of one image": (
        lambda: augment.translate(key(), jnp.ones((8, 8, 3))),
        "images have shape (8, 8, 3); with axes (1, 2) allowed is (n, h, w, c)",
    ),
    "augment.flip of one image": (
        lambda: augment.flip(key(), jnp.ones((8, 8, 3))),
        "allowed is (n, h, w, c)",
    ),
    "augment.affine of volumes": (
        lambda: augment.affine(key(), jnp.ones((2, 8, 8, 8, 1))),
        "allowed is (n, h, w, c)",
    ),
    "augment.crop of signals": (
        lambda: augment.crop(key(), jnp.ones((2, 16, 1)), axes=(2,)),
        "allowed is (n, w, c)",
    ),
    "augment.translate by a tenth of the image": (
        lambda: augment.translate(key(), x(), max_shift=0.1),
        "max_shift is 0.1; allowed are a whole number",
    ),
    "augment.translate by 2.9 pixels": (
        lambda: augment.translate(key(), x(), max_shift=2.9),
        "max_shift is 2.9; allowed are a whole number",
    ),
    "augment.translate by less than nothing": (
        lambda: augment.translate(key(), x(), max_shift=(1, -1)),
        "allowed are numbers from 0",
    ),
    "augment.translate out of sight": (
        lambda: augment.translate(key(), x(), max_shift=9),
        "allowed are numbers up to their sizes",
    ),
    "augment.translate to every place without a torus": (
        lambda: augment.translate(key(), x(), max_shift=None),
        "needs mode 'wrap', not 'constant'",
    ),
    "augment.translate by fractions round a torus": (
        lambda: augment.translate(key(), x(), mode="wrap", subpixel=True),
        "subpixel shifts need a max_shift and mode 'constant'",
    ),
    "augment.translate by fractions up to NaN": (
        lambda: augment.translate(key(), x(), max_shift=NAN, subpixel=True),
        "max_shift is nan; allowed are a finite number",
    ),
    "augment.translate without a key": (
        lambda: augment.translate(0, x()),
        "allowed is one key of jax.random.key",
    ),
    "augment.translate with images first": (
        lambda: augment.translate(x(), key()),
        "images have shape ()",
    ),
    "augment.crop with a padding of an eighth": (
        lambda: augment.crop(key(), x(), padding=0.125),
        "padding is 0.125; allowed are a whole number",
    ),
    "augment.crop with an unknown fill": (
        lambda: augment.crop(key(), x(), mode="zeros"),
        "allowed are 'wrap', 'constant'",
    ),
    "augment.affine with NaN degrees": (
        lambda: augment.affine(key(), x(), rotation=NAN),
        "rotation is nan; allowed are a finite number",
    ),
    "augment.affine with a factor of 0": (
        lambda: augment.affine(key(), x(), scaling=1.0),
        "scaling is 1.0; it must be in [0, 1)",
    ),
    "augment.affine with a word": (
        lambda: augment.affine(key(), x(), shear="much"),
        "shear is 'much'; allowed are a finite number",
    ),
    "augment.elastic with infinite smoothing": (
        lambda: augment.elastic(key(), x(), sigma=INF),
        "sigma is inf; allowed are a finite number",
    ),
    "augment.elastic with NaN strength": (
        lambda: augment.elastic(key(), x(), alpha=NAN),
        "alpha is nan; allowed are a finite number",
    ),
    "augment.elastic with smoothing wider than the image": (
        lambda: augment.elastic(key(), x(), sigma=1e9),
        "a sigma up to 80 pixels",
    ),
    "augment.flip with a probability of 2": (
        lambda: augment.flip(key(), x(), probability=2),
        "probability is 2; it must be in [0, 1]",
    ),
    "augment.elastic_field of one size": (
        lambda: augment.elastic_field(key(), (8,)),
        "1 entries for 2 axes",
    ),
    "augment.affine_field with three rows": (
        lambda: augment.affine_field((8, 8), jnp.eye(3), jnp.zeros(2)),
        "matrix has shape (3, 3)",
    ),
    "augment.warp of a batch": (
        lambda: augment.warp(x(), jnp.zeros((2, 8, 8))),
        "allowed is (h, w, c)",
    ),
    "augment.warp with the field's axes last": (
        lambda: augment.warp(x()[0], jnp.zeros((8, 8, 2))),
        "has shape (2, 8, 8), not (8, 8, 2)",
    ),
    "augment.warp by cubic splines": (
        lambda: augment.warp(x()[0], jnp.zeros((2, 8, 8)), order=3),
        "allowed are 0 (nearest pixel) and 1",
    ),
    "augment.compose of a word": (lambda: augment.compose("flip"), "give a function"),
}

REFUSED = {**TRANSLATIONS, **FUNCTIONS, **MODULES, **DISTORTIONS}


def row(*values, dtype=jnp.uint8):
    """A signal with one channel."""
    return jnp.asarray(values, dtype).reshape(1, -1, 1)


def flat(y):
    return np.asarray(y, np.float64).ravel()


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
    "subpixel_translate by many turns": (
        lambda: flat(jaxinv.subpixel_translate(row(1, 0, 0, 0), (10**9 + 1,), axes=(1,))),
        np.array([0.0, 1, 0, 0]),
    ),
    "translate by many turns": (
        lambda: flat(jaxinv.translate(row(1, 0, 0, 0), (10**30 + 1,), axes=(1,))),
        np.array([0.0, 1, 0, 0]),
    ),
    "crop_translate of an image of 300 by a traced int8": (
        lambda: flat(jax.jit(lambda t: CROP((t,)))(np.int8(-100))),
        np.array([249.0, 250]),
    ),
    "augment.translate of uint8 by nothing": (
        lambda: flat(augment.translate(key(), row(1, 2, 3).reshape(1, 1, 3, 1), max_shift=0)),
        np.array([1.0, 2, 3]),
    ),
    "augment.warp of uint8 by half a pixel": (
        lambda: flat(augment.warp(row(0, 1, 1).reshape(1, 3, 1), np.broadcast_to(HALF, (2, 1, 3)))),
        np.array([0.5, 1, 0.5]),
    ),
}
SIGNS = np.array([1.0, -1.0], np.float16)
HALF = np.array([0.0, 0.5], np.float32).reshape(2, 1, 1)
CROP = partial(jaxinv.crop_translate, np.arange(300), size=2, axes=(0,))
