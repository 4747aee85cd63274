"""How much of a feature map lies above what a coarser grid can carry."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact, per_axis
from jaxinv.magnitudes import divided
from jaxinv.shift_options import check_axes


def energy_above_nyquist(
    x: Num[Array, "..."],
    positions: int | Sequence[int],
    *,
    axes: Sequence[int] = (1, 2),
) -> Float[Array, ""]:
    r"""Share of a map's energy that aliases when it is sampled at fewer positions.

    .. math::

      \frac{\sum_{k : |k_a| > p_a / 2 \text{ for an } a} |\hat x_k|^2}
      {\sum_{k \ne 0} |\hat x_k|^2}

    with the signed frequencies `k` of the discrete Fourier transform along the spatial axes, in
    cycles over the image, summed over all other axes. The constant `k = 0` is left out of the
    total: it says how bright the map is, not how fine.

    Args:
      x: feature maps.
      positions: `p`, positions of the coarser grid, one number for all axes or one each.
      axes: the spatial dimensions.

    Returns:
      A share between 0 and 1; 0 for a constant map, NaN where a number is not finite.

    Raises:
      ValueError: if an axis is out of range, there are less than one position, or the maps are
        empty or hold no numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> i = jnp.arange(8)
      >>> x = 3 * jnp.cos(2 * jnp.pi * i / 8) + jnp.cos(2 * jnp.pi * 3 * i / 8)
      >>> print(f"{energy_above_nyquist(x, 4, axes=(0,)):.3f}")  # 1 of 9 + 1
      0.100

    Reference:
      Zou et al., "Delving deeper into anti-aliasing in ConvNets" (2020),
      https://arxiv.org/abs/2008.09604; Shannon, "Communication in the presence of noise" (1949),
      https://doi.org/10.1109/JRPROC.1949.232969.
    """
    x = as_inexact(x, "x")
    dims = check_axes(axes, x.ndim, "x")
    coarse = per_axis(positions, len(dims), "positions", least=1)
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}; there is nothing to measure")
    # A share does not depend on the scale, squares of very large and small numbers would. Nor does
    # it on the constant, but its rounding errors would be all there is of a constant map.
    largest = jnp.max(jnp.abs(x))
    scaled = divided(x, largest)
    varying = scaled - scaled[tuple(slice(1) if d in dims else slice(None) for d in range(x.ndim))]
    varying = divided(varying, jnp.max(jnp.abs(varying)))
    halved = None if jnp.iscomplexobj(x) else dims[-1]
    spectrum = (jnp.fft.fftn if halved is None else jnp.fft.rfftn)(varying, axes=dims)
    energy = jnp.abs(spectrum) ** 2
    above, constant = np.zeros((1,) * x.ndim, bool), np.ones((1,) * x.ndim, bool)
    for dim, p in zip(dims, coarse, strict=True):
        size = x.shape[dim]
        k = np.fft.rfftfreq(size, 1 / size) if dim == halved else np.fft.fftfreq(size, 1 / size)
        k = k.reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        above = above | (np.abs(k) > p / 2)
        constant = constant & (k == 0)
        if dim == halved:  # of each pair k and -k that has two, one is there
            energy = energy * np.where((k == 0) | (2 * k == size), 1, 2)
    total = jnp.sum(jnp.where(constant, 0, energy))
    share = jnp.sum(jnp.where(above, energy, 0)) / jnp.where(total == 0, 1, total)
    return jnp.where(jnp.isfinite(largest), share, jnp.nan)
