"""Photographs of any size in files, as a network trained on ImageNet sees them."""

import os

import numpy as np
from jaxtyping import UInt8

from jaxinv.data.pictures import Framing, Sides, as_array, decoded


def read_photograph(
    path: str | os.PathLike,
    *,
    size: Sides | None = 256,
    crop: Sides | None = 224,
    margin: int = 0,
    grey: bool = False,
) -> UInt8[np.ndarray, "h w c"]:
    """Reads a photograph and shows of it what torchvision's evaluation shows: the middle.

    It is turned upright as EXIF says, resized (bilinear, antialiased) and cropped.

    Args:
      path: a file of JPEG, PNG, WebP or whatever else Pillow reads, with 8 bits a channel.
      size: length of the shorter side after resizing, or height and width; None does not resize.
      crop: side of the window in the middle, or its height and width; None takes all. Where the
        photograph is smaller there is black.
      margin: pixels of the photograph around the window that are kept too.
      grey: one channel instead of three.

    Returns:
      The window with its margin, uint8.

    Raises:
      ValueError: it cannot be read, an option is not allowed, or the photograph ends within the
        margin.

    Reference: `Resize` and `CenterCrop` of https://docs.pytorch.org/vision.

    Example:
      >>> import tempfile, pathlib
      >>> from PIL import Image
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "grey.png"
      >>> Image.new("L", (400, 300), 7).save(path)
      >>> read_photograph(path).shape, read_photograph(path, margin=8).shape
      ((224, 224, 3), (240, 240, 3))
    """
    framing = Framing(size=size, crop=crop, margin=margin)
    picture = decoded(path, grey=grey)
    try:
        return as_array(framing.applied(picture))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
