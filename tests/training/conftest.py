"""A run small enough to be made many times."""

import dataclasses

import pytest

from jaxinv.training import TrainConfig

SMALL = TrainConfig(
    model="mlp",
    model_options={"dense": (8,)},
    train_split="train[:96]",
    test_split="test[:50]",
    batch_size=32,
    epochs=2,
    learning_rate=0.01,
)


@pytest.fixture
def small():
    """A function that makes the configuration of a small run, with changes."""
    return lambda **changes: dataclasses.replace(SMALL, **changes)
