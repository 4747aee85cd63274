"""The study's last remedy: the mean over a network's whole orbit, without training again."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from jaxinv.evaluation.proof import proof_of
from jaxinv.evaluation.results import Claim, figure
from jaxinv.evaluation.subject import Subject
from jaxinv.orbit import symmetrize
from jaxinv.shifts import translate
from jaxinv.tolerances import tolerance

# Shifts at which the proved invariance is measured too, in pixels.
MEASURED: tuple[tuple[int, int], ...] = ((1, 0), (0, 1), (3, 5), (16, 9))
# Sums over all shifts are taken in another order on a translated image.
_DEPTH = 32


def symmetrized_claim(
    subject: Subject,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    *,
    shifts: Sequence[tuple[int, int]] = MEASURED,
) -> Claim:
    """Symmetrizes a trained network, proves that it is invariant now, and counts what is right.

    An invariant network is right on an image at every shift or at none, so its accuracy as the
    images are is that over all shifts, and the worst case too.

    Args:
      subject: a network of the study, trained.
      images: images to be classified, pixels 0 to 255.
      labels: their classes.
      shifts: where the invariance is measured as well, in pixels.

    Returns:
      The claim: true if it is proved and the outputs change by no more than rounding.

    Example:
      >>> images = np.zeros((2, 4, 4, 1), np.uint8)
      >>> net = Subject("pixel", "first pixel", lambda x: x[:, 0, 0] * jnp.array([1.0, -1.0]))
      >>> symmetrized_claim(net, images, np.zeros(2, int), shifts=[(1, 0)]).figures["accuracy"]
      1.0
    """
    invariant = jax.jit(symmetrize(subject.apply))
    outputs = invariant(jnp.asarray(images))
    accuracy = float(np.mean(np.argmax(np.asarray(outputs), axis=-1) == labels))
    moved = [invariant(translate(jnp.asarray(images), shift)) for shift in shifts]
    scale = max(float(jnp.max(jnp.abs(outputs))), 1e-30)
    change = max(float(jnp.max(jnp.abs(m - outputs))) / scale for m in moved)
    proof = proof_of(symmetrize(subject.apply), images)
    proved = (proof["outputs"][0]["kind"], max(proof["outputs"][0]["period"])) == ("invariant", 1)
    holds = proved and change <= tolerance("float32", depth=_DEPTH)[0]
    return Claim(
        "Any network can be made invariant without training it again.",
        "true" if holds else "false",
        f"'{subject.name}' averaged over all its shifts (jaxinv.symmetrize) is right on "
        f"{accuracy:.1%} of the images, at every shift; certificate: {proof['verdict']}; measured "
        f"change {figure(change)}",
        {"accuracy": accuracy, "change": change},
    )
