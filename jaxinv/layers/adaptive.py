"""Sampling at a phase chosen from the data: adaptive and learnable polyphase sampling."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from jaxinv.arguments import as_inexact
from jaxinv.layers.blur import smoothed
from jaxinv.layers.convolution import Conv
from jaxinv.layers.heads import global_average
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding
from jaxinv.layers.polyphase import (
    polyphase_components,
    relative_norms,
    select_phase,
    tie_margin,
)
from jaxinv.layers.spatial import naming, per_axis, spatial_rank

FILTER_PLACES: tuple[str, ...] = ("before", "after")
_NO_TIE = "no two polyphase components tie in their norm"
_NO_TIED_LOGITS = "no two polyphase components tie in their logit"


def adaptive_polyphase_sample(
    x: Num[Array, "n *s c"],
    stride: int | Sequence[int] = 2,
    *,
    criterion: str = "l2",
    phase: Int[Array, "n"] | None = None,
) -> tuple[Num[Array, "n *t c"], Int[Array, "n"]]:
    """Keeps, for each signal, the polyphase component of the largest norm.

    `y = x_p` with `p = argmax_p ||x_p||` and `x_p[i] = x[p + stride * i]`. A shift permutes and
    rolls the components, so the same values are kept wherever the signal is: `y` commutes with
    every circular shift up to a roll, and any global pooling after it is invariant. This holds if
    the stride divides the sizes and no two norms tie; `tie_margin` says how close they come, and
    `jaxinv.declared_margin` measures it in a network. On a tie the first phase is taken. Where the
    stride does not divide a size, the last `size mod stride` positions are dropped and nothing is
    promised.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.
      criterion: one of `CRITERIA`.
      phase: phases chosen already, to sample a second branch of a network at the same places.

    Returns:
      `(n, *floor(spatial / stride), c)` and the phase of each signal, in row-major order.

    Raises:
      ValueError: if the stride or the criterion is not allowed.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1)
      >>> y, phase = adaptive_polyphase_sample(x)
      >>> y.ravel(), phase
      (Array([5., 3.], dtype=float32), Array([1], dtype=int32))

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214
    """
    if phase is not None:
        return select_phase(x, phase, stride, assumption=_NO_TIE), phase
    norms, _ = relative_norms(x, stride, criterion=criterion)
    phase = jnp.argmax(norms, axis=-1).astype(jnp.int32)
    return select_phase(x, phase, stride, assumption=_NO_TIE, margin=tie_margin(norms)), phase


class AdaptivePolyphaseSampling(nn.Module):
    """Downsampling that commutes with *every* circular shift, up to a roll of its output.

    Guarantee: with circular padding before it and sizes that the stride divides, all shifts of a
    signal give the same values, rolled; global pooling after it is exactly invariant. It is void
    at ties of two norms. The relative lead of the chosen component is sown as `"tie_margin"` in
    the collection `"intermediates"`.

    Attributes:
      stride: step, for all axes or one each.
      criterion: `"l1"`, `"l2"`, `"linf"` or `"l2_filtered"`; not `"l1"` after a filter.
      taps: taps of a binomial anti-aliasing filter, for all axes or one each; 1 is none.
      filter_place: `"before"` filters the full map, `"after"` the one that was sampled.
      padding: border of that filter, one of `jaxinv.layers.PADDINGS`, or one for each axis.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = AdaptivePolyphaseSampling(stride=3)
      >>> y, phase = layer.apply({}, jnp.arange(9.0).reshape(1, 9, 1))
      >>> y.ravel(), phase
      (Array([2., 5., 8.], dtype=float32), Array([2], dtype=int32))

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214
    """

    stride: int | Sequence[int] = 2
    criterion: str = "l2"
    taps: int | Sequence[int] = 1
    filter_place: str = "before"
    padding: Padding = "CIRCULAR"

    @nn.compact
    def __call__(
        self, x: Float[Array, "n *s c"], phase: Int[Array, "n"] | None = None
    ) -> tuple[Float[Array, "n *t c"], Int[Array, "n"]]:
        """Samples; `phase` may be what another branch has chosen, to be used again.

        Returns:
          The sampled map `(n, *floor(spatial / stride), c)` and the phases `(n,)`.
        """
        with naming(self):
            if self.filter_place not in FILTER_PLACES:
                raise ValueError(
                    f"filter_place is {self.filter_place!r}; allowed are {', '.join(FILTER_PLACES)}"
                )
            if self.filter_place == "before":
                self._refuse_sums_that_tie(spatial_rank(x))
                x = smoothed(x, self.taps, self.padding)
            if phase is None:
                norms, _ = relative_norms(x, self.stride, criterion=self.criterion)
                self.sow("intermediates", "tie_margin", tie_margin(norms))
            y, phase = adaptive_polyphase_sample(
                x, self.stride, criterion=self.criterion, phase=phase
            )
            if self.filter_place == "after":
                y = smoothed(y, self.taps, self.padding)
            return y, phase

    def _refuse_sums_that_tie(self, rank):
        """The filter is zero at Nyquist: the even and the odd positions then have one sum."""
        strides, taps = (
            per_axis(self.stride, rank, "stride"),
            per_axis(self.taps, rank, "taps", least=0),
        )
        halved = any(s == 2 and t > 1 for s, t in zip(strides, taps, strict=True))
        if self.criterion == "l1" and halved:
            raise ValueError(
                f"criterion is 'l1' after a filter of {self.taps} taps, where components of a map "
                "that is not negative always tie; allowed are another criterion, taps=1, "
                "filter_place='after'"
            )


class LearnablePolyphaseSampling(nn.Module):
    """Polyphase sampling whose choice is learned: a small network scores each component.

    The score is a circular ConvNet with global average pooling, so it does not change when a
    component is rolled, and the guarantee is that of adaptive sampling, after training as before.
    In training the choice is a straight-through sample: the forward pass keeps one component,
    drawn with Gumbel noise where the random stream `"dropout"` is given, and the gradient is that
    of the softmax. In evaluation it is the component of the largest score.

    Attributes:
      stride: step, for all axes or one each.
      hidden: features of the scoring network; as many as the map has channels if `None`.
      temperature: of the softmax in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = LearnablePolyphaseSampling()
      >>> (y, phase), _ = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
      >>> y.shape, phase.shape
      ((1, 4, 4, 3), (1,))

    Reference:
      Rojas-Gomez et al., "Learnable polyphase sampling for shift invariant and equivariant
      convolutional networks" (2022), https://arxiv.org/abs/2210.08001; Jang, Gu and Poole,
      "Categorical reparameterization with Gumbel-softmax" (2016), https://arxiv.org/abs/1611.01144
    """

    stride: int | Sequence[int] = 2
    hidden: int | None = None
    temperature: float = 1.0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n *s c"],
        phase: Int[Array, "n"] | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "n *t c"], Int[Array, "n"]]:
        """Samples.

        Args:
          x: signal `(n, *spatial, c)`.
          phase: phases that another branch has chosen, to be used again.
          train: straight-through choice in place of the hard one.

        Returns:
          The sampled map `(n, *floor(spatial / stride), c)` and the phases `(n,)`.
        """
        check_options(self)
        with naming(self):
            strides = per_axis(self.stride, spatial_rank(x), "stride")
            components = polyphase_components(x, strides)
        if phase is not None:
            return select_phase(x, phase, strides, assumption=_NO_TIED_LOGITS), phase
        hidden = x.shape[-1] if self.hidden is None else self.hidden
        first, second = (Conv(hidden, 3, padding="CIRCULAR", name=f"score{i}") for i in range(2))
        last = nn.Dense(1, use_bias=False, name="score2")
        # Scores rounded to half precision tie.
        scores = [
            last(global_average(second(jax.nn.relu(first(as_inexact(part))))))
            for part in components
        ]
        logits = jnp.concatenate(scores, axis=-1)
        if not train:
            phase = jnp.argmax(logits, axis=-1).astype(jnp.int32)
            margin = tie_margin(jax.nn.softmax(logits, axis=-1))
            y = select_phase(x, phase, strides, assumption=_NO_TIED_LOGITS, margin=margin)
            return y, phase
        if self.has_rng("dropout"):
            logits += jax.random.gumbel(self.make_rng("dropout"), logits.shape, logits.dtype)
        phase = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        soft = jax.nn.softmax(logits / float(self.temperature), axis=-1)
        hard = jax.nn.one_hot(phase, len(components), dtype=soft.dtype)
        weights = hard + soft - jax.lax.stop_gradient(soft)
        spread = (-1, *[1] * (x.ndim - 1))
        y = weights[:, 0].reshape(spread) * components[0]
        for index, component in enumerate(components[1:], start=1):
            y = y + weights[:, index].reshape(spread) * component
        return (y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else y), phase
