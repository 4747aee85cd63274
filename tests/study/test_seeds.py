"""A study of several seeds decides and speaks by the mean over them."""

import numpy as np
import pytest

from jaxinv import data
from jaxinv.evaluation.audit import partial_audit
from jaxinv.evaluation.seeds import seeds_rows
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Sweep, SweepOptions
from jaxinv.orbit import shift_set
from jaxinv.study.claims import sentence
from jaxinv.study.run import over_seeds

DIGITS = data.load("digits", split="test[:3]")


def swept(right):
    """A sweep of images of class 1 that are right at so many of 16 shifts, the unshifted first."""
    predictions = (np.arange(16)[:, None] < np.array(right)).astype(np.int16).reshape(4, 4, -1)
    shape = predictions.shape
    return Sweep(
        shifts=shift_set((4, 4)),
        predictions=predictions,
        confidence=np.ones(shape, np.float32),
        distance=np.ones(shape, np.float32),
        outputs=np.ones((shape[-1], 2), np.float32),
        labels=np.ones(shape[-1], np.int32),
    )


@pytest.fixture
def audits():
    made = []
    for number, right in enumerate(((16, 16, 8), (16, 8, 8))):
        name = "dense" if number == 0 else "dense, seed 1"
        subject = Subject(name, name, lambda x: x, run="dense", repeats=number > 0)
        made.append(partial_audit(subject, DIGITS, swept(right), options=SweepOptions()))
    return made


def test_figures_are_means_over_the_seeds_with_intervals_over_images(audits):
    (row,) = seeds_rows(audits)
    assert row.networks == ("dense", "dense, seed 1")
    # Accuracies over the shifts: 1, 1, 0.5 and 1, 0.5, 0.5; their means 5/6 and 2/3.
    assert row.figures["mean"].value == pytest.approx(0.75)
    assert row.spread["mean"] == pytest.approx((5 / 6 - 2 / 3) / np.sqrt(2))
    # Resampled are images, of which each has one mean over the seeds: 1, 0.75, 0.5.
    assert (row.figures["mean"].low, row.figures["mean"].high) == pytest.approx((0.5, 1.0), abs=0.1)
    # A pair of shifts agrees on an image that is right at half of them with chance 1/2 (7/15
    # without drawing a shift twice): the package's definition is taken from each network.
    each = [made.result.figures["consistency"].value for made in audits]
    assert row.figures["consistency"].value == pytest.approx(np.mean(each))
    assert row.figures["worst"].value == pytest.approx(0.5)
    assert row.spread["worst"] == pytest.approx((2 / 3 - 1 / 3) / np.sqrt(2))
    assert row.spread["centred"] == 0


def test_claims_and_sentences_speak_of_the_mean(audits):
    networks = over_seeds(audits, seeds_rows(audits))
    figures = networks["dense"].figures
    assert figures["mean"].value == pytest.approx(0.75)
    share = f"{100 * figures['consistency'].value:.1f}% consistent"
    assert share in sentence("dense", networks)
    assert networks["dense"].curve["accuracy"][0] == 1.0
    # Of a repeat only the figures are kept.
    assert networks["dense, seed 1"].curve == {}
    assert sentence("dense, seed 1", networks) == ""


def test_one_network_is_no_row(audits):
    assert seeds_rows(audits[:1]) == ()
    assert seeds_rows([]) == ()
