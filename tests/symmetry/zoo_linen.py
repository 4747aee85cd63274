"""The zoo in Flax linen: `build(name, padding)` returns a function of (variables, images).

Narrow twins of well-known architectures; a line that ends the symmetry says so in a comment, by
which the tests find it. Padding is "CIRCULAR", "SAME" (zeros) or, for LeNet, "VALID".
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

AXES = (1, 2)


class LeNet(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (5, 5), padding=self.padding)(x)  # first padding
        x = nn.max_pool(jax.nn.relu(x), (2, 2), (2, 2))
        x = nn.Conv(16, (5, 5), padding=self.padding)(x)
        x = nn.max_pool(jax.nn.relu(x), (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(nn.Dense(24)(x))  # flatten + dense
        return nn.Dense(10)(jax.nn.relu(nn.Dense(20)(x)))


class ResidualBlock(nn.Module):
    features: int
    stride: int
    padding: str

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        conv = functools.partial(nn.Conv, use_bias=False, padding=self.padding)
        y = conv(self.features, (3, 3), self.stride)(x)
        y = conv(self.features, (3, 3))(jax.nn.relu(norm()(y)))
        y = norm()(y)
        if y.shape != x.shape:
            x = norm()(nn.Conv(self.features, (1, 1), self.stride, use_bias=False)(x))
        return jax.nn.relu(x + y)


class ResNet18(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (7, 7), 2, padding=self.padding, use_bias=False)(x)  # first padding
        x = jax.nn.relu(nn.BatchNorm(use_running_average=True)(x))
        if self.padding == "CIRCULAR":
            x = nn.max_pool(
                jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="wrap"), (3, 3), (2, 2)
            )
        else:
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block else 1
                x = ResidualBlock(4 * 2**stage, stride, self.padding)(x)
        return nn.Dense(10)(jnp.mean(x, axis=(1, 2)))


class VGG11(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        first = True
        for widths in ((4,), (8,), (12, 12), (16, 16), (16, 16)):
            for width in widths:
                if first:
                    x = nn.Conv(width, (3, 3), padding=self.padding)(x)  # first padding
                else:
                    x = nn.Conv(width, (3, 3), padding=self.padding)(x)
                first = False
                x = jax.nn.relu(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(nn.Dense(32)(x))  # flatten + dense
        return nn.Dense(10)(jax.nn.relu(nn.Dense(32)(x)))


class ConvNeXtBlock(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        depthwise = {"padding": self.padding, "feature_group_count": width}
        y = nn.Conv(width, (7, 7), **depthwise)(x)  # first padding
        y = nn.Dense(4 * width)(nn.LayerNorm()(y))
        y = nn.Dense(width)(jax.nn.gelu(y))
        return x + self.param("scale", nn.initializers.constant(0.1), (width,)) * y


class ConvNeXt(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(nn.Conv(4, (4, 4), 4, padding="VALID")(x))
        x = ConvNeXtBlock(self.padding)(x)
        for width in (8, 12):
            x = nn.Conv(width, (2, 2), 2, padding="VALID")(nn.LayerNorm()(x))
            x = ConvNeXtBlock(self.padding)(x)
        return nn.Dense(10)(nn.LayerNorm()(jnp.mean(x, axis=(1, 2))))


class UNet(nn.Module):
    padding: str

    @nn.compact
    def __call__(self, x):
        conv = functools.partial(nn.Conv, kernel_size=(3, 3), padding=self.padding)
        top = jax.nn.relu(conv(4)(x))  # first padding
        middle = jax.nn.relu(conv(8)(nn.max_pool(top, (2, 2), (2, 2))))
        x = jax.nn.relu(conv(12)(nn.max_pool(middle, (2, 2), (2, 2))))
        x = nn.ConvTranspose(8, (2, 2), (2, 2), padding="VALID")(x)
        x = jax.nn.relu(conv(8)(jnp.concatenate([x, middle], -1)))
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = jax.nn.relu(conv(4)(jnp.concatenate([x, top], -1)))
        return nn.Conv(2, (1, 1))(x)


class ViT(nn.Module):
    positions: bool

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (4, 4), 4, padding="VALID")(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        if self.positions:
            embedding = self.param("positions", nn.initializers.normal(0.5), x.shape[1:])
            x = x + embedding  # position embedding
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x))
            y = jax.nn.gelu(nn.Dense(16)(nn.LayerNorm()(x)))
            x = x + nn.Dense(8)(y)
        return nn.Dense(10)(jnp.mean(nn.LayerNorm()(x), axis=1))


NETWORKS = {
    "lenet": LeNet,
    "resnet18": ResNet18,
    "vgg11": VGG11,
    "convnext": ConvNeXt,
    "unet": UNet,
    "vit": lambda padding: ViT(positions=padding == "POSITIONS"),
}


def build(name: str, padding: str, size: int):
    """Returns `fun(variables, images)`, the shapes of the variables, and an input shape."""
    model = NETWORKS[name](padding)
    shape = (1, size, size, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    return model.apply, variables, shape
