"""Promises of layers that choose from the data, written into the program for the certificate.

Adaptive polyphase sampling picks the polyphase component with the largest norm. It commutes with
every shift up to a roll of its output, but no rule about single primitives can see that: the
proof is an argument about the layer as a whole. Such a layer says what it guarantees by passing
its output through `declare_equivariance`. That is the identity; it leaves one equation in the
jaxpr, which `jaxinv.certify` reads. Execution and differentiation are those of the identity, and
`jaxinv.orbit` ignores the promise (it evaluates what is really there).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, PyTree, Shaped

from jaxinv.arguments import per_axis
from jaxinv.shift_options import check_axes, whole_axes

# What precedes the whole path of a module in the names that jax keeps beside equations.
MODULE = "module:"


def in_module(path: str):
    """A context in which what is computed belongs to the module of that path, `layer1.0.conv1`."""
    return jax.named_scope(MODULE + path)


declare_p = Primitive("declare_equivariance")


@declare_p.def_impl
def _impl(reference, value, *others, **_):
    return value


@declare_p.def_abstract_eval
def _abstract_eval(reference, value, *others, **_):
    return value


def _jvp(primals, tangents, **params):
    return declare_p.bind(*primals, **params), tangents[1]


def _batch(operands, batch_dims, *, reference_dims, value_dims, beside, **params):
    moved = [
        operand if at is None else jnp.moveaxis(operand, at, 0)
        for operand, at in zip(operands, batch_dims, strict=True)
    ]
    mapped = [at is not None for at in batch_dims]
    also = mapped[2 + params["decides"] :]
    out = declare_p.bind(
        *moved,
        reference_dims=tuple(d + mapped[0] for d in reference_dims),
        value_dims=tuple(d + mapped[1] for d in value_dims),
        beside=tuple(tuple(d + at for d in row) for row, at in zip(beside, also, strict=False)),
        **params,
    )
    return out, 0 if mapped[1] else None


def _lower(ctx, reference, value, *others, **_):
    return [value]


ad.primitive_jvps[declare_p] = _jvp
batching.primitive_batchers[declare_p] = _batch
mlir.register_lowering(declare_p, _lower)


def _sources(x, also, axes: Sequence[int]) -> tuple[list, list[tuple[int, ...]]]:
    """All arrays that something is computed from, and along which dimensions each is to move.

    The first is the one that the promise is about; what is to stay has no dimensions.
    """
    moving, still = jax.tree.leaves(x), jax.tree.leaves(also)
    rows = [check_axes(axes, leaf.ndim, "x") for leaf in moving]
    return [*moving, *still], [*rows, *[()] * len(still)]


def declare_equivariance(
    x: PyTree[Shaped[Array, "..."]],
    y: Shaped[Array, "..."],
    *,
    also: PyTree[Shaped[Array, "..."]] = (),
    axes: Sequence[int] = (1, 2),
    stride: int | Sequence[int] = 1,
    decision: Shaped[Array, "..."] | None = None,
    restores: bool = False,
    assumption: str = "",
    margin: Float[Array, "..."] | None = None,
) -> Shaped[Array, "..."]:
    """Returns `y` unchanged and promises that it commutes with the shifts of `x`.

    Without `decision` the promise is `y(translate(x, t)) = translate(y(x), t / stride)` for every
    multiple `t` of the stride. With `decision` it is weaker and wider: for *every* shift of `x`,
    `y` moves by some roll of its own, which may depend on the data.

    Only `jaxinv.certify` believes the promise; it lists `assumption` beside its verdict. Test it
    with `jaxinv.assert_translation_equivariant` or by brute force.

    Args:
      x: the value that `y` is computed from; any shape with the dimensions `axes`. Of a pytree
        all arrays have to move together, and `y` has the rank of the first.
      y: the layer's output, the same rank as `x`; dimension `a` of `axes` has
        `x.shape[a] // stride` positions (`x.shape[a] * stride` with `restores`).
      also: what else `y` is computed from; where a shift changes it, the promise is not believed.
      axes: the spatial dimensions, the same in `x` and `y`.
      stride: the subsampling factor, one for all axes or one each.
      decision: the array that says which phase was chosen. Values declared with the same array
        move by the same roll, so they can be added (the two branches of a residual block).
      restores: `y` is `x` up-sampled by `stride`, with its values put back at the phases that
        `decision` names. It then follows the shift exactly, as the map did that was subsampled.
      assumption: the condition under which the promise holds, in plain words.
      margin: how far the data are from breaking that condition, 0 where they do; what
        `jaxinv.declared_margin` measures.

    Returns:
      `y`.

    Raises:
      ValueError: if an axis is not a dimension of both, if the sizes do not fit the stride, or if
        `restores` comes without `decision`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> x = jnp.arange(8.0)
      >>> largest_first = jnp.argmax(jnp.sum(x.reshape(4, 2), axis=0))
      >>> y = jnp.where(largest_first == 0, x[0::2], x[1::2])
      >>> jaxinv.declare_equivariance(x, y, axes=(0,), stride=2, decision=largest_first)
      Array([1., 3., 5., 7.], dtype=float32)

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214: the lemma behind the first such layer.
    """
    axes = whole_axes(axes)
    strides = per_axis(stride, len(axes), "stride", least=1)
    if restores and decision is None:
        raise ValueError("restores=True needs the decision whose phases are put back")
    dims = tuple(_dimension(axis, jax.tree.leaves(x)[0], y) for axis in axes)
    (x, *rest), (_, *beside) = _sources(x, also, axes)
    for dim, factor in zip(dims, strides, strict=True):
        small, large = (x, y) if restores else (y, x)
        if small.shape[dim] != large.shape[dim] // factor:
            raise ValueError(
                f"dimension {dim} has {x.shape[dim]} positions before and {y.shape[dim]} after, "
                f"which is no {'up-' if restores else 'sub'}sampling by {factor}"
            )
    return declare_p.bind(
        x,
        y,
        *([] if decision is None else [decision]),
        *rest,
        *([] if margin is None else [margin]),
        decides=decision is not None,
        measured=margin is not None,
        reference_dims=dims,
        value_dims=dims,
        beside=tuple(beside),
        strides=strides,
        restores=restores,
        assumption=assumption,
    )


def declare_invariance(
    x: PyTree[Shaped[Array, "..."]],
    y: Shaped[Array, "..."],
    *,
    also: PyTree[Shaped[Array, "..."]] = (),
    axes: Sequence[int] = (1, 2),
    assumption: str = "",
    margin: Float[Array, "..."] | None = None,
) -> Shaped[Array, "..."]:
    """Returns `y` unchanged and promises that no shift of `x` along `axes` changes it.

    Args:
      x: the value that `y` is computed from; of a pytree all arrays have to move together.
      y: any array.
      also: as in `declare_equivariance`.
      axes: the spatial dimensions of `x`.
      assumption: the condition under which the promise holds, in plain words.
      margin: as in `declare_equivariance`.

    Returns:
      `y`.

    Raises:
      ValueError: if an axis is not a dimension of `x`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> def largest(x):
      ...     return jaxinv.declare_invariance(x, jnp.sort(x)[-1], axes=(0,))
      >>> jaxinv.certify(largest, jnp.arange(8.0), axes=(0,)).kind
      'invariant'

    Reference:
      As `declare_equivariance`, https://arxiv.org/abs/2011.14214.
    """
    (x, *rest), (dims, *beside) = _sources(x, also, axes)
    return declare_p.bind(
        x,
        y,
        *rest,
        *([] if margin is None else [margin]),
        decides=False,
        measured=margin is not None,
        reference_dims=dims,
        value_dims=(),
        beside=tuple(beside),
        strides=(),
        restores=False,
        assumption=assumption,
    )


def _dimension(axis, x, y):
    rank = min(x.ndim, y.ndim)
    if x.ndim != y.ndim or not -rank <= axis < rank:
        raise ValueError(
            f"axis {axis} is not a dimension of both x {x.shape} and y {y.shape}; "
            "they must have the same rank"
        )
    return axis % rank
