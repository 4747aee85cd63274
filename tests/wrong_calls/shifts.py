"""Bad calls of translations and declarations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv
from tests.wrong_calls.given import INF, NAN, flat, row, x

CROP = partial(jaxinv.crop_translate, np.arange(300), size=2, axes=(0,))

REFUSED = {
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

ANSWERED = {
    "subpixel_translate of images without rows": (
        lambda: jaxinv.subpixel_translate(jnp.ones((1, 0, 2, 1)), (0.5, 0.5)),
        np.ones((1, 0, 2, 1)),
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
}
