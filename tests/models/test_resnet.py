import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.models import ResNet
from jaxinv.models.resnet import ResidualBlock


@pytest.mark.parametrize("padding", ["VALID", "FULL"])
@pytest.mark.parametrize("downsample", ["stride", "max"])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_shortcut_lies_on_the_branch(signal, padding, downsample, bottleneck):
    """With filters that only read their centre both branches see the same positions."""
    block = ResidualBlock(2, 2, bottleneck, "zeros", padding, downsample, "identity", "none")
    channels = 8 if bottleneck else 2
    x = signal(1, 16, 1, channels)[:, :, 0]
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)["params"]
    params = {}
    for name, leaf in shapes.items():
        kernel = np.zeros(leaf["kernel"].shape, np.float32)
        for c in range(2):
            kernel[kernel.shape[0] // 2, c, c] = 1.0
        params[name] = {"kernel": jnp.asarray(kernel)}
    y = block.apply({"params": params}, x)
    # The branch adds channels 0 and 1 of what the shortcut holds, at the same places.
    skip_only = block.apply({"params": jax.tree.map(jnp.zeros_like, params)}, x)
    np.testing.assert_allclose(y[..., :2], 2 * skip_only[..., :2], atol=1e-6)


def test_both_branches_are_sampled_at_the_phases_of_the_first(signal, weights):
    block = ResidualBlock(4, 2, downsample="aps", padding="CIRCULAR")
    x = signal(2, 6, 6, 4)
    variables = weights(block, x)
    apply = jax.jit(lambda x: block.apply(variables, x))
    y = np.asarray(apply(x))
    for shift in ((1, 0), (0, 1), (3, 5)):
        moved = np.asarray(apply(jnp.roll(x, shift, (1, 2))))
        for n in range(2):
            rolls = [np.roll(y[n], (a, b), (0, 1)) for a in range(3) for b in range(3)]
            assert min(np.abs(moved[n] - roll).max() for roll in rolls) < 1e-4


def test_channels_of_zeros_cannot_take_channels_away(signal):
    block = ResidualBlock(2, 2, shortcut="zeros")
    with pytest.raises(ValueError, match="shortcut of zeros cannot take 2 channels away"):
        jax.eval_shape(block.init, jax.random.key(0), signal(1, 8, 8, 4))


def test_wrong_arguments_are_named(signal):
    x = signal(1, 8, 8, 4)
    with pytest.raises(ValueError, match="shortcut is 'none'; allowed are projection, zeros"):
        jax.eval_shape(ResidualBlock(8, 2, shortcut="none").init, jax.random.key(0), x)
    with pytest.raises(ValueError, match="ResNet: stem is 'large'; allowed are cifar, imagenet"):
        jax.eval_shape(ResNet(stem="large").init, jax.random.key(0), x)
