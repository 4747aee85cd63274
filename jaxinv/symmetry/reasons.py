"""Why a symmetry thins or ends: the causes that rules name, with details, and their words."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class Cause(enum.Enum):
    """What a rule found; the text says it, with the details that the rule gave.

    A rule makes a reason by calling a cause with its details:

      >>> print(Cause.STRIDE(stride=2, period=4))
      stride 2: multiples of 4 only
    """

    # The symmetry thins.
    STRIDE = "stride {stride}: {shifts} only"
    CONSTANT_REPEATS = "a constant repeats every {count} positions: multiples of {period} only"
    GROUPS = "split into groups of {size}: multiples of {period} only"
    OPPOSITE_DIRECTIONS = "opposite directions meet: multiples of {period} only"
    # It ends: sizes.
    STRIDE_DOES_NOT_DIVIDE = "{positions} positions are not divisible by stride {stride}"
    GROUPS_DO_NOT_DIVIDE = "{positions} is not divisible by {size}"
    # It ends: borders.
    ZERO_PADDING = "zero padding of {width} meets the border"
    CONSTANT_PADDING = "constant padding of {width} meets the border"
    POOL_PADDING = "padding of {width} meets the border"
    EDGE_PADDING = "edge padding meets the border"
    REFLECT_PADDING = "reflect padding meets the border"
    BEYOND_BORDER = "what lies beyond the border is read"
    OTHER_PADDING = "padding that does not wrap around meets the border"
    ONLY_BORDER = "every receptive field meets the border"
    BORDER_REDUCED = "positions up to the border are reduced"
    # It ends: fixed positions.
    DENSE = "Dense after flatten mixes fixed positions"
    POSITIONS_MIXED = "weights that differ between positions mix them"
    RESAMPLING = "resampling weights differ between positions"
    POSITION_DEPENDENT = "a constant that differs between positions meets what moves"
    SINGLE_POSITION = "a single position is read"
    EXTREMUM_POSITION = "the position of an extremum is read"
    UNKNOWN_POSITIONS = "positions that are not known beforehand are read"
    REORDERED = "positions that move are put in another order"
    READ_UNEVENLY = "positions are read at uneven distances"
    REPLACED = "positions at a fixed place are replaced"
    PART_REDUCED = "{size} of {positions} positions are reduced"
    PART_CONTRACTED = "part of the positions that move is contracted"
    RANKED = "positions that move are ranked"
    RUNS_ALONG = "{primitive} runs along positions that move"
    FOURIER = "the Fourier transform runs along what moves"
    SCAN_ALONG = "the scan runs along what moves"
    # It ends: what moves differently meets.
    MOVE_DIFFERENTLY = "dimensions that move differently meet"
    STILL_JOINED = "positions that do not move are joined to positions that do"
    JOINED_DIFFERENTLY = "pieces that move differently are joined"
    FACTORS_DIFFER = "positions that are grouped differently meet"
    BRANCHES_DIFFER = "branches that move differently meet"
    DECISIONS_DIFFER = "values rolled by different decisions meet"
    PHASE_UNKNOWN = "the phase of a rolled value is not known"
    LOOP_CHANGES = "the body of a loop changes how what it carries moves"
    LOOP_EXITS = "shifts leave a loop at different times"
    BRANCH_CHOICES = "shifts choose different branches"
    # It ends: what moves lies where a primitive needs what does not.
    RESHAPE_CUTS = "a reshape cuts through positions that move"
    SLICE_CUTS = "a slice cuts through positions that move"
    WINDOW_OVER_PARTS = "a window slides over a dimension that moves in parts"
    UNPOOLED_OVERLAP = "a maximum is differentiated whose windows overlap or meet the border"
    CHANNELS_MIXED = "channels that move are mixed"
    BATCH_GROUPS_MIXED = "batch groups that move are mixed"
    KERNEL_MOVES = "the kernel moves with the input"
    # It ends: nothing is known of the operation.
    NO_RULE = "{primitive} has no rule"
    OWN_POOL = "a pool with a function or initial value of its own"
    OWN_REDUCTION = "a reduction by a function of its own"
    DERIVATIVE_MIXES = "a custom derivative mixes positions"
    DERIVATIVE_UNTRACEABLE = "its derivative cannot be traced"
    DERIVATIVE_MOVES = "its derivative moves differently"
    OWN_BACKWARD = "its backward pass is the caller's own"
    # It ends: a rule of the user's says why.
    OTHER = "{words}"

    def __call__(self, **detail: Any) -> "Reason":
        """A reason of this kind, with the details that its words need."""
        return Reason(self, tuple(detail.items()))


@dataclass(frozen=True)
class Reason:
    """Why the symmetry thins or ends along an axis.

    Attributes:
      cause: of which kind.
      details: what the words need, by name.
      axis: along which axis of the shifts; on the step of a certificate, along which dimension of
        the input; None before `Context.note` has heard of it.
    """

    cause: Cause
    details: tuple[tuple[str, Any], ...] = ()
    axis: int | None = None

    def __str__(self) -> str:
        detail = dict(self.details)
        if self.cause is Cause.STRIDE:
            even = detail["stride"] == detail["period"] == 2
            detail["shifts"] = "even shifts" if even else f"multiples of {detail['period']}"
        return self.cause.value.format(**detail)

    def to_dict(self) -> dict[str, Any]:
        """The reason as JSON can hold it."""
        return {"cause": self.cause.name.lower(), "axis": self.axis, **dict(self.details)}


def in_words(reasons: Iterable[Reason]) -> str:
    """Reasons as one text; what holds along several axes is said once."""
    return "; ".join(dict.fromkeys(map(str, reasons)))


# What ends the symmetry at the border of the image, and leaves it inside.
BORDERS = frozenset(
    {
        Cause.ZERO_PADDING,
        Cause.CONSTANT_PADDING,
        Cause.POOL_PADDING,
        Cause.EDGE_PADDING,
        Cause.REFLECT_PADDING,
        Cause.OTHER_PADDING,
        Cause.BEYOND_BORDER,
    }
)
# Whether the symmetry goes on is not known.
UNKNOWN = frozenset({Cause.NO_RULE, Cause.OWN_POOL, Cause.OWN_REDUCTION})
_CIRCULAR = "Circular padding would keep it; so would none (VALID), where content may leave."
_DIVISIBLE = "A size that the strides divide would keep multiples of the stride."
_ADVICE = {
    **dict.fromkeys(BORDERS, _CIRCULAR),
    Cause.BEYOND_BORDER: "No padding (VALID) would keep it.",
    Cause.STRIDE_DOES_NOT_DIVIDE: _DIVISIBLE,
    Cause.GROUPS_DO_NOT_DIVIDE: _DIVISIBLE,
    Cause.DENSE: "Global pooling instead would make the output invariant to those; "
    "see jaxinv.layers for the rest.",
    Cause.POSITIONS_MIXED: "A convolution instead would keep it; see jaxinv.layers.",
    Cause.POSITION_DEPENDENT: "Without it (a position embedding, a mask) the symmetry would go on.",
}


def advice(reasons: Iterable[Reason]) -> str:
    """The way out of what ends a symmetry, in a sentence, or ""."""
    return next((_ADVICE[r.cause] for r in reasons if r.cause in _ADVICE), "")
