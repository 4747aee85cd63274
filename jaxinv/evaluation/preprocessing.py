"""What is done to images before a network of one's own sees them."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.command_line import printable
from jaxinv.data import normalise
from jaxinv.data.dataset import check_scale
from jaxinv.data.pictures import Framing, Interpolation, Sides

Preset = Literal["imagenet"]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How images are resized, cropped and scaled.

    Attributes:
      size: length that the shorter side is resized to, or height and width; None for no resizing.
      crop: side of the window in the middle, or its height and width; None for the whole image.
      mean: subtracted from values from 0 to 1, one number a channel or one for all; None for 0.
      std: what the difference is divided by, in the same form; None for 1.
      interpolation: how they are resized, `"bilinear"` or `"bicubic"`.

    Raises:
      ValueError: if the numbers cannot be used so.
    """

    size: Sides | None = None
    crop: Sides | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        Framing(size=self.size, crop=self.crop, interpolation=self.interpolation)
        if self.interpolation != "bilinear" and self.size is None:
            raise ValueError(f"interpolation {self.interpolation} needs a size to resize to")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.mean is not None:
            check_scale(self.mean, self.std or (), channels=len(self.mean))

    def scaled(self, images: Num[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Images with values from 0 to 255 as a network sees them, in float32.

        Raises:
          ValueError: if they have another number of channels than mean and std.
        """
        if self.mean is None or self.std is None:
            return images.astype(jnp.float32) / 255
        return scaled(images, self.mean, self.std)


def scaled(
    images: Num[Array, "n h w c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "n h w c"]:
    """Images on the scale of a mean and a deviation; one number of each is for every channel.

    Example:
      >>> scaled(jnp.full((1, 1, 1, 3), 255), (0.5,), (0.25,)).ravel().tolist()
      [2.0, 2.0, 2.0]
    """
    channels = images.shape[-1] if len(mean) == len(std) == 1 else 1
    return normalise(images, mean=mean * channels, std=std * channels)  # type: ignore[return-value]


# As torchvision's networks are trained and evaluated.
PRESETS: dict[Preset, Preprocessing] = {
    "imagenet": Preprocessing(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def preprocessing_of(
    preset: Preset | None,
    *,
    size: str | None,
    crop: str | None,
    mean: str | None,
    std: str | None,
    interpolation: Interpolation | None,
) -> Preprocessing:
    """The preprocessing that options in words name; what is given replaces the preset's.

    Raises:
      ValueError: if a word holds no numbers, or they are not allowed.

    Example:
      >>> words = {"size": "232", "crop": None, "mean": "0.5", "std": "0.5"}
      >>> preprocessing_of("imagenet", interpolation="bicubic", **words)
      Preprocessing(size=232, crop=224, mean=(0.5,), std=(0.5,), interpolation='bicubic')
    """
    given: dict[str, Any] = {
        name: _numbers(text, name, int if name in ("size", "crop") else float)
        for name, text in (("size", size), ("crop", crop), ("mean", mean), ("std", std))
        if text is not None
    }
    for name in ("size", "crop"):
        if len(given.get(name, ())) == 1:
            given[name] = given[name][0]
    if interpolation is not None:
        given["interpolation"] = interpolation
    return dataclasses.replace(Preprocessing() if preset is None else PRESETS[preset], **given)


def _numbers(text: str, option: str, kind: Callable[[str], Any]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.strip("()[] ").split(","))
    except ValueError:
        example = "256 or 256,320" if kind is int else "0.5 or 0.485,0.456,0.406"
        raise ValueError(
            f"{option} is {printable(text)!r}; allowed are numbers such as {example}"
        ) from None
