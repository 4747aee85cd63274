"""Bad scales, splits and canvases of data sets."""

import numpy as np

from jaxinv import data
from tests.wrong_calls.given import INF, NAN

PIXELS = np.ones((1, 2, 2, 1), np.uint8)
SCALES = [
    ((0.0,), (0.0,), "must be finite, and std positive"),
    ((NAN,), (1.0,), "must be finite, and std positive"),
    ((0.0,), (INF,), "must be finite, and std positive"),
    ((0.0,), (-1.0,), "must be finite, and std positive"),
    ((0.0,), (1e-50,), "must be finite, and std positive"),
    ((1e39,), (1.0,), "must be finite, and std positive"),
    ((True,), (1.0,), "must be finite, and std positive"),
    (("a",), (1.0,), "must be finite, and std positive"),
    ((0.0, 0.0), (1.0, 1.0), "one number for each of the 1 channels"),
    (0.0, 1.0, "one number for each of the 1 channels"),
    (None, None, "one number for each of the 1 channels"),
]

REFUSED = {
    **{
        f"normalise by mean {mean} and std {std}": (
            lambda mean=mean, std=std: data.normalise(PIXELS, mean=mean, std=std),
            says,
        )
        for mean, std, says in SCALES
    },
    "normalise of complex numbers": (
        lambda: data.normalise(PIXELS * 1j, mean=(0.0,), std=(1.0,)),
        "images have dtype complex128; allowed are real numbers",
    ),
    **{
        f"load of the split {split!r}": (
            lambda split=split: data.load(split=split),
            f"split {split!r} is not a name such as 'train'",
        )
        for split in ("test[5]", "test[::2]", "test+train", "test[:1e3]")
    },
    "Dataset of a label that int32 does not hold": (
        lambda: data.Dataset.of(PIXELS, np.array([2**32])),
        "label 4294967296 is no class; allowed are 0 to 2147483647",
    ),
    **{
        f"load on a canvas of {canvas!r}": (
            lambda canvas=canvas: data.load(split="test[:2]", canvas=canvas),
            says,
        )
        for canvas, says in (
            ("32", "canvas is '32'; allowed are a whole number"),
            (40.0, "canvas is 40.0; allowed are a whole number"),
            (True, "canvas is True; allowed are a whole number"),
            (-1, "do not fit on a canvas of -1x-1"),
            (10**9, "GiB are free"),
        )
    },
}
