"""Whether images of a batch meet after a declared layer has rolled each by itself.

Adaptive sampling chooses a phase for each image, so a shift rolls one image by this and another by
that. Sums over rolled images, or of an image and its neighbour, then follow no shift. So beside a
value that is rolled goes a second one, whose images move along the endless line: as long as each
position of the batch sees its own image alone, they have not met.
"""

import itertools
from collections.abc import Callable, Sequence

from jaxinv.declarations import declare_p
from jaxinv.symmetry.program import Equation, inner_jaxprs
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.values import LINE_LENGTH, Torus, Value, constant, tracked_input


class Batches:
    """The batches of rolled images that a walk has met.

    Attributes:
      apply_rule: from a context, an equation and its operands to the results.
    """

    def __init__(self, apply_rule: Callable[[Context, Equation, Sequence[Value]], list[Value]]):
        self.apply_rule = apply_rule
        # Per number the second value, and the lengths of the batch that moves along its axes.
        self._seen: dict[int, tuple[Value, tuple[int, ...]]] = {}

    def meet(
        self,
        ctx: Context,
        equation: Equation,
        operands: Sequence[Value],
        results: Sequence[Value],
    ) -> bool:
        """Whether images that were rolled one by one meet in the results of an equation."""
        rolled = [i for i, v in enumerate(operands) if _is_rolled(v)]
        several = [i for i in rolled if equation.ins[i] in self._seen]
        if equation.primitive is declare_p and results[0] is not operands[1]:
            if not equation.params["decides"]:
                return 0 in several  # the promise is about shifts that all images share
            self._note(equation.outs[0], results[0].shape, equation.in_avals[2].shape)
            return False
        known = {None, *itertools.chain(*(operands[i].decisions for i in rolled))}
        if inner_jaxprs(equation.params) and any(
            _is_rolled(r) and not known.issuperset(r.decisions) for r in results
        ):
            return True  # chosen anew in each round
        # A sum over an image is rolled no more, and may scale the image that it was taken of.
        carried = {i: self._seen[n] for i, n in enumerate(equation.ins) if n in self._seen}
        if not carried:
            return False
        lengths = carried[several[0] if several else min(carried)][1]
        if any(carried[i][1] != lengths for i in several):
            return True
        values = [constant(None, v.shape, len(lengths), known=False) for v in operands]
        for i, (value, others) in carried.items():
            values[i] = value if others == lengths else values[i]
        found = self.apply_rule(Context(_line(lengths), ctx.program), equation, values)
        for number, result, batch in zip(equation.outs, results, found, strict=True):
            if _is_apart(batch, lengths):
                self._seen[number] = batch, lengths
            elif _is_rolled(result) or len(several) > 1:
                return True
        return False

    def _note(self, number: int, shape: Sequence[int], choices: Sequence[int]) -> None:
        """Notes that a result has rolls of its own along each leading dimension of the choices."""
        pairs = enumerate(zip(shape, choices, strict=False))
        leading = itertools.takewhile(lambda pair: pair[1][0] == pair[1][1], pairs)
        dims = [dim for dim, (n, _) in leading if n > 1]
        if dims:
            lengths = tuple(shape[dim] for dim in dims)
            batch = tracked_input(None, shape, dims, (0,) * len(dims), _line(lengths))
            self._seen[number] = batch, lengths


def _line(lengths: Sequence[int]) -> Torus:
    count = len(lengths)
    return Torus((LINE_LENGTH,) * count, (None,) * count, endless=True, bordered=False)


def _is_rolled(value: Value) -> bool:
    """Whether it moves by rolls that were chosen from the data."""
    return any(
        decision is not None and value.moves_along(axis)
        for axis, decision in enumerate(value.decisions)
    )


def _is_apart(batch: Value, lengths: Sequence[int]) -> bool:
    """Whether each position along the batch sees its own image and no other."""
    for axis, length in enumerate(lengths):
        windows = [window for _, window in batch.windows(axis)]
        if batch.period[axis] != 1 or len(windows) != 1 or windows[0].rate != 1:
            return False
        offset, valid = windows[0].offset, windows[0].valid
        if valid != (-offset, length - offset):
            return False
    return True
