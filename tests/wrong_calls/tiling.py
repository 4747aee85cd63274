"""Bad calls of `tiling`, `tiled` and `seam_error`."""

import flax.linen as nn
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxinv
from tests.wrong_calls.given import IMAGES, net

LARGE = np.arange(480, dtype=np.float32).reshape(1, 24, 20, 1)


def blurred(x):
    """Halves the image after a blur: a halo of (0, 2), a grid of 2."""
    return ((jnp.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))[:, 2:, 2:] + x) / 2)[:, ::2, ::2]


def wide(x):
    """Sums all that is within 23 positions: no position is inside."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 47, 47, 1), (1, 1, 1, 1), "SAME")


class Noisy(nn.Module):
    """A network in training mode."""

    @nn.compact
    def __call__(self, x, *, norm):
        if norm:
            return nn.BatchNorm(use_running_average=False)(x)
        return nn.Dropout(0.5, deterministic=False)(nn.Conv(2, (3, 3))(x))


def training(x, *, norm):
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return Noisy().init_with_output(rngs, x, norm=norm)[0]


class Shrinks:
    """An array on disk that somebody else makes smaller."""

    shape, dtype = LARGE.shape, LARGE.dtype

    def __getitem__(self, box):
        return LARGE[:, :9][box]


class Grows(Shrinks):
    """One that somebody else makes larger after a tile was read."""

    def __init__(self):
        self.shape = LARGE.shape

    def __getitem__(self, box):
        self.shape = (1, 25, 20, 1)
        return LARGE[box]


class Remembers(nnx.Module):
    """A network in training mode that changes its variables."""

    def __init__(self):
        self.norm = nnx.BatchNorm(1, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.norm(x)


def by_tile(fun=blurred, x=LARGE, **options):
    return jaxinv.tiled(fun, **options)(x)


REFUSED = {
    "no function": (lambda: jaxinv.tiled("net"), "cannot be called"),
    "a tiling of no function": (lambda: jaxinv.tiling("net", LARGE), "cannot be called"),
    "no such argument": (lambda: by_tile(argnums=1), "names argument 1 of a call with 1"),
    "no such axis": (lambda: by_tile(axes=(1, 7)), "axis 7 of axes (1, 7) is out of range"),
    "no axes": (lambda: jaxinv.tiling(blurred, LARGE, axes=()), "axes is empty"),
    "no arrays": (lambda: by_tile(x=None), "holds no arrays"),
    "a list of numbers": (lambda: by_tile(x=[1.0, 2.0]), "the tiled argument holds a float"),
    "the name of a file": (lambda: by_tile(x="slide.tif"), "holds a str; allowed are arrays of"),
    "an array of objects": (lambda: by_tile(x=LARGE.astype(object)), "holds a ndarray of object"),
    "a tile of 0": (lambda: by_tile(tile=0), "tile is 0; allowed are whole numbers from 1"),
    "a tile of half a pixel": (lambda: by_tile(tile=4.5), "allowed are a whole number or one per"),
    "a tile for each of three axes": (lambda: by_tile(tile=(8, 8, 8)), "3 entries for 2 axes"),
    "a tile larger than the image": (
        lambda: by_tile(tile=32),
        "tile 32 along axis 1 is larger than the image, 24 x 20; allowed are multiples of 2 from 4",
    ),
    "a tile off the grid": (lambda: by_tile(tile=7), "tile 7 along axis 1 is no multiple of the"),
    "a tile smaller than the halo": (lambda: by_tile(tile=2), "too small for the halo (0, 2)"),
    "a tile smaller than an image that is all border": (
        lambda: by_tile(wide, tile=8),
        "every position sees the border of so small an image",
    ),
    "a halo of -1": (lambda: by_tile(halo=-1), "halo is -1; allowed are whole numbers from 0"),
    "a halo of three axes": (lambda: by_tile(halo=[(1, 1)] * 3), "has 3 entries for 2 axes"),
    "a halo of three ends": (lambda: by_tile(halo=[(1, 1, 1)] * 2), "3 entries for 2 axes"),
    "a halo in words": (lambda: by_tile(halo="wide"), "halo is 'wide'"),
    "a halo that is too small": (lambda: by_tile(halo=0), "is smaller than the proven (0, 2)"),
    "no map": (lambda: by_tile(net), "no halo suffices along axis 1"),
    "nothing returned": (lambda: by_tile(lambda x: ()), "returns no arrays"),
    "the size is read": (lambda: by_tile(lambda x: x / x.shape[1], tile=8), "reads neither the"),
    "statistics of a batch": (
        lambda: by_tile(lambda x: training(x, norm=True)),
        "positions up to the border are reduced (if that is a network in training, use it in",
    ),
    "dropout": (
        lambda: by_tile(lambda x: training(x, norm=False), tile=8),
        "meets what moves (if that is a network in training, use it in evaluation mode)",
    ),
    "noise": (
        lambda: by_tile(lambda x: x + jax.random.normal(jax.random.key(0), x.shape), tile=8),
        "no halo suffices",
    ),
    "a network that changes its variables": (
        lambda: by_tile(Remembers(), tile=8),
        "the network changes its variables while it is called, as in training",
    ),
    "an image of one position": (lambda: by_tile(x=LARGE[:, :1]), "an axis of one position"),
    "a function with effects": (
        lambda: by_tile(lambda x: (jax.debug.print("{}", x.sum()), blurred(x))[1]),
        "has side effects",
    ),
    "an image that changes its size": (
        lambda: by_tile(x=Shrinks(), tile=8),
        "it must not change its size while it is read",
    ),
    "an image that grows": (
        lambda: by_tile(x=Grows(), tile=8),
        "has 25 x 20 positions in place of 24 x 20; it must not change its size while it is read",
    ),
    "out of whole numbers": (
        lambda: by_tile(out=np.zeros((1, 12, 10, 1), np.uint8), tile=8),
        "out holds uint8, and the output is float32; cast it",
    ),
    "out that is under grad": (
        lambda: jax.grad(lambda x: by_tile(x=x, out=np.zeros((1, 12, 10, 1), np.float32)).sum())(
            LARGE
        ),
        "there is no out",
    ),
    "to go on without out": (lambda: by_tile(resume="tiles"), "resume needs out="),
    "to go on from a number": (
        lambda: by_tile(resume=3, out=np.zeros((1, 12, 10, 1))),
        "resume is 3; allowed is the path of a file",
    ),
    "out of another shape": (
        lambda: by_tile(out=np.zeros((1, 24, 20, 1)), tile=8),
        "out has shape (1, 24, 20, 1); the output has (1, 12, 10, 1)",
    ),
    "out of another structure": (lambda: by_tile(out=[LARGE], tile=8), "the outputs have"),
    "out of JAX": (lambda: by_tile(out=jnp.zeros((1, 12, 10, 1)), tile=8), "cannot be assigned"),
    "a shape": (
        lambda: by_tile(x=jax.ShapeDtypeStruct(LARGE.shape, "float32"), tile=8),
        "give arrays, not shapes",
    ),
    "an error of shapes": (
        lambda: jaxinv.seam_error(
            blurred, jax.ShapeDtypeStruct(LARGE.shape, "float32"), overlaps=[1], tile=8
        ),
        "give arrays, not shapes",
    ),
    "an overlap of -1": (
        lambda: jaxinv.seam_error(blurred, LARGE, overlaps=[-1], tile=8),
        "overlap is -1",
    ),
    "the scale of several outputs": (
        lambda: jaxinv.tiling(lambda x: (x, blurred(x)), LARGE).scale,
        "returns 2 arrays; read tiling.scales",
    ),
}

ANSWERED = {
    "an image smaller than the halo": (lambda: by_tile(wide), wide(LARGE)),
    "a JAX image smaller than the halo": (lambda: by_tile(wide, jnp.asarray(LARGE)), wide(LARGE)),
    "an image smaller than a tile, without one": (lambda: by_tile(x=IMAGES), blurred(IMAGES)),
    "a tile as large as the image": (lambda: by_tile(tile=(24, 20)), blurred(LARGE)),
    "no overlaps": (lambda: jaxinv.seam_error(blurred, LARGE, overlaps=[]), np.zeros(0)),
    "big-endian images": (lambda: by_tile(x=LARGE.astype(">f4"), tile=8), blurred(LARGE)),
    "images of numpy's own dtype": (lambda: by_tile(x=LARGE.astype(float)), blurred(LARGE)),
    "no images": (lambda: by_tile(x=LARGE[:0]), blurred(LARGE[:0])),
}
