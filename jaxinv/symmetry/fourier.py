"""Fourier filters and power spectra: what comes of a transform in the end, as one equation.

A spectrum follows the shift by phases, which no layout holds. What comes of it in the end does: to
multiply each frequency by a number of its own and to transform back is a circular convolution, and
the absolute value of a spectrum has no phase. So the way from a signal to that is read as a whole.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Spectrum:
    """What stands on the way from a signal to a filtered one.

    Attributes:
      signal: the value that was transformed.
      params: those of the transform.
      dims: where the signal's dimensions are now.
      mixed: the signal's dimensions along which it was multiplied by what may differ.
      path: the equations up to here, in order.
      conjugate: whether it is the complex conjugate.
    """

    signal: int
    params: dict[str, Any]
    dims: tuple[int, ...]
    mixed: frozenset[int]
    path: tuple[Any, ...]
    conjugate: bool = False


@dataclass(frozen=True, eq=False)
class Filter:
    """The equations from a signal to the filtered signal, or to its power, as one function.

    Attributes:
      path: the equations.
      ins: the operands, the signal first.
      dims: for each dimension of the result that of the signal.
      along: the dimensions of the signal that are transformed.
      mixed: those along which its positions are not treated alike.
      is_power: whether the result has no phases: no shift along `along` changes it.
    """

    path: tuple[Any, ...]
    ins: tuple[int, ...]
    dims: tuple[int, ...]
    along: tuple[int, ...]
    mixed: frozenset[int]
    is_power: bool = False

    def __call__(self, *operands) -> list[Any]:
        """The filtered signal, or its power."""
        values = dict(zip(self.ins, operands, strict=True))
        for equation in self.path:
            outs = equation.bind(*(values[i] for i in equation.ins))
            values.update(zip(equation.outs, outs, strict=True))
        return [values[self.path[-1].outs[0]]]


def with_filters(equations: Sequence[Any]) -> list[Any]:
    """The equations with each transform back as the filter that it ends, if it ends one.

    What only led there is left to no one, and is not evaluated.
    """
    spectra: dict[int, Spectrum] = {}
    written = []
    for equation in equations:
        last = _next(equation, spectra)
        if isinstance(last, Spectrum):
            spectra[equation.outs[0]] = last
        elif isinstance(last, Filter):
            avals = {i: a for e in last.path for i, a in zip(e.ins, e.in_avals, strict=True)}
            equation = dataclasses.replace(
                equation, ins=last.ins, in_avals=tuple(avals[i] for i in last.ins), whole=last
            )
        written.append(equation)
    return written


def _next(equation, spectra: dict[int, Spectrum]) -> Spectrum | Filter | None:
    """What an equation makes of a spectrum."""
    known = [i for i in equation.ins if i in spectra]
    if equation.primitive is primitives.fft_p:
        spectrum = spectra.get(equation.ins[0])
        ended = spectrum and _filter(equation, spectrum, (*spectrum.path, equation))
        return ended or _transformed(equation)
    if len(known) == 2 and equation.primitive is primitives.mul_p:
        return _product(equation, *(spectra[i] for i in known))
    if len(known) != 1:
        return None
    spectrum = spectra[known[0]]
    path = (*spectrum.path, equation)
    if equation.primitive is primitives.abs_p:
        return _power(spectrum, path)
    if equation.primitive is primitives.conj_p:
        return dataclasses.replace(spectrum, path=path, conjugate=not spectrum.conjugate)
    pads = equation.params.get("padding_config", ())
    unpadded = equation.primitive is primitives.pad_p and not any(map(any, pads))
    if equation.primitive in _LINEAR or unpadded:
        return dataclasses.replace(spectrum, path=path)
    if equation.primitive is primitives.transpose_p:
        order = list(equation.params["permutation"])
        dims = tuple(order.index(d) for d in spectrum.dims)
        return dataclasses.replace(spectrum, dims=dims, path=path)
    divided = equation.primitive is primitives.div_p and equation.ins[0] != known[0]
    if equation.primitive not in _PRODUCTS or divided:
        return None
    (other,) = (
        aval for i, aval in zip(equation.ins, equation.in_avals, strict=True) if i != known[0]
    )
    own = equation.in_avals[equation.ins.index(known[0])].shape
    if other.shape and equation.out_avals[0].shape != own:
        return None
    mixed = {s for s, d in enumerate(spectrum.dims) if other.shape and other.shape[d] != 1}
    return dataclasses.replace(spectrum, mixed=spectrum.mixed | mixed, path=path)


def _transformed(equation) -> Spectrum | None:
    if equation.params["fft_type"] not in _FORTH:
        return None
    dims = tuple(range(len(equation.in_avals[0].shape)))
    return Spectrum(equation.ins[0], equation.params, dims, frozenset(), (equation,))


def _product(equation, one: Spectrum, two: Spectrum) -> Filter | None:
    """A spectrum times its conjugate."""
    alike = (one.signal, one.dims, one.params) == (two.signal, two.dims, two.params)
    if not alike or one.conjugate == two.conjugate:
        return None
    path = (*one.path, *(e for e in two.path if not any(e is o for o in one.path)), equation)
    return _power(dataclasses.replace(one, mixed=one.mixed | two.mixed), path)


def _power(spectrum: Spectrum, path: tuple[Any, ...]) -> Filter:
    """What is left of a spectrum without its phases."""
    rank = len(spectrum.dims)
    along = tuple(range(rank - len(spectrum.params["fft_lengths"]), rank))
    mixed = spectrum.mixed - set(along)
    return dataclasses.replace(_ended(spectrum, path), mixed=mixed, is_power=True)


def _filter(equation, spectrum: Spectrum, path: tuple[Any, ...]) -> Filter | None:
    """The filter that a transform back ends, if it undoes the transform forth."""
    params, forth = equation.params, spectrum.params
    count = len(params["fft_lengths"])
    rank = len(spectrum.dims)
    back = tuple(spectrum.dims.index(d) for d in range(rank))
    if (
        _BACK.get(params["fft_type"]) != forth["fft_type"]
        or tuple(params["fft_lengths"]) != tuple(forth["fft_lengths"])
        or back[rank - count :] != tuple(range(rank - count, rank))
        or spectrum.conjugate  # That of a signal whose positions are reversed.
    ):
        return None
    return _ended(spectrum, path)


def _ended(spectrum: Spectrum, path: tuple[Any, ...]) -> Filter:
    """The equations as one function of the signal and of what else they read."""
    inner = {out for e in path for out in e.outs}
    others = dict.fromkeys(
        i for e in path for i in e.ins if i not in inner and i != spectrum.signal
    )
    rank, count = len(spectrum.dims), len(spectrum.params["fft_lengths"])
    return Filter(
        path=path,
        ins=(spectrum.signal, *others),
        dims=tuple(spectrum.dims.index(d) for d in range(rank)),
        along=tuple(range(rank - count, rank)),
        mixed=spectrum.mixed,
    )
