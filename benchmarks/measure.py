"""One row of the benchmark: a network at every shift, computed in each way, and what that gives."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.case import AT_LEAST, Case
from benchmarks.compiled import Program, compiled, memory_of
from benchmarks.limits import border_bound
from benchmarks.timing import Contender, best, interleave, ratio
from jaxinv.orbit import OrbitCost, orbit, orbit_cost
from jaxinv.tolerances import tolerance
from jaxinv.training import cross_entropy, orbit_loss

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How thoroughly it is measured.

    Attributes:
      dtype: of weights and images, by JAX's name.
      rounds: times that each computation is measured.
      at_least: seconds of one measurement.
      chunks: shifts evaluated together by brute force; None: the library's choice.
      torch_chunks: the same for PyTorch.
      torch_layouts: of PyTorch's images and kernels in memory.
      sample: at most so many shifts are timed one after the other; None: as the case says.
      torch: whether PyTorch is measured as well.
      loops: whether one shift after the other is timed as well.
      quick: figures are not held against the aims.
      until: no further round begins after this time of `time.monotonic()`, if any.
    """

    dtype: str = "float32"
    rounds: int = 5
    at_least: float = 1.0
    chunks: tuple[int | None, ...] = (None, 1, 4, 16, 49)
    torch_chunks: tuple[int, ...] = (4, 16, 49)
    torch_layouts: tuple[str, ...] = ("channels first", "channels last")
    sample: int | None = None
    torch: bool = True
    loops: bool = True
    quick: bool = False
    until: float | None = None

    def sample_of(self, case: Case) -> int | None:
        """How many shifts are timed one by one; None: all."""
        given = [n for n in (case.sample, self.sample) if n is not None]
        return min(given, default=None)


def measure(case: Case, settings: Settings) -> Row:
    """All figures of a case, as the JSON file holds them."""
    return (_gradient if case.kind == "gradient" else _forward)(case, settings)


def _forward(case: Case, settings: Settings) -> Row:
    apply, variables, x = case.build(settings.dtype)
    table = case.timed_shifts(settings.sample_of(case))
    partly = len(table) < case.count
    single = compiled(apply, variables, x)
    sharing = compiled(orbit(apply, argnums=1, **case.orbit_options), variables, x)
    memory = memory_of(sharing, variables, x)
    contenders = [
        Contender("forward pass", lambda: single(variables, x)),
        Contender(
            "shared",
            lambda: sharing(variables, x),
            compile_seconds=sharing.seconds,
            shifts=case.count,
        ),
    ]
    rows = {}  # which of the timed shifts each one evaluates
    chosen = {"shared": sharing.chunk}
    for chunk in settings.chunks:
        width = chunk or 1
        if width > len(table):
            continue
        some = table[: len(table) // width * width] if partly else table
        rows[f"brute force, {chunk or 'auto'}"] = some
        program, contender = brute_force(case, apply, variables, x, chunk, some, partly)
        contenders.append(contender)
        if chunk is None:
            chosen["brute force"] = program.chunk
    if settings.loops:
        rows["jitted loop"] = table
        contenders.append(_jitted_loop(case, apply, variables, x, table))
    if settings.torch:
        from benchmarks.pytorch import torch_contenders

        try:
            added, notes = torch_contenders(case, variables, x, table, settings)
        except ValueError as error:
            added, notes = [], str(error)
        contenders += added
        rows |= {c.name: table[: c.shifts] for c in added}
    else:
        notes = "not measured"
    results = interleave(
        contenders, rounds=settings.rounds, at_least=settings.at_least, until=settings.until
    )
    shared = contenders[1]
    brute = best(contenders, "brute force")
    if brute is None:
        raise RuntimeError(next(c.failure for c in contenders if c.failure))
    ours = np.asarray(results["shared"], np.float64).reshape(case.count, -1)
    differences = {
        name: difference(ours[case.places(some)], _plain(results[name], len(some)))
        for name, some in rows.items()
        if name in results
    }
    figures = {
        "ratio": ratio(brute, shared),
        "passes": ratio(shared, contenders[0]),
        "seconds_per_image": shared.median / case.shape[0],
        "difference": differences[brute.name],
        **_compile_times(sharing, single),
        **_work(cost := orbit_cost(apply, variables, x, argnums=1, **case.orbit_options)),
        "forward_flops": cost.forward_flops,
    }
    if case.pads_with_zeros and case.max_shift is None:
        found = border_bound(apply, variables, x, argnums=1, axes=case.axes)
        figures["border_bound"] = found
    unshared = next((c for c in contenders if c.name == "brute force, auto"), brute)
    if not unshared.failure:
        figures["ratio_to_unshared"] = ratio(unshared, shared)
    figures["share_of_bound"] = figures["ratio"] * figures["work_in_passes"] / case.count
    torch = [c for g in ("PyTorch loop", "PyTorch batched") if (c := best(contenders, g))]
    if torch:
        figures["ratio_to_torch"] = ratio(min(torch, key=lambda c: c.median), shared)
    batched = best(contenders, "PyTorch batched")
    if batched is not None:
        figures["unshared_to_torch"] = ratio(batched, brute)
    groups = ("brute force", "jitted loop", "PyTorch loop", "PyTorch batched")
    return _row(case, settings, contenders, figures) | {
        "best": {g: c.name for g in groups if (c := best(contenders, g)) is not None},
        "speedups": {g: ratio(c, shared) for g in groups if (c := best(contenders, g)) is not None},
        "differences": differences,
        "pytorch": notes,
        "chunks": chosen,
        "memory": memory,
    }


def _compile_times(sharing: Program, single: Program) -> dict[str, float]:
    return {
        "compile_seconds": sharing.seconds,
        "compile_in_passes": sharing.seconds / single.seconds,
    }


def _work(cost: OrbitCost) -> dict[str, Any]:
    """What is counted, and where most of it is."""
    return {
        "work_in_passes": cost.forward_passes,
        "largest_part": cost.dominant_part,
        "share_of_largest": cost.dominant_share,
    }


def brute_force(
    case: Case, apply: Callable, variables: Any, x: jax.Array, chunk: int | None, shifts, partly
) -> tuple[Program, Contender]:
    """All of the shifts without sharing, so many at a time."""
    some: Any = {"shifts": [tuple(map(int, t)) for t in shifts], "max_shift": None}
    listed = some if partly else {}
    fun = orbit(
        apply,
        argnums=1,
        share=False,
        chunk=chunk,
        **case.orbit_options | listed,
    )
    run = compiled(fun, variables, x)
    return run, Contender(
        f"brute force, {chunk or 'auto'}",
        lambda: run(variables, x),
        scale=case.count / len(shifts) if partly else 1.0,
        group="brute force",
        setting=str(chunk or "auto"),
        compile_seconds=run.seconds,
        shifts=len(shifts),
    )


def _jitted_loop(case, apply, variables, x, shifts) -> Contender:
    at_shift = case.at_shift(apply)
    rows = [np.asarray(shift, np.int32) for shift in shifts]
    run = compiled(at_shift, variables, x, rows[0])
    return Contender(
        "jitted loop",
        # One after the other, but each is called before the one before it is done.
        lambda: jax.block_until_ready([run.compiled(variables, x, shift) for shift in rows]),
        scale=case.count / len(rows),
        group="jitted loop",
        compile_seconds=run.seconds,
        shifts=len(rows),
    )


def _gradient(case: Case, settings: Settings) -> Row:
    """The gradient of the mean loss over all shifts, and that of the loss at one shift."""
    single, every, operands = _gradients(case, settings.dtype)
    reach = min(_REACH, (min(case.steps) - 1) // 2)
    _, unshared, _ = _gradients(case, settings.dtype, share=False, max_shift=reach)
    few = compiled(unshared, *operands)
    some_of_all = (2 * reach + 1) ** len(case.axes)
    shift = np.asarray([s // 3 for s in case.sizes], np.int32)
    one = compiled(single, *operands, shift)
    sharing = compiled(every, *operands)
    memory = memory_of(sharing, *operands)
    rows = case.timed_shifts(None).astype(np.int32)
    some = rows[: settings.sample_of(case)]
    contenders = [
        Contender("single-shift gradient", lambda: one(*operands, shift)),
        Contender(
            "shared",
            lambda: sharing(*operands),
            compile_seconds=sharing.seconds,
            shifts=case.count,
        ),
        Contender(
            "jitted loop",
            lambda: _mean_gradient(one, operands, some),
            scale=case.count / len(some),
            group="brute force",
            setting="jitted loop",
            shifts=len(some),
        ),
        Contender(
            "share=False",
            lambda: few(*operands),
            scale=case.count / some_of_all,
            shifts=some_of_all,
        ),
    ]
    results = interleave(
        contenders, rounds=settings.rounds, at_least=settings.at_least, until=settings.until
    )
    # The mean is over all shifts, whatever number of them is timed.
    brute = results["jitted loop"]
    if len(some) < len(rows):
        brute = _mean_gradient(one, operands, rows)
    figures = {
        "ratio": ratio(contenders[2], contenders[1]),
        "ratio_to_unshared": ratio(contenders[3], contenders[1]),
        "gradients": ratio(contenders[1], contenders[0]),
        **_compile_times(sharing, one),
        "difference": _difference_of_all(results["shared"], brute),
        "difference_of_each": _difference_of_each(results["shared"], brute),
    }
    # As many operations of the backward pass belong to each of the forward pass.
    apply, variables, x = case.build(settings.dtype)
    figures |= _work(orbit_cost(apply, variables, x, argnums=1, **case.orbit_options))
    figures["share_of_bound"] = figures["ratio"] * figures["work_in_passes"] / case.count
    # Every shift by itself in float64 takes minutes where there are many.
    if not settings.quick and case.count <= 1024:
        figures["difference_float64"] = _difference_float64(case)
    return _row(case, settings, contenders, figures) | {
        "best": {"brute force": "jitted loop"},
        "chunks": {"shared": sharing.chunk},
        "memory": memory,
    }


# The gradient without sharing is timed for shifts up to this along each axis.
_REACH = 3


def _gradients(
    case: Case, dtype: str, images: int | None = None, **changed: Any
) -> tuple[Callable, Callable, Any]:
    """The gradient at one shift, that of the mean over all, and their common operands."""
    apply, variables, x = case.build(dtype)
    x = x[:images]
    labels = jnp.arange(len(x)) % case.num_classes
    at_shift = case.at_shift(apply)

    def single(variables, x, shift):
        return cross_entropy(at_shift(variables, x, shift), labels).mean()

    def every(variables, x):
        options = case.orbit_options | changed
        return orbit_loss(lambda images: apply(variables, images), x, labels, **options)

    return jax.grad(single), jax.grad(every), (variables, x)


def _mean_gradient(one: Callable, operands: Any, shifts: np.ndarray) -> Any:
    total = one(*operands, shifts[0])
    for row in shifts[1:]:
        total = jax.tree.map(jnp.add, total, one(*operands, row))
    return jax.block_until_ready(jax.tree.map(lambda leaf: leaf / len(shifts), total))


def _difference_float64(case: Case, images: int = 4) -> float:
    """How far both gradients differ on a few images where rounding hardly moves units at kinks."""
    with jax.enable_x64(True):
        single, every, operands = _gradients(case, "float64", images)
        brute = _mean_gradient(jax.jit(single), operands, case.timed_shifts(None))
        return _difference_of_each(jax.jit(every)(*operands), brute)


def _difference_of_all(ours: Any, theirs: Any) -> float:
    """Relative to the largest magnitude of all gradients."""
    return difference(*(np.asarray(ravel_pytree(tree)[0], np.float64) for tree in (ours, theirs)))


def _difference_of_each(ours: Any, theirs: Any) -> float:
    """The largest among parameters, relative to the largest magnitude of the parameter's own."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(difference(_plain(a, 1), _plain(b, 1)) for a, b in pairs)


def _row(case, settings, contenders, figures) -> Row:
    return {
        "name": case.name,
        "title": case.title,
        "kind": case.kind,
        "shape": list(case.shape),
        "shifts": case.count,
        "figures": figures | {"tolerance": tolerance(settings.dtype)[1]},
        "aims": [] if settings.quick else judged(case, settings, figures),
        "times": {c.name: c.to_dict() for c in contenders},
    }


def judged(case: Case, settings: Settings, figures: dict[str, float]) -> list[dict[str, Any]]:
    """Each aim beside its figure. They are for float32; in float64 only rounding is judged."""
    if jax.default_backend() != case.device:
        return []
    aims: dict[str, float]
    if settings.dtype == "float32":
        aims = case.aims
    elif settings.dtype == "float64":
        aims = {"difference": 1e-12}
    else:
        return []
    return [
        {
            "figure": name,
            "aim": aim,
            "measured": figures[name],
            "reached": figures[name] >= aim if name in AT_LEAST else figures[name] <= aim,
        }
        for name, aim in aims.items()
        if name in figures
    ]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two results relative to the largest magnitude of the second."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def _plain(result: Any, rows: int) -> np.ndarray:
    if isinstance(result, list):
        result = np.stack([np.asarray(part, np.float64) for part in result])
    return np.asarray(result, np.float64).reshape(rows, -1)
