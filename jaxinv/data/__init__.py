"""Image-classification data sets in memory: real digits always, any TFDS set by name.

* :func:`load`: a data set's split as uint8 images and int32 labels.
* :func:`normalise`: those images as float32, on the scale a network is trained on.
* :class:`Dataset`: what `load` returns.
"""

from jaxinv.data.dataset import Dataset, normalise
from jaxinv.data.loading import load

__all__ = ["Dataset", "load", "normalise"]
