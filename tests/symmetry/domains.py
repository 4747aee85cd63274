"""Which shifts a random program is run at, and what brute force is: numpy moves the input."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Domain:
    """The options of an orbit, and the shifts that they mean, by the conventions of its docs.

    Attributes:
      mode: what enters at the border.
      table: every shift tuple, in the order of the orbit's flattened leading axes.
      lead: the sizes of those axes.
      options: `max_shift` and `shifts` as `jaxinv.orbit` takes them, and `chunk`.
      forced: whether everything that can be shared is, whatever it costs.
      larger: for `mode="crop"` the larger image, else None.
    """

    mode: str
    table: tuple[tuple[int, ...], ...]
    lead: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    forced: bool = False
    larger: Any = None

    def argument(self, x):
        """What the orbit is called with."""
        return x if self.larger is None else self.larger

    def moved(self, x, shift, axes):
        """The input at a shift: `y[i] = x[i - t]`, filled at the border by the mode's rule."""
        if self.mode == "wrap":
            return np.roll(x, shift, axes)
        if self.mode == "crop":
            window = self.larger
            for axis, t in zip(axes, shift, strict=True):
                start = (self.larger.shape[axis] - x.shape[axis]) // 2 - t
                window = window.take(range(start, start + x.shape[axis]), axis)
            return window
        for axis, t in zip(axes, shift, strict=True):
            widths = [(abs(t), abs(t)) if i == axis else (0, 0) for i in range(x.ndim)]
            n = x.shape[axis]
            x = np.pad(x, widths, mode=self.mode).take(range(abs(t) - t, abs(t) - t + n), axis)
        return x

    def moved_back(self, gradient, shift, axes):
        """The transpose of `moved`, on the argument."""
        if self.mode == "wrap":
            return np.roll(gradient, [-t for t in shift], axes)
        # `moved` takes entries: each entry of its result is one of the argument's, or a zero.
        like = self.argument(gradient)
        numbered = np.arange(1, like.size + 1).reshape(like.shape)
        if self.larger is None:
            sources = self.moved(numbered, shift, axes)
        else:
            sources = Domain(self.mode, (), (), larger=numbered).moved(gradient, shift, axes)
        out = np.zeros(like.size + 1, gradient.dtype)
        np.add.at(out, sources.reshape(-1), gradient.reshape(-1))
        return out[1:].reshape(like.shape)

    def __str__(self) -> str:
        return f"mode {self.mode}, {self.options}{', all shared' if self.forced else ''}"


def draw_domain(d, x, axes) -> Domain:
    """Every circular shift mostly; or few of them, or shifts of another mode."""
    sizes = [x.shape[a] for a in axes]
    forced, chunk = d.chance(50), d.one_of((None, 1, 4, 4))
    mode = d.one_of(("constant", "edge", "reflect", "crop")) if d.chance(20) else "wrap"
    kind = d.one_of(("max_shift", "shifts")) if mode != "wrap" else (
        d.one_of(("all", "all", "all", "shifts", "shifts", "max_shift"))
    )  # fmt: skip
    options: dict[str, Any] = {"chunk": chunk}
    larger, limits = None, None
    if mode == "crop" or kind == "max_shift":
        limits = [d.integer(0 if i else 1, 2 if n > 5 else 1) for i, n in enumerate(sizes)]
        options["max_shift"] = tuple(limits)
    if mode == "crop":
        widths = [(0, 0)] * x.ndim
        for axis, m in zip(axes, limits, strict=True):
            widths[axis] = (m, m)
        larger = np.pad(x, widths, mode="wrap")
        border = np.pad(np.zeros(x.shape, bool), widths, constant_values=True)
        larger[border] = d.numbers.permutation(larger[border])
    if kind == "all":
        rows = [range(n) for n in sizes]
    elif kind == "max_shift":
        rows = [range(-m, m + 1) for m in limits]
    else:
        reach = limits if mode == "crop" else [max(1, n - 1) for n in sizes]
        count = d.integer(1, 5)
        if d.chance(40):  # neighbours: positions at the far end are not read by strided programs
            reach = [min(1, r) for r in reach]
        listed = tuple(tuple(d.integer(-r, r) for r in reach) for _ in range(count))
        options["shifts"] = listed
        return Domain(mode, listed, (len(listed),), options, forced, larger)
    table = tuple(itertools.product(*rows))
    return Domain(mode, table, tuple(map(len, rows)), options, forced, larger)
