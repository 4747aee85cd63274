"""What a filter sees beyond the border: the one place where padding modes are spelt out."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Shaped

from jaxinv.arguments import per_axis

_NUMPY_MODES = {
    "SAME": "constant",
    "SAME_UPPER": "constant",
    "FULL": "constant",
    "VALID": "constant",
    "CIRCULAR": "wrap",
    "REFLECT": "reflect",
    "EDGE": "edge",
}
PADDINGS: tuple[str, ...] = (
    "SAME",
    "CIRCULAR",
    "REFLECT",
    "EDGE",
    "VALID",
    "FULL",
    "SAME_UPPER",
)
Padding = str | Sequence[str]


def check_padding(padding: str) -> None:
    """Raises ValueError if `padding` is not the name of a padding mode."""
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; allowed are {', '.join(PADDINGS)}")


def padding_per_axis(padding: Padding, rank: int) -> tuple[str, ...]:
    """One padding mode per spatial axis, from one for all of them or a sequence.

    Example:
      >>> padding_per_axis(("SAME", "CIRCULAR"), 2)  # a panorama
      ('SAME', 'CIRCULAR')
    """
    names: tuple = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * rank
    for name in names:
        check_padding(name)
    if len(names) != rank:
        raise ValueError(f"padding is {names} for {rank} spatial axes; give one name, or {rank}")
    return names


def circular_or(other: str, padding: Padding, rank: int) -> tuple[str, ...]:
    """CIRCULAR along the axes where `padding` is, another mode along the rest.

    Example:
      >>> circular_or("VALID", ("SAME", "CIRCULAR"), 2)
      ('VALID', 'CIRCULAR')
    """
    names = padding_per_axis(padding, rank)
    return tuple(name if name == "CIRCULAR" else other for name in names)


def window_paddings(
    sizes: Sequence[int],
    windows: Sequence[int],
    *,
    strides: Sequence[int],
    padding: Padding = "SAME",
) -> list[tuple[int, int]]:
    """`window_padding` of each spatial axis."""
    names = padding_per_axis(padding, len(sizes))
    return [
        window_padding(size, window, stride=stride, padding=name)
        for size, window, stride, name in zip(sizes, windows, strides, names, strict=True)
    ]


def window_padding(
    size: int, window: int, *, stride: int = 1, padding: str = "SAME"
) -> tuple[int, int]:
    """How many positions to add before and after one axis for a sliding window.

    With `k = window`: VALID adds none; FULL adds `k - 1` on both sides, so that every position is
    seen by every tap of the filter (Kayhan and van Gemert 2020, "F-Conv"); SAME_UPPER, which is
    SAME in TensorFlow, adds as few as give `ceil(size / stride)` positions, half of them before,
    an odd one after, so that where output `i` is centred depends on the size; all others add
    `floor((k - 1) / 2)` before and at most `ceil((k - 1) / 2)` after, so that the output has
    `ceil(size / stride)` positions and output `i` is centred on input `i * stride`. After the
    border only as many are added as the last window reads.

    Args:
      size: positions along the axis.
      window: positions that the window spans, dilation included.
      stride: step of the window.
      padding: one of `PADDINGS`.

    Raises:
      ValueError: if the padding is unknown, the window is larger than the padded axis, or a
        reflection would need more positions than there are.

    Example:
      >>> window_padding(32, 3, stride=2, padding="CIRCULAR")
      (1, 0)
    """
    check_padding(padding)
    if padding == "VALID":
        before, after = 0, 0
    elif padding == "FULL":
        before, after = window - 1, window - 1
    else:
        last = (-(-size // stride) - 1) * stride + window
        before = (window - 1) // 2
        if padding == "SAME_UPPER":
            before = max(last - size, 0) // 2
        after = max(last - size - before, 0)
    if window > size + before + after:
        raise ValueError(
            f"filter of {window} positions is larger than the map of {size} with {padding} "
            f"padding; allowed are at most {size + before + after}"
        )
    if padding == "REFLECT" and max(before, after) > size - 1:
        raise ValueError(
            f"filter of {window} positions needs {max(before, after)} reflected positions beside a "
            f"map of {size}; allowed are at most {size - 1}"
        )
    return before, after


def pad(
    x: Shaped[Array, "n *s c"],
    widths: Sequence[tuple[int, int]],
    *,
    padding: Padding,
    fill: float | bool = 0.0,
) -> Shaped[Array, "n *t c"]:
    """Extends the spatial axes of `x` by positions before and after, in the manner of `padding`.

    Circular padding is periodic extension, also where more than one period is asked for. It is
    spelt with slices and concatenation, so that `jaxinv.certify` can follow it.

    Args:
      x: an array `(n, *spatial, c)`.
      widths: positions before and after, one pair for each spatial axis.
      padding: one of `PADDINGS`, or one for each spatial axis; SAME, SAME_UPPER, FULL and VALID
        fill with `fill`.
      fill: the constant of the modes that fill.

    Returns:
      The padded array, the same dtype.

    Raises:
      ValueError: if the padding is unknown, or the widths are not a pair of numbers from 0 for each
        spatial axis.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(4.0).reshape(1, 4, 1)
      >>> pad(x, [(1, 2)], padding="CIRCULAR").ravel()
      Array([3., 0., 1., 2., 3., 0., 1.], dtype=float32)
    """
    if len(widths) != x.ndim - 2:
        raise ValueError(f"widths are {len(widths)} pairs for {x.ndim - 2} spatial axes")
    for width in widths:
        per_axis(width, 2, "width of padding", least=0)
    modes = [_NUMPY_MODES[name] for name in padding_per_axis(padding, x.ndim - 2)]
    for mode in dict.fromkeys(modes):
        mine = [w if m == mode else (0, 0) for w, m in zip(widths, modes, strict=True)]
        if any(width != (0, 0) for width in mine):
            constant = {"constant_values": fill} if mode == "constant" else {}
            x = jnp.pad(x, [(0, 0), *mine, (0, 0)], mode=mode, **constant)
    return x


def crop_or_pad(x: Shaped[Array, "n *s c"], sizes: Sequence[int]) -> Shaped[Array, "n *t c"]:
    """Cuts each spatial axis to a size, or extends it with zeros, the same on both sides.

    It keeps what is in the middle in the middle, so that a map that skipped unpadded or fully
    padded convolutions with odd filters lies on the map that went through them. An odd difference
    leaves the extra position at the end.

    Args:
      x: an array `(n, *spatial, c)`.
      sizes: the sizes wanted, one for each spatial axis.

    Returns:
      `(n, *sizes, c)`.

    Raises:
      ValueError: if there are not as many sizes as spatial axes, or one is negative.

    Example:
      >>> import jax.numpy as jnp
      >>> crop_or_pad(jnp.arange(5.0).reshape(1, 5, 1), (3,)).ravel()
      Array([1., 2., 3.], dtype=float32)
    """
    if len(sizes) != x.ndim - 2:
        raise ValueError(f"sizes are {tuple(sizes)} for {x.ndim - 2} spatial axes")
    per_axis(sizes, len(sizes), "sizes", least=0)
    if tuple(sizes) == x.shape[1:-1]:
        return x
    differences = [want - have for want, have in zip(sizes, x.shape[1:-1], strict=True)]
    cuts = [max(-d, 0) // 2 for d in differences]
    x = x[(slice(None), *(slice(c, c + s) for c, s in zip(cuts, sizes, strict=True)))]
    widths = [(max(d, 0) // 2, max(d, 0) - max(d, 0) // 2) for d in differences]
    return pad(x, widths, padding="SAME")
