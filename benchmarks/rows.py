"""The rows of the accelerator benchmark, the most valuable first.

A row is a function of `Conditions` in the list `ROWS`. It returns what the JSON file holds of it:
`lines`, dictionaries whose keys become the columns of the row's table, or `case`, a row as
`benchmarks.measure` makes it.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv
from benchmarks import machine, shift_by_shift
from benchmarks.case import Case
from benchmarks.cases import CASES, named
from benchmarks.compiled import compiled, memory_of
from benchmarks.conditions import Conditions, started
from benchmarks.exactness import EXACT, exactness
from benchmarks.measure import Settings, brute_force, difference, measure
from benchmarks.timing import Contender, best, interleave, ratio
from jaxinv import models
from jaxinv.orbit import orbit, orbit_cost
from jaxinv.training import TrainConfig
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.state import initial_state
from jaxinv.training.step import make_step

PRECISIONS = ("default", "float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Row:
    """Something to measure.

    Attributes:
      name: unique, for `--only` and the JSON file.
      table: title of the table that its lines belong to.
      seconds: about what it takes on a GPU, compilation included.
      measure: does it.
      group: rows of a group follow one another in one process; by default each has its own.
      dry: whether the dry run has it: each network once in each kind of row, in precisions that
        take turns.
      from_cache: whether it is measured in a second process, which finds its programs in JAX's
        compilation cache. Where XLA tries convolutions out, compiling takes more memory than
        running, and the peak of the first process says nothing of the program.
    """

    name: str
    table: str
    seconds: float
    measure: Callable[[Conditions], dict[str, Any]]
    group: str = ""
    dry: bool = True
    from_cache: bool = False


# Speed: networks at every shift, as benchmarks.orbit measures them.


def speed(case: Case, precision: str, conditions: Conditions) -> dict[str, Any]:
    """Shared, by brute force and in PyTorch."""
    case, dtype, cells = started(case, precision, conditions)
    case = dataclasses.replace(case, title=f"{case.title}, {cells['precision']}")
    settings = Settings(
        dtype=dtype,
        rounds=1 if conditions.quick else 3,
        at_least=0.0 if conditions.quick else 0.2,
        chunks=(None,),
        torch_chunks=(2,) if conditions.quick else (16, 49, 196),
        torch_layouts=("channels last",),
        torch=machine.has_torch(),
        loops=False,
        quick=conditions.quick,
        until=conditions.until,
    )
    try:
        return {"case": measure(case, settings)}
    except RuntimeError as error:
        if conditions.quick:
            raise
        # The chosen chunk may not have fitted; a small one leaves the rest to be seen.
        found = measure(case, dataclasses.replace(settings, chunks=(4,)))
        found["title"] += f" (at the chosen chunk: {type(error).__name__})"
        return {"case": found}


# Memory: what orbits take against what orbit_cost predicts.


def memory(case: Case, conditions: Conditions) -> dict[str, Any]:
    """Peak memory of an orbit, as planned by XLA and as the device counted it."""
    case, dtype, cells = started(case, "default", conditions)
    apply, variables, x = case.build(dtype)
    cost = orbit_cost(apply, variables, x, argnums=1, axes=case.axes)
    program = compiled(orbit(apply, argnums=1, axes=case.axes), variables, x)
    found = memory_of(program, variables, x)
    taken = found["peak_bytes"] or found["program_bytes"]
    return {
        "lines": [
            {
                **cells,
                "shifts": cost.shifts,
                "chunk": program.chunk or "all shared",
                "predicted bytes": cost.peak_bytes,
                "planned bytes": found["program_bytes"],
                "peak bytes": found["peak_bytes"] or "not reported",
                "of the prediction": taken / cost.peak_bytes if taken else "not reported",
            }
        ]
    }


# Chunks: the one chosen against others.


def chunk(case: Case, conditions: Conditions) -> dict[str, Any]:
    """Brute force at the chunk that the library chooses, and at larger and smaller ones."""
    case, dtype, cells = started(case, "default", conditions)
    apply, variables, x = case.build(dtype)
    table = case.timed_shifts(case.sample)
    partly = len(table) < case.count
    program, chosen = brute_force(case, apply, variables, x, None, table, partly)
    width = program.chunk or len(table)
    others = {round(width * factor) for factor in (1 / 64, 1 / 16, 1 / 4, 4)}
    contenders = [chosen]
    for other in sorted({min(max(1, w), len(table)) for w in others} - {width}, reverse=True):
        if conditions.until is not None and time.monotonic() > conditions.until:
            break
        some = table[: len(table) // other * other] if partly else table
        contenders.append(brute_force(case, apply, variables, x, other, some, partly)[1])
    interleave(
        contenders,
        rounds=1 if conditions.quick else 3,
        at_least=0.0 if conditions.quick else 0.2,
        until=conditions.until,
    )
    quickest = best(contenders, "brute force")
    if quickest is None:
        raise RuntimeError(chosen.failure)
    failed = chosen.failure
    return {
        "lines": [
            {
                **cells,
                "shifts timed": len(table),
                "chosen chunk": width,
                "seconds with it": failed or chosen.median,
                "best chunk": width if quickest is chosen else int(quickest.setting),
                "seconds with that": quickest.median,
                "chosen / best": "failed" if failed else ratio(chosen, quickest),
                "tried": ", ".join(sorted({c.setting for c in contenders if not c.failure})),
            }
        ]
    }


# Every shift by itself, beside the network on a batch of shifted images.


def by_itself(case: Case, conditions: Conditions) -> dict[str, Any]:
    """`orbit(..., share=False)`, the forward pass alone at its best batch, and PyTorch's."""
    case, _, cells = started(case, "default", conditions)
    row = shift_by_shift.measure(
        case,
        rounds=1 if conditions.quick else 3,
        torch=machine.has_torch(),
        widths=(1, 4) if conditions.quick else (16, 64, 256),
        at_least=0.0 if conditions.quick else 0.2,
    )
    times = {group: row["times"][name] for group, name in row["best"].items()}
    theirs = times.get("PyTorch batched")
    return {
        "lines": [
            {
                **cells,
                "shifts timed": row["shifts"],
                "seconds by itself": times["brute force"]["median"],
                "chunk": times["brute force"]["setting"],
                "seconds of forward passes": times["forward pass"]["median"],
                "shifts a pass": times["forward pass"]["setting"],
                "speed of a pass reached": row["ratio"],
                "seconds in PyTorch": theirs["median"] if theirs else "not installed",
            }
        ]
    }


# Tiles: a map too large to be convenient, whole and in parts.


LARGE = Case("unet", "U-Net zero-padded", "unet", {"widths": (16, 32, 64)}, (1, 4096, 4096, 3))


def tiles(case: Case, conditions: Conditions) -> dict[str, Any]:
    """A network on a large image, whole and by tiles."""
    case, dtype, cells = started(case, "default", conditions)
    apply, variables, x = case.build(dtype)
    tile = case.sizes[0] // (1 if conditions.quick else 8)
    whole = compiled(apply, variables, x)
    parts = compiled(jaxinv.tiled(apply, argnums=1, tile=tile), variables, x)
    contenders = [
        Contender("whole", lambda: whole(variables, x)),
        Contender("tiles", lambda: parts(variables, x)),
    ]
    results = interleave(
        contenders,
        rounds=1 if conditions.quick else 3,
        at_least=0.0 if conditions.quick else 0.2,
        until=conditions.until,
    )
    return {
        "lines": [
            {
                **cells,
                "tile": tile,
                "whole, planned bytes": whole.bytes,
                "tiles, planned bytes": parts.bytes,
                "seconds whole": contenders[0].median,
                "seconds by tiles": contenders[1].median,
                "difference": difference(results["tiles"], results["whole"]),
                "compile seconds": parts.seconds,
            }
        ]
    }


# Training: the price of downsampling without aliases.


def training(case: Case, precision: str, conditions: Conditions) -> dict[str, Any]:
    """Steps of train.py a second, on random images that lie on the device."""
    case, _, cells = started(case, "default", conditions)
    if precision == "bfloat16":
        cells["precision"] = precision
    config = TrainConfig(
        model=case.model,
        model_options=case.options,
        augment="crop+flip",
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=case.shape[0],
        precision=precision,  # type: ignore[arg-type]
    )
    steps = 2 if conditions.quick else 20
    generator = np.random.default_rng(0)
    count = steps * config.batch_size
    images = jnp.asarray(generator.integers(0, 256, (count, *case.shape[1:]), np.uint8))
    labels = jnp.asarray(generator.integers(0, case.num_classes, count, np.int32))
    batches = jnp.arange(count).reshape(steps, -1)
    model = models.create(config.model, num_classes=case.num_classes, **config.model_options)
    optimizer = make_optimizer(config, steps_per_epoch=steps)
    step = make_step(
        config,
        model=model,
        optimizer=optimizer,
        mean=(0.5,) * case.shape[-1],
        std=(0.25,) * case.shape[-1],
        steps_per_epoch=steps,
    )
    make = functools.partial(
        initial_state, model=model, optimizer=optimizer, shape=case.shape[1:], ema=False
    )
    state = jax.jit(make)(jax.random.key(0))

    def epoch(state):
        return jax.lax.scan(
            lambda state, rows: (step(state, images[rows], labels[rows]), None), state, batches
        )[0]

    program = compiled(epoch, state)

    def further():
        nonlocal state
        state = program(state)

    contender = Contender("steps", further)
    interleave(
        [contender],
        rounds=1 if conditions.quick else 5,
        at_least=0.0 if conditions.quick else 0.5,
        until=conditions.until,
    )
    loss = float(state.sums["loss"] / state.sums["count"])
    if not np.isfinite(loss):
        raise RuntimeError(f"the training loss is {loss}")
    return {
        "lines": [
            {
                **cells,
                "steps a second": steps / contender.median,
                "images a second": count / contender.median,
                "training loss": loss,
                "compile seconds": program.seconds,
            }
        ]
    }


def _trained(title: str, **options: Any) -> Case:
    options = {"stem": "cifar", "norm": "batch", **options}
    return Case(title, title, "resnet18", options, (128, 32, 32, 3))


TRAINED = {
    "baseline": _trained("ResNet-18 zero-padded, strides"),
    "blur": _trained("ResNet-18 circular, blur", padding="CIRCULAR", downsample="blur"),
    "adaptive": _trained("ResNet-18 circular, adaptive", padding="CIRCULAR", downsample="aps"),
}


def _speed_rows(seconds: float, precisions: Sequence[str], *names: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            f"speed-{name}-{precision}",
            "Every shift",
            seconds,
            functools.partial(speed, named(name), precision),
            dry=precision == precisions[-1],
        )
        for name in names
        for precision in precisions
    )


ROWS: tuple[Row, ...] = (
    *(
        Row(
            f"exactness-{case.name}-{precision}",
            "Exactness",
            8.0,
            functools.partial(exactness, case, precision),
            "exactness",
            dry=precision == PRECISIONS[index % len(PRECISIONS)],
        )
        for precision in PRECISIONS
        for index, case in enumerate(EXACT)
    ),
    *_speed_rows(80.0, ("default", "bfloat16"), "resnet50-224"),
    *_speed_rows(45.0, ("default",), "resnet18-cifar", "resnet20-zeros-gpu", "resnet18-zeros-gpu"),
    *_speed_rows(
        25.0,
        ("default",),
        *(
            case.name
            for case in sorted(CASES, key=lambda case: case.kind)  # gradients after outputs
            if case.name.startswith(("lenet-", "resnet20-circular"))
        ),
    ),
    *(
        Row(
            f"memory-{name}",
            "Peak memory",
            35.0,
            functools.partial(memory, named(name)),
            from_cache=True,
        )
        for name in (
            "lenet-circular-dense",
            "lenet-valid-dense",
            "resnet20-circular-64",
            "resnet18-max-224",
            "resnet50-224",
        )
    ),
    *(
        Row(f"chunk-{name}", "Chunks", 60.0, functools.partial(chunk, named(name)))
        for name in ("resnet20-zeros-gpu", "lenet-valid-dense", "resnet50-224")
    ),
    *(
        Row(f"by-itself-{name}", "By itself", 40.0, functools.partial(by_itself, named(name)))
        for name in ("resnet20-zeros-gpu", "resnet18-zeros-gpu")
    ),
    Row("tiles-unet", "Tiles", 40.0, functools.partial(tiles, LARGE)),
    *(
        Row(
            f"training-{name}-{precision}",
            "Training",
            35.0,
            functools.partial(training, case, precision),
            "training",
            dry=precision == ("bfloat16" if name == "blur" else "float32"),
        )
        for precision in ("float32", "bfloat16")
        for name, case in TRAINED.items()
    ),
)
