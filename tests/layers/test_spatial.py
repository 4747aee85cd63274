import flax.linen as nn
import jax.numpy as jnp
import pytest

from jaxinv.layers.spatial import naming, per_axis, spatial_rank


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_all_but_batch_and_channels_are_spatial(rank):
    assert spatial_rank(jnp.zeros((2, *[4] * rank, 3))) == rank


def test_a_signal_without_spatial_axes_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\); needed is"):
        spatial_rank(jnp.zeros((2, 3)))


def test_one_number_serves_all_axes_and_a_sequence_each():
    assert per_axis(3, 2, "stride") == (3, 3)
    assert per_axis((1, 2), 2, "stride") == (1, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "stride is 0"),
        ((1, -1), "allowed are whole numbers from 1"),
        ((1, 2, 3), "3 entries for 2 axes"),
    ],
)
def test_wrong_numbers_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        per_axis(value, 2, "stride")


def test_the_error_names_the_layer_and_its_place_in_the_model():
    class Inner(nn.Module):
        @nn.compact
        def __call__(self, x):
            with naming(self):
                raise ValueError("no")

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Inner(name="deep")(x)

    with pytest.raises(ValueError, match="Inner 'deep': no"):
        Outer().apply({}, jnp.zeros(3))
    with pytest.raises(ValueError, match="Inner: no"):
        Inner().apply({}, jnp.zeros(3))
