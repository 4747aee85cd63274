"""From outputs to predicted and right classes."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import correct_predictions, predicted_classes


def test_logits_and_predictions_say_the_same():
    logits = jnp.array([[[0.0, 2.0], [3.0, 1.0]], [[5.0, 2.0], [3.0, 3.0]]])
    labels = jnp.array([1, 0])
    expected = np.array([[True, True], [False, True]])
    np.testing.assert_array_equal(correct_predictions(logits, labels), expected)
    np.testing.assert_array_equal(correct_predictions(predicted_classes(logits), labels), expected)


def test_labels_of_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match=r"labels"):
        correct_predictions(jnp.zeros((2, 3, 4)), jnp.zeros(2, int))
