"""A proof under a condition is reported with how close the images come to breaking it."""

import dataclasses

import numpy as np
import pytest

from jaxinv.evaluation.audit import AuditPlan, audit_network
from jaxinv.evaluation.run import headline
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import SweepOptions
from jaxinv.layers import adaptive_polyphase_sample

WORDS = "invariant to every shift"


def apply(images):
    chosen = adaptive_polyphase_sample(images.astype(np.float32))[0]
    return chosen.mean((1, 2)) @ np.eye(1, 3, dtype=np.float32)


def image(*components):
    """An image of 8 x 8 whose four polyphase components are constant."""
    return np.tile(np.array(components, np.uint8).reshape(2, 2), (4, 4))[..., None]


@pytest.mark.parametrize(
    ("images", "margin", "words"),
    [
        # The largest norm is 40 units; the next one 30, 39 or 40.
        ([(40, 30, 20, 10)], 0.25, f"Proved: {WORDS} (smallest tie margin 0.250)."),
        (
            [(40, 30, 20, 10), (1, 40, 3, 39), (7, 1, 1, 1)],
            0.025,
            f"Proved: {WORDS} (smallest tie margin 0.025).",
        ),
        ([(40, 30, 20, 10), (5, 40, 0, 40)], 0.0, "Proved: void on these images"),
    ],
)
def test_the_smallest_margin_of_all_images_stands_beside_proved(dataset, images, margin, words):
    some = dataclasses.replace(
        dataset,
        images=np.stack([image(*components) for components in images]),
        labels=np.zeros(len(images), np.int32),
    )
    plan = AuditPlan(options=SweepOptions(max_shift=1, batch=1), layers=False)
    made = audit_network(Subject("aps", "aps", apply), some, plan=plan)
    assert made.result.certificate["tie_margin"] == pytest.approx(margin, abs=1e-6)
    assert words in headline([made])


def test_a_proof_without_a_condition_has_no_margin(peak_subject, dataset):
    plan = AuditPlan(options=SweepOptions(max_shift=1), layers=False)
    made = audit_network(peak_subject, dataset, plan=plan)
    assert made.result.certificate["tie_margin"] is None
    assert "margin" not in headline([made])
