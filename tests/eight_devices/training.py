"""Training from a stream on eight devices: the network that is trained from memory."""

import chex
import jax
import numpy as np
import pytest

from jaxinv import data
from jaxinv.training import TrainConfig, train_and_evaluate

DIGITS = data.load("digits", split="train[:80]")


@pytest.mark.parametrize("changes", [{}, {"seeds": 2, "accumulate": 2}])
def test_a_stream_on_eight_devices(changes):
    assert jax.device_count() == 8
    source = data.Streamed(DIGITS.read, range(80), DIGITS.image_shape, 10)
    made = [
        train_and_evaluate(
            TrainConfig(
                model="mlp",
                model_options={"dense": (8,)},
                batch_size=32,
                epochs=2,
                test_split="train[64:]",
                augment="translate",
                memory=memory,
                **changes,
            ),
            data=source,
            show=False,
        )
        for memory in ("2GiB", "0")
    ]
    chex.assert_trees_all_close(made[1].variables, made[0].variables, rtol=1e-5, atol=1e-6)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(made[1].metrics[name], made[0].metrics[name], rtol=1e-5)
