"""Random distortions of images, pure and keyed: one distortion per image, on the device.

* :func:`translate`, :func:`crop`, :func:`flip`: moving, and mirroring.
* :func:`affine`, :func:`elastic`: the distortions of Simard, Steinkraus and Platt (2003).
* :func:`compose`: one after the other, on keys of their own.
* :func:`affine_field`, :func:`elastic_field`, :func:`warp`: displacement fields and what they do.
"""

from jaxinv.augment.fields import affine_field, elastic_field, warp
from jaxinv.augment.random import affine, compose, crop, elastic, flip, translate

__all__ = [
    "affine",
    "affine_field",
    "compose",
    "crop",
    "elastic",
    "elastic_field",
    "flip",
    "translate",
    "warp",
]
