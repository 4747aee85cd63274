"""Bad calls of the random distortions."""

import jax.numpy as jnp
import numpy as np

from jaxinv import augment
from tests.wrong_calls.given import INF, KEY, NAN, NO_KEYS, flat, row, x

HALF = np.array([0.0, 0.5], np.float32).reshape(2, 1, 1)

ROW = jnp.array([1.0, 2, 3]).reshape(1, 1, 3, 1)

REFUSED = {
    "translate beyond 32 bits": (
        lambda: augment.translate(KEY, np.ones((2, 5, 4, 1)), max_shift=2**40, mode="wrap"),
        "max_shift is 1099511627776; allowed are numbers up to 2147483646",
    ),
    "augment.translate of one image": (
        lambda: augment.translate(KEY, jnp.ones((8, 8, 3))),
        "images have shape (8, 8, 3); with axes (1, 2) allowed is (n, h, w, c)",
    ),
    "augment.flip of one image": (
        lambda: augment.flip(KEY, jnp.ones((8, 8, 3))),
        "allowed is (n, h, w, c)",
    ),
    "augment.affine of volumes": (
        lambda: augment.affine(KEY, jnp.ones((2, 8, 8, 8, 1))),
        "allowed is (n, h, w, c)",
    ),
    "augment.crop of signals": (
        lambda: augment.crop(KEY, jnp.ones((2, 16, 1)), axes=(2,)),
        "allowed is (n, w, c)",
    ),
    "augment.translate by a tenth of the image": (
        lambda: augment.translate(KEY, x(), max_shift=0.1),
        "max_shift is 0.1; allowed are a whole number",
    ),
    "augment.translate by 2.9 pixels": (
        lambda: augment.translate(KEY, x(), max_shift=2.9),
        "max_shift is 2.9; allowed are a whole number",
    ),
    "augment.translate by less than nothing": (
        lambda: augment.translate(KEY, x(), max_shift=(1, -1)),
        "allowed are numbers from 0",
    ),
    "augment.translate out of sight": (
        lambda: augment.translate(KEY, x(), max_shift=9),
        "allowed are numbers up to their sizes",
    ),
    "augment.translate to every place without a torus": (
        lambda: augment.translate(KEY, x(), max_shift=None),
        "needs mode 'wrap', not 'constant'",
    ),
    "augment.translate by fractions round a torus": (
        lambda: augment.translate(KEY, x(), mode="wrap", subpixel=True),
        "subpixel shifts need a max_shift and mode 'constant'",
    ),
    "augment.translate by fractions up to NaN": (
        lambda: augment.translate(KEY, x(), max_shift=NAN, subpixel=True),
        "max_shift is nan; allowed are a finite number",
    ),
    "augment.translate without a key": (
        lambda: augment.translate(0, x()),
        "allowed is one key of jax.random.key",
    ),
    "augment.translate with images first": (
        lambda: augment.translate(x(), KEY),
        "images have shape ()",
    ),
    "augment.crop with a padding of an eighth": (
        lambda: augment.crop(KEY, x(), padding=0.125),
        "padding is 0.125; allowed are a whole number",
    ),
    "augment.crop with an unknown fill": (
        lambda: augment.crop(KEY, x(), mode="zeros"),
        "allowed are 'wrap', 'constant'",
    ),
    "augment.affine with NaN degrees": (
        lambda: augment.affine(KEY, x(), rotation=NAN),
        "rotation is nan; allowed are finite numbers",
    ),
    "augment.affine with a factor of 0": (
        lambda: augment.affine(KEY, x(), scaling=1.0),
        "scaling is 1.0; it must be in [0, 1)",
    ),
    "augment.affine with a word": (
        lambda: augment.affine(KEY, x(), shear="much"),
        "shear is 'much'; allowed are finite numbers",
    ),
    "augment.elastic with infinite smoothing": (
        lambda: augment.elastic(KEY, x(), sigma=INF),
        "sigma is inf; allowed are finite numbers",
    ),
    "augment.elastic with NaN strength": (
        lambda: augment.elastic(KEY, x(), alpha=NAN),
        "alpha is nan; allowed are finite numbers",
    ),
    "augment.elastic with smoothing wider than the image": (
        lambda: augment.elastic(KEY, x(), sigma=1e9),
        "a sigma up to 80 pixels",
    ),
    "augment.flip with a probability of 2": (
        lambda: augment.flip(KEY, x(), probability=2),
        "probability is 2; it must be in [0, 1]",
    ),
    "augment.elastic_field of one size": (
        lambda: augment.elastic_field(KEY, (8,)),
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
    **{
        f"augment.{name} with {option} {value!r}": (
            lambda name=name, option=option, value=value: getattr(augment, name)(
                KEY, x(), **{option: value}
            ),
            f"{option} is {value!r}; allowed are finite numbers",
        )
        for name, option in (
            ("affine", "rotation"),
            ("affine", "scaling"),
            ("affine", "shear"),
            ("elastic", "alpha"),
            ("elastic", "sigma"),
            ("flip", "probability"),
        )
        for value in ((2,), 1e39, True, b"1", 1j)
    },
    "augment.affine moved by True": (
        lambda: augment.affine(KEY, x(), max_shift=True),
        "max_shift is True; allowed are a finite number or one per axis",
    ),
    "augment.affine_field of no rows": (
        lambda: augment.affine_field((0, 8), jnp.eye(2), jnp.zeros(2)),
        "shape is (0, 8); allowed are sizes from 1",
    ),
    **{
        f"{name} with {what} as key": (
            lambda call=call, key=key: call(key),
            f"{called}; allowed is one key of jax.random.key",
        )
        for what, (key, called) in NO_KEYS.items()
        for name, call in (
            ("augment.flip", lambda key: augment.flip(key, x())),
            ("augment.elastic_field", lambda key: augment.elastic_field(key, (8, 8))),
            ("augment.compose", lambda key: augment.compose(augment.flip)(key, x())),
        )
    },
}

ANSWERED = {
    "augment.translate of uint8 by nothing": (
        lambda: flat(augment.translate(KEY, row(1, 2, 3).reshape(1, 1, 3, 1), max_shift=0)),
        np.array([1.0, 2, 3]),
    ),
    "augment.warp of uint8 by half a pixel": (
        lambda: flat(augment.warp(row(0, 1, 1).reshape(1, 3, 1), np.broadcast_to(HALF, (2, 1, 3)))),
        np.array([0.5, 1, 0.5]),
    ),
    "augment.flip of whole probabilities": (
        lambda: np.stack([augment.flip(KEY, ROW, probability=p).ravel() for p in (0, 1)]),
        np.array([[1.0, 2, 3], [3, 2, 1]]),
    ),
    "augment.affine by nothing at whole numbers": (
        lambda: flat(augment.affine(KEY, ROW, rotation=0, scaling=0, shear=0, max_shift=[0, 0])),
        np.array([1.0, 2, 3]),
    ),
}
