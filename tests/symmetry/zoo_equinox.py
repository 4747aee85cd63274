"""The zoo in Equinox: the same networks as `zoo_linen`, on images (C, H, W) mapped over a batch."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp

AXES = (2, 3)


def conv(n_in, n_out, size, stride, padding, key, **options):
    """A convolution with circular, zero or no padding, spelt by Equinox itself."""
    width = 0 if padding == "VALID" else (size - 1) // 2
    mode = "CIRCULAR" if padding == "CIRCULAR" else "ZEROS"
    return eqx.nn.Conv2d(n_in, n_out, size, stride, width, padding_mode=mode, key=key, **options)


def halve(x):
    return eqx.nn.MaxPool2d(2, 2)(x)


def over_channels(layer, x):
    """Applies a layer on vectors at each position of (C, H, W)."""
    return jnp.moveaxis(jax.vmap(jax.vmap(layer))(jnp.moveaxis(x, 0, -1)), -1, 0)


class LeNet(eqx.Module):
    convs: list
    denses: list

    def __init__(self, padding, size, keys):
        self.convs = [conv(3, 6, 5, 1, padding, next(keys)), conv(6, 16, 5, 1, padding, next(keys))]
        side = ((size - 4) // 2 - 4) // 2 if padding == "VALID" else size // 4
        widths = (side * side * 16, 24, 20, 10)
        self.denses = [eqx.nn.Linear(a, b, key=next(keys)) for a, b in itertools.pairwise(widths)]

    def __call__(self, x):
        x = halve(jax.nn.relu(self.convs[0](x)))  # first padding
        x = halve(jax.nn.relu(self.convs[1](x)))
        x = jax.nn.relu(self.denses[0](jnp.ravel(x)))  # flatten + dense
        return self.denses[2](jax.nn.relu(self.denses[1](x)))


class Norm(eqx.Module):
    """Batch norm in evaluation mode: a scale and a shift for each channel."""

    mean: jax.Array
    scale: jax.Array

    def __init__(self, width, key):
        self.mean = 0.1 * jax.random.normal(key, (width, 1, 1))
        self.scale = 1 + 0.1 * jax.random.normal(key, (width, 1, 1))

    def __call__(self, x):
        return (x - self.mean) * self.scale


class ResidualBlock(eqx.Module):
    convs: list
    norms: list
    short: eqx.nn.Conv2d | None

    def __init__(self, n_in, n_out, stride, padding, keys):
        options = {"use_bias": False}
        self.convs = [
            conv(n_in, n_out, 3, stride, padding, next(keys), **options),
            conv(n_out, n_out, 3, 1, padding, next(keys), **options),
        ]
        self.norms = [Norm(n_out, next(keys)), Norm(n_out, next(keys))]
        plain = stride == 1 and n_in == n_out
        self.short = None if plain else conv(n_in, n_out, 1, stride, padding, next(keys), **options)

    def __call__(self, x):
        y = jax.nn.relu(self.norms[0](self.convs[0](x)))
        y = self.norms[1](self.convs[1](y))
        return jax.nn.relu((x if self.short is None else self.short(x)) + y)


class ResNet18(eqx.Module):
    stem: eqx.nn.Conv2d
    norm: Norm
    blocks: list
    head: eqx.nn.Linear
    circular: bool = eqx.field(static=True)

    def __init__(self, padding, size, keys):
        self.circular = padding == "CIRCULAR"
        self.stem = conv(3, 4, 7, 2, padding, next(keys), use_bias=False)
        self.norm = Norm(4, next(keys))
        self.blocks, width = [], 4
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block else 1
                self.blocks.append(ResidualBlock(width, 4 * 2**stage, stride, padding, keys))
                width = 4 * 2**stage
        self.head = eqx.nn.Linear(width, 10, key=next(keys))

    def __call__(self, x):
        x = self.stem(x)  # first padding
        x = jax.nn.relu(self.norm(x))
        if self.circular:
            x = eqx.nn.MaxPool2d(3, 2)(jnp.pad(x, [(0, 0), (1, 1), (1, 1)], mode="wrap"))
        else:
            x = eqx.nn.MaxPool2d(3, 2, padding=1)(x)
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


class VGG11(eqx.Module):
    convs: list
    denses: list
    pooled: tuple = eqx.field(static=True)

    def __init__(self, padding, size, keys):
        widths = (3, 4, 8, 12, 12, 16, 16, 16, 16)
        self.pooled = (True, True, False, True, False, True, False, True)
        self.convs = [conv(a, b, 3, 1, padding, next(keys)) for a, b in itertools.pairwise(widths)]
        inputs = (size // 32) ** 2 * 16
        self.denses = [
            eqx.nn.Linear(inputs, 32, key=next(keys)),
            eqx.nn.Linear(32, 10, key=next(keys)),
        ]

    def __call__(self, x):
        x = halve(jax.nn.relu(self.convs[0](x)))  # first padding
        for conv, pooled in list(zip(self.convs, self.pooled, strict=True))[1:]:
            x = jax.nn.relu(conv(x))
            x = halve(x) if pooled else x
        x = jax.nn.relu(self.denses[0](jnp.ravel(x)))  # flatten + dense
        return self.denses[1](x)


class ConvNeXtBlock(eqx.Module):
    depthwise: eqx.nn.Conv2d
    norm: eqx.nn.LayerNorm
    wide: eqx.nn.Linear
    narrow: eqx.nn.Linear
    scale: jax.Array

    def __init__(self, width, padding, keys):
        self.depthwise = conv(width, width, 7, 1, padding, next(keys), groups=width)
        self.norm = eqx.nn.LayerNorm(width)
        self.wide = eqx.nn.Linear(width, 4 * width, key=next(keys))
        self.narrow = eqx.nn.Linear(4 * width, width, key=next(keys))
        self.scale = jnp.full((width, 1, 1), 0.1)

    def __call__(self, x):
        y = self.depthwise(x)  # first padding
        y = over_channels(lambda v: self.narrow(jax.nn.gelu(self.wide(self.norm(v)))), y)
        return x + self.scale * y


class ConvNeXt(eqx.Module):
    stem: eqx.nn.Conv2d
    norms: list
    downs: list
    blocks: list
    head: eqx.nn.Linear

    def __init__(self, padding, size, keys):
        self.stem = conv(3, 4, 4, 4, "VALID", next(keys))
        self.norms = [eqx.nn.LayerNorm(width) for width in (4, 4, 8, 12)]
        self.downs = [conv(4, 8, 2, 2, "VALID", next(keys)), conv(8, 12, 2, 2, "VALID", next(keys))]
        self.blocks = [ConvNeXtBlock(width, padding, keys) for width in (4, 8, 12)]
        self.head = eqx.nn.Linear(12, 10, key=next(keys))

    def __call__(self, x):
        x = self.blocks[0](over_channels(self.norms[0], self.stem(x)))
        for i in range(2):
            x = self.downs[i](over_channels(self.norms[i + 1], x))
            x = self.blocks[i + 1](x)
        return self.head(self.norms[3](jnp.mean(x, axis=(1, 2))))


class UNet(eqx.Module):
    convs: list
    up: eqx.nn.ConvTranspose2d

    def __init__(self, padding, size, keys):
        widths = ((3, 4, 3), (4, 8, 3), (8, 12, 3), (16, 8, 3), (12, 4, 3), (4, 2, 1))
        self.convs = [conv(a, b, k, 1, padding, next(keys)) for a, b, k in widths]
        self.up = eqx.nn.ConvTranspose2d(12, 8, 2, 2, key=next(keys))

    def __call__(self, x):
        top = jax.nn.relu(self.convs[0](x))  # first padding
        middle = jax.nn.relu(self.convs[1](halve(top)))
        x = jax.nn.relu(self.convs[2](halve(middle)))
        x = jax.nn.relu(self.convs[3](jnp.concatenate([self.up(x), middle])))
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = jax.nn.relu(self.convs[4](jnp.concatenate([x, top])))
        return self.convs[5](x)


class ViTBlock(eqx.Module):
    norms: list
    attention: eqx.nn.MultiheadAttention
    wide: eqx.nn.Linear
    narrow: eqx.nn.Linear

    def __init__(self, width, keys):
        self.norms = [eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)]
        self.attention = eqx.nn.MultiheadAttention(2, width, key=next(keys))
        self.wide = eqx.nn.Linear(width, 2 * width, key=next(keys))
        self.narrow = eqx.nn.Linear(2 * width, width, key=next(keys))

    def __call__(self, x):
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y)
        return x + jax.vmap(lambda v: self.narrow(jax.nn.gelu(self.wide(self.norms[1](v)))))(x)


class ViT(eqx.Module):
    patches: eqx.nn.Conv2d
    positions: jax.Array | None
    blocks: list
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, padding, size, keys):
        self.patches = conv(3, 8, 4, 4, "VALID", next(keys))
        shape = ((size // 4) ** 2, 8)
        at_place = padding == "POSITIONS"
        self.positions = 0.5 * jax.random.normal(next(keys), shape) if at_place else None
        self.blocks = [ViTBlock(8, keys) for _ in range(2)]
        self.norm = eqx.nn.LayerNorm(8)
        self.head = eqx.nn.Linear(8, 10, key=next(keys))

    def __call__(self, x):
        x = self.patches(x)
        x = x.reshape(x.shape[0], -1).T
        if self.positions is not None:
            x = x + self.positions  # position embedding
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(jax.vmap(self.norm)(x), axis=0))


NETWORKS = {
    "lenet": LeNet,
    "resnet18": ResNet18,
    "vgg11": VGG11,
    "convnext": ConvNeXt,
    "unet": UNet,
    "vit": ViT,
}


def build(name: str, padding: str, size: int):
    """Returns `fun(arrays, images)`, the shapes of the arrays, and an input shape (N, C, H, W)."""

    def make():
        return NETWORKS[name](padding, size, iter(jax.random.split(jax.random.key(0), 100)))

    arrays, rest = eqx.partition(
        eqx.filter_eval_shape(make), lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
    )
    return (lambda a, x: jax.vmap(eqx.combine(a, rest))(x)), arrays, (1, 3, size, size)
