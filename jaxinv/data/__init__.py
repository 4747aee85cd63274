"""Image-classification data sets: real digits always, any TFDS set by name, files of one's own.

* :func:`load`: a data set's split as uint8 images and int32 labels.
* :func:`open`: the same, read as it is needed if it does not fit into memory.
* :func:`digits_scenes`: canvases of several digits, with a class for each pixel.
* :func:`normalise`: those images as float32, on the scale a network is trained on.
* :class:`Source`: images by their numbers; :class:`Dataset`: in memory; :class:`Streamed`: not.
"""

from jaxinv.data.dataset import Dataset, normalise
from jaxinv.data.loading import load, open
from jaxinv.data.scenes import digits_scenes
from jaxinv.data.source import Source, Streamed

__all__ = ["Dataset", "Source", "Streamed", "digits_scenes", "load", "normalise", "open"]
