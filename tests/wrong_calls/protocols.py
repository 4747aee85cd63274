"""Bad calls of the published protocols."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np

from jaxinv.metrics import protocols
from jaxinv.metrics.protocols import Sample
from jaxinv.metrics.protocols.biscione2021 import _baseline
from jaxinv.orbit import shift_set
from tests.wrong_calls.given import IMAGES, KEY, NAN, NO_KEYS, TWO, net, same

LOGITS = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)  # shifts, images, classes
LABELS = np.array([0, 1, 3])
PREDICTIONS = np.array([[0, 1, 3], [0, 2, 3]])

# What is no classifier, and what an error calls its outputs.
NO_CLASSES = {
    "one number an image": (lambda x: x[:, 0, 0, 0], "float32 of (2,)"),
    "maps": (same, "float32 of (2, "),
    "maps of classes": (lambda x: x[..., 0].astype(int), "int32 of (2, "),
    "whole logits": (lambda x: net(x).astype(int), "int32 of (2, 2)"),
    "of one image": (lambda x: net(x)[:1], "float32 of (1, 2)"),
}
OF_CLASSES = {
    "one_pixel_change": lambda f: protocols.one_pixel_change(f, IMAGES, size=6),
    "diagonal_sweep": lambda f: protocols.diagonal_sweep(f, IMAGES, TWO, size=7),
    "crop_consistency": lambda f: protocols.crop_consistency(f, IMAGES, size=7),
    "circular_consistency": lambda f: protocols.circular_consistency(f, IMAGES, max_shift=1),
    "random pairs": lambda f: protocols.circular_consistency(f, IMAGES, sample=Sample(KEY)),
    "spatial_grid": lambda f: protocols.spatial_grid(f, IMAGES, TWO, grid=np.eye(3)),
    "worst_of": lambda f: protocols.worst_of(KEY, f, IMAGES, TWO, tries=1),
    "search_shifts": lambda f: protocols.search_shifts(f, IMAGES, TWO, radius=1),
}

REFUSED = {
    **{
        f"{name}, {what}": (functools.partial(protocol, fun), f"outputs are {says}")
        for (what, (fun, says)), (name, protocol) in zip(
            itertools.cycle(NO_CLASSES.items()), [*OF_CLASSES.items()] * 2, strict=False
        )
    },
    **{
        f"{name} of class numbers": (
            functools.partial(OF_CLASSES[name], lambda x: net(x).argmax(-1)),
            "outputs are int32 of (2,); allowed are logits (2, classes)",
        )
        for name in ("one_pixel_change", "diagonal_sweep")
    },
    "search_shifts, label 7 of 2 classes": (
        lambda: protocols.search_shifts(net, IMAGES, np.array([0, 7]), radius=1),
        "label 7 is no class",
    ),
    "worst_of, label 7 of 2 classes": (
        lambda: protocols.worst_of(KEY, net, IMAGES, np.array([0, 7])),
        "label 7 is no class",
    ),
    "worst_of a grid without angles": (
        lambda: protocols.worst_of(KEY, net, IMAGES, TWO, grid=np.ones((3, 2))),
        "grid has shape (3, 2); allowed is (transformations, 3)",
    ),
    "lanczos_translate without taps": (
        lambda: protocols.lanczos_translate(IMAGES, (1, 1), a=0),
        "a is 0; allowed are whole numbers from 1",
    ),
    "lie_derivative of class numbers": (
        lambda: protocols.lie_derivative(lambda x: (x, net(x).argmax(-1)), IMAGES),
        "an output has dtype int32, which has no derivative",
    ),
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
    "one_pixel_change of no pairs": (
        lambda: protocols.one_pixel_change(net, IMAGES, size=4, sample=Sample(KEY, 0)),
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
    "circular_consistency of no images": (
        lambda: protocols.circular_consistency(net, IMAGES[:0], sample=Sample(KEY)),
        "there are no images",
    ),
    "circular_consistency of random pairs, image by image": (
        lambda: protocols.circular_consistency(net, IMAGES, per_image=True, sample=Sample(KEY)),
        "with sample allowed is False",
    ),
    "crop_consistency of crops too large": (
        lambda: protocols.crop_consistency(net, IMAGES, size=9),
        "do not lie within",
    ),
    "crop_consistency of too many offsets": (
        lambda: protocols.crop_consistency(net, IMAGES, size=4, offsets=6, sample=Sample(KEY)),
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
    "transformation_grid in words": (
        lambda: protocols.transformation_grid(limits=(3, 3, "a quarter")),
        "allowed are three finite numbers",
    ),
    "transformation_grid of one limit": (
        lambda: protocols.transformation_grid(limits=3),
        "allowed are three finite numbers",
    ),
    "worst_of within NaN": (
        lambda: protocols.worst_of(KEY, net, IMAGES, TWO, limits=(3, 3, NAN)),
        "allowed are three finite numbers",
    ),
    "eq_t up to a word": (lambda: protocols.eq_t(same, IMAGES, largest="half"), "within 0 and 1"),
    "decibels below a peak in words": (
        lambda: protocols.decibels(0.1, peak="two"),
        "peak is 'two'; allowed are positive numbers",
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
    "eq_t of which the zero shift alone is a multiple of the stride": (
        lambda: protocols.eq_t(lambda x: x[:, ::2, ::2], IMAGES, stride=2),
        "largest is 0.125: no shift of images of [8, 8] rounds to a multiple of the stride 2 but 0",
    ),
    "eq_t of no shifts": (
        lambda: protocols.eq_t(same, IMAGES, sample=Sample(KEY, 0)),
        "draws is 0; allowed are whole numbers from 1",
    ),
    "eq_t_frac, unknown operator": (
        lambda: protocols.eq_t_frac(same, IMAGES, sample=Sample(KEY), operator="cubic"),
        "allowed are 'fourier', 'lanczos'",
    ),
    "lanczos_translate by one number": (
        lambda: protocols.lanczos_translate(IMAGES, (1.0,)),
        "one number per axis",
    ),
    **{
        f"{name} with {what} as key": (
            lambda call=call, key=key: call(key),
            f"{called}; allowed is one key of jax.random.key",
        )
        for what, (key, called) in NO_KEYS.items()
        for name, call in (
            (
                "one_pixel_change",
                lambda key: protocols.one_pixel_change(net, IMAGES, size=4, sample=Sample(key)),
            ),
            (
                "circular_consistency",
                lambda key: protocols.circular_consistency(net, IMAGES, sample=Sample(key)),
            ),
            ("worst_of", lambda key: protocols.worst_of(key, net, IMAGES, TWO)),
            ("eq_t", lambda key: protocols.eq_t(same, IMAGES, sample=Sample(key))),
        )
    },
}

ANSWERED = {
    "cosine_profile's baseline of a layer without activations": (
        lambda: _baseline(np.zeros((2, 3), np.float32)),
        1.0,
    ),
    "decibels without error": (lambda: protocols.decibels(0.0), float("inf")),
    "translation_generator of uint8": (
        lambda: protocols.translation_generator(
            np.array([0, 1, 3], "uint8"), axis=0, method="bilinear"
        ),
        [-1.0, -2.0, 2.0],
    ),
}
