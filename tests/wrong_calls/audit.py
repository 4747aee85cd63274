"""Bad calls of `jaxinv.audit`."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

import jaxinv
from jaxinv.evaluation.subject import Subject

IMAGES = np.zeros((2, 4, 4, 1))


def two(x):
    return x.mean((1, 2, 3))[:, None] * jnp.ones(2)


def call(*given, network=two, images=IMAGES, **options):
    return lambda: jaxinv.audit(network, images, *given, **options)


REFUSED = {
    "no batch": (call(images=IMAGES[0]), "images have shape (4, 4, 1)"),
    "no images": (call(images=IMAGES[:0]), "images have shape (0, 4, 4, 1)"),
    "words": (call(images=np.full((1, 2, 2, 1), "a")), "images have dtype <U1"),
    "complex images": (call(images=1j * IMAGES), "images have dtype complex128"),
    "one-hot labels": (call(np.eye(2)), "labels have shape (2, 2)"),
    "labels that are no numbers of classes": (call(np.array([0.5, 1])), "dtype float64"),
    "negative labels": (call(np.array([0, -1])), "a label is -1; classes are counted from 0"),
    "too few labels": (call(np.array([0])), "for each of the 2 images"),
    "more classes than outputs": (call(np.array([0, 2])), "at least 3 classes"),
    "no network": (call(network={}), "networks is empty"),
    "a number for a network": (call(network=3), "networks cannot be called: its type is int"),
    "a list of networks": (call(network=[two]), "networks cannot be called: its type is list"),
    "a number among networks": (call(network={"a": two, "b": 3}), "b cannot be called"),
    "a module without variables": (
        call(network=nn.Dense(2)),
        "Dense is a Flax module without variables; give module.bind(variables)",
    ),
    "no classes": (call(network=lambda x: x.mean((1, 2, 3))), "needed are outputs (n, classes)"),
    "one output": (call(network=lambda x: two(x)[:, :1]), "with at least 2 classes"),
    "maps of one class": (call(network=lambda x: x), "(n, H, W, classes) with at least 2 classes"),
    "two networks of one name": (
        call(network={"a": Subject("net", "", two), "b": Subject("net", "", two)}),
        "two networks are called net; allowed is one name for each",
    ),
    "a network without a name": (call(network={" ": two}), "a network has no name"),
    "an image smaller by its own size": (
        call(protocols="azulay2019"),
        "makes images smaller by 4 pixels, and they have 4 x 4; allowed are larger ones",
    ),
    "another size": (call(network=lambda x: x.reshape(-1, 9)), "does not take images of shape"),
    "infinite outputs": (call(network=lambda x: two(x) / 0.0), "outputs are NaN, infinite"),
    "an unknown mode": (call(mode="circular"), "mode"),
    "a shift beyond the image": (call(max_shift=4), "max_shift is 4; allowed are numbers from 0"),
    "an unknown protocol": (call(protocols=["zhang"]), "protocol is 'zhang'; allowed are"),
    "no images at a time": (call(batch=0), "batch is 0; allowed are whole numbers from 1"),
    "half an image at a time": (call(batch=2.5), "batch is 2.5"),
    "no shifts at a time": (call(chunk=0), "chunk is 0"),
    "a negative shift": (call(max_shift=-1), "max_shift is -1"),
    "a shift for each axis": (call(max_shift=(1, 2)), "max_shift is (1, 2); allowed are whole"),
    "a seed in words": (call(seed="one"), "seed is 'one'"),
    "a fill without a largest shift": (call(mode="edge"), "needs max_shift"),
    "a truth value for each image": (call(np.array([True, False])), "dtype bool"),
    "NaN": (call(images=np.nan * IMAGES), "outputs are NaN"),
    "an unknown picture": (
        lambda: jaxinv.Audit(None, ()).plot("loss"),
        "quantity is 'loss'; allowed are 'accuracy', 'confidence' and 'curve'",
    ),
}
