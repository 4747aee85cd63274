"""The symmetrized network against the mean over its shifts, taken one by one."""

import jax.numpy as jnp
import numpy as np

from jaxinv.evaluation.subject import Subject
from jaxinv.study.symmetrized import symmetrized_claim

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)


def dense(images):
    flat = jnp.reshape(images, (images.shape[0], -1)) / 255.0
    return jnp.tanh(flat @ WEIGHTS)


def mean_over_shifts():
    shifted = [np.roll(IMAGES, (a, b), (1, 2)) for a in range(4) for b in range(4)]
    return np.mean([np.asarray(dense(x.astype(np.float32))) for x in shifted], axis=0)


def test_it_is_right_where_the_mean_over_the_shifts_is():
    labels = np.argmax(mean_over_shifts(), axis=-1)
    labels[0] = (labels[0] + 1) % 3
    subject = Subject("dense", "one dense layer", dense)
    claim = symmetrized_claim(subject, IMAGES, labels, shifts=[(1, 2)])
    assert (claim.verdict, claim.figures["accuracy"]) == ("true", 5 / 6)
    assert "invariant to every shift" in claim.measured
