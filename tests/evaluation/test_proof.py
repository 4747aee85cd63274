"""What is proved of a network, as the report shows it; what a proof allows."""

import dataclasses
import json

import jax.numpy as jnp
import pytest

from jaxinv.evaluation import proof
from jaxinv.evaluation.audit import AuditPlan, audit_network
from jaxinv.evaluation.subject import Subject


def test_a_verdict_names_the_axis_that_is_broken(peak_subject, dataset):
    shown = proof.written(proof.certified(peak_subject.apply, dataset.images))
    assert shown["verdict"] == "broken along axis 2; invariant to every shift along axis 1"
    assert shown["first_break"].count(";") == 0
    assert "The symmetry along axis 2 ends at" in shown["text"]
    (output,) = json.loads(json.dumps(shown))["outputs"]
    assert [(axis["axis"], axis["kind"]) for axis in output["per_axis"]] == [
        (1, "invariant"),
        (2, "broken"),
    ]


def test_what_thins_a_symmetry_is_shown_where_nothing_ends_it(make_subject, dataset):
    shown = proof.written(proof.certified(make_subject("gap").apply, dataset.images))
    assert shown["verdict"] == "invariant to multiples of (2, 2)"
    assert shown["first_break"].endswith(": stride 2: even shifts only")


def means(images):
    return jnp.stack([images.mean((1, 2, 3)), images.max((1, 2, 3)), images.sum((1, 2, 3))], 1)


def test_few_shifts_are_enough_by_a_proof_for_every_shift_alone(
    make_subject, peak_subject, dataset
):
    plan = AuditPlan(layers=False)
    invariant = dataclasses.replace(Subject("means", "means", means), by_proof=True)
    assert audit_network(invariant, dataset, plan=plan).result.figures["consistency"].value == 1
    # Every second shift is not every shift, nor are all along one axis.
    for subject in (make_subject("gap"), peak_subject):
        with pytest.raises(ValueError, match="its proof of invariance, and there is none"):
            audit_network(dataclasses.replace(subject, by_proof=True), dataset, plan=plan)
    with pytest.raises(ValueError, match="certify must not be switched off"):
        audit_network(invariant, dataset, plan=dataclasses.replace(plan, certify=False))
