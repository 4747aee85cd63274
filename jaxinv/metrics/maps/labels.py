"""Label maps at shifts: how many positions keep their class, and how many are right."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxinv.arguments import as_array, whole_number
from jaxinv.metrics.consistency import consistency as pairs_alike
from jaxinv.metrics.predictions import check_labels, hits, predicted_classes


def consistency(
    outputs: Shaped[Array, "..."], *, spatial: int = 2, per_image: bool = False
) -> Float[Array, "..."]:
    r"""The chance that a position has the same class at a random pair of shifts.

    .. math::

      \frac{1}{N |P|} \sum_n \sum_p \sum_k q_{npk}^2, \qquad
      q_{npk} = \frac{1}{|T|} \sum_t [\hat y[t, n, p] = k]

    which is the mean over all pairs of shifts, both drawn independently. A constant map is
    perfectly consistent: report `iou` next to it.

    Args:
      outputs: an aligned orbit's logits `(*shifts, n, *positions, classes)`, floating point, or
        label maps `(*shifts, n, *positions)`, whole numbers.
      spatial: number of axes of positions.
      per_image: return each image's chance, for intervals over images.

    Returns:
      A share between 0 and 1, or `n` of them; NaN where a logit is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[0, 0, 1, 1]], [[0, 0, 1, 2]]])  # two shifts of 4 positions
      >>> print(consistency(maps, spatial=1))
      0.875

    Reference:
      Rojas-Gomez et al., "Learnable polyphase sampling for shift invariant and equivariant
      convolutional networks" (2022), https://arxiv.org/abs/2210.08001: mASSC, and for circular
      shifts mASCC, which draw one pair of shifts for each image; this is their expectation.
    """
    maps = _label_maps(outputs, spatial)
    chances = jnp.mean(_agreement(maps, spatial).reshape(maps.shape[-1 - spatial], -1), axis=-1)
    return chances if per_image else jnp.mean(chances)


def class_consistency(
    outputs: Shaped[Array, "..."], *, classes: int, spatial: int = 2
) -> Float[Array, " classes"]:
    r"""Of each class, the chance that a position that has it at one shift has it at another one.

    .. math::

      \frac{\sum_{n, p} q_{npk}^2}{\sum_{n, p} q_{npk}}, \qquad
      q_{npk} = \frac{1}{|T|} \sum_t [\hat y[t, n, p] = k]

    Their mean over classes (`jnp.nanmean`) gives rare classes the same weight as the background,
    which `consistency` hardly sees anything else of.

    Args:
      outputs: as for `consistency`.
      classes: their number.
      spatial: number of axes of positions.

    Returns:
      Shares between 0 and 1; NaN for a class that is nowhere, and where a logit is not finite.

    Raises:
      ValueError: if the shapes do not fit, or a prediction is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[0, 0, 0, 1]], [[0, 0, 0, 2]]])
      >>> print(class_consistency(maps, classes=3, spatial=1))
      [1.  0.5 0.5]

    Reference:
      Rojas-Gomez et al., "Learnable polyphase sampling for shift invariant and equivariant
      convolutional networks" (2022), https://arxiv.org/abs/2210.08001: mASSC, here class by class.
    """
    maps = _label_maps(outputs, spatial)
    _check_classes(maps, classes)
    flat = shifts_joined(maps, spatial)
    shares = jax.vmap(lambda k: jnp.mean(flat == k, axis=0, dtype=float))(jnp.arange(classes))
    over = tuple(range(1, shares.ndim))
    chances = jnp.sum(shares**2, axis=over) / jnp.sum(shares, axis=over)
    return jnp.where(jnp.all(maps >= 0), chances, jnp.nan)


def flicker(outputs: Shaped[Array, "..."], *, spatial: int = 2) -> Float[Array, "n *positions"]:
    r"""Where the output flickers: the chance that two random shifts give a position two classes.

    .. math::

      1 - \sum_k q_{npk}^2

    Args:
      outputs: as for `consistency`, of which this is one minus, position by position.
      spatial: number of axes of positions.

    Returns:
      A picture for each image, with numbers from 0 to below 1; NaN where a logit is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> print(flicker(jnp.array([[[0, 1, 1]], [[0, 1, 2]]]), spatial=1))
      [[0.  0.  0.5]]

    Reference:
      Rojas-Gomez et al., "Learnable polyphase sampling for shift invariant and equivariant
      convolutional networks" (2022), https://arxiv.org/abs/2210.08001: mASSC, here position by
      position.
    """
    maps = _label_maps(outputs, spatial)
    return 1 - _agreement(maps, spatial)


def accuracy(
    outputs: Shaped[Array, "..."],
    labels: Int[Array, "n *positions"],
    *,
    void: int | None = None,
) -> Float[Array, "*shifts"]:
    r"""Share of positions that are right, at each shift.

    .. math::

      \frac{1}{|V|} \sum_{(n, p) \in V} [\hat y[t, n, p] = y[n, p]], \qquad
      V = \{(n, p) : y[n, p] \ne \mathrm{void}\}

    Args:
      outputs: as for `consistency`.
      labels: the true label maps, of the positions that the outputs show.
      void: the label of positions that do not count, such as 255; None: all count.

    Returns:
      Shares between 0 and 1, one for each shift; their least is that of the worst shift. NaN where
      a logit that counts is not finite, and if no position counts.

    Raises:
      ValueError: if the shapes do not fit, or a label is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[0, 0, 1, 1]], [[0, 0, 1, 2]]])
      >>> print(accuracy(maps, jnp.array([[0, 0, 1, 1]])))
      [1.   0.75]

    Reference:
      Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (2015),
      https://arxiv.org/abs/1411.4038: pixel accuracy.
    """
    right, counted = _right(outputs, labels, void)
    return jnp.mean(right, axis=-1, where=counted)


def worst_case_accuracy(
    outputs: Shaped[Array, "..."],
    labels: Int[Array, "n *positions"],
    *,
    void: int | None = None,
) -> Float[Array, ""]:
    r"""Share of positions that are right at *every* shift.

    .. math::

      \frac{1}{|V|} \sum_{(n, p) \in V} \min_t \, [\hat y[t, n, p] = y[n, p]], \qquad
      V = \{(n, p) : y[n, p] \ne \mathrm{void}\}

    Args:
      outputs: as for `consistency`.
      labels: the true label maps, of the positions that the outputs show.
      void: the label of positions that do not count, such as 255; None: all count.

    Returns:
      A share between 0 and 1; NaN where a logit that counts is not finite, and if no position
      counts.

    Raises:
      ValueError: if the shapes do not fit, or a label is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[0, 0, 1, 1]], [[0, 0, 1, 2]]])
      >>> print(worst_case_accuracy(maps, jnp.array([[0, 0, 2, 2]])))
      0.5

    Reference:
      Engstrom et al., "Exploring the landscape of spatial robustness" (2019),
      https://arxiv.org/abs/1712.02779: the adversary that tries every transformation.
    """
    right, counted = _right(outputs, labels, void)
    return jnp.mean(jnp.min(shifts_joined(right, 0), axis=0), where=counted)


def iou(
    outputs: Shaped[Array, "..."],
    labels: Int[Array, "n *positions"],
    *,
    classes: int,
    per_class: bool = False,
    void: int | None = None,
) -> Float[Array, "..."]:
    r"""Intersection over union at each shift, on average over classes.

    .. math::

      \frac{\sum_{n, p} [\hat y = k][y = k]}{\sum_{n, p} [\hat y = k \text{ or } y = k]}

    Positions of all images are counted together, but for void ones, whatever is predicted there.
    A class that is neither predicted nor true anywhere at a shift does not count there.

    Args:
      outputs: as for `consistency`.
      labels: the true label maps, of the positions that the outputs show.
      classes: their number.
      per_class: return the share of each class, NaN where it does not count.
      void: the label of positions that do not count, such as 255; None: all count.

    Returns:
      Shares between 0 and 1, `(*shifts)` or `(*shifts, classes)`; the least of the former is that
      of the worst shift. NaN where a logit that counts is not finite, and if no position counts.

    Raises:
      ValueError: if the shapes do not fit, or a label or a prediction is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[0, 0, 1, 1]], [[0, 0, 1, 0]]])
      >>> print(iou(maps, jnp.array([[0, 0, 1, 1]]), classes=2).round(3))
      [1.    0.583]

    Reference:
      Everingham et al., "The Pascal visual object classes challenge: a retrospective" (2015),
      https://doi.org/10.1007/s11263-014-0733-5.
    """
    maps = _label_maps(outputs, jnp.ndim(labels) - 1)
    _check_classes(maps, classes)
    keep = maps.ndim - jnp.ndim(labels)
    truth = check_labels(labels, maps.shape[keep:], classes=classes, void=void)
    counted = _counted(truth, void)
    both, either = overlaps(maps, truth, classes=classes, keep=keep, counted=counted)
    said = jnp.all(maps >= 0, axis=tuple(range(keep, maps.ndim)), where=counted)[..., None]
    shares = jnp.where(said & (either > 0), both / jnp.maximum(either, 1), jnp.nan)
    return shares if per_class else jnp.nanmean(shares, axis=-1)


def overlaps(
    maps: Int[Array, "..."],
    labels: Int[Array, "..."],
    *,
    classes: int,
    keep: int,
    counted: Bool[Array, "..."] | bool = True,
) -> tuple[Int[Array, "... classes"], Int[Array, "... classes"]]:
    """Positions with a class in both maps, and in either of them: what `iou` divides.

    Args:
      maps: predicted label maps.
      labels: the true ones, broadcast against them.
      classes: their number.
      keep: leading axes that are not summed over.
      counted: which positions count, broadcast against the maps.

    Example:
      >>> import jax.numpy as jnp
      >>> both, either = overlaps(jnp.array([[0, 1]]), jnp.array([[1, 1]]), classes=2, keep=1)
      >>> both.tolist(), either.tolist()
      ([[0, 1]], [[1, 2]])
    """
    over = tuple(range(keep, jnp.ndim(maps)))

    def of_class(k):
        said, true = (maps == k) & counted, (labels == k) & counted
        return jnp.sum(said & true, axis=over), jnp.sum(said | true, axis=over)

    both, either = jax.lax.map(of_class, jnp.arange(classes))
    return jnp.moveaxis(both, 0, -1), jnp.moveaxis(either, 0, -1)


def _label_maps(outputs, spatial: int) -> Int[Array, "..."]:
    whole_number(spatial, "spatial", least=0)
    maps = predicted_classes(as_array(outputs, "outputs", "logits or class numbers"))
    if maps.ndim <= spatial or maps.size == 0:
        raise ValueError(
            f"outputs have shape {jnp.shape(outputs)}; allowed are label maps (*shifts, n, "
            f"*positions) with {spatial} axes of positions, or logits with classes behind"
        )
    return maps.astype(jnp.promote_types(maps.dtype, jnp.int32))  # to hold the -1 of no class


def shifts_joined(values, trailing: int):
    """The leading axes as one; behind it images and `trailing` axes."""
    if values.ndim <= trailing or values.size == 0:
        raise ValueError(
            f"outputs have shape {values.shape}; allowed is (*shifts, n, *positions, channels), "
            "none of them 0"
        )
    return values.reshape(-1, *values.shape[values.ndim - 1 - trailing :])


def _agreement(maps, spatial: int):
    """For each position the chance that two shifts agree, NaN where a shift says nothing."""
    flat = shifts_joined(maps, spatial)
    chances = pairs_alike(flat.reshape(len(flat), -1), per_image=True)
    return chances.reshape(flat.shape[1:])


def _check_classes(maps, classes: int) -> None:
    """Refuses known predictions that are no class, but for -1 where nothing is predicted."""
    whole_number(classes, "classes")
    check_labels(jnp.maximum(maps, -1) + (maps == -1), maps.shape, classes=classes)


def _counted(labels, void: int | None):
    """Which positions count."""
    if void is None:
        return jnp.ones(labels.shape, bool)
    return labels.astype(int) != whole_number(void, "void", least=-(2**31))


def _right(outputs, labels, void: int | None):
    """1 at each shift and position that is right, 0 where it is wrong; and which of them count."""
    spatial = jnp.ndim(labels) - 1
    outputs = as_array(outputs, "outputs", "logits or class numbers")
    maps = _label_maps(outputs, spatial)
    classes = jnp.shape(outputs)[-1] if jnp.issubdtype(outputs.dtype, jnp.floating) else None
    shape = maps.shape[maps.ndim - 1 - spatial :]
    truth = check_labels(labels, shape, classes=classes, void=void).reshape(-1)
    counted = _counted(truth, void)
    # Each position is an image of its own.
    flat = maps.reshape(*maps.shape[: maps.ndim - len(shape)], -1)
    return hits(flat, jnp.where(counted, truth, 0)), counted
