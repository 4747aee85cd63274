"""Networks of one training that differ in their seed: what they have in common, and the spread."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import NetworkAudit
from jaxinv.evaluation.results import Estimate, SeedsRow
from jaxinv.evaluation.sweep import Sweep


def seeds_rows(audits: Sequence[NetworkAudit]) -> tuple[SeedsRow, ...]:
    """A row for each training with several networks that were audited on the same images."""
    runs: dict[str, list[NetworkAudit]] = {}
    for made in audits:
        runs.setdefault(made.result.run, []).append(made)
    rows = []
    for run, together in runs.items():
        whole = max(made.sweep.count for made in together)
        together = [made for made in together if made.sweep.count == whole]
        if run and len(together) > 1:
            rows.append(_row(run, together))
    return tuple(rows)


def _row(run: str, together: Sequence[NetworkAudit]) -> SeedsRow:
    each = [_per_image(made.class_sweep) for made in together]
    figures = {
        name: summary.mean(jnp.asarray(np.mean([one[name] for one in each], axis=0)))
        for name in each[0]
    }
    values = {
        name: [made.result.figures[name].value for made in together]
        for name in ("centred", "mean", "worst", "consistency", "invariance_error")
    }
    # Largest over the images of a network: there is no number for each image.
    name = "invariance_error"
    figures[name] = Estimate(
        float(np.mean(values[name])), None, None, together[0].sweep.count, "relative"
    )
    return SeedsRow(
        run=run,
        networks=tuple(made.result.name for made in together),
        figures=figures,
        spread={name: float(np.std(found, ddof=1)) for name, found in values.items()},
    )


def _per_image(found: Sweep) -> Mapping[str, np.ndarray]:
    _, images = found.totals
    return {
        "centred": images.centred.astype(np.float32),
        "mean": (images.right / found.shifts.count).astype(np.float32),
        "worst": images.worst.astype(np.float32),
        "consistency": images.consistency,
    }
