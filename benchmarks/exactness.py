"""What certificates claim of every layer, and orbits, against brute force, in each precision."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.case import Case
from benchmarks.cases import named
from benchmarks.compiled import compiled
from benchmarks.conditions import Conditions, started
from jaxinv import certify
from jaxinv.metrics import layer_outputs
from jaxinv.orbit import every_shift, orbit
from jaxinv.tolerances import tolerance

# Wide and deep enough that rounding adds up, and quick to compile.
_SMALL_STAGES: dict[str, Any] = {"blocks": (1, 1, 1, 1), "width": 16, "padding": "CIRCULAR"}
_ALIAS_FREE: dict[str, Any] = {"blocks": (1, 1, 2, 1), "widths": (16, 32, 64, 128)}
EXACT = (
    named("lenet-circular-dense"),
    named("resnet20-circular-32"),
    named("resnet20-zeros-32"),
    Case("resnet18-blur", "ResNet-18 circular, blur", "resnet18",
         {**_SMALL_STAGES, "downsample": "blur"}, (1, 64, 64, 3)),
    Case("resnet18-aps", "ResNet-18 circular, adaptive sampling", "resnet18",
         {**_SMALL_STAGES, "downsample": "aps"}, (1, 64, 64, 3)),
    Case("resnet50", "ResNet-50 circular", "resnet50", _SMALL_STAGES, (1, 64, 64, 3)),
    Case("convnext", "ConvNeXt, alias-free", "convnext_tiny_alias_free", _ALIAS_FREE,
         (1, 64, 64, 3)),
    Case("vit", "ViT", "vit_small", {"patch": 8, "features": 192, "depth": 4}, (1, 64, 64, 3)),
    Case("audio1d", "M5 on raw audio, VALID", "audio1d", {"padding": "VALID"}, (1, 4096, 1)),
    Case("unet", "U-Net circular", "unet",
         {"padding": "CIRCULAR", "widths": (16, 32, 64, 128)}, (1, 32, 32, 3)),
)  # fmt: skip


def exactness(case: Case, precision: str, conditions: Conditions) -> dict[str, Any]:
    """Claims of every layer and the orbit of the output against brute force, at a few shifts."""
    case, dtype, cells = started(case, precision, conditions)
    module = case.create()
    apply, variables, x = case.build(dtype)

    def layers(variables, x):
        outputs = layer_outputs(module, variables, x).values()
        return tuple(y for y in outputs if jnp.issubdtype(y.dtype, jnp.floating))

    claims = certify(layers, variables, x, argnums=1, axes=case.axes).outputs
    shifts = _telling_shifts(claims, case)
    brute = every_shift(layers, argnums=1, axes=case.axes, shifts=shifts)
    measured = [np.asarray(y, np.float64) for y in compiled(brute, variables, x)(variables, x)]
    everywhere = compiled(orbit(apply, argnums=1, axes=case.axes), variables, x)
    ours = np.asarray(everywhere(variables, x), np.float64)[tuple(np.transpose(shifts))]
    errors = []
    for claim, at_shifts in zip(claims, measured, strict=True):
        pairs = [
            pair
            for shift, after in zip(shifts, at_shifts, strict=True)
            if (pair := claimed(claim, at_shifts[0], after, shift)) is not None
        ]
        if pairs:
            errors.append(max(_errors(*pair, dtype) for pair in pairs))
    relative, used = _errors(ours, measured[-1], dtype)
    worst, used_by_claims = max(errors, default=("nothing claimed", 0.0))
    return {
        "lines": [
            {
                **cells,
                "layers claimed": f"{len(errors)} of {len(claims)}",
                "difference of claims": worst,
                "difference of orbit": relative,
                "tolerance": tolerance(dtype)[1],
                "of what is allowed": max(used, used_by_claims),
                "verdict": "within" if max(used, used_by_claims) <= 1 else "EXCEEDED",
            }
        ]
    }


def _telling_shifts(claims: Sequence[Any], case: Case) -> list[tuple[int, ...]]:
    """No shift, one by each period along each axis, by all of them, and a few at random."""
    units = np.eye(len(case.sizes), dtype=int)
    steps = [
        unit * claim.period[axis]
        for claim in claims
        for axis, unit in enumerate(units)
        if claim.period[axis] < case.sizes[axis]
    ]
    drawn = np.random.default_rng(0).integers(case.sizes, size=(4, len(case.sizes)))
    found = [0 * units[0], *steps, *(sum(steps, 0 * units[0]),), *drawn]
    return list(dict.fromkeys(tuple(int(t) for t in step % case.sizes) for step in found))


def claimed(
    claim: Any, before: np.ndarray, after: np.ndarray, shift: Sequence[int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Two arrays that are equal if an output's certificate is right, or None if it claims nothing.

    Args:
      claim: the certificate of the output.
      before: the output without a shift.
      after: the output at the shift.
      shift: the shift.
    """
    if claim.kind not in ("equivariant", "invariant"):
        return None
    if any(t % d for t, d in zip(shift, claim.period, strict=True)):
        return None
    for t, d, dim, moves, whole in zip(
        shift, claim.period, claim.dims, claim.moves, claim.whole, strict=True
    ):
        if dim is None or t == 0:
            continue
        if moves is None:
            return None
        by = moves * (t // d)
        if whole:
            before = np.roll(before, by, dim)
            continue
        size = before.shape[dim]  # a window: what has come into view is compared with nothing
        if abs(by) >= size:
            return None
        old, new = np.arange(size - by), np.arange(by, size)
        before, after = before.take(old, dim), after.take(new, dim)
    return after, before


def _errors(ours: np.ndarray, theirs: np.ndarray, dtype: str) -> tuple[float, float]:
    """The largest difference relative to the scale, and as a share of what `tolerance` allows."""
    rtol, atol = tolerance(dtype)
    scale = np.abs(theirs).max()
    apart = np.abs(ours - theirs)
    allowed = atol * scale + rtol * np.abs(theirs)
    # A NaN is no agreement.
    used = np.divide(apart, allowed, out=np.zeros_like(apart), where=apart != 0)
    return float(apart.max() / scale) if scale else 0.0, float(
        np.nan_to_num(used, nan=np.inf).max()
    )
