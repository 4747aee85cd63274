"""The smallest shift that fools a classifier, found by looking at all of them.

Engstrom et al., "Exploring the landscape of spatial robustness" (2019): the strongest spatial
attack is a grid search.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, Shaped

from jaxinv.arguments import as_inexact, is_known, whole_number
from jaxinv.metrics.predictions import classifier, flatten_shifts, hits
from jaxinv.orbit import OrbitMode, ShiftSet, orbit, shift_set
from jaxinv.shift_options import check_axes
from jaxinv.shifts import centred_shift

Norm = Literal["max", "euclidean"]


class AdversarialShift(NamedTuple):
    """The smallest shift of each image that fools a classifier.

    Attributes:
      distance: length of the smallest shift that is classified wrongly, in pixels, per image;
        infinite where no shift of the set is, NaN where an output is not finite.
      shift: that shift, `(n, axes)`; zero where there is none.
    """

    distance: Float[Array, " n"]
    shift: Int[Array, "n axes"]


def shift_lengths(
    chosen: ShiftSet, *, norm: Norm = "max", periodic: bool = False
) -> tuple[Int[np.ndarray, "count axes"], Float[np.ndarray, " count"]]:
    r"""The shifts of a set, the short way round, and their lengths.

    .. math::

      \lVert t \rVert_\infty = \max_a |t_a| \quad \text{or} \quad
      \lVert t \rVert_2 = \sqrt{\sum_a t_a^2}

    Args:
      chosen: the shifts, in the order of an orbit's flattened leading axes.
      norm: `"max"`, a square of shifts, or `"euclidean"`, a disk.
      periodic: on a torus, where a shift by `P - 1` is one by -1.

    Returns:
      The shifts in pixels and their lengths.

    Raises:
      ValueError: if the norm is unknown.

    Example:
      >>> shifts, lengths = shift_lengths(shift_set((4,)), periodic=True)
      >>> shifts[:, 0].tolist(), lengths.tolist()
      ([0, 1, -2, -1], [0.0, 1.0, 2.0, 1.0])

    Reference:
      Engstrom et al. (2019), https://arxiv.org/abs/1712.02779.
    """
    if norm not in ("max", "euclidean"):
        raise ValueError(f"norm is {norm!r}; allowed are 'max', 'euclidean'")
    table = chosen.table()
    if periodic:
        table = centred_shift(table, np.array(chosen.sizes))
    order = np.inf if norm == "max" else 2
    return table, np.linalg.norm(table.astype(float), ord=order, axis=1)


def adversarial_shift(
    outputs: Shaped[Array, "..."],
    labels: Int[Array, " n"],
    chosen: ShiftSet,
    *,
    norm: Norm = "max",
    periodic: bool = False,
) -> AdversarialShift:
    r"""The smallest shift at which each image is classified wrongly, exactly.

    .. math::

      \min \{ \lVert t \rVert : \hat y(T_t x_n) \ne y_n \}

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes; the unshifted predictions, to find the smallest shift that changes
        them.
      chosen: the orbit's shifts.
      norm: how shifts are measured.
      periodic: the orbit is that of a whole torus.

    Returns:
      Distance and shift per image. Of equally short shifts, the first of the set.

    Raises:
      ValueError: if outputs, labels and shifts do not fit, or the norm is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> predictions = jnp.array([[0], [0], [7], [0], [0]])  # shifts -2 .. 2 of one image
      >>> chosen = shift_set((9,), mode="edge", max_shift=2)
      >>> print(adversarial_shift(predictions, jnp.array([0]), chosen).distance)
      [0.]
      >>> print(adversarial_shift(predictions, jnp.array([7]), chosen).distance)
      [1.]

    Reference:
      Engstrom et al. (2019), https://arxiv.org/abs/1712.02779.
    """
    right = flatten_shifts(hits(outputs, labels))
    if right.shape[0] != chosen.count:
        raise ValueError(
            f"outputs are those of {right.shape[0]} shifts; allowed are {chosen.count}, as "
            "many as were chosen"
        )
    table, lengths = shift_lengths(chosen, norm=norm, periodic=periodic)
    distances = jnp.where(right == 1, jnp.inf, lengths[:, None] + 0 * right)  # NaN stays
    smallest, nearest = jnp.min(distances, axis=0), jnp.argmin(distances, axis=0)
    fooled = jnp.isfinite(smallest)[:, None]
    return AdversarialShift(smallest, jnp.where(fooled, jnp.asarray(table)[nearest], 0))


def adversarial_accuracy(
    result: AdversarialShift, radius: float | Float[Array, " radii"]
) -> Float[Array, "..."]:
    r"""Share of images that no shift within a radius fools.

    .. math::

      \frac{1}{N} \sum_n [\, r_n > \rho \,]

    Args:
      result: the smallest adversarial shifts.
      radius: `rho` in pixels, one or several; at most that of the shifts searched.

    Returns:
      A share between 0 and 1 for each radius; NaN where a distance is.

    Raises:
      ValueError: if a radius is no number from 0, or there are no images.

    Example:
      >>> import jax.numpy as jnp
      >>> found = AdversarialShift(jnp.array([1.0, jnp.inf]), jnp.zeros((2, 2), int))
      >>> print(adversarial_accuracy(found, jnp.array([0, 3])))
      [1.  0.5]

    Reference:
      Engstrom et al. (2019), https://arxiv.org/abs/1712.02779.
    """
    radii = as_inexact(radius, "radius")
    if is_known(radii) and not np.all(np.asarray(radii) >= 0):
        raise ValueError(f"radius is {radius}; allowed are numbers from 0")
    if result.distance.size == 0:
        raise ValueError("there are no images; allowed is one distance per image")
    safe = jnp.mean(result.distance > radii[..., None], axis=-1, dtype=float)
    return jnp.where(jnp.isnan(result.distance).any(), jnp.nan, safe)


def search_shifts(
    fun: Callable,
    images: Num[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    radius: int,
    norm: Norm = "max",
    mode: OrbitMode = "constant",
    axes: Sequence[int] = (1, 2),
) -> AdversarialShift:
    r"""Looks for each image's smallest adversarial shift within a radius.

    .. math::

      \min \{ \lVert t \rVert \le \rho : \hat y(T_t x_n) \ne y_n \}

    Every shift within the radius is tried, so what is not found does not exist.

    Args:
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: the images; for `mode="crop"` the larger ones.
      labels: the true classes.
      radius: `rho`, in pixels.
      norm: `"max"`, a square of shifts, or `"euclidean"`, a disk.
      mode: what enters at the border.
      axes: the spatial dimensions.

    Returns:
      Distance and shift per image.

    Raises:
      ValueError: as `adversarial_shift` and `jaxinv.orbit`.

    Example:
      >>> import jax.numpy as jnp
      >>> fun = lambda x: (x[:, 0, 0, 0] > 0).astype(int)
      >>> image = jnp.zeros((1, 5, 5, 1)).at[0, 1, 2, 0].set(1.0)
      >>> found = search_shifts(fun, image, jnp.array([0]), radius=3)
      >>> print(found.distance, found.shift)
      [2.] [[-1 -2]]

    Reference:
      Engstrom et al. (2019), https://arxiv.org/abs/1712.02779.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    sizes = [jnp.shape(images)[d] for d in dims]
    radius = whole_number(radius, "radius", least=0)
    grid = shift_set(sizes, mode=mode, max_shift=radius)
    table, lengths = shift_lengths(grid, norm=norm)
    inside = [
        tuple(map(int, t)) for t, length in zip(table, lengths, strict=True) if length <= radius
    ]
    limit = radius if mode == "crop" else None
    outputs = orbit(classifier(fun), axes=axes, mode=mode, max_shift=limit, shifts=inside)(images)
    chosen = shift_set(sizes, mode=mode, max_shift=limit, shifts=inside)
    return adversarial_shift(outputs, labels, chosen, norm=norm)
