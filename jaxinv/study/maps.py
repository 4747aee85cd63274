"""The study's row on networks whose output is a map: do they move it along with the image?"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future

from rich.progress import Progress

from jaxinv import data
from jaxinv.data.scenes import NAME
from jaxinv.evaluation.maps import figures_of, map_sweep
from jaxinv.evaluation.results import Claim, Estimate
from jaxinv.evaluation.subject import of_module
from jaxinv.evaluation.sweep import SweepOptions
from jaxinv.progress import say
from jaxinv.study.arms import Arm
from jaxinv.training import TrainConfig, TrainResult

# Test scenes that each network is evaluated on, at every shift.
SCENES = 20
COMMON = {"widths": (8, 16), "norm": "batch", "padding": "CIRCULAR"}

MAP_ARMS: tuple[Arm, ...] = tuple(
    Arm(f"U-Net, {kind}", f"a U-Net of two levels with {kind}", "unet", {"downsample": name})
    for name, kind in (
        ("max", "max pools"),
        ("aps", "adaptive sampling"),
        ("ideal", "ideal sampling"),
    )
)


def training_of(arm: Arm, *, epochs: int, seed: int) -> TrainConfig:
    """How a network with label maps is trained."""
    return TrainConfig(
        dataset=NAME,
        train_split="train[:2000]",
        model=arm.model,
        model_options={**COMMON, **arm.options},
        learning_rate=4e-3,
        batch_size=16,
        epochs=epochs,
        eval_every=epochs,
        seed=seed,
    )


def flicker_claim(
    trained: Sequence[tuple[Arm, Future[TrainResult]]],
    *,
    options: SweepOptions,
    progress: Progress | None = None,
) -> Claim:
    """Evaluates networks with label maps and decides the claim by the first of them.

    Args:
      trained: the networks and their trainings, which may be under way.
      options: how they are evaluated, at all circular shifts.
      progress: a bar to add to.
    """
    scenes = data.load(NAME, split=f"test[:{SCENES}]")
    everywhere = dataclasses.replace(options, mode="wrap", max_shift=None)
    found: dict[str, dict[str, Estimate]] = {}
    for arm, training in trained:
        say(progress, f"{arm.name}: {arm.title}")
        result = training.result()
        network = of_module(
            result.model,
            result.variables,
            name=arm.name,
            mean=result.data.mean,
            std=result.data.std,
        )
        found[arm.name] = figures_of(map_sweep(network.apply, scenes, options=everywhere))
    return decide(found)


def decide(found: dict[str, dict[str, Estimate]]) -> Claim:
    """The claim from the figures of networks, decided by the first of them.

    Example:
      >>> def figures(kept, iou, worst):
      ...     values = {"consistency": kept, "iou": iou, "worst_iou": worst}
      ...     return {name: Estimate(value, None, None, 20) for name, value in values.items()}
      >>> claim = decide({"U-Net, pools": figures(0.9, 0.8, 0.7), "adaptive": figures(1, 0.7, 0.7)})
      >>> print(claim.verdict, claim.measured, sep=": ")
      false: positions with one class at two random shifts, and mean IoU as it is and at the worst
      shift: U-Net, pools 90.0%, IoU 80.0%, 70.0%; adaptive 100.0%, IoU 70.0%, 70.0%
    """
    rows = [
        f"{name} {row['consistency'].number}, IoU {row['iou'].number}, {row['worst_iou'].number}"
        for name, row in found.items()
    ]
    first = next(iter(found.values()))
    return Claim(
        "A network whose output is a map moves it along with the image.",
        "true" if first["consistency"].value == 1 else "false",
        "positions with one class at two random shifts, and mean IoU as it is and at the worst "
        f"shift: {'; '.join(rows)}",
        {
            f"{name}: {figure}": row[figure].value
            for name, row in found.items()
            for figure in ("consistency", "iou", "worst_iou")
        },
    )
