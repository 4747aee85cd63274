"""Bad calls of the losses."""

import functools

import numpy as np

from jaxinv import training
from tests.wrong_calls.given import IMAGES, NAN, TWO, net

REFUSED = {
    "cross_entropy, label 99 of 3 classes": (
        lambda: training.cross_entropy(np.zeros((1, 3)), np.array([99])),
        "label 99 is no class; allowed are 0 to 2",
    ),
    "cross_entropy of complex numbers": (
        lambda: training.cross_entropy(np.ones((1, 3)) * 1j, np.array([1])),
        "logits have dtype complex64; allowed are real numbers",
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
    **{
        f"cross_entropy, smoothing of {share!r}": (
            lambda share=share: training.cross_entropy(
                np.zeros((1, 3)), np.array([1]), label_smoothing=share
            ),
            f"label_smoothing is {share!r}; allowed are numbers from 0 to 1",
        )
        for share in ("a tenth", None, NAN, True, 1j)
    },
    "orbit_loss of no images": (
        lambda: training.orbit_loss(net, IMAGES[:0], TWO[:0], max_shift=1),
        "there are no images",
    ),
    "worst_shift_loss of no images": (
        lambda: training.worst_shift_loss(net, IMAGES[:0], TWO[:0], max_shift=1),
        "there are no images",
    ),
    "orbit_loss, one label of two": (
        lambda: training.orbit_loss(net, IMAGES, TWO[:1], max_shift=1),
        "one for each of the 2 images",
    ),
    "orbit_loss, label 7 of 2 classes": (
        lambda: training.orbit_loss(net, IMAGES, np.array([0, 7]), max_shift=1),
        "label 7 is no class",
    ),
    **{
        f"{loss.__name__}, {what}": (functools.partial(loss, fun, IMAGES, TWO, **options), message)
        for loss in (training.orbit_loss, training.worst_shift_loss)
        for what, fun, options, message in (
            ("one number an image", lambda x: x[:, :2, 0, 0].sum(1), {}, "logits have shape (2,)"),
            ("maps", lambda x: x, {}, "logits have shape (2, 8, 8, 1); allowed is (n, classes)"),
            ("two outputs", lambda x: (net(x), x), {}, "logits is no array but a tuple"),
            ("two alike", lambda x: (net(x), net(x)), {}, "allowed is (n, classes)"),
            ("the axis of images", net, {"axes": (0,)}, "axis 0 is that of the images"),
            ("that axis from the last", net, {"axes": (-4, 1)}, "axis 0 is that of the images"),
        )
    },
    "worst_shift_loss, zeros without a limit": (
        lambda: training.worst_shift_loss(net, IMAGES, TWO, mode="constant"),
        "needs max_shift",
    ),
}

ANSWERED = {
    "cross_entropy of NaN": (
        lambda: training.cross_entropy(np.array([[0.0, NAN]]), np.array([0])),
        [NAN],
    ),
    "orbit_loss of labels in a list": (
        lambda: training.orbit_loss(net, IMAGES, [0, 1], max_shift=1),
        training.orbit_loss(net, IMAGES, np.array([0, 1]), max_shift=1),
    ),
}
