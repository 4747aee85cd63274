"""Bad calls of the metrics, protocols, statistics, losses, assertions, `certify` and `orbit`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jaxinv
from jaxinv import metrics, training
from jaxinv.metrics import protocols
from jaxinv.orbit import shift_set

NAN = float("nan")
KEY = jax.random.key(0)
IMAGES = np.arange(128.0, dtype=np.float32).reshape(2, 8, 8, 1)
LOGITS = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)  # shifts, images, classes
LABELS = np.array([0, 1, 3])
TWO = np.array([0, 1])
PREDICTIONS = np.array([[0, 1, 3], [0, 2, 3]])


def net(x):
    return x.reshape(len(x), -1)[:, :2]


def same(x):
    return x


def equivariant(fun=same, x=IMAGES, **options):
    jaxinv.assert_translation_equivariant(fun, x, **options)


def invariant(fun=net, x=IMAGES, **options):
    jaxinv.assert_translation_invariant(fun, x, **options)


_DISTANCES = {
    "relative_error of two shapes": (
        lambda: metrics.relative_error(np.ones((2, 3)), np.ones((3, 2))),
        "shapes (2, 3) and (3, 2); allowed are two of one shape",
    ),
    "relative_error of a number and an array": (
        lambda: metrics.relative_error(1.0, np.ones(3)),
        "allowed are two of one shape",
    ),
    "relative_error of nothing": (
        lambda: metrics.relative_error(np.zeros((0, 3)), np.zeros((0, 3))),
        "there is nothing to compare",
    ),
    "relative_error of words": (
        lambda: metrics.relative_error(["a"], ["b"]),
        "allowed are numbers",
    ),
    "relative_error of keys": (
        lambda: metrics.relative_error(KEY, KEY),
        "allowed are numbers and booleans",
    ),
    "equivariance_error, no multiple of the stride": (
        lambda: metrics.equivariance_error(same, IMAGES, (1, 0), stride=2),
        "shift (1, 0) is no multiple of the stride (2, 2)",
    ),
    "equivariance_error, stride 0": (
        lambda: metrics.equivariance_error(same, IMAGES, (1, 0), stride=0),
        "stride is 0; allowed are whole numbers from 1",
    ),
    "equivariance_error by half a pixel": (
        lambda: metrics.equivariance_error(same, IMAGES, (0.5, 0)),
        "allowed are a whole number or one per axis",
    ),
    "equivariance_error, unknown method": (
        lambda: metrics.equivariance_error(same, IMAGES, (1, 0), method="cubic"),
        "allowed are 'integer', 'fourier', 'linear'",
    ),
    "equivariance_error, one shift for two axes": (
        lambda: metrics.equivariance_error(same, IMAGES, (1,)),
        "1 entries for 2 axes",
    ),
    "equivariance_error of an output of another shape": (
        lambda: metrics.equivariance_error(lambda x: x[:, :1], IMAGES, (1, 0), axes=(1, 9)),
        "axis 9",
    ),
    "invariance_error, origin outside": (
        lambda: metrics.invariance_error(LOGITS, origin=(2,)),
        "origin is (2,); allowed are indices of (2,) shifts, from 0",
    ),
    "invariance_error, origin below 0": (
        lambda: metrics.invariance_error(LOGITS, origin=(-1,)),
        "from 0",
    ),
    "invariance_error, origin of a fraction": (
        lambda: metrics.invariance_error(LOGITS, origin=(0.5,)),
        "allowed are a whole number",
    ),
    "invariance_error, too many axes of shifts": (
        lambda: metrics.invariance_error(LOGITS, origin=(0, 0, 0)),
        "must index the axes of shifts",
    ),
    "invariance_error without shifts": (
        lambda: metrics.invariance_error(LOGITS[0]),
        "must index the axes of shifts",
    ),
    "invariance_error of no images": (
        lambda: metrics.invariance_error(LOGITS[:, :0]),
        "there is nothing to compare",
    ),
    "cosine_invariance of two shapes": (
        lambda: metrics.cosine_invariance(LOGITS, LOGITS[:1]),
        "allowed are two of one shape",
    ),
    "cosine_invariance of two numbers": (
        lambda: metrics.cosine_invariance(1.0, 2.0),
        "allowed is shape (n, *features)",
    ),
    "cosine_invariance of nothing": (
        lambda: metrics.cosine_invariance(LOGITS[:0], LOGITS[:0]),
        "there is nothing to compare",
    ),
    "sensitivity_map of one image": (
        lambda: metrics.sensitivity_map(LOGITS[:, :1]),
        "use normalise=False",
    ),
    "sensitivity_map, origin outside": (
        lambda: metrics.sensitivity_map(LOGITS, origin=(5,)),
        "allowed are indices of (2,) shifts",
    ),
    "sensitivity_map without shifts": (
        lambda: metrics.sensitivity_map(LOGITS[0]),
        "allowed is (*shifts, n, features)",
    ),
    "sensitivity_map of no shifts": (
        lambda: metrics.sensitivity_map(LOGITS[:0]),
        "there is nothing to compare",
    ),
    "radial_profile of a number": (
        lambda: metrics.radial_profile(1.0),
        "allowed is a map over shifts",
    ),
    "radial_profile of nothing": (
        lambda: metrics.radial_profile(np.zeros((0, 3))),
        "allowed is a map over shifts",
    ),
    "radial_profile, origin outside": (
        lambda: metrics.radial_profile(np.ones((3, 3)), origin=(3, 0)),
        "allowed are indices of (3, 3) shifts",
    ),
    "energy_above_nyquist at no positions": (
        lambda: metrics.energy_above_nyquist(IMAGES, 0),
        "allowed are numbers from 1",
    ),
    "energy_above_nyquist at 2.5 positions": (
        lambda: metrics.energy_above_nyquist(IMAGES, 2.5),
        "allowed are a whole number",
    ),
    "energy_above_nyquist along no axis": (
        lambda: metrics.energy_above_nyquist(IMAGES, 2, axes=()),
        "axes is empty",
    ),
    "energy_above_nyquist of nothing": (
        lambda: metrics.energy_above_nyquist(IMAGES[:0], 2),
        "there is nothing to measure",
    ),
    "mean_absolute_change of logits": (
        lambda: metrics.mean_absolute_change(LOGITS, LOGITS),
        "allowed are numbers from 0 to 1, after the softmax",
    ),
    "mean_absolute_change of negative numbers": (
        lambda: metrics.mean_absolute_change(-np.ones((1, 2)), np.ones((1, 2))),
        "allowed are numbers from 0 to 1",
    ),
    "mean_absolute_change without classes": (
        lambda: metrics.mean_absolute_change(np.ones(2), np.ones(2)),
        "allowed is (*pairs, n, classes)",
    ),
    "layer_outputs of a function": (
        lambda: metrics.layer_outputs(same, {}, IMAGES),
        "allowed is a Flax linen module",
    ),
    "layer_symmetry along an axis twice": (
        lambda: metrics.layer_symmetry(nn.Conv(1, (3, 3)), {}, IMAGES, axes=(1, 1)),
        "names a dimension twice",
    ),
    "layer_symmetry of no images": (
        lambda: metrics.layer_symmetry(nn.Conv(1, (3, 3)), {}, IMAGES[:0]),
        "there is nothing to measure",
    ),
}

_CLASSES = {
    "predicted_classes of booleans": (
        lambda: metrics.predicted_classes(LOGITS > 0),
        "allowed are logits or class numbers",
    ),
    "predicted_classes of complex numbers": (
        lambda: metrics.predicted_classes(LOGITS * 1j),
        "allowed are logits or class numbers",
    ),
    "predicted_classes of words": (
        lambda: metrics.predicted_classes(["cat", "dog"]),
        "allowed are logits or class numbers",
    ),
    "predicted_classes of no classes": (
        lambda: metrics.predicted_classes(np.zeros((3, 0), np.float32)),
        "allowed is (*shifts, images, classes)",
    ),
    "predicted_classes of a number": (
        lambda: metrics.predicted_classes(3),
        "allowed is shape (*shifts, images)",
    ),
    "correct_predictions, labels of another count": (
        lambda: metrics.correct_predictions(LOGITS, LABELS[:2]),
        "one for each of the 3 images",
    ),
    "accuracy_map, labels that are NaN": (
        lambda: metrics.accuracy_map(LOGITS, np.array([0, NAN, 1])),
        "allowed are class numbers, whole and from 0",
    ),
    "accuracy_map, a label for each shift": (
        lambda: metrics.accuracy_map(LOGITS, PREDICTIONS),
        "one for each of the 3 images",
    ),
    "accuracy_map of no shifts": (
        lambda: metrics.accuracy_map(LOGITS[:0], LABELS),
        "there are no images or no shifts",
    ),
    "mean_accuracy, label 99 of 4 classes": (
        lambda: metrics.mean_accuracy(LOGITS, np.array([0, 1, 99])),
        "label 99 is no class; allowed are 0 to 3",
    ),
    "mean_accuracy, label -1": (
        lambda: metrics.mean_accuracy(PREDICTIONS, np.array([0, -1, 1])),
        "label -1 is no class; allowed are from 0",
    ),
    "mean_accuracy, words as labels": (
        lambda: metrics.mean_accuracy(LOGITS, ["a", "b", "c"]),
        "labels is no array but a list; allowed are class numbers",
    ),
    "mean_accuracy, one-hot labels": (
        lambda: metrics.mean_accuracy(LOGITS, np.eye(3, 4)),
        "dtype float32; allowed are class numbers",
    ),
    "worst_case_accuracy of no images": (
        lambda: metrics.worst_case_accuracy(LOGITS[:, :0], LABELS[:0]),
        "there are no images or no shifts",
    ),
    "worst_case_accuracy, booleans as labels": (
        lambda: metrics.worst_case_accuracy(LOGITS, LABELS > 0),
        "dtype bool; allowed are class numbers",
    ),
    "consistency of no images": (
        lambda: metrics.consistency(LOGITS[:, :0]),
        "there are no images or no shifts",
    ),
    "consistency of no shifts": (
        lambda: metrics.consistency(PREDICTIONS[:0]),
        "there are no images or no shifts",
    ),
    "consistent_accuracy, one label for all": (
        lambda: metrics.consistent_accuracy(LOGITS, 0),
        "one for each of the 3 images",
    ),
    "top1_change without shifts": (
        lambda: metrics.top1_change(LABELS),
        "outputs must be those of an orbit",
    ),
    "top1_change by half a pixel": (
        lambda: metrics.top1_change(LOGITS, step=(0.5,)),
        "allowed are a whole number or one per axis",
    ),
    "top1_change by nothing": (
        lambda: metrics.top1_change(LOGITS, step=(0,)),
        "not all zero",
    ),
    "top1_change beyond the grid": (
        lambda: metrics.top1_change(LOGITS, step=(2,), periodic=False),
        "leaves no pair",
    ),
}

_STATISTICS = {
    "wilson_interval of no images": (
        lambda: metrics.wilson_interval(0, 0),
        "total is 0; allowed are whole numbers from 1",
    ),
    "wilson_interval of more than all": (
        lambda: metrics.wilson_interval(4, 3),
        "4 of 3 is no proportion; allowed are 0 to all",
    ),
    "wilson_interval of a fraction of an image": (
        lambda: metrics.wilson_interval(0.9, 1),
        "successes is 0.9; allowed are whole numbers from 0",
    ),
    "wilson_interval of NaN": (
        lambda: metrics.wilson_interval(NAN, 3),
        "successes is nan",
    ),
    "wilson_interval, 95 per cent": (
        lambda: metrics.wilson_interval(1, 3, confidence=95),
        "allowed are numbers between 0 and 1",
    ),
    "bootstrap_interval of one image": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(1)),
        "at least two images",
    ),
    "bootstrap_interval of no images": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(0)),
        "at least two images",
    ),
    "bootstrap_interval of words": (
        lambda: metrics.bootstrap_interval(KEY, ["a", "b"]),
        "allowed are numbers",
    ),
    "bootstrap_interval of complex numbers": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3) * 1j),
        "allowed are real numbers",
    ),
    "bootstrap_interval, no resamples": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), resamples=0),
        "allowed are whole numbers from 1",
    ),
    "bootstrap_interval, 99.5 resamples": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), resamples=99.5),
        "allowed are whole numbers from 1",
    ),
    "bootstrap_interval, confidence NaN": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), confidence=NAN),
        "between 0 and 1",
    ),
    "bootstrap_interval, a number as key": (
        lambda: metrics.bootstrap_interval(3, np.ones(3)),
        "allowed is a random key",
    ),
    "bootstrap_interval while tracing": (
        lambda: jax.jit(lambda v: metrics.bootstrap_interval(KEY, v))(np.ones(3)),
        "outside jit",
    ),
    "mcnemar of words": (
        lambda: metrics.mcnemar(["no"], ["yes"]),
        "allowed are booleans, or zeros and ones",
    ),
    "mcnemar of counts": (
        lambda: metrics.mcnemar([0, 3], [1, 1]),
        "allowed are booleans, or zeros and ones",
    ),
    "mcnemar of NaN": (
        lambda: metrics.mcnemar([1.0, 0.0], [NAN, 1.0]),
        "second has dtype float64",
    ),
    "mcnemar of different images": (
        lambda: metrics.mcnemar([True], [True, False]),
        "allowed is one per image, for the same images",
    ),
    "mcnemar of no images": (
        lambda: metrics.mcnemar([], []),
        "allowed is one per image",
    ),
}

_PROTOCOLS = {
    "adversarial_shift of other shifts": (
        lambda: protocols.adversarial_shift(PREDICTIONS, LABELS, shift_set((5,))),
        "those of 2 shifts; allowed are 5",
    ),
    "adversarial_accuracy within a negative radius": (
        lambda: protocols.adversarial_accuracy(
            protocols.AdversarialShift(jnp.ones(2), jnp.zeros((2, 1))), -1
        ),
        "allowed are numbers from 0",
    ),
    "adversarial_accuracy within NaN": (
        lambda: protocols.adversarial_accuracy(
            protocols.AdversarialShift(jnp.ones(2), jnp.zeros((2, 1))), NAN
        ),
        "allowed are numbers from 0",
    ),
    "shift_lengths in another norm": (
        lambda: protocols.shift_lengths(shift_set((4,)), norm="manhattan"),
        "allowed are 'max', 'euclidean'",
    ),
    "search_shifts within 1.5 pixels": (
        lambda: protocols.search_shifts(net, IMAGES, TWO, radius=1.5),
        "radius is 1.5; allowed are whole numbers from 0",
    ),
    "embed in a canvas of the same size": (
        lambda: protocols.embed(IMAGES, canvas=8),
        "leaves no place to move",
    ),
    "one_pixel_change of the whole image": (
        lambda: protocols.one_pixel_change(net, IMAGES, size=8),
        "leaves no place to move",
    ),
    "sampled_one_pixel_change of no pairs": (
        lambda: protocols.sampled_one_pixel_change(KEY, net, IMAGES, size=4, pairs=0),
        "allowed are whole numbers from 1",
    ),
    "cosine_profile of one image": (
        lambda: protocols.cosine_profile(net, IMAGES[:1], [(0, 1)]),
        "give at least two",
    ),
    "circular_consistency of no shift": (
        lambda: protocols.circular_consistency(net, IMAGES, max_shift=0),
        "allowed are whole numbers from 1",
    ),
    "circular_consistency up to half a pixel": (
        lambda: protocols.circular_consistency(net, IMAGES, max_shift=0.5),
        "max_shift is 0.5; allowed are whole numbers from 1",
    ),
    "sampled_circular_consistency of no images": (
        lambda: protocols.sampled_circular_consistency(KEY, net, IMAGES[:0]),
        "there are no images",
    ),
    "crop_consistency of crops too large": (
        lambda: protocols.crop_consistency(net, IMAGES, size=9),
        "do not lie within",
    ),
    "sampled_crop_consistency of too many offsets": (
        lambda: protocols.sampled_crop_consistency(KEY, net, IMAGES, size=4, offsets=6),
        "do not lie within",
    ),
    "diagonal_sweep of crops too large": (
        lambda: protocols.diagonal_sweep(net, IMAGES, TWO, size=9),
        "allowed are those no larger",
    ),
    "at_crops without a window": (
        lambda: protocols.at_crops(net, IMAGES, [], size=4),
        "needs at least one window",
    ),
    "at_crops of size 0": (
        lambda: protocols.at_crops(net, IMAGES, [(0, 0)], size=0),
        "do not lie within",
    ),
    "mean_of_samples of nothing": (
        lambda: protocols.mean_of_samples(np.zeros(0)),
        "no samples",
    ),
    "rotate_translate of one image": (
        lambda: protocols.rotate_translate(IMAGES[0], (0, 0), 3.0),
        "allowed are (n, h, w, c) and 2 numbers",
    ),
    "transformation_grid of no steps": (
        lambda: protocols.transformation_grid(steps=(5, 0, 3)),
        "three whole ones from 1",
    ),
    "transformation_grid without end": (
        lambda: protocols.transformation_grid(limits=(3, 3, float("inf"))),
        "allowed are three finite numbers",
    ),
    "spatial_grid of two columns": (
        lambda: protocols.spatial_grid(net, IMAGES, TWO, grid=np.zeros((1, 2))),
        "allowed is (transformations, 3)",
    ),
    "expected_worst_of accuracies": (
        lambda: protocols.expected_worst_of(np.ones((2, 3))),
        "allowed are booleans",
    ),
    "expected_worst_of no tries": (
        lambda: protocols.expected_worst_of(np.ones((2, 3), bool), tries=0),
        "tries is 0; allowed are whole numbers from 1",
    ),
    "worst_of no tries": (
        lambda: protocols.worst_of(KEY, net, IMAGES, TWO, tries=0),
        "whole numbers from 1",
    ),
    "worst_of with a label too few": (
        lambda: protocols.worst_of(KEY, net, IMAGES, TWO[:1]),
        "one for each of the 2 images",
    ),
    "translation_generator, unknown method": (
        lambda: protocols.translation_generator(IMAGES, method="cubic"),
        "allowed are 'fourier', 'bilinear'",
    ),
    "lie_derivative of no images": (
        lambda: protocols.lie_derivative(same, IMAGES[:0]),
        "there is nothing to move",
    ),
    "local_equivariance_error of a number": (
        lambda: protocols.local_equivariance_error(jnp.sum, IMAGES, method="bilinear"),
        "allowed are outputs with an axis of images",
    ),
    "layer_contributions of a function": (
        lambda: protocols.layer_contributions(same, {}, IMAGES),
        "allowed is a Flax linen module",
    ),
    "decibels below a peak of 0": (
        lambda: protocols.decibels(0.1, peak=0),
        "allowed are positive numbers",
    ),
    "eq_t up to the whole image": (
        lambda: protocols.eq_t(same, IMAGES, largest=1),
        "within 0 and 1",
    ),
    "eq_t of another stride": (
        lambda: protocols.eq_t(same, IMAGES, stride=2),
        "for stride 2",
    ),
    "sampled_eq_t of no samples": (
        lambda: protocols.sampled_eq_t(KEY, same, IMAGES, samples=0),
        "samples is 0; allowed are whole numbers from 1",
    ),
    "sampled_eq_t_frac, unknown operator": (
        lambda: protocols.sampled_eq_t_frac(KEY, same, IMAGES, operator="cubic"),
        "allowed are 'fourier', 'lanczos'",
    ),
    "lanczos_translate by one number": (
        lambda: protocols.lanczos_translate(IMAGES, (1.0,)),
        "one number per axis",
    ),
}

_LOSSES = {
    "cross_entropy, label 99 of 3 classes": (
        lambda: training.cross_entropy(np.zeros((1, 3)), np.array([99])),
        "label 99 is no class; allowed are 0 to 2",
    ),
    "cross_entropy, label -1": (
        lambda: training.cross_entropy(np.zeros((1, 3)), np.array([-1])),
        "label -1 is no class",
    ),
    "cross_entropy, labels that are NaN": (
        lambda: training.cross_entropy(np.zeros((1, 3)), np.array([NAN])),
        "allowed are class numbers",
    ),
    "cross_entropy, one label of two": (
        lambda: training.cross_entropy(np.zeros((2, 3)), np.array([1])),
        "one for each of the 2 images",
    ),
    "cross_entropy of no classes": (
        lambda: training.cross_entropy(np.zeros((2, 0)), np.array([1, 0])),
        "allowed is (..., classes)",
    ),
    "cross_entropy, smoothing of 10": (
        lambda: training.cross_entropy(np.zeros((1, 3)), np.array([1]), label_smoothing=10),
        "label_smoothing is 10; allowed are numbers from 0 to 1",
    ),
    "orbit_loss, one label of two": (
        lambda: training.orbit_loss(net, IMAGES, TWO[:1], max_shift=1),
        "one for each of the 2 images",
    ),
    "orbit_loss, label 7 of 2 classes": (
        lambda: training.orbit_loss(net, IMAGES, np.array([0, 7]), max_shift=1),
        "label 7 is no class",
    ),
    "worst_shift_loss, zeros without a limit": (
        lambda: training.worst_shift_loss(net, IMAGES, TWO, mode="constant"),
        "needs max_shift",
    ),
}

_ASSERTIONS = {
    "a module's name": (lambda: equivariant("relu"), "which cannot be called; give a function"),
    "no images": (lambda: invariant(x=IMAGES[:0]), "allowed are those that hold something"),
    "an output of nothing": (
        lambda: invariant(lambda x: x[:, :0]),
        "allowed are those that hold something",
    ),
    "no outputs": (lambda: invariant(lambda x: ()), "returns no arrays"),
    "a tolerance of 1": (lambda: invariant(rtol=1), "from 0 to below 1"),
    "an infinite tolerance": (lambda: equivariant(atol=float("inf")), "from 0 to below 1"),
    "a tolerance that is NaN": (lambda: equivariant(rtol=NAN), "from 0 to below 1"),
    "a tolerance in words": (lambda: equivariant(rtol="1e-5"), "from 0 to below 1"),
    "a stride of 0": (lambda: equivariant(stride=0), "allowed are whole numbers from 1"),
    "a stride of 1.5": (lambda: equivariant(stride=1.5), "allowed are a whole number"),
    "a stride that the output has not": (
        lambda: equivariant(stride=2),
        "it must be size / s",
    ),
    "an unknown method": (
        lambda: equivariant(method="guess"),
        "allowed are 'measure', 'proof', 'both'",
    ),
    "no shifts": (lambda: invariant(shifts=[]), "needs at least one shift"),
    "shifts by half a pixel": (lambda: invariant(shifts=[(0.5, 0)]), "allowed are a whole number"),
    "a shift between strides": (
        lambda: invariant(stride=2, shifts=[(1, 0)]),
        "no multiple of the stride",
    ),
    "an axis that is not there": (lambda: invariant(axes=(1, 7)), "axis 7"),
    "a scalar output": (lambda: equivariant(jnp.sum), "an output is a scalar"),
    "tolerance of no depth": (
        lambda: jaxinv.tolerance("float32", depth=0),
        "allowed are numbers from 1",
    ),
    "tolerance of words": (lambda: jaxinv.tolerance("S3"), "allowed are numbers and booleans"),
}

_TRANSFORMS = {
    "orbit of no function": (lambda: jaxinv.orbit("net")(IMAGES), "cannot be called"),
    "orbit, unknown mode": (
        lambda: jaxinv.orbit(net, mode="zeros")(IMAGES),
        "allowed are 'wrap'",
    ),
    "orbit, zeros without a limit": (
        lambda: jaxinv.orbit(net, mode="constant")(IMAGES),
        "needs max_shift or shifts",
    ),
    "orbit up to -1": (
        lambda: jaxinv.orbit(net, max_shift=-1)(IMAGES),
        "allowed are numbers from 0",
    ),
    "orbit up to half a pixel": (
        lambda: jaxinv.orbit(net, max_shift=0.5)(IMAGES),
        "allowed are a whole number",
    ),
    "orbit at no shifts": (
        lambda: jaxinv.orbit(net, shifts=[])(IMAGES),
        "needs at least one shift",
    ),
    "orbit of an argument that is not there": (
        lambda: jaxinv.orbit(net, argnums=1)(IMAGES),
        "names argument 1",
    ),
    "orbit in chunks of 0": (
        lambda: jaxinv.orbit(net, chunk=0)(IMAGES),
        "chunk is 0",
    ),
    "orbit of crops of nothing": (
        lambda: jaxinv.orbit(net, mode="crop", max_shift=4)(IMAGES),
        "leaves no window",
    ),
    "symmetrize by the median": (
        lambda: jaxinv.symmetrize(net, reduce="median")(IMAGES),
        "allowed are 'mean' and 'max'",
    ),
    "symmetrize an argmax": (
        lambda: jaxinv.symmetrize(lambda x: jnp.argmax(net(x), -1))(IMAGES),
        "take the argmax of the symmetrized logits",
    ),
    "symmetrize a comparison": (
        lambda: jaxinv.symmetrize(lambda x: net(x) > 0)(IMAGES),
        "dtype bool",
    ),
    "certify along an axis that is not there": (
        lambda: jaxinv.certify(net, IMAGES, axes=(1, 9)),
        "axis 9",
    ),
    "certify along no axis": (lambda: jaxinv.certify(net, IMAGES, axes=()), "axes is empty"),
    "certify no function": (lambda: jaxinv.certify("net", IMAGES), "cannot be called"),
    "distinct_orbit of an argument twice": (
        lambda: jaxinv.distinct_orbit(net, argnums=(0, 0))(IMAGES),
        "names an argument twice",
    ),
    "orbit_cost along an axis that is not there": (
        lambda: jaxinv.orbit_cost(net, IMAGES, axes=(8,)),
        "axis 8",
    ),
}

REFUSED = {
    **_DISTANCES,
    **_CLASSES,
    **_STATISTICS,
    **_PROTOCOLS,
    **_LOSSES,
    **{f"assertion: {call}": row for call, row in _ASSERTIONS.items()},
    **_TRANSFORMS,
}

FAILED = {
    "invariant to nothing, and NaN": (
        lambda: invariant(lambda x: x[:, 0, 0] * NAN, shifts=[(0, 1)]),
        "is not finite for 2 of 2 images, first at shift (0, 0)",
    ),
    "a border of NaN": (
        lambda: equivariant(lambda x: x.at[0, 0].set(NAN), shifts=[(1, 0)]),
        "is not finite for 1 of 2 images",
    ),
    "a pixel reader": (
        lambda: invariant(shifts=[(0, 1)]),
        "not translation invariant",
    ),
    "a proof of what is not so": (
        lambda: invariant(method="proof"),
        "not proved translation invariant",
    ),
}

ANSWERED = {
    "relative_error of two zero arrays": (
        lambda: metrics.relative_error(np.zeros(3), np.zeros(3)),
        0.0,
    ),
    "relative_error in uint8": (
        lambda: metrics.relative_error(np.array([[200]], "uint8"), np.array([[210]], "uint8")),
        10 / 210,
    ),
    "relative_error of NaN and NaN": (
        lambda: metrics.relative_error(np.array([NAN]), np.array([NAN])),
        NAN,
    ),
    "consistency of NaN": (lambda: metrics.consistency(LOGITS * NAN), NAN),
    "mean_accuracy of NaN where labels are 0": (
        lambda: metrics.mean_accuracy(LOGITS * NAN, np.zeros(3, int)),
        NAN,
    ),
    "top1_change of NaN": (lambda: metrics.top1_change(LOGITS * NAN), NAN),
    "predicted_classes of NaN": (lambda: metrics.predicted_classes(LOGITS[0] * NAN), [-1] * 3),
    "mcnemar of zeros and ones": (
        lambda: tuple(metrics.mcnemar([1.0, 0.0], [0, 1])),
        (1, 1, 2, 1.0),
    ),
    "wilson_interval of none of four": (lambda: metrics.wilson_interval(0, 4), (0.0, 0.4898908)),
    "decibels without error": (lambda: protocols.decibels(0.0), float("inf")),
    "cross_entropy of NaN": (
        lambda: training.cross_entropy(np.array([[0.0, NAN]]), np.array([0])),
        [NAN],
    ),
    "tolerance of whole numbers": (lambda: jaxinv.tolerance("uint8"), (0.0, 0.0)),
    "translation_generator of uint8": (
        lambda: protocols.translation_generator(
            np.array([0, 1, 3], "uint8"), axis=0, method="bilinear"
        ),
        [-1.0, -2.0, 2.0],
    ),
}
