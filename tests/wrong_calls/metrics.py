"""Bad calls of distances and accuracies."""

import functools

import numpy as np

from jaxinv import metrics
from tests.wrong_calls.given import IMAGES, KEY, NAN, same

LOGITS = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)  # shifts, images, classes
LABELS = np.array([0, 1, 3])
PREDICTIONS = np.array([[0, 1, 3], [0, 2, 3]])

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
    "invariance_error by half a pixel": (
        lambda: metrics.invariance_error(same, IMAGES, (0.5, 0)),
        "allowed are a whole number or one per axis",
    ),
    "invariance_error, unknown method": (
        lambda: metrics.invariance_error(same, IMAGES, (1, 0), method="cubic"),
        "allowed are 'integer', 'fourier', 'linear'",
    ),
    "invariance_error_map, origin outside": (
        lambda: metrics.invariance_error_map(LOGITS, origin=(2,)),
        "origin is (2,); allowed are indices of (2,) shifts, from 0",
    ),
    "invariance_error_map, origin below 0": (
        lambda: metrics.invariance_error_map(LOGITS, origin=(-1,)),
        "from 0",
    ),
    "invariance_error_map, origin of a fraction": (
        lambda: metrics.invariance_error_map(LOGITS, origin=(0.5,)),
        "allowed are a whole number",
    ),
    "invariance_error_map, too many axes of shifts": (
        lambda: metrics.invariance_error_map(LOGITS, origin=(0, 0, 0)),
        "must index the axes of shifts",
    ),
    "invariance_error_map without shifts": (
        lambda: metrics.invariance_error_map(LOGITS[0]),
        "must index the axes of shifts",
    ),
    "invariance_error_map of no images": (
        lambda: metrics.invariance_error_map(LOGITS[:, :0]),
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
    "cosine_invariance of complex numbers": (
        lambda: metrics.cosine_invariance(LOGITS[0] * 1j, LOGITS[0]),
        "activations have dtypes complex64 and float32; allowed are real numbers",
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
        "allowed are whole numbers from 1",
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
    "layerwise along an axis twice": (
        lambda: metrics.layerwise(lambda x: {"same": x}, IMAGES, axes=(1, 1)),
        "names a dimension twice",
    ),
    "layerwise of layers without names": (
        lambda: metrics.layerwise(lambda x: [x], IMAGES),
        "layers returns list; allowed is a mapping of names to arrays",
    ),
    "layerwise of no images": (
        lambda: metrics.layerwise(lambda x: {"same": x}, IMAGES[:0]),
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
        "label -1 is no class; allowed are 0 to 2147483647",
    ),
    "mean_accuracy, a label that int32 does not hold": (
        lambda: metrics.mean_accuracy(PREDICTIONS, np.array([0, 2**32, 1])),
        "labels: 4294967296 is held as another number in int32; allowed are up to 2147483647",
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
    "top1_change far beyond the grid": (
        lambda: metrics.top1_change(LOGITS, step=(3,), periodic=False),
        "leaves no pair in a grid of (2,) shifts",
    ),
    "top1_change beyond the grid": (
        lambda: metrics.top1_change(LOGITS, step=(2,), periodic=False),
        "leaves no pair",
    ),
}

_ORIGINS = {
    f"{metric.__name__}, the origin a number": (
        functools.partial(metric, np.ones(shape), origin=1),
        "origin is 1; allowed is one whole number per axis",
    )
    for metric, shape in (
        (metrics.sensitivity_map, (3, 2, 2)),
        (metrics.invariance_error_map, (3, 2, 2)),
        (metrics.radial_profile, (3,)),
        (metrics.maps.mean_absolute_change, (3, 2, 2, 2, 1)),
    )
}
REFUSED = {**_DISTANCES, **_CLASSES, **_ORIGINS}

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
    "relative_error of numbers near the largest of float32": (
        lambda: metrics.relative_error(np.float32([1e38, 0]), np.float32([2e38, 0])),
        0.5,
    ),
    "relative_error of numbers whose distance float32 does not hold": (
        lambda: metrics.relative_error(np.full(9, 3e38, "f"), np.full(9, -3e38, "f")),
        NAN,
    ),
    "invariance_error_map near the largest of float32": (
        lambda: metrics.invariance_error_map(np.float32([[[1e38]], [[2e38]]])),
        [0.0, 1.0],
    ),
    "sensitivity_map of images with one output": (
        lambda: metrics.sensitivity_map(np.float32([[[0], [0]], [[1], [1]]])),
        [NAN, NAN],
    ),
    "sensitivity_map near the largest of float32": (
        lambda: metrics.sensitivity_map(np.float32([[[0], [1e38]], [[1e38], [1e38]]])),
        [0.0, 0.5],
    ),
    "cosine_invariance near the largest of float32": (
        lambda: metrics.cosine_invariance(np.float32([[2e38, 1e38]]), np.float32([[2e38, 1e38]])),
        [1.0],
    ),
    "cosine_invariance whose norm float32 does not hold": (
        lambda: metrics.cosine_invariance(np.float32([[3e38, 3e38]]), np.float32([[3e38, 3e38]])),
        [1.0],
    ),
    "energy_above_nyquist of channels that are constant": (
        lambda: metrics.energy_above_nyquist(np.ones((1, 7, 7, 1)) * np.array([1, 0.3, 0.7]), 3),
        0.0,
    ),
    "top1_change along the only axis of several shifts": (
        lambda: metrics.top1_change(np.array([[[0], [0], [1], [1]]])),
        0.5,
    ),
    "class_consistency in uint8": (
        lambda: metrics.maps.class_consistency(
            np.array([[[0, 1]], [[0, 2]]], "uint8"), classes=3, spatial=1
        ),
        [1.0, 0.5, 0.5],
    ),
    "iou in uint8 with void": (
        lambda: metrics.maps.iou(
            np.array([[[0, 1, 1]]], "uint8"), np.array([[0, 255, 0]], "uint8"), classes=2, void=255
        ),
        [0.25],
    ),
    "consistency of NaN": (lambda: metrics.consistency(LOGITS * NAN), NAN),
    "mean_accuracy of NaN where labels are 0": (
        lambda: metrics.mean_accuracy(LOGITS * NAN, np.zeros(3, int)),
        NAN,
    ),
    "top1_change of NaN": (lambda: metrics.top1_change(LOGITS * NAN), NAN),
    "predicted_classes of NaN": (lambda: metrics.predicted_classes(LOGITS[0] * NAN), [-1] * 3),
}
