"""Fourier filters and power spectra: what comes of a transform in the end, as one equation.

A spectrum follows the shift by phases, which no layout holds. What comes of it in the end does: to
multiply each frequency by a number of its own and to transform back is a circular convolution, and
the absolute value of a spectrum has no phase. So the way from a signal to that is read as a whole.

On the way frequencies may be cut out, mixed over channels by matrices, and put among zeros (a
Fourier neural operator). Each number there is zero, or linear over the complex numbers in what the
signal holds at one frequency: a shift multiplies it by the phase of that frequency. Which one it is
goes through the same equations as the number does. Where the transform back begins, each number has
to be of the frequency of its place.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend.core import primitives
from jax.lax import FftType

_BACK = {
    FftType.IFFT: FftType.FFT,
    FftType.IRFFT: FftType.RFFT,
    FftType.FFT: FftType.IFFT,  # As derivatives have it.
}
_FORTH = frozenset(_BACK.values())
_LINEAR = {primitives.neg_p, primitives.convert_element_type_p, primitives.copy_p}
_PRODUCTS = {primitives.mul_p, primitives.div_p}
# What puts numbers elsewhere.
_MOVING = {
    primitives.broadcast_in_dim_p,
    primitives.concatenate_p,
    primitives.dynamic_update_slice_p,
    primitives.gather_p,
    primitives.pad_p,
    primitives.reshape_p,
    primitives.rev_p,
    primitives.scatter_p,
    primitives.slice_p,
    primitives.squeeze_p,
}
# Spectra of more numbers are not followed through what moves or mixes them.
_LARGEST = 1 << 24
# In place of the number of a frequency, where all is zero.
_ZERO = -1


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What stands on the way from a signal to a filtered one.

    Attributes:
      signal: the value that was transformed.
      params: those of the transform.
      along: the signal's dimensions that were transformed.
      dims: for each dimension that of the signal, if it is one that was not transformed, as it is.
      frequencies: of each of its numbers, by number the frequency that it is of.
      mixed: the signal's dimensions along which it was multiplied by what may differ.
      path: the equations up to here, in order.
      conjugate: whether it is the complex conjugate.
    """

    signal: int
    params: dict[str, Any]
    along: tuple[int, ...]
    dims: tuple[int | None, ...]
    frequencies: np.ndarray
    mixed: frozenset[int]
    path: tuple[Any, ...]
    conjugate: bool = False

    def joined(self, other: "Spectrum") -> "Spectrum | None":
        """Both ways as one, if they are of one signal and one layout."""
        own, others = ((s.signal, s.dims, s.params, s.conjugate) for s in (self, other))
        if own != others:
            return None
        path = (*self.path, *(e for e in other.path if not any(e is o for o in self.path)))
        return dataclasses.replace(self, mixed=self.mixed | other.mixed, path=path)


@dataclass(frozen=True, eq=False)
class Filter:
    """The equations from a signal to the filtered signal, or to its power, as one function.

    Attributes:
      path: the equations.
      ins: the operands, the signal first.
      dims: for each dimension of the result that of the signal, or None.
      along: the dimensions of the signal that are transformed.
      mixed: those whose positions are not treated alike, but for the frequencies of a filter.
      is_power: whether the result has no phases: no shift along `along` changes it.
    """

    path: tuple[Any, ...]
    ins: tuple[int, ...]
    dims: tuple[int | None, ...]
    along: tuple[int, ...]
    mixed: frozenset[int]
    is_power: bool = False

    @property
    def holds_sizes(self) -> bool:
        """Whether equations on the way take arrays of the program's sizes only."""
        return any(e.primitive in _MOVING and not _keeps_all(e) for e in self.path)

    def __call__(self, *operands) -> list[Any]:
        """The filtered signal, or its power."""
        values = dict(zip(self.ins, operands, strict=True))
        for equation in self.path:
            outs = equation.bind(*(values[i] for i in equation.ins))
            values.update(zip(equation.outs, outs, strict=True))
        return [values[self.path[-1].outs[0]]]


def with_filters(program) -> list[Any]:
    """The equations of a program with each transform back as the filter that it ends, if any.

    What only led there is left to no one, and is not evaluated.
    """
    spectra: dict[int, Spectrum] = {}
    written = []
    for equation in program.equations:
        last = _next(program, equation, spectra)
        if isinstance(last, Spectrum):
            spectra[equation.outs[0]] = last
        elif isinstance(last, Filter):
            avals = tuple(program.avals[i] for i in last.ins)
            equation = dataclasses.replace(equation, ins=last.ins, in_avals=avals, whole=last)
        written.append(equation)
    return written


def _next(program, equation, spectra: dict[int, Spectrum]) -> Spectrum | Filter | None:
    """What an equation makes of spectra."""
    known = [spectra[i] for i in equation.ins if i in spectra]
    if equation.primitive is primitives.fft_p:
        ended = _filter(equation, known[0]) if known else None
        return ended or _transformed(equation)
    if len(known) == 2 and equation.primitive is primitives.mul_p:
        return _product(equation, *known)
    if known and equation.primitive in _MOVING and not _keeps_all(equation):
        return _moved(program, equation, spectra)
    if len(known) != 1:
        return None
    (spectrum,) = known
    path = (*spectrum.path, equation)
    if equation.primitive is primitives.abs_p:
        return _power(spectrum, equation)
    if equation.primitive is primitives.conj_p:
        return dataclasses.replace(spectrum, path=path, conjugate=not spectrum.conjugate)
    if equation.primitive in _LINEAR or _keeps_all(equation):
        return dataclasses.replace(spectrum, path=path)
    if equation.primitive is primitives.transpose_p:
        order = equation.params["permutation"]
        dims, frequencies = tuple(spectrum.dims[d] for d in order), spectrum.frequencies
        return dataclasses.replace(
            spectrum, dims=dims, frequencies=frequencies.transpose(order), path=path
        )
    side = 0 if equation.ins[0] in spectra else 1
    if equation.primitive is primitives.dot_general_p:
        return _contracted(equation, spectrum, side)
    if equation.primitive not in _PRODUCTS or (equation.primitive is primitives.div_p and side):
        return None
    own, other = (equation.in_avals[i].shape for i in (side, 1 - side))
    if other and equation.out_avals[0].shape != own:
        return None
    mixed = _of_signal(spectrum, [d for d, n in enumerate(other) if n != 1])
    return dataclasses.replace(spectrum, mixed=spectrum.mixed | mixed, path=path)


def _keeps_all(equation) -> bool:
    """Whether it is padding by nothing."""
    pads = equation.params.get("padding_config", ())
    return equation.primitive is primitives.pad_p and not any(map(any, pads))


def _of_signal(spectrum: Spectrum, dims: Sequence[int]) -> frozenset[int]:
    """The signal's dimensions that these are."""
    return frozenset(s for d in dims if (s := spectrum.dims[d]) is not None)


def _transformed(equation) -> Spectrum | None:
    if equation.params["fft_type"] not in _FORTH:
        return None
    shape = equation.out_avals[0].shape
    first = len(shape) - len(equation.params["fft_lengths"])
    return Spectrum(
        signal=equation.ins[0],
        params=equation.params,
        along=tuple(range(first, len(shape))),
        dims=tuple(d if d < first else None for d in range(len(shape))),
        frequencies=_in_place(shape, len(shape) - first),
        mixed=frozenset(),
        path=(equation,),
    )


def _in_place(shape: Sequence[int], count: int) -> np.ndarray:
    """The numbers of the frequencies along the last dimensions, in their order."""
    sizes = shape[len(shape) - count :]
    return np.broadcast_to(np.arange(math.prod(sizes)).reshape(sizes), shape)


def _product(equation, one: Spectrum, two: Spectrum) -> Filter | None:
    """A spectrum times its conjugate."""
    both = one.joined(dataclasses.replace(two, conjugate=not two.conjugate))
    same = np.array_equal(one.frequencies, two.frequencies)
    return _power(both, equation) if both is not None and same else None


def _contracted(equation, spectrum: Spectrum, side: int) -> Spectrum | None:
    """Each frequency times a matrix of its own, or all times the same."""
    contracted, batch = (pair[side] for pair in equation.params["dimension_numbers"])
    shape = equation.out_avals[0].shape
    if not 0 < spectrum.frequencies.size <= _LARGEST:
        return None
    kept = [*batch, *(d for d in range(len(spectrum.dims)) if d not in (*contracted, *batch))]
    sizes = [spectrum.frequencies.shape[d] for d in kept]
    rows = spectrum.frequencies.transpose(*kept, *contracted).reshape(*sizes, -1)
    frequencies = rows.max(-1)
    if ((rows != frequencies[..., None]) & (rows != _ZERO)).any():
        return None  # A sum over several frequencies.
    # The free dimensions of the other stand behind those of the spectrum, or before them.
    start = len(kept) if side == 0 else len(batch)
    new = range(start, start + len(shape) - len(kept))
    dims = [spectrum.dims[d] for d in kept]
    dims[start:start] = [None] * len(new)
    return dataclasses.replace(
        spectrum,
        dims=tuple(dims),
        frequencies=np.broadcast_to(np.expand_dims(frequencies, tuple(new)), shape),
        mixed=spectrum.mixed | _of_signal(spectrum, (*contracted, *batch)),
        path=(*spectrum.path, equation),
    )


def _moved(program, equation, spectra: dict[int, Spectrum]) -> Spectrum | None:
    """Frequencies that are cut out, or put beside one another and among zeros.

    Numbers go through the equation that tell frequency and position along all other dimensions:
    those positions have to stay as they are.
    """
    parts = [spectra.get(i) for i in equation.ins]
    whole = next(part for part in parts if part is not None)
    shape, dims = equation.out_avals[0].shape, whole.dims
    if equation.primitive in (primitives.reshape_p, primitives.squeeze_p):
        dims = _regrouped(dims, whole.frequencies.shape, shape)
    if equation.primitive is primitives.broadcast_in_dim_p:
        sources = dict(zip(equation.params["broadcast_dimensions"], dims, strict=True))
        dims = tuple(sources.get(d) for d in range(len(shape)))
    if (
        len(dims) != len(shape)
        or not 0 < math.prod(shape) <= _LARGEST
        or equation.params.get("update_jaxpr") is not None
    ):
        return None
    sizes = [dict(zip(s.dims, s.frequencies.shape, strict=True)) for s in parts if s is not None]
    # One of which part is cut out is not as it was.
    dims = tuple(
        s if all(n.get(s) == size for n in sizes) else None
        for s, size in zip(dims, shape, strict=True)
    )
    places = _places(dims, shape, dims)
    operands = []
    for number, part in zip(equation.ins, parts, strict=True):
        if part is not None:
            both, own = whole.joined(part), part.frequencies
            numbers = own * (places.max() + 1) + _places(part.dims, own.shape, dims)
            if both is None or numbers.max(initial=0) > np.iinfo(np.int32).max:
                return None
            whole = both
            operands.append(np.where(own == _ZERO, _ZERO, numbers).astype(np.int32))
            continue
        constant = program.known_value(number)
        places_given = constant is not None and np.issubdtype(constant.dtype, np.integer)
        if constant is None or (constant.any() and not places_given):
            return None
        operands.append(constant if places_given else np.full(constant.shape, _ZERO, np.int32))
    with jax.ensure_compile_time_eval():
        moved = np.asarray(equation.bind(*operands)[0])
    frequencies, found = np.divmod(moved, places.max() + 1)
    if ((found != places) & (frequencies != _ZERO)).any() or (frequencies < _ZERO).any():
        return None
    return dataclasses.replace(
        whole, dims=dims, frequencies=frequencies, path=(*whole.path, equation)
    )


def _regrouped(dims: Sequence[int | None], old: Sequence[int], new: Sequence[int]) -> tuple:
    """The dimensions after a reshape: those that have as many positions before and in them."""
    kept = {(math.prod(old[:d]), n): dims[d] for d, n in enumerate(old) if n > 1}
    return tuple(kept.get((math.prod(new[:d]), n)) for d, n in enumerate(new))


def _places(
    dims: Sequence[int | None], shape: Sequence[int], kept: Sequence[int | None]
) -> np.ndarray:
    """One number for each position along those of the signal's dimensions that are kept."""
    places = np.zeros((1,) * len(shape), int)
    for _, d in sorted((s, d) for d, s in enumerate(dims) if s is not None and s in kept):
        row = [-1 if other == d else 1 for other in range(len(shape))]
        places = places * shape[d] + np.arange(shape[d]).reshape(row)
    return places


def _power(spectrum: Spectrum, equation) -> Filter:
    """What is left of a spectrum without its phases."""
    ended = _ended(spectrum, equation)
    return dataclasses.replace(ended, mixed=ended.mixed | set(ended.along), is_power=True)


def _filter(equation, spectrum: Spectrum) -> Filter | None:
    """The filter that a transform back ends, if it undoes the transform forth."""
    params, forth = equation.params, spectrum.params
    count = len(spectrum.along)
    at_place = spectrum.frequencies == _in_place(spectrum.frequencies.shape, count)
    if (
        _BACK.get(params["fft_type"]) != forth["fft_type"]
        or tuple(params["fft_lengths"]) != tuple(forth["fft_lengths"])
        or any(dim is not None for dim in spectrum.dims[-count:])
        or not (at_place | (spectrum.frequencies == _ZERO)).all()
        or spectrum.conjugate  # That of a signal whose positions are reversed.
    ):
        return None
    ended = _ended(spectrum, equation)
    return dataclasses.replace(ended, dims=(*spectrum.dims[:-count], *spectrum.along))


def _ended(spectrum: Spectrum, equation) -> Filter:
    """The equations as one function of the signal and of what else they read."""
    path = (*spectrum.path, equation)
    inner = {out for e in path for out in e.outs}
    others = dict.fromkeys(
        i for e in path for i in e.ins if i not in inner and i != spectrum.signal
    )
    gone = set(range(spectrum.along[0])) - set(spectrum.dims)
    return Filter(
        path=path,
        ins=(spectrum.signal, *others),
        dims=spectrum.dims,
        along=spectrum.along,
        mixed=spectrum.mixed | gone,
    )
