"""The zoo in Flax NNX: the same networks as `zoo_linen`, called with a state and images."""

import jax
import jax.numpy as jnp
from flax import nnx

AXES = (1, 2)


def conv(n_in, n_out, size, stride, padding, rngs, **options):
    kernel = (size, size)
    return nnx.Conv(n_in, n_out, kernel, strides=stride, padding=padding, rngs=rngs, **options)


def halve(x):
    return nnx.max_pool(x, (2, 2), (2, 2))


class LeNet(nnx.Module):
    def __init__(self, padding, size, rngs):
        self.conv1 = conv(3, 6, 5, 1, padding, rngs)
        self.conv2 = conv(6, 16, 5, 1, padding, rngs)
        side = ((size - 4) // 2 - 4) // 2 if padding == "VALID" else size // 4
        self.dense1 = nnx.Linear(side * side * 16, 24, rngs=rngs)
        self.dense2 = nnx.Linear(24, 20, rngs=rngs)
        self.dense3 = nnx.Linear(20, 10, rngs=rngs)

    def __call__(self, x):
        x = halve(jax.nn.relu(self.conv1(x)))  # first padding
        x = halve(jax.nn.relu(self.conv2(x)))
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(self.dense1(x))  # flatten + dense
        return self.dense3(jax.nn.relu(self.dense2(x)))


class ResidualBlock(nnx.Module):
    def __init__(self, n_in, n_out, stride, padding, rngs):
        self.conv1 = conv(n_in, n_out, 3, stride, padding, rngs, use_bias=False)
        self.norm1 = nnx.BatchNorm(n_out, use_running_average=True, rngs=rngs)
        self.conv2 = conv(n_out, n_out, 3, 1, padding, rngs, use_bias=False)
        self.norm2 = nnx.BatchNorm(n_out, use_running_average=True, rngs=rngs)
        wider = stride > 1 or n_in != n_out
        self.short = conv(n_in, n_out, 1, stride, padding, rngs, use_bias=False) if wider else None

    def __call__(self, x):
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return jax.nn.relu((x if self.short is None else self.short(x)) + y)


class ResNet18(nnx.Module):
    def __init__(self, padding, size, rngs):
        self.padding = padding
        self.stem = conv(3, 4, 7, 2, padding, rngs, use_bias=False)
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        blocks, width = [], 4
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block else 1
                blocks.append(ResidualBlock(width, 4 * 2**stage, stride, padding, rngs))
                width = 4 * 2**stage
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)  # first padding
        x = jax.nn.relu(self.norm(x))
        if self.padding == "CIRCULAR":
            x = jnp.concatenate([x[:, -1:], x, x[:, :1]], axis=1)
            x = jnp.concatenate([x[:, :, -1:], x, x[:, :, :1]], axis=2)
            x = nnx.max_pool(x, (3, 3), (2, 2))
        else:
            x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


class VGG11(nnx.Module):
    def __init__(self, padding, size, rngs):
        widths = (4, "pool", 8, "pool", 12, 12, "pool", 16, 16, "pool", 16, 16, "pool")
        layers, last = [], 3
        for width in widths:
            if width != "pool":
                layers.append(conv(last, width, 3, 1, padding, rngs))
                last = width
        self.layers = nnx.List(layers)
        self.pooled = tuple(widths[i + 1] == "pool" for i, w in enumerate(widths) if w != "pool")
        self.dense1 = nnx.Linear((size // 32) ** 2 * 16, 32, rngs=rngs)
        self.dense2 = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x):
        x = halve(jax.nn.relu(self.layers[0](x)))  # first padding
        for layer, pooled in list(zip(self.layers, self.pooled, strict=True))[1:]:
            x = jax.nn.relu(layer(x))
            x = halve(x) if pooled else x
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(self.dense1(x))  # flatten + dense
        return self.dense2(x)


class ConvNeXtBlock(nnx.Module):
    def __init__(self, width, padding, rngs):
        self.depthwise = conv(width, width, 7, 1, padding, rngs, feature_group_count=width)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.wide = nnx.Linear(width, 4 * width, rngs=rngs)
        self.narrow = nnx.Linear(4 * width, width, rngs=rngs)
        self.scale = nnx.Param(jnp.full((width,), 0.1))

    def __call__(self, x):
        y = self.depthwise(x)  # first padding
        y = self.narrow(jax.nn.gelu(self.wide(self.norm(y))))
        return x + self.scale[...] * y


class ConvNeXt(nnx.Module):
    def __init__(self, padding, size, rngs):
        self.stem = conv(3, 4, 4, 4, "VALID", rngs)
        self.norm = nnx.LayerNorm(4, rngs=rngs)
        self.first = ConvNeXtBlock(4, padding, rngs)
        stages, width = [], 4
        for wider in (8, 12):
            norm, down = nnx.LayerNorm(width, rngs=rngs), conv(width, wider, 2, 2, "VALID", rngs)
            stages.append(nnx.List([norm, down, ConvNeXtBlock(wider, padding, rngs)]))
            width = wider
        self.stages = nnx.List(stages)
        self.last = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        x = self.first(self.norm(self.stem(x)))
        for norm, down, block in self.stages:
            x = block(down(norm(x)))
        return self.head(self.last(jnp.mean(x, axis=(1, 2))))


class UNet(nnx.Module):
    def __init__(self, padding, size, rngs):
        self.down1 = conv(3, 4, 3, 1, padding, rngs)
        self.down2 = conv(4, 8, 3, 1, padding, rngs)
        self.bottom = conv(8, 12, 3, 1, padding, rngs)
        self.up = nnx.ConvTranspose(12, 8, (2, 2), (2, 2), padding="VALID", rngs=rngs)
        self.up2 = conv(16, 8, 3, 1, padding, rngs)
        self.up1 = conv(12, 4, 3, 1, padding, rngs)
        self.out = conv(4, 2, 1, 1, padding, rngs)

    def __call__(self, x):
        top = jax.nn.relu(self.down1(x))  # first padding
        middle = jax.nn.relu(self.down2(halve(top)))
        x = jax.nn.relu(self.bottom(halve(middle)))
        x = jax.nn.relu(self.up2(jnp.concatenate([self.up(x), middle], -1)))
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = jax.nn.relu(self.up1(jnp.concatenate([x, top], -1)))
        return self.out(x)


class ViTBlock(nnx.Module):
    def __init__(self, width, rngs):
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.wide = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(jax.nn.gelu(self.wide(self.norm2(x))))


class ViT(nnx.Module):
    def __init__(self, padding, size, rngs):
        self.patches = conv(3, 8, 4, 4, "VALID", rngs)
        tokens = (size // 4) ** 2
        at_place = padding == "POSITIONS"
        self.positions = nnx.Param(0.5 * rngs.normal((tokens, 8))) if at_place else None
        self.blocks = nnx.List([ViTBlock(8, rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.head = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        if self.positions is not None:
            x = x + self.positions[...]  # position embedding
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(self.norm(x), axis=1))


NETWORKS = {
    "lenet": LeNet,
    "resnet18": ResNet18,
    "vgg11": VGG11,
    "convnext": ConvNeXt,
    "unet": UNet,
    "vit": ViT,
}


def build(name: str, padding: str, size: int):
    """Returns `fun(state, images)`, the shapes of the state, and an input shape."""
    graph, state = nnx.split(nnx.eval_shape(lambda: NETWORKS[name](padding, size, nnx.Rngs(0))))
    return (lambda s, x: nnx.merge(graph, s)(x)), state, (1, size, size, 3)
