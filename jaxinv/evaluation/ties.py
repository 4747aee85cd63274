"""How close the images come to a tie, which voids what adaptive layers promise."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.evaluation.results import figure
from jaxinv.evaluation.subject import Subject
from jaxinv.margins import TIE, declared_margin


def with_tie_margin(
    certificate: Mapping[str, Any],
    subject: Subject,
    images: Shaped[np.ndarray, "n h w c"],
    *,
    batch: int,
) -> dict[str, Any]:
    """A certificate with the smallest tie margin of the images it is applied to.

    Args:
      certificate: as `jaxinv.evaluation.proof.written` makes it.
      subject: the network.
      images: as the network sees them.
      batch: number of images at a time.

    Returns:
      The certificate with the key `tie_margin`: None where it has no condition, or one that cannot
      be measured.
    """
    margin = None
    if certificate["assumptions"]:
        measure = jax.jit(declared_margin(subject.apply))
        try:
            found = [
                float(measure(images[start : start + batch]))
                for start in range(0, len(images), batch)
            ]
        except ValueError:  # it is declared where it cannot be measured
            found = [np.inf]
        margin = min(found) if np.isfinite(found).any() else None
    return {**certificate, "tie_margin": margin}


def proved(certificate: Mapping[str, Any]) -> str:
    """The verdict of a certificate, with how close its images came to voiding it.

    Args:
      certificate: with the key `tie_margin`, if it has a condition.

    Returns:
      The words.

    Example:
      >>> aps = {"verdict": "invariant to every shift", "assumptions": ["no ties"]}
      >>> proved(aps | {"tie_margin": 0.0123})
      'invariant to every shift (smallest tie margin 0.012)'
      >>> proved(aps | {"tie_margin": 0.0})
      'void on these images, on which components tie; without ties invariant to every shift'
    """
    verdict, margin = certificate["verdict"], certificate.get("tie_margin")
    if margin is None:
        conditions = "; ".join(certificate.get("assumptions", ()))
        return f"{verdict} (if {conditions}; not measured)" if conditions else verdict
    if margin <= TIE:
        return f"void on these images, on which components tie; without ties {verdict}"
    return f"{verdict} (smallest tie margin {figure(margin)})"


def closest(certificates: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The certificate, of several with the same verdict, whose images come closest to a tie."""
    return min(certificates, key=lambda one: np.inf if (m := one.get("tie_margin")) is None else m)
