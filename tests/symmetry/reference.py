"""A jaxpr run by numpy, one equation at a time: the brute force that needs no compilation.

XLA compiles each new primitive and shape for some 25 ms; a run over thousands of random programs
would do nothing else. Here every primitive is spelt by its definition, so this is also a second
opinion that shares no code with jax's evaluation. `test_reference.py` compares the two. A
primitive that is not listed is bound as it is, by jax.
"""

import functools
import math

import jax
import numpy as np
from jax import lax
from jax.extend.core import Literal, primitives
from numpy.lib.stride_tricks import sliding_window_view

_erf = np.vectorize(math.erf, otypes=[float])


def _logistic(x, **_):
    return 1 / (1 + np.exp(-x))


def _clamp(low, x, high, **_):
    return np.minimum(np.maximum(x, low), high)


def _round(x, *, rounding_method):
    if int(rounding_method) == 1:  # to nearest even; 0 is away from zero
        return np.round(x)
    return np.trunc(x + np.copysign(0.5, x))


def _select(which, *cases):
    return np.where(which, cases[1], cases[0]) if len(cases) == 2 else np.choose(which, cases)


def _broadcast(x, *, shape, broadcast_dimensions, **_):
    spread = [1] * len(shape)
    for size, dim in zip(x.shape, broadcast_dimensions, strict=True):
        spread[dim] = size
    return np.broadcast_to(np.reshape(x, spread), shape)


def _reshape(x, *, new_sizes, dimensions, **_):
    return np.reshape(x if dimensions is None else np.transpose(x, dimensions), new_sizes)


def _slice(x, *, start_indices, limit_indices, strides):
    strides = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, strides))]


def _pad(x, fill, *, padding_config):
    for dim, (low, high, inner) in enumerate(padding_config):
        n = x.shape[dim]
        wide = n + max(0, n - 1) * inner
        shape = [wide if i == dim else s for i, s in enumerate(x.shape)]
        spread = np.full(shape, fill, x.dtype)
        spread[(slice(None),) * dim + (slice(None, None, inner + 1),)] = x
        spread = spread[(slice(None),) * dim + (slice(max(0, -low), wide - max(0, -high)),)]
        widths = [(max(0, low), max(0, high)) if i == dim else (0, 0) for i in range(x.ndim)]
        x = np.pad(spread, widths, constant_values=fill)
    return x


def _iota(*, dtype, shape, dimension, **_):
    row = np.arange(shape[dimension], dtype=dtype)
    return np.broadcast_to(row.reshape([-1 if i == dimension else 1 for i in range(len(shape))]), shape)  # fmt: skip  # noqa: E501


def _dot_general(a, b, *, dimension_numbers, **_):
    (contract_a, contract_b), (batch_a, batch_b) = dimension_numbers
    free_a = [i for i in range(a.ndim) if i not in (*contract_a, *batch_a)]
    free_b = [i for i in range(b.ndim) if i not in (*contract_b, *batch_b)]
    batch = [a.shape[i] for i in batch_a]
    rows, columns = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    inner = math.prod(a.shape[i] for i in contract_a)
    left = np.transpose(a, (*batch_a, *free_a, *contract_a))
    right = np.transpose(b, (*batch_b, *contract_b, *free_b))
    product = np.matmul(
        left.reshape(*batch, math.prod(rows), inner),
        right.reshape(*batch, inner, math.prod(columns)),
    )
    return product.reshape(*batch, *rows, *columns)


def _windows(x, sizes, strides, dilations):
    """All windows of the trailing dimensions: (..., out positions, window)."""
    reach = [(k - 1) * d + 1 for k, d in zip(sizes, dilations, strict=True)]
    first = x.ndim - len(sizes)
    views = sliding_window_view(x, reach, axis=tuple(range(first, x.ndim)))
    at = [slice(None)] * first + [slice(None, None, s) for s in strides]
    return views[(*at, *[slice(None, None, d) for d in dilations])]


def _conv(lhs, rhs, *, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
          feature_group_count, batch_group_count, **_):  # fmt: skip
    lhs = np.transpose(lhs, dimension_numbers.lhs_spec)
    rhs = np.transpose(rhs, dimension_numbers.rhs_spec)
    config = [(0, 0, 0)] * 2 + [
        (lo, hi, d - 1) for (lo, hi), d in zip(padding, lhs_dilation, strict=True)
    ]
    lhs = _pad(lhs, 0.0, padding_config=config)
    sizes, space = rhs.shape[2:], len(rhs.shape) - 2
    lhs_groups = np.split(lhs, feature_group_count, 1) if batch_group_count == 1 else (
        np.split(lhs, batch_group_count, 0)
    )  # fmt: skip
    outs = []
    for part, kernel in zip(lhs_groups, np.split(rhs, len(lhs_groups), 0), strict=True):
        views = _windows(part, sizes, window_strides, rhs_dilation)
        axes = list(range(2 + space, 2 + 2 * space))
        outs.append(np.tensordot(views, kernel, axes=([1, *axes], [1, *range(2, 2 + space)])))
    out = np.moveaxis(np.concatenate(outs, -1), -1, 1)
    return np.transpose(out, np.argsort(dimension_numbers.out_spec))


def _window_reduce(reduce, fill):
    def run(x, *_, window_dimensions, window_strides, padding, base_dilation, window_dilation, **__):  # fmt: skip  # noqa: E501
        config = [(lo, hi, d - 1) for (lo, hi), d in zip(padding, base_dilation, strict=True)]
        x = _pad(x, fill, padding_config=config)
        views = _windows(x, window_dimensions, window_strides, window_dilation)
        return reduce(views, tuple(range(x.ndim, 2 * x.ndim)))

    return run


def _reduce(reduce):
    return lambda x, *, axes, **_: reduce(x, tuple(axes))


def _arg(reduce):
    return lambda x, *, axes, index_dtype: reduce(x, axes[0]).astype(index_dtype)


def _cumulative(accumulate):
    def run(x, *, axis, reverse):
        if reverse:
            return np.flip(accumulate(np.flip(x, axis), axis), axis)
        return accumulate(x, axis)

    return run


def _plain(fun):
    return lambda *operands, **_: fun(*operands)


def _dynamic_slice(x, *starts, slice_sizes):
    starts = [int(np.clip(s, 0, n - k)) for s, n, k in zip(starts, x.shape, slice_sizes, strict=True)]  # fmt: skip  # noqa: E501
    return x[tuple(slice(s, s + k) for s, k in zip(starts, slice_sizes, strict=True))]


def _dynamic_update_slice(x, update, *starts):
    out = np.array(x)
    starts = [int(np.clip(s, 0, n - k)) for s, n, k in zip(starts, x.shape, update.shape, strict=True)]  # fmt: skip  # noqa: E501
    out[tuple(slice(s, s + k) for s, k in zip(starts, update.shape, strict=True))] = update
    return out


def _split(x, *, sizes, axis):
    return np.split(x, np.cumsum(sizes)[:-1], axis)


def _sort(*operands, dimension, num_keys, **_):
    assert num_keys == 1
    order = np.argsort(operands[0], dimension, kind="stable")
    return [np.take_along_axis(x, order, dimension) for x in operands]


def _places(indices, sizes, slices, *, window, still, starts, batching, indices_batching):
    """For each dimension of an operand the index of every element that a gather reads.

    The indices broadcast to the result: its dimensions `window` run within the slices.
    """
    rank = len(indices.shape) - 1 + len(window)
    batch = [i for i in range(rank) if i not in window]

    def spread(row, dims):
        return np.reshape(row, [row.shape[dims.index(i)] if i in dims else 1 for i in range(rank)])

    within = [d for d in range(len(sizes)) if d not in still and d not in batching]
    rows, inside = [], np.ones((1,) * rank, bool)
    for d, (size, length) in enumerate(zip(sizes, slices, strict=True)):
        at = np.zeros((1,) * rank, np.int64)
        if d in starts:
            start = spread(indices[..., starts.index(d)].astype(np.int64), batch)
            inside = inside & (start >= 0) & (start <= size - length)
            at = np.clip(start, 0, size - length)
        elif d in batching:
            dim = batch[indices_batching[batching.index(d)]]
            at = spread(np.arange(size), [dim])
        if d in within:
            at = at + spread(np.arange(length), [window[within.index(d)]])
        rows.append(at)
    return tuple(rows), inside


def _gather(operand, indices, *, dimension_numbers, slice_sizes, mode, fill_value, **_):
    numbers = dimension_numbers
    rows, inside = _places(
        indices,
        operand.shape,
        slice_sizes,
        window=list(numbers.offset_dims),
        still=numbers.collapsed_slice_dims,
        starts=list(numbers.start_index_map),
        batching=list(numbers.operand_batching_dims),
        indices_batching=list(numbers.start_indices_batching_dims),
    )
    out = operand[tuple(np.broadcast_arrays(*rows))]
    if mode == lax.GatherScatterMode.FILL_OR_DROP and not inside.all():
        missing = fill_value
        if missing is None:
            missing = np.nan if operand.dtype.kind == "f" else np.iinfo(operand.dtype).min
        out = np.where(inside, out, np.asarray(missing, operand.dtype))
    return out


def _scatter_add(operand, indices, updates, *, dimension_numbers, mode, **_):
    numbers = dimension_numbers
    window = list(numbers.update_window_dims)
    lengths = iter(updates.shape[d] for d in window)
    still = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    rows, inside = _places(
        indices,
        operand.shape,
        [1 if d in still else next(lengths) for d in range(operand.ndim)],
        window=window,
        still=numbers.inserted_window_dims,
        starts=list(numbers.scatter_dims_to_operand_dims),
        batching=list(numbers.operand_batching_dims),
        indices_batching=list(numbers.scatter_indices_batching_dims),
    )
    out = np.array(operand)
    if mode != lax.GatherScatterMode.CLIP:
        updates = np.where(inside, updates, np.zeros((), updates.dtype))
    np.add.at(out, tuple(np.broadcast_arrays(*rows)), updates)
    return out


def _converted(x, *, new_dtype, **_):
    real = x.dtype.kind == "c" and np.dtype(new_dtype).kind != "c"
    return (x.real if real else x).astype(new_dtype)


P = primitives
RULES = {
    P.add_p: _plain(np.add), P.add_jaxvals_p: _plain(np.add), P.sub_p: _plain(np.subtract),
    P.mul_p: _plain(np.multiply), P.neg_p: _plain(np.negative), P.max_p: _plain(np.maximum),
    P.min_p: _plain(np.minimum), P.exp_p: _plain(np.exp), P.log_p: _plain(np.log),
    P.log1p_p: _plain(np.log1p), P.expm1_p: _plain(np.expm1), P.tanh_p: _plain(np.tanh),
    P.logistic_p: _logistic, P.sin_p: _plain(np.sin), P.cos_p: _plain(np.cos),
    P.sqrt_p: _plain(np.sqrt), P.rsqrt_p: _plain(lambda x: 1 / np.sqrt(x)),
    P.square_p: _plain(np.square), P.pow_p: _plain(np.power), P.abs_p: _plain(np.abs),
    P.integer_pow_p: lambda x, *, y: x**y if y >= 0 else 1 / x**-y,
    P.sign_p: _plain(np.sign), P.floor_p: _plain(np.floor), P.ceil_p: _plain(np.ceil),
    P.round_p: _round, P.erf_p: _plain(_erf), P.atan2_p: _plain(np.arctan2),
    P.erfc_p: _plain(lambda x: 1 - _erf(x)), P.clamp_p: _clamp, P.select_n_p: _plain(_select),
    P.eq_p: _plain(np.equal), P.ne_p: _plain(np.not_equal), P.lt_p: _plain(np.less),
    P.le_p: _plain(np.less_equal), P.gt_p: _plain(np.greater), P.ge_p: _plain(np.greater_equal),
    P.and_p: _plain(np.bitwise_and), P.or_p: _plain(np.bitwise_or), P.not_p: _plain(np.invert),
    P.is_finite_p: _plain(np.isfinite), P.copy_p: _plain(np.array),
    P.stop_gradient_p: _plain(np.array),
    P.real_p: _plain(np.real), P.imag_p: _plain(np.imag),
    P.convert_element_type_p: _converted,
    P.broadcast_in_dim_p: _broadcast, P.reshape_p: _reshape, P.slice_p: _slice, P.pad_p: _pad,
    P.squeeze_p: lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    P.transpose_p: lambda x, *, permutation: np.transpose(x, permutation),
    P.concatenate_p: lambda *xs, dimension: np.concatenate(xs, dimension),
    P.rev_p: lambda x, *, dimensions: np.flip(x, tuple(dimensions)), P.iota_p: _iota,
    P.dynamic_slice_p: _dynamic_slice, P.dynamic_update_slice_p: _plain(_dynamic_update_slice),
    P.reduce_sum_p: _reduce(np.sum), P.reduce_max_p: _reduce(np.max),
    P.reduce_min_p: _reduce(np.min), P.reduce_prod_p: _reduce(np.prod),
    P.reduce_and_p: _reduce(np.all), P.reduce_or_p: _reduce(np.any),
    P.argmax_p: _arg(np.argmax), P.argmin_p: _arg(np.argmin), P.sort_p: _sort,
    P.cumsum_p: _cumulative(np.cumsum), P.cummax_p: _cumulative(np.maximum.accumulate),
    P.dot_general_p: _dot_general, P.conv_general_dilated_p: _conv,
    P.reduce_window_max_p: _window_reduce(np.max, -np.inf),
    P.reduce_window_min_p: _window_reduce(np.min, np.inf),
    P.reduce_window_sum_p: _window_reduce(np.sum, 0.0),
    P.gather_p: _gather, P.scatter_add_p: _scatter_add,
    P.rem_p: _plain(np.fmod), lax.split_p: _split,
}  # fmt: skip


def _divide(x, y, **_):
    if np.result_type(x, y).kind in "fc":
        return np.divide(x, y)
    return np.trunc(np.divide(x, y)).astype(np.result_type(x, y))


RULES[P.div_p] = _divide
BODIES = {
    P.jit_p: "jaxpr",
    P.closed_call_p: "call_jaxpr",
    P.remat_p: "jaxpr",
    P.custom_jvp_call_p: "call_jaxpr",
    P.custom_vjp_call_p: "call_jaxpr",
}


def _scan(operands, params, results):
    # Not by name: how many of the operands are carried is spelt differently in jax 0.12. What is
    # scanned over has one dimension more than the body sees.
    body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    n_xs = sum(x.ndim > var.aval.ndim for x, var in zip(operands, body.invars, strict=True))
    n_carry = sum(
        out.aval.ndim == var.aval.ndim for out, var in zip(results, body.outvars, strict=True)
    )
    n_consts = len(operands) - n_xs - n_carry
    consts, carry = operands[:n_consts], operands[n_consts : n_consts + n_carry]
    xs = operands[n_consts + n_carry :]
    order = range(params["length"])
    stacked = []
    for i in reversed(order) if params["reverse"] else order:
        outs = evaluate(params["jaxpr"], *consts, *carry, *[x[i] for x in xs])
        carry, ys = outs[: len(carry)], outs[len(carry) :]
        stacked.append(ys)
    stacked = stacked[::-1] if params["reverse"] else stacked
    return [*carry, *[np.stack(column) for column in zip(*stacked, strict=True)]]


def _while(operands, params, _):
    n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
    cond, body = operands[:n_cond], operands[n_cond : n_cond + n_body]
    carry = operands[n_cond + n_body :]
    while True:
        (going,) = evaluate(params["cond_jaxpr"], *cond, *carry)
        if not going.any():
            return carry
        after = evaluate(params["body_jaxpr"], *body, *carry)
        # Under vmap each element of the batch stops by itself.
        carry = [
            np.where(going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old)
            for new, old in zip(after, carry, strict=True)
        ]


def _cond(operands, params, _):
    which, *rest = operands
    branches = params["branches"]
    return evaluate(branches[int(np.clip(which, 0, len(branches) - 1))], *rest)


CONTROL = {P.scan_p: _scan, P.while_p: _while, P.cond_p: _cond}


def evaluate(closed, *operands) -> list:
    """The outputs of a jaxpr (what `jax.make_jaxpr` returned) on numpy arrays."""
    body = getattr(closed, "jaxpr", closed)
    values = dict(zip(body.constvars, getattr(closed, "consts", ()), strict=True))
    values.update(zip(body.invars, operands, strict=True))

    def read(atom):
        return np.asarray(atom.val if isinstance(atom, Literal) else values[atom])

    for eqn in body.eqns:
        ins = [read(atom) for atom in eqn.invars]
        if eqn.primitive in BODIES:
            outs = evaluate(eqn.params[BODIES[eqn.primitive]], *ins)
        elif eqn.primitive in CONTROL:
            outs = CONTROL[eqn.primitive](ins, eqn.params, eqn.outvars)
        else:
            rule = RULES.get(eqn.primitive) or functools.partial(_bound_by_jax, eqn.primitive)
            outs = rule(*ins, **eqn.params)
            outs = outs if eqn.primitive.multiple_results else [outs]
        values.update(zip(eqn.outvars, outs, strict=True))
    return [read(atom) for atom in body.outvars]


def _bound_by_jax(primitive, *operands, **params):
    bound = primitive.bind(*operands, **primitive.get_bind_params(params))
    return [np.asarray(b) for b in bound] if primitive.multiple_results else np.asarray(bound)


def run(fun, x) -> list:
    """The leaves of `fun(x)`, traced by jax and evaluated by numpy."""
    return evaluate(jax.make_jaxpr(fun)(x), x)
