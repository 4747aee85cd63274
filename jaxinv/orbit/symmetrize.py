"""Functions made symmetric by averaging over their orbit."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.arguments import check_argnums, split_arguments
from jaxinv.declarations import declare_equivariance, declare_invariance
from jaxinv.orbit.captured import hoisted
from jaxinv.orbit.cost import OrbitCost, orbit_cost
from jaxinv.orbit.distinct import DistinctOutputs, distinct_orbit, grid, planned, values_of_outputs
from jaxinv.orbit.plan import Plan
from jaxinv.orbit.transform import orbit
from jaxinv.shifts import translate
from jaxinv.symmetry.values import Torus, Value, positions


def symmetrize(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    kind: Literal["invariant", "equivariant"] = "invariant",
    reduce: Literal["mean", "max"] = "mean",
    shifts: Sequence[Sequence[int]] | None = None,
    chunk: int | None = None,
) -> Callable:
    r"""Makes any function invariant or equivariant to circular shifts: its mean over the orbit.

    .. math::

      \bar f(x) = \frac{1}{|G|} \sum_{t \in G} f(\mathrm{translate}(x, t)), \qquad
      \bar f(x) = \frac{1}{|G|} \sum_{t \in G}
        \mathrm{translate}(f(\mathrm{translate}(x, t)), -t / s)

    The mean is the Reynolds operator. Nothing is trained again. The invariant one costs the
    distinct outputs only: 16 for a network of total stride 4 with global pooling, whatever the
    size of the image. The equivariant one is for maps (segmentations, denoised images): each is
    shifted back before averaging. It costs an evaluation for each coset of the shifts that the
    map is proved to follow: one where it follows all of them already, all shifts where a border
    or a position embedding ends that. `symmetrize(fun).cost(x)` tells how much before anything
    runs, and a warning says so once where it is brute force. An average over some `shifts` alone
    costs less, and is then neither invariant nor certified as such. Shifts that give the same
    output are evaluated once, so the gradient at a tie (a sort of equal values) is that of one.

    Args:
      fun: as in `jaxinv.orbit`; its outputs are arrays of numbers, for the mean floating-point
        ones: that of class numbers names no class.
      argnums: as in `jaxinv.orbit`.
      axes: as in `jaxinv.orbit`; the spatial dimensions of the maps too.
      kind: `"invariant"`, or `"equivariant"` for outputs that are maps. A map of stride `s`, whose
        positions are those of the image divided by `s`, becomes equivariant to multiples of `s`;
        one with as many positions, or a multiple of them, to every shift.
      reduce: `"mean"` or `"max"`, over the shifts, for each entry of the output.
      shifts: only these shift tuples, in pixels; of maps of stride `s` multiples of `s`. None for
        all that the symmetry needs.
      chunk: as in `jaxinv.orbit`.

    Returns:
      A function of the same arguments with the same shapes of output; without `shifts` invariant,
      or equivariant, to circular shifts. `jaxinv.certify` says so where the output has the rank
      of the argument. Its attribute `cost` is a function of the same arguments, or their shapes,
      that returns the `jaxinv.OrbitCost`.

    Raises:
      ValueError: if `kind` or `reduce` is unknown or does not apply to the dtype of an output,
        an output is no such map, or its stride does not divide `shifts`; else as `jaxinv.orbit`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> first = jaxinv.symmetrize(lambda x: x[0], axes=(0,))
      >>> first(jnp.array([1.0, 2.0, 6.0])), first(jnp.array([6.0, 1.0, 2.0]))
      (Array(3., dtype=float32), Array(3., dtype=float32))
      >>> def bordered(x):                      # looks at its left neighbour; the first has none
      ...     return x + jnp.pad(x[:-1], (1, 0))
      >>> even = jaxinv.symmetrize(bordered, axes=(0,), kind="equivariant")
      >>> even(jnp.array([4.0, 0.0, 0.0, 0.0])), even.cost(jnp.zeros(4)).shifts
      (Array([4., 3., 0., 0.], dtype=float32), 4)

    Reference:
      Murphy et al., "Janossy pooling" (2019), https://arxiv.org/abs/1811.01900, section 2.1;
      Coifman and Donoho, "Translation-invariant de-noising" (1995), for maps: cycle spinning;
      Mumford, Fogarty and Kirwan, "Geometric invariant theory" (1994), for the operator.
    """
    if reduce not in ("mean", "max"):
        raise ValueError(f"reduce is {reduce!r}; allowed are 'mean' and 'max'")
    if kind not in ("invariant", "equivariant"):
        raise ValueError(f"kind is {kind!r}; allowed are 'invariant' and 'equivariant'")
    how: dict[str, Any] = {"argnums": argnums, "axes": axes}
    combine = functools.partial(_combined, reduce=reduce)
    if shifts is not None:
        average = _over_some(fun, combine, how, chunk, shifts, kind)
    elif kind == "invariant":
        average = _invariant(fun, combine, how, chunk)
    else:
        average = _equivariant(fun, combine, how, chunk)

    def cost(*args) -> OrbitCost:
        needed = _needed(fun, args, kind, how) if shifts is None else shifts
        return orbit_cost(fun, *args, shifts=needed, **how)

    told = False

    @functools.wraps(fun, updated=())
    def symmetric(*args, **kwargs):
        nonlocal told
        if shifts is None and not told:
            told = True
            _warn_of_brute_force(planned(fun, args, kwargs, **how), reduce)
        return average(*args, **kwargs)

    symmetric.cost = cost  # type: ignore[attr-defined]
    return symmetric


# An orbit of this many shifts that shares less than half of its work is worth a word.
_MANY_SHIFTS, _SHARES_LITTLE = 64, 2.0


def _warn_of_brute_force(plan: Plan, reduce: str) -> None:
    for number in plan.traced.program.outputs:
        _check_reducible(plan.traced.program.avals[number].dtype, reduce)
    count, passes = plan.shifts.count, plan.cost() / max(1, plan.single_cost)
    if count >= _MANY_SHIFTS and passes * _SHARES_LITTLE > count:
        warnings.warn(
            f"symmetrize is brute force here: all {count:,} shifts take the work of {passes:,.0f} "
            "forward passes; shifts=[...] averages over some of them",
            stacklevel=3,
        )


def _needed(fun: Callable, args: tuple, kind: str, how: dict[str, Any]) -> list[tuple[int, ...]]:
    """The shifts at which a function is evaluated for its mean over all of them."""
    if kind == "equivariant":
        return sorted({t for m in _maps(fun, args, {}, **how) for t in grid(*m.needed)})
    leaves = jax.tree.leaves(
        jax.eval_shape(distinct_orbit(fun, **how), *args),
        is_leaf=lambda v: isinstance(v, DistinctOutputs),
    )
    sizes = planned(fun, args, {}, **how).shifts.sizes
    periods = [sizes if leaf.moves else leaf.period for leaf in leaves]
    return sorted({t for period in periods for t in grid(*map(range, period))})


def _combined(values: jax.Array, leading: int, *, reduce: str) -> jax.Array:
    """The mean or maximum over the shifts, which have the leading axes."""
    _check_reducible(values.dtype, reduce)
    combine = jnp.mean if reduce == "mean" else jnp.max
    return combine(values, axis=tuple(range(leading))).astype(values.dtype)


def _over_some(
    fun: Callable,
    combine: Callable,
    how: dict[str, Any],
    chunk: int | None,
    shifts: Sequence[Sequence[int]],
    kind: str,
):
    def average(*args, **kwargs):
        every = orbit(fun, shifts=shifts, chunk=chunk, **how)(*args, **kwargs)
        values, tree = jax.tree.flatten(every)
        if kind == "equivariant":
            maps = _maps(fun, args, kwargs, **how)
            values = [
                one.back(v, shifts, axes=how["axes"]) for v, one in zip(values, maps, strict=True)
            ]
        return jax.tree.unflatten(tree, [combine(v, 1) for v in values])

    return average


def _invariant(fun: Callable, combine: Callable, how: dict[str, Any], chunk: int | None):
    compact = distinct_orbit(fun, chunk=chunk, **how)
    full = orbit(fun, chunk=chunk, **how)
    n_axes = len(how["axes"])

    def average(*args, **kwargs):
        moving, also = _sources(fun, args, kwargs, how)
        distinct, tree = jax.tree.flatten(
            compact(*args, **kwargs), is_leaf=lambda v: isinstance(v, DistinctOutputs)
        )
        # Where an output moves, the entries at one place come from all shifts.
        some_move = any(d.moves for d in distinct)
        every = jax.tree.leaves(full(*args, **kwargs)) if some_move else []
        outs = []
        for i, output in enumerate(distinct):
            reduced = combine(every[i] if output.moves else output.values, n_axes)
            outs.append(declare_invariance(moving, reduced, also=also, axes=how["axes"]))
        return jax.tree.unflatten(tree, outs)

    return average


def _equivariant(fun: Callable, combine: Callable, how: dict[str, Any], chunk: int | None):
    def average(*args, **kwargs):
        moving, also = _sources(fun, args, kwargs, how)
        maps = _maps(fun, args, kwargs, **how)
        outs: list[Any] = [None] * len(maps)
        for needed in dict.fromkeys(one.needed for one in maps):
            shifts = grid(*needed)
            every, tree = jax.tree.flatten(
                orbit(fun, shifts=shifts, chunk=chunk, **how)(*args, **kwargs)
            )
            for i, (values, one) in enumerate(zip(every, maps, strict=True)):
                if one.needed == needed:
                    reduced = combine(one.back(values, shifts, axes=how["axes"]), 1)
                    outs[i] = one.declared(moving, reduced, also=also, axes=how["axes"])
        return jax.tree.unflatten(tree, outs)

    return average


def _sources(fun: Callable, args: tuple, kwargs: dict[str, Any], how: dict[str, Any]):
    """The arrays that the result moves with, and all others that it is computed from."""
    moved = check_argnums(how["argnums"], len(args))
    rest = tuple(arg for i, arg in enumerate(args) if i not in moved)
    _, captured = hoisted(fun, args, kwargs)
    moving, _ = split_arguments(tuple(args[i] for i in moved), {})
    still, _ = split_arguments(rest, kwargs)
    return moving, [*still, *captured]


class _Map(NamedTuple):
    """An output that is a map of the argument.

    Attributes:
      sizes: positions of the argument.
      own: positions of the map.
      needed: for each axis the shifts at which it is evaluated.
    """

    sizes: tuple[int, ...]
    own: tuple[int, ...]
    needed: tuple[tuple[int, ...], ...]

    @property
    def stride(self) -> tuple[int, ...]:
        """Positions of the argument for one of the map, 1 where the map is finer."""
        return tuple(max(1, size // own) for size, own in zip(self.sizes, self.own, strict=True))

    def back(self, values: jax.Array, shifts: Sequence[Sequence[int]], *, axes) -> jax.Array:
        """The maps at some shifts, which lead, each shifted back.

        Raises:
          ValueError: if a shift moves the map by a fraction of a position.
        """
        for shift in shifts:
            if any(t % stride for t, stride in zip(shift, self.stride, strict=True)):
                raise ValueError(
                    f"shifts hold {tuple(shift)}; a map of stride {self.stride} follows multiples "
                    "of that"
                )
        scaled = np.array(shifts) * np.array(self.own) // np.array(self.sizes)
        return jax.vmap(lambda one, t: translate(one, t, axes=axes))(values, -scaled)

    def declared(self, moving: Sequence[jax.Array], value: jax.Array, **options) -> jax.Array:
        """The map, with what is known of it now where that can be written down."""
        coarser = all(own <= size for own, size in zip(self.own, self.sizes, strict=True))
        if value.ndim != moving[0].ndim or not coarser:
            return value
        return declare_equivariance(moving, value, stride=self.stride, **options)


def _maps(fun: Callable, args: tuple, kwargs: dict[str, Any], *, argnums, axes) -> list[_Map]:
    """The outputs as maps.

    Raises:
      ValueError: if one has no positions that correspond to those of the argument.
    """
    plan = planned(fun, args, kwargs, argnums=argnums, axes=axes)
    sizes, program = plan.shifts.sizes, plan.traced.program
    found = []
    for number, value in zip(program.outputs, values_of_outputs(plan), strict=True):
        shape = program.avals[number].shape
        own = tuple(shape[dim] if -len(shape) <= dim < len(shape) else 0 for dim in axes)
        if any(n == 0 or (size % n and n % size) for size, n in zip(sizes, own, strict=True)):
            raise ValueError(
                f"an output of shape {shape} is no map of images of {' x '.join(map(str, sizes))} "
                f"along axes {tuple(axes)}: its positions must divide theirs, or be a multiple of "
                "them; kind='invariant' is for outputs without positions"
            )
        bare = _Map(sizes, own, ())
        needed = tuple(
            tuple(range(0, sizes[axis] if thin is None else thin, bare.stride[axis]))
            for axis, dim in enumerate(axes)
            for thin in [_period(plan.embedding.torus, value, axis, dim % len(shape))]
        )
        found.append(bare._replace(needed=needed))
    return found


def _period(torus: Torus, value: Value | None, axis: int, dim: int) -> int | None:
    """The shifts that a map is proved to follow along its dimension: multiples of it, or None."""
    windows = [w for _, w in value.windows(axis)] if value is not None else []
    if value is None or value.decisions[axis] is not None or len(windows) != 1:
        return None
    (window,) = windows
    whole = window.size == positions(torus, value, window)
    follows = whole and window.rate > 0 and value.dims[dim][:1] == (window,)
    return value.period[axis] if follows else None


def _check_reducible(dtype, reduce):
    if reduce == "mean" and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(
            f"an output has dtype {dtype}, whose mean is no such number; allowed are "
            "floating-point outputs (take the argmax of the symmetrized logits), or reduce='max'"
        )
    if reduce == "max" and jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"an output has dtype {dtype}, which has no maximum; allowed is 'mean'")
