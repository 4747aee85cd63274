"""Which equations all shifts share, and which run shift by shift."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from jaxinv.orbit.shift_set import ShiftSet
from jaxinv.orbit.torus import Embedding
from jaxinv.symmetry.cost import elements, flops, shared_flops
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.relayout import Context, Findings
from jaxinv.symmetry.rules.calls import states_of
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Torus, Value, is_broken, positions
from jaxinv.symmetry.walk import apply_rule, inputs_of, interpret


@dataclass(frozen=True)
class Plan:
    """How a program is evaluated at every shift.

    Attributes:
      traced: the program.
      embedding: the torus that its input lies on.
      differentiated: whether its derivatives, too, are those of evaluating each shift.
      shared: the equations that are evaluated once, on the cosets.
      deferred: those that are evaluated at each shift.
      states: what is known of each value that is held for all shifts at once.
      costs: of each equation its operations for all shifts if it is shared, else for one.
      single_cost: operations of the whole program, for one shift.
      held_bytes: bytes of the largest value that is held.
      best_end: after how many equations sharing should stop, for the least work in all.
      short_of_memory: whether equations are evaluated at each shift for want of memory alone.
      at_seams: whether its pieces meet at seams, where tokens are joined, and not at borders.
    """

    traced: Traced
    embedding: Embedding
    differentiated: bool
    shared: tuple[Equation, ...]
    deferred: tuple[Equation, ...]
    states: dict[int, Value]
    costs: dict[Equation, int]
    single_cost: int
    held_bytes: int
    best_end: int
    short_of_memory: bool
    at_seams: bool = False

    @property
    def equations(self) -> int:
        """The number of equations that the outputs depend on."""
        return len(self.shared) + len(self.deferred)

    @property
    def shifts(self) -> ShiftSet:
        """The shifts asked for."""
        return self.embedding.shifts

    @property
    def shared_cost(self) -> int:
        """Operations of the shared equations, for all shifts."""
        return sum(self.costs[equation] for equation in self.shared)

    @property
    def deferred_cost(self) -> int:
        """Operations of the others, for one shift."""
        return sum(self.costs[equation] for equation in self.deferred)

    def saves_nothing(self) -> bool:
        """Whether evaluating each shift on its own costs no more."""
        return self.cost() >= 0.98 * self.shifts.count * self.single_cost

    def cost(self) -> int:
        """Operations for all shifts."""
        return self.shared_cost + self.shifts.count * self.deferred_cost


def make_plan(
    traced: Traced,
    embedding: Embedding,
    *,
    differentiated: bool,
    memory: float,
    end: int | None = None,
) -> Plan:
    """Decides for each equation.

    An equation runs shift by shift if an operand does, if it has a backward pass of its own, if
    its result has a value of its own at every shift and is not a correlation or the like that
    finds all of them at once, or if holding the result for all shifts takes too much memory.

    Args:
      traced: the program.
      embedding: the torus that its input lies on.
      differentiated: whether derivatives, too, have to be those of evaluating each shift.
      memory: bytes that held values may take.
      end: after this many equations sharing stops, but for what no shift changes.
    """
    program, torus = traced.program, embedding.torus
    shared: list[Equation] = []
    deferred: list[Equation] = []
    costs: dict[Equation, int] = {}
    held = [0]
    # What sharing the first k equations costs beyond running all of them at each shift.
    balance = [0]
    short_of_memory = False

    def decided(ctx: Context, equation: Equation, operands: Sequence[Value] | None):
        """The states of what is shared; None for what runs at each shift."""
        nonlocal short_of_memory
        once = flops(equation)
        late = end is not None and len(balance) > end
        results = None
        if operands is not None and not equation.has_own_backward:
            findings = Findings()
            results = apply_rule(dataclasses.replace(ctx, findings=findings), equation, operands)
            size = _held_bytes(torus, equation, results)
            if not all(v.is_constant for v in results):
                alone = late or _runs_at_each_shift(torus, operands, results, findings)
                short_of_memory |= size > memory and not alone
                if alone or size > memory:
                    results = None
        if operands is None or results is None:
            deferred.append(equation)
            costs[equation] = once
            balance.append(balance[-1])
            return None
        shared.append(equation)
        cost = shared_flops(torus, equation, operands, results[0])
        costs[equation] = cost
        held.append(size)
        balance.append(balance[-1] + cost - embedding.shifts.count * once)
        return states_of(results)

    ctx = Context(torus, program, differentiated=differentiated)
    equations = _needed(program.equations, program.outputs)
    inputs = inputs_of(traced, torus, embedding.offsets)
    states = interpret(ctx, program, inputs, decided, equations)
    return Plan(
        traced=traced,
        embedding=embedding,
        differentiated=differentiated,
        shared=tuple(shared),
        deferred=tuple(deferred),
        states=states,
        costs=costs,
        single_cost=sum(map(flops, equations)),
        held_bytes=max(held),
        best_end=min(range(len(balance)), key=lambda k: (balance[k], -k)),
        short_of_memory=short_of_memory,
    )


def _held_bytes(torus: Torus, equation: Equation, results: Sequence[Value]) -> int:
    return sum(
        _held_elements(torus, v) * aval.dtype.itemsize
        for v, aval in zip(results, equation.out_avals, strict=True)
        if hasattr(aval.dtype, "itemsize")  # Random keys have none.
    )


def _held_elements(torus: Torus, value: Value) -> int:
    """Stored elements, with the windows continued over the edge as `reader` continues them."""
    count = elements(torus, value)
    for _, window in value.windows():
        stored = positions(torus, value, window)
        count = count * (stored + window.size - 1) // stored
    return count


def _runs_at_each_shift(torus, operands: Sequence[Value], results, findings: Findings) -> bool:
    axes = range(len(torus.lengths))
    alone = any(all(is_broken(torus, v, axis) for axis in axes) for v in results)
    if not alone:
        return False
    # A correlation or a box filter finds the values of all shifts at once.
    common = any(v.moves for v in operands)
    return findings.expanded or not common


def _needed(equations: Sequence[Equation], outputs: Sequence[int]) -> list[Equation]:
    """The equations that the outputs depend on."""
    needed, kept = set(outputs), []
    for equation in reversed(equations):
        if not needed.isdisjoint(equation.outs):
            kept.append(equation)
            needed.update(equation.ins)
    return kept[::-1]


def frontier(plan: Plan) -> list[int]:
    """The held values that the shift-by-shift equations and the outputs read."""
    deferred = {out for equation in plan.deferred for out in equation.outs}
    read = [i for equation in plan.deferred for i in equation.ins] + plan.traced.program.outputs
    return [i for i in dict.fromkeys(read) if i not in deferred]


def shared_needed(plan: Plan) -> list[Equation]:
    """The shared equations that the frontier depends on."""
    return _needed(plan.shared, frontier(plan))
