"""From a map to one vector: what the last step before the classifier keeps of the position."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.arguments import as_inexact
from jaxinv.layers.options import check_options
from jaxinv.layers.spatial import naming, spatial_rank

HEADS: tuple[str, ...] = ("flatten", "gap", "gmp", "attention")


def flatten(x: Float[Array, "n *s c"]) -> Float[Array, "n d"]:
    """All values of each map in one vector; what reads it can tell positions apart.

    Args:
      x: signal `(n, *spatial, c)`.

    Returns:
      `(n, product of all other sizes)`, in row-major order, channels fastest.

    Raises:
      ValueError: if `x` has no spatial axis.

    Example:
      >>> import jax.numpy as jnp
      >>> flatten(jnp.zeros((2, 4, 4, 3))).shape
      (2, 48)

    Reference:
      LeCun et al., "Gradient-based learning applied to document recognition" (1998),
      doi:10.1109/5.726791
    """
    spatial_rank(x)
    return x.reshape(x.shape[0], -1)


def global_average(x: Float[Array, "n *s c"]) -> Float[Array, "n c"]:
    """The mean over all positions; invariant to every shift that the map commutes with.

    Args:
      x: signal `(n, *spatial, c)`.

    Returns:
      `(n, c)`.

    Raises:
      ValueError: if `x` has no spatial axis.

    Example:
      >>> import jax.numpy as jnp
      >>> global_average(jnp.arange(4.0).reshape(1, 4, 1))
      Array([[1.5]], dtype=float32)

    Reference:
      Lin, Chen and Yan, "Network in network" (2013), https://arxiv.org/abs/1312.4400
    """
    return jnp.mean(x, axis=tuple(range(1, spatial_rank(x) + 1)))


def global_max(x: Float[Array, "n *s c"]) -> Float[Array, "n c"]:
    """The maximum over all positions; invariant to every shift that the map commutes with.

    Args:
      x: signal `(n, *spatial, c)`.

    Returns:
      `(n, c)`.

    Raises:
      ValueError: if `x` has no spatial axis.

    Example:
      >>> import jax.numpy as jnp
      >>> global_max(jnp.arange(4.0).reshape(1, 4, 1))
      Array([[3.]], dtype=float32)

    Reference:
      Oquab et al., "Is object localization for free?" (2015), doi:10.1109/CVPR.2015.7298668
    """
    return jnp.max(x, axis=tuple(range(1, spatial_rank(x) + 1)))


def attention_pool(x: Float[Array, "n *s c"], queries: Float[Array, "q c"]) -> Float[Array, "n qc"]:
    """A weighted mean over positions for each query, the weights a softmax of their match.

    `y[q] = sum_i softmax_i(<queries[q], x[i]> / sqrt(c)) x[i]`. Positions enter as a set, so it is
    invariant to every shift that the map commutes with; each query may look at a place of its own.

    Args:
      x: signal `(n, *spatial, c)`.
      queries: `(q, c)`.

    Returns:
      `(n, q * c)`, query by query.

    Raises:
      ValueError: if `x` has no spatial axis or the channels differ.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(4.0).reshape(1, 4, 1)
      >>> attention_pool(x, jnp.zeros((1, 1)))  # no preference: the mean
      Array([[1.5]], dtype=float32)

    Reference:
      Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning" (2018),
      https://arxiv.org/abs/1802.04712; Lee et al., "Set transformer" (2019),
      https://arxiv.org/abs/1810.00825
    """
    spatial_rank(x)
    channels = x.shape[-1]
    if queries.shape[-1] != channels:
        raise ValueError(f"queries have {queries.shape[-1]} channels, the map has {channels}")
    dtype = jnp.result_type(x, queries)
    x, queries = as_inexact(x), as_inexact(queries)
    scores = jnp.tensordot(x, queries, axes=(-1, -1)) / jnp.sqrt(channels).astype(x.dtype)
    positions = tuple(range(1, x.ndim - 1))
    weights = jax.nn.softmax(scores, axis=positions)
    # One query after the other keeps the positions in place, where the analysis can follow them.
    pooled = [jnp.sum(x * weights[..., q : q + 1], axis=positions) for q in range(queries.shape[0])]
    y = jnp.concatenate(pooled, axis=-1)
    return y.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else y


class Head(nn.Module):
    """Turns a map into one vector for each signal, by the name of the head.

    Attributes:
      kind: `"flatten"` keeps positions apart; `"gap"` and `"gmp"` average or maximise over them;
        `"attention"` is `attention_pool` with learned queries.
      queries: the number of queries of the attention head.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.zeros((2, 4, 4, 3))
      >>> {k: Head(k).init_with_output(jax.random.key(0), x)[0].shape for k in HEADS}
      {'flatten': (2, 48), 'gap': (2, 3), 'gmp': (2, 3), 'attention': (2, 12)}
    """

    kind: str = "gap"
    queries: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n d"]:
        """Maps `(n, *spatial, c)` to `(n, d)`."""
        check_options(self)
        with naming(self):
            if self.kind == "attention":
                shape = (self.queries, x.shape[-1])
                return attention_pool(x, self.param("queries", nn.initializers.normal(1.0), shape))
            pools = {"flatten": flatten, "gap": global_average, "gmp": global_max}
            if self.kind not in pools:
                raise ValueError(f"head is {self.kind!r}; allowed are {', '.join(HEADS)}")
            return pools[self.kind](x)
