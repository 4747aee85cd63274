"""Polyphase components: the sub-lattices that a stride leaves to choose from.

A shift by one position permutes the components and rolls them (the polyphase shift lemma): with
`x_p[i] = x[p + s * i]`, component `p` of `translate(x, 1)` is component `p - 1` of `x`, and
component 0 is component `s - 1` rolled by one. So whatever picks a component by its values alone
picks the same values after every shift.
"""

import math
from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Num, Shaped

from jaxinv.arguments import as_inexact, is_known
from jaxinv.declarations import declare_equivariance
from jaxinv.layers.blur import blur_pool, smoothed
from jaxinv.layers.padding import Padding
from jaxinv.layers.spatial import per_axis, spatial_rank, strided
from jaxinv.magnitudes import magnitude

CRITERIA: tuple[str, ...] = ("l1", "l2", "linf", "l2_filtered")


def polyphase_components(
    x: Shaped[Array, "n *s c"], stride: int | Sequence[int]
) -> list[Shaped[Array, "n *t c"]]:
    """All sub-lattices of a map, `x_p[i] = x[p + stride * i]`, in row-major order of the phase `p`.

    Where the stride does not divide a size, each component keeps the first `floor(size / stride)`
    positions, so that all have one shape; the last positions of the map are in none.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.

    Returns:
      A list of as many arrays `(n, *floor(spatial / stride), c)` as there are phases.

    Raises:
      ValueError: if the stride is below 1 or larger than the map.

    Example:
      >>> import jax.numpy as jnp
      >>> even, odd = polyphase_components(jnp.arange(4.0).reshape(1, 4, 1), 2)
      >>> odd.ravel()
      Array([1., 3.], dtype=float32)

    Reference:
      Vaidyanathan, "Multirate systems and filter banks" (1993), section 4.3
    """
    rank = spatial_rank(x)
    strides = per_axis(stride, rank, "stride")
    counts = [size // step for size, step in zip(x.shape[1:-1], strides, strict=True)]
    if min(counts) < 1:
        raise ValueError(
            f"stride {strides} is larger than the map of {x.shape[1:-1]}; "
            "allowed are strides up to its sizes"
        )
    return [strided(x, phase, counts, strides) for phase in product(*map(range, strides))]


def polyphase_norms(
    x: Num[Array, "n *s c"], stride: int | Sequence[int], *, criterion: str = "l2"
) -> Float[Array, "n p"]:
    """The norm of each polyphase component, over its positions and channels, in float32 at least.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.
      criterion: `"l1"`, `"l2"`, `"linf"`, or `"l2_filtered"`: the l2 norm after a binomial filter
        of three taps, which listens less to noise.

    Returns:
      `(n, phases)`, phases in row-major order.

    Raises:
      ValueError: if the criterion is unknown, or as `polyphase_components`.

    Example:
      >>> import jax.numpy as jnp
      >>> polyphase_norms(jnp.arange(4.0).reshape(1, 4, 1), 2, criterion="l1")
      Array([[2., 4.]], dtype=float32)

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214
    """
    norms, scale = relative_norms(x, stride, criterion=criterion)
    return norms * scale


def relative_norms(
    x: Num[Array, "n *s c"], stride: int | Sequence[int], *, criterion: str = "l2"
) -> tuple[Float[Array, "n p"], Float[Array, "n 1"]]:
    """`polyphase_norms` in units of about the largest value of each signal, and the units.

    The units are powers of two, the same wherever the signal is. In them no square overflows or
    vanishes, which would make norms tie.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.
      criterion: as in `polyphase_norms`.

    Returns:
      The norms `(n, phases)` and what they are to be multiplied by, `(n, 1)`.

    Raises:
      ValueError: as `polyphase_norms`.

    Example:
      >>> import jax.numpy as jnp
      >>> norms, scale = relative_norms(jnp.array([3e30, 4e30]).reshape(1, 2, 1), 1)
      >>> bool(jnp.allclose(norms * (scale / 1e30), 5))
      True
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion is {criterion!r}; allowed are {', '.join(CRITERIA)}")
    spatial_rank(x)
    # Norms rounded to half precision tie, and whole numbers wrap around.
    x = as_inexact(x)
    if criterion == "l2_filtered":
        x = blur_pool(x, 1, padding="CIRCULAR")
    x = jnp.abs(x)
    over = tuple(range(1, x.ndim))
    scale = magnitude(x, over)
    norm = {
        "l1": lambda part: jnp.sum(part, axis=over),
        "l2": lambda part: jnp.sqrt(jnp.sum(part * part, axis=over)),
        "linf": lambda part: jnp.max(part, axis=over),
    }[criterion.removesuffix("_filtered")]
    norms = [norm(part) for part in polyphase_components(x / scale, stride)]
    return jnp.stack(norms, axis=-1), scale.reshape(-1, 1)


def tie_margin(norms: Float[Array, "n p"]) -> Float[Array, "n"]:
    """How far the largest norm is ahead of the second, as a share of the largest.

    Zero is a tie: the choice then falls on the first phase in row-major order, wherever the signal
    was shifted to, and the sampler's guarantee is void. Differences of the size of the rounding
    error count as ties as well.

    Args:
      norms: `(n, phases)` of `polyphase_norms`.

    Returns:
      `(n,)`, from 0 to 1; 0 also where all norms vanish; 1 where there is one phase.

    Example:
      >>> import jax.numpy as jnp
      >>> tie_margin(jnp.array([[2.0, 4.0], [3.0, 3.0]]))
      Array([0.5, 0. ], dtype=float32)
    """
    norms = as_inexact(norms)
    phases = norms.shape[-1]
    if phases == 1:
        return jnp.ones_like(norms[..., 0])
    largest = jnp.max(norms, axis=-1)
    chosen = jnp.arange(phases) == jnp.argmax(norms, axis=-1)[..., None]
    second = jnp.max(jnp.where(chosen, -jnp.inf, norms), axis=-1)
    return (largest - second) / jnp.where(largest > 0, largest, 1)


def select_phase(
    x: Shaped[Array, "n *s c"],
    phase: Int[Array, "n"],
    stride: int | Sequence[int],
    *,
    assumption: str = "",
    margin: Float[Array, "n"] | None = None,
) -> Shaped[Array, "n *t c"]:
    """The polyphase component of each signal that `phase` names: `y[n, i] = x[n, p_n + s * i]`.

    If `phase` was chosen by the values of the components alone, the result commutes with every
    circular shift up to a roll; that is declared to `jaxinv.certify` where the stride divides the
    map. Maps sampled at the same `phase` move together.

    Args:
      x: signal `(n, *spatial, c)`.
      phase: index of the component for each signal, in row-major order.
      stride: step, for all axes or one each.
      assumption: the condition of the promise, in plain words.
      margin: how far each signal is from breaking it, for `jaxinv.declared_margin`.

    Returns:
      `(n, *floor(spatial / stride), c)`.

    Raises:
      ValueError: as `polyphase_components`, or if `phase` is not a phase of each signal.

    Example:
      >>> import jax.numpy as jnp
      >>> select_phase(jnp.arange(4.0).reshape(1, 4, 1), jnp.array([1]), 2).ravel()
      Array([1., 3.], dtype=float32)

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214
    """
    strides = per_axis(stride, spatial_rank(x), "stride")
    components = polyphase_components(x, strides)
    _check_phase(phase, len(x), len(components))
    if len(components) == 1:
        return components[0]
    shape = components[0].shape
    which = lax.broadcast_in_dim(phase.astype(jnp.int32), shape, (0,))
    y = lax.select_n(which, *components)
    if any(size % step for size, step in zip(x.shape[1:-1], strides, strict=True)):
        return y
    return declare_equivariance(
        x,
        y,
        axes=tuple(range(1, x.ndim - 1)),
        stride=strides,
        decision=phase,
        assumption=assumption,
        margin=margin,
    )


def _check_phase(phase, count, phases):
    if jnp.shape(phase) != (count,):
        raise ValueError(f"phase has shape {jnp.shape(phase)}; allowed is ({count},), one a signal")
    if not jnp.issubdtype(phase.dtype, jnp.integer):
        raise ValueError(f"phase has dtype {phase.dtype}; allowed are whole numbers")
    if not is_known(phase):
        return
    known = np.asarray(phase)  # no operation of JAX, which would be traced inside jit
    for value in (known.min(initial=0), known.max(initial=0)):
        if not 0 <= value < phases:
            raise ValueError(f"phase is {value}; allowed are 0 to {phases - 1}")


def polyphase_upsample(
    x: Float[Array, "n *s c"],
    phase: Int[Array, "n"],
    stride: int | Sequence[int],
    *,
    taps: int | Sequence[int] = 1,
    padding: Padding = "CIRCULAR",
) -> Float[Array, "n *t c"]:
    """Puts each map back at the phase it was taken from, with zeros in between.

    `y[n, p_n + s * i] = x[n, i]`, zero elsewhere: the way up that belongs to `select_phase` and
    undoes the roll of its output, so that the pair commutes with every circular shift exactly.

    Args:
      x: signal `(n, *spatial, c)`.
      phase: index of the component for each signal, in row-major order.
      stride: factor, for all axes or one each.
      taps: taps of the binomial filter that smooths the result, for all axes or one each; 1 is
        none.
      padding: border of that filter, one of `PADDINGS`, or one for each axis.

    Returns:
      `(n, *(spatial * stride), c)`.

    Raises:
      ValueError: if the stride or the filter is not allowed, or `phase` is not a phase of each
        signal.

    Example:
      >>> import jax.numpy as jnp
      >>> polyphase_upsample(jnp.array([1.0, 3.0]).reshape(1, 2, 1), jnp.array([1]), 2).ravel()
      Array([0., 1., 0., 3.], dtype=float32)

    Reference:
      Chaman and Dokmanic, "Truly shift-equivariant convolutional neural networks with adaptive
      polyphase upsampling" (2021), https://arxiv.org/abs/2105.04040
    """
    rank = spatial_rank(x)
    strides = per_axis(stride, rank, "stride")
    phases = math.prod(strides)
    _check_phase(phase, len(x), phases)
    if phases == 1:
        return smoothed(x, taps, padding)
    n, sizes, c = x.shape[0], x.shape[1:-1], x.shape[-1]
    # Interleaved dimensions (size, stride, size, stride, ..., channels), reshaped at the end.
    interleaved = (n, *(d for pair in zip(sizes, strides, strict=True) for d in pair), c)
    kept = (0, *(1 + 2 * a for a in range(rank)), len(interleaved) - 1)
    here = (phase[:, None] == jnp.arange(phases)).reshape(n, *strides)
    mask = lax.broadcast_in_dim(here, interleaved, (0, *(2 + 2 * a for a in range(rank))))
    spread = lax.broadcast_in_dim(x, interleaved, kept)
    y = jnp.where(mask, spread, jnp.zeros((), x.dtype))
    y = y.reshape(n, *(size * step for size, step in zip(sizes, strides, strict=True)), c)
    y = declare_equivariance(
        x, y, axes=tuple(range(1, rank + 1)), stride=strides, decision=phase, restores=True
    )
    return smoothed(y, taps, padding)
