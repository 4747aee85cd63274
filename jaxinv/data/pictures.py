"""Pictures in files: decoded, upright, and resized and cropped as torchvision does it."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from jaxinv.arguments import per_axis, whole_number
from jaxinv.command_line import first_line

# What a sign of more than 8 bits would lose without a word.
_DEEP = ("I", "F")
# Where EXIF says how a camera was held; from 5 on height and width change places.
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5

Sides = int | tuple[int, int]
Interpolation = Literal["bilinear", "bicubic"]


@dataclasses.dataclass(frozen=True)
class Framing:
    """What of a picture is seen, and how large.

    Attributes:
      size: length that the shorter side is resized to, or height and width; None resizes nothing.
      crop: side of the window in the middle, or its height and width; None takes all.
      margin: pixels around the window that are kept too, for shifts that read beyond it.
      interpolation: how pictures are resized, antialiased in either way.

    Raises:
      ValueError: a length is no whole number or too small, or the interpolation is unknown.

    Reference: `Resize` and `CenterCrop` of https://docs.pytorch.org/vision, on pictures of Pillow.

    Example:
      >>> Framing(size=256, crop=224).shape(300, 400)
      (224, 224)
      >>> Framing(size=256, crop=224).reach(300, 400)
      16
    """

    size: Sides | None = None
    crop: Sides | None = None
    margin: int = 0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        for name in ("size", "crop"):
            if (value := getattr(self, name)) is not None:
                per_axis(value, 2, name, least=1)
        whole_number(self.margin, "margin", least=0)
        if self.margin and self.crop is None:
            raise ValueError("margin needs crop: pixels around the window that is cut out")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation is {self.interpolation!r}; allowed are bilinear and bicubic"
            )

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a picture once it is resized."""
        if self.size is None:
            return height, width
        if isinstance(self.size, Sequence):
            return self.size[0], self.size[1]
        short, long = sorted((height, width))
        longer = int(self.size * long / short)
        return (self.size, longer) if height <= width else (longer, self.size)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is seen of a picture."""
        if self.crop is None:
            return self.resized(height, width)
        down, right = per_axis(self.crop, 2, "crop")
        return down + 2 * self.margin, right + 2 * self.margin

    def reach(self, height: int, width: int) -> int:
        """The largest margin that a picture has around the window; negative if it is smaller."""
        sides = self.resized(height, width)
        if self.crop is None:
            return 0
        ends = zip(_starts(sides, self.crop), per_axis(self.crop, 2, "crop"), sides, strict=True)
        return min(min(start, n - start - window) for start, window, n in ends)

    def applied(self, picture: Any) -> Any:
        """What is seen of a picture of Pillow.

        Raises:
          ValueError: the margin reaches beyond it.
        """
        from PIL import Image

        size = picture.height, picture.width
        height, width = self.resized(*size)
        if self.margin > (reach := max(0, self.reach(*size))):
            raise ValueError(
                f"margin is {self.margin}; a picture of {height}x{width} has {reach} pixels around "
                f"the crop of {self.crop}"
            )
        if (height, width) != size:
            method = Image.Resampling[self.interpolation.upper()]
            picture = picture.resize((width, height), method)
        if self.crop is None:
            return picture
        top, left = (at - self.margin for at in _starts((height, width), self.crop))
        down, right = self.shape(*size)
        return picture.crop((left, top, left + right, top + down))

    def on_arrays(self, images: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n h2 w2 c"]:
        """What is seen of pictures in an array, grey ones or in three colours.

        Raises:
          ValueError: the margin reaches beyond them, or they have another number of channels.
        """
        from PIL import Image

        if images.shape[-1] not in (1, 3):
            raise ValueError(
                f"pictures have {images.shape[-1]} channels; 1 or 3 can be resized or cropped"
            )
        seen = np.empty((len(images), *self.shape(*images.shape[1:3]), images.shape[-1]), np.uint8)
        for place, image in zip(seen, images, strict=True):
            grey = image.shape[-1] == 1
            place[...] = as_array(self.applied(Image.fromarray(image[..., 0] if grey else image)))
        return seen


def _starts(sides: Sequence[int], crop: Sides) -> tuple[int, ...]:
    """Where the window in the middle starts; before the picture where that is smaller."""
    windows = per_axis(crop, 2, "crop")
    return tuple(
        round((n - window) / 2) if n >= window else -((window - n) // 2)
        for n, window in zip(sides, windows, strict=True)
    )


def decoded(path: str | os.PathLike, *, grey: bool | None = None) -> Any:
    """A picture of Pillow from a file, upright, 8 bits, grey or in three colours.

    Args:
      path: the file.
      grey: which of the two; None for what the file is.

    Raises:
      ValueError: it cannot be read as a picture, or has more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(_DEEP):
                raise ValueError(f"it has more than 8 bits a channel (mode {picture.mode})")
            as_grey = is_grey(picture) if grey is None else grey
            # Of a palette with transparent colours Pillow takes no other way without a warning.
            whole = picture.convert("RGBA") if "transparency" in picture.info else picture
            return ImageOps.exif_transpose(whole.convert("L" if as_grey else "RGB"))
    except Exception as error:  # each format has errors of its own
        raise ValueError(f"{path} cannot be read as a picture: {first_line(error)}") from error


def as_array(picture: Any) -> UInt8[np.ndarray, "h w c"]:
    """The array of a picture of Pillow."""
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array


def shape_of(path: str | os.PathLike) -> tuple[int, int, int]:
    """The shape of the array of a picture, which is not decoded.

    Raises:
      ValueError: it cannot be read as a picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            size = picture.height, picture.width
            turned = picture.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE
            return *(size[::-1] if turned else size), 1 if is_grey(picture) else 3
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a picture: {first_line(error)}") from error


def is_grey(picture: Any) -> bool:
    """Whether a picture of Pillow has one channel."""
    return picture.mode in ("1", "L")
