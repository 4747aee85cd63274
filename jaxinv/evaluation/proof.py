"""The certificate in the words of the report, and how close the images come to voiding it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.certificate import Certificate, certify
from jaxinv.data import Source
from jaxinv.data.source import groups_of
from jaxinv.devices import data_mesh, spread
from jaxinv.evaluation.results import short_number
from jaxinv.evaluation.subject import Subject
from jaxinv.margins import TIE, declared_margin
from jaxinv.orbit import OrbitMode

Images = Shaped[np.ndarray, "n h w c"]


def certified(fun: Callable, images: Images, *, mode: OrbitMode = "wrap") -> Certificate:
    """Certifies a network on images of a shape; no value is read."""
    return certify(fun, _shape(images), mode=mode)


def written(certificate: Certificate) -> dict[str, Any]:
    """A certificate of one output as the report shows it.

    It is `Certificate.to_dict()` with the keys `verdict`, `first_break` (where the symmetry ends,
    or where it is first thinned) and `text` in words.
    """
    ends = dict.fromkeys(certificate.first_ends.values()) or certificate.breaks[:1]
    return certificate.to_dict() | {
        "verdict": str(certificate.only.state),
        "first_break": "; ".join(f"{end.place}: {end.reason}" for end in ends),
        "text": str(certificate),
    }


def layer_states(fun: Callable, images: Images) -> list[str]:
    """The proved state of each output of a function from images to a tuple of arrays, in words.

    Example:
      >>> layer_states(lambda x: (x, x[:, ::2, ::2]), np.zeros((1, 4, 4, 1)))
      ['equivariant to every shift', 'equivariant to multiples of (2, 2)']
    """
    return [str(output.state) for output in certify(fun, _shape(images)).outputs]


def _shape(images: Images) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(images.shape, np.float32)


def with_tie_margin(
    certificate: Mapping[str, Any], subject: Subject, source: Source, *, batch: int
) -> dict[str, Any]:
    """A written certificate with the smallest tie margin of the images, as the network sees them.

    The key `tie_margin` is None where the certificate has no condition, or none that can be
    measured.
    """
    margin = None
    if certificate["assumptions"]:
        measure = jax.jit(declared_margin(subject.apply))
        try:
            margins = [
                float(measure(spread(images, data_mesh(len(images)))))
                for images, _ in source.batches(groups_of(source, batch))
            ]
        except ValueError:  # it is declared where it cannot be measured
            margins = [np.inf]
        margin = min(margins) if np.isfinite(margins).any() else None
    return {**certificate, "tie_margin": margin}


def proved(certificate: Mapping[str, Any]) -> str:
    """The verdict of a written certificate, with how close its images came to voiding it.

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
    return f"{verdict} (smallest tie margin {short_number(margin)})"


def closest(certificates: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The certificate, of several with the same verdict, whose images come closest to a tie."""
    return min(certificates, key=lambda one: np.inf if (m := one.get("tie_margin")) is None else m)
