"""Cross-entropy of one translation, of every translation, and of each image's worst one."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jaxinv.arguments import as_inexact, is_known, number_or_nan
from jaxinv.data.source import VOID
from jaxinv.metrics.predictions import check_labels
from jaxinv.orbit import OrbitMode, orbit, shift_set
from jaxinv.shift_options import check_axes
from jaxinv.shifts import crop_translate, translate
from jaxinv.training.label_maps import per_image


def cross_entropy(
    logits: Float[Array, "*n k"],
    labels: Int[Array, "*n"],
    *,
    label_smoothing: float = 0.0,
    void: int | None = None,
) -> Float[Array, "*n"]:
    r"""Cross-entropy of each image, with smoothed labels.

    .. math:: -\sum_k \big((1 - \epsilon)\, 1[k = y] + \epsilon / K\big) \log p_k

    Args:
      logits: (..., K); computed with in float32 at least.
      labels: (...), whole numbers in `range(K)`.
      label_smoothing: the share spread over all classes, 0 to 1.
      void: the label of what has no class, such as 255, and loses nothing.

    Returns:
      (...), in nats, 0 where the label is void; NaN where a logit is not finite, or a traced label
      is no class.

    Raises:
      ValueError: there is not one label for each image, a known one is no class, or the share is
        out of range.

    Example:
      >>> print(cross_entropy(jnp.zeros((1, 4)), jnp.array([2])).round(4))
      [1.3863]

    Reference:
      Szegedy et al. 2015, https://arxiv.org/abs/1512.00567 (label smoothing).
    """
    logits = as_inexact(logits, "logits")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits have shape {logits.shape}; allowed is (..., classes)")
    if jnp.iscomplexobj(logits):
        raise ValueError(f"logits have dtype {logits.dtype}; allowed are real numbers")
    if is_known(label_smoothing) and not 0 <= number_or_nan(label_smoothing) <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}; allowed are numbers from 0 to 1")
    count = logits.shape[-1]
    labels = check_labels(labels, logits.shape[:-1], classes=count, void=void)
    targets = jax.nn.one_hot(labels, count, dtype=logits.dtype)
    losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))
    defined = jnp.all(jnp.isfinite(logits), axis=-1) & (labels >= 0) & (labels < count)
    losses = jnp.where(defined, losses, jnp.nan)
    return losses if void is None else jnp.where(labels.astype(int) == void, 0, losses)


@dataclasses.dataclass(frozen=True)
class Objective:
    """Which translations a loss looks at, and how: `at` is "identity", "orbit" or "worst"."""

    at: Literal["identity", "orbit", "worst"] = "identity"
    axes: tuple[int, ...] = (1, 2)
    mode: OrbitMode = "wrap"
    max_shift: int | None = None
    label_smoothing: float = 0.0
    chunk: int | None = None
    share: bool = True

    def __call__(self, fun: Callable, images: Array, labels: Array) -> tuple[Array, Array, Any]:
        """Loss and share of right answers of each image, and what else `fun` returns.

        Args:
          fun: images to `(logits, extra)`.
          images: (N, H, W, C).
          labels: (N,), or with `at="identity"` label maps (N, H, W), of which each image's losses
            are the mean over all positions, 0 where there is no class.

        Returns:
          losses (N,), correct (N,), and `extra`, averaged over the orbit. Losses and correct are
          NaN where a logit is not finite.

        Raises:
          ValueError: there are no images, or it is their axis that is translated.
        """
        if not len(images):
            raise ValueError("there are no images")
        for image in jax.tree.leaves(images) if self.at != "identity" else ():
            if 0 in check_axes(self.axes, np.ndim(image), "images"):
                raise ValueError(f"axes is {self.axes}; axis 0 is that of the images, not of space")
        if self.at == "orbit":
            # Without sharing, the backward pass repeats the forward pass of each chunk instead of
            # keeping the activations of all shifts.
            everywhere = self._orbit(fun if self.share else jax.checkpoint(fun))
            logits, extra = everywhere(images)
            losses, correct = self._score(logits, labels)
            shift_axes = tuple(range(losses.ndim - 1))
            extra = jax.tree.map(lambda leaf: leaf.mean(shift_axes), extra)
            return losses.mean(shift_axes), correct.mean(shift_axes), extra
        if self.at == "worst":
            images = self._move_to_worst(fun, images, labels)
        logits, extra = fun(images)
        scores = self._score(logits, labels, unshifted=True)
        return *map(per_image, scores), extra

    def _orbit(self, fun: Callable) -> Callable:
        return orbit(
            fun,
            axes=self.axes,
            mode=self.mode,
            max_shift=self.max_shift,
            chunk=self.chunk,
            share=self.share,
        )

    def _score(
        self, logits: Array, labels: Array, *, unshifted: bool = False
    ) -> tuple[Array, Array]:
        logits = as_inexact(logits, "logits")
        axes = 0 if unshifted else len(self.axes)
        if not unshifted and logits.ndim != axes + 2:
            raise ValueError(f"logits have shape {logits.shape[axes:]}; allowed is (n, classes)")
        classes, shape = logits.shape[-1] if logits.ndim else 0, logits.shape[axes:-1]
        void = VOID if np.ndim(labels) > 1 else None
        labels = check_labels(labels, shape, classes=classes, void=void)
        labels = jnp.broadcast_to(labels, logits.shape[:-1])
        losses = cross_entropy(logits, labels, label_smoothing=self.label_smoothing, void=void)
        right = (logits.argmax(-1) == labels).astype(jnp.float32)
        return losses, jnp.where(jnp.isnan(losses), jnp.nan, right)

    def _move_to_worst(self, fun: Callable, images: Array, labels: Array) -> Array:
        """Each image at its worst shift.

        The gradient of a maximum is that of the shift which attains it, so the search itself needs
        no backward pass, and the gradient costs that of a single shift.
        """
        logits = self._orbit(lambda x: fun(x)[0])(jax.lax.stop_gradient(images))
        losses, _ = self._score(logits, labels)
        worst = losses.reshape(-1, len(labels)).argmax(0)
        sizes = [images.shape[axis] for axis in self.axes]
        chosen = shift_set(sizes, mode=self.mode, max_shift=self.max_shift)
        # Every image by its own shift: without the batch dimension the axes are one lower.
        axes = tuple(axis % images.ndim - 1 for axis in self.axes)
        move = (
            functools.partial(crop_translate, size=chosen.sizes, axes=axes)
            if self.mode == "crop"
            else functools.partial(translate, axes=axes, mode=self.mode)
        )
        return jax.vmap(move)(images, jnp.asarray(chosen.table())[worst])


def orbit_loss(
    fun: Callable[[Array], Array],
    images: Float[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    axes: tuple[int, ...] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | None = None,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
    share: bool = True,
) -> Float[Array, ""]:
    r"""Exact mean cross-entropy over every translation of a batch.

    .. math:: \frac{1}{N |T|} \sum_{n} \sum_{t \in T} \ell(\mathrm{fun}(x_n(\cdot - t)), y_n)

    What training on randomly translated images estimates, without its variance. The cost in time
    is set by how much of `fun` the shifts share: `jaxinv.orbit_cost` counts it. Of the 25 shifts
    up to 2 pixels it is 4 forward passes for LeNet with circular padding and global pooling, with
    `mode="wrap"`; 16 to 25 with zero padding, or where zeros enter.

    Args:
      fun: images to logits (N, K).
      images: (N, H, W, C).
      labels: (N,).
      axes: spatial axes.
      mode: fill at the border, or "crop".
      max_shift: T is all shifts of up to this many pixels; None: all circular shifts.
      label_smoothing: the share of each label spread over all classes.
      chunk: shifts evaluated at a time; None: chosen from the memory.
      share: compute what shifts have in common once. If False each shift is evaluated by itself,
        with rematerialisation.

    Returns:
      The mean, in nats.

    Raises:
      ValueError: the shifts or axes do not fit the images, or the labels not the logits.

    Example:
      >>> images, labels = jnp.arange(4.0).reshape(1, 2, 2, 1), jnp.array([1])
      >>> fun = lambda x: x[:, 0, 0] * jnp.array([0.0, 1.0])  # reads one pixel
      >>> print(f"{orbit_loss(fun, images, labels):.4f}")
      0.2955

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801 (by sampling).
    """
    objective = Objective("orbit", axes, mode, max_shift, label_smoothing, chunk, share)
    losses, _, _ = objective(lambda x: (fun(x), ()), images, labels)
    return losses.mean()


def worst_shift_loss(
    fun: Callable[[Array], Array],
    images: Float[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    axes: tuple[int, ...] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | None = None,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
    share: bool = True,
) -> Float[Array, ""]:
    r"""Mean over a batch of each image's cross-entropy at its worst translation.

    .. math:: \frac{1}{N} \sum_{n} \max_{t \in T} \ell(\mathrm{fun}(x_n(\cdot - t)), y_n)

    Exact search over all of T where Engstrom et al. take the worst of ten drawn at random. The
    search runs forward only; the gradient then costs that of one shift.

    Args:
      fun: images to logits (N, K).
      images: (N, H, W, C).
      labels: (N,).
      axes: spatial axes; `mode`, `max_shift`, `label_smoothing`, `chunk` and `share` too are as
        in `orbit_loss`.

    Returns:
      The mean, in nats.

    Raises:
      ValueError: the shifts or axes do not fit the images, or the labels not the logits.

    Example:
      >>> images, labels = jnp.arange(4.0).reshape(1, 2, 2, 1), jnp.array([1])
      >>> fun = lambda x: x[:, 0, 0] * jnp.array([0.0, 1.0])  # reads one pixel
      >>> print(f"{worst_shift_loss(fun, images, labels):.4f}")
      0.6931

    Reference:
      Engstrom et al. 2019, Exploring the landscape of spatial robustness,
      https://arxiv.org/abs/1712.02779.
    """
    objective = Objective("worst", axes, mode, max_shift, label_smoothing, chunk, share)
    losses, _, _ = objective(lambda x: (fun(x), ()), images, labels)
    return losses.mean()
