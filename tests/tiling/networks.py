"""Dense networks with generic weights, each a function of images, signals or volumes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinv.models.unet import UNet
from tests.layers.generic import generic_variables

NAMES = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def conv(x, seed, features, *, size=3, stride=1, padding="SAME", dilation=1):
    """A convolution whose weights are those of a seed."""
    rank = x.ndim - 2
    kernel = normal(seed, *(size,) * rank, x.shape[-1], features) / size**rank
    return lax.conv_general_dilated(
        x,
        jnp.asarray(kernel, x.dtype),
        (stride,) * rank,
        padding,
        rhs_dilation=(dilation,) * rank,
        dimension_numbers=NAMES[rank],
    )


def max_pool(x, size=2):
    window = (1, *(size,) * (x.ndim - 2), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def transposed(x, seed, features, *, stride=2):
    rank = x.ndim - 2
    kernel = jnp.asarray(normal(seed, *(stride + 2,) * rank, x.shape[-1], features), x.dtype)
    strides = (stride,) * rank
    return lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=NAMES[rank])


def resized(x, factor, method):
    sizes = [n * factor for n in x.shape[1:-1]]
    return jax.image.resize(x, (x.shape[0], *sizes, x.shape[-1]), method)


def fcn(x):
    half = max_pool(jax.nn.relu(conv(x, 0, 2)))
    quarter = max_pool(jax.nn.relu(conv(half, 1, 3)))
    up = transposed(conv(quarter, 2, 2, size=1), 3, 2) + conv(half, 4, 2, size=1)
    return transposed(up, 5, 2)


def aspp(x):
    features = jax.nn.relu(conv(x, 0, 2, stride=2))
    branches = [conv(features, rate, 2, dilation=rate) for rate in (1, 2, 3)]
    return resized(conv(jnp.concatenate(branches, -1), 7, 2, size=1), 2, "linear")


def dncnn(x):
    y = x
    for layer in range(3):
        y = conv(y, layer, 3)
        y = jax.nn.leaky_relu(y * normal(layer + 10, 3) + normal(layer + 20, 3))
    return x - conv(y, 9, x.shape[-1])


def residual_in_residual(x):
    def dense_block(x, seed):
        y = jax.nn.leaky_relu(conv(x, seed, 2))
        return x + 0.2 * conv(jnp.concatenate([x, y], -1), seed + 1, x.shape[-1])

    return x + 0.2 * dense_block(dense_block(x, 0), 2)


def causal(x):
    for layer, dilation in enumerate((1, 2, 4)):
        past = jnp.pad(x, ((0, 0), (dilation, 0), (0, 0)))
        y = conv(past, layer, 4, size=2, dilation=dilation, padding="VALID")
        x = x + jnp.tanh(y[..., :2]) * jax.nn.sigmoid(y[..., 2:])
    return x


def pyramid(x):
    levels = [jax.nn.relu(conv(x, 0, 2, stride=2))]
    levels += [jax.nn.relu(conv(levels[0], 1, 2, stride=2))]
    top = conv(levels[1], 2, 2, size=1)
    finer = conv(levels[0], 3, 2, size=1) + resized(top, 2, "nearest")
    return {"coarse": conv(top, 4, 1), "fine": conv(finer, 5, 1)}


def pixel_shuffle(x):
    y = jax.nn.relu(conv(x, 0, 3))
    y = conv(x + conv(y, 1, x.shape[-1]), 2, 4)
    n, h, w, _ = y.shape
    y = y.reshape(n, h, w, 2, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, 1)
    return conv(y, 3, 1)


def encoder(x):
    for layer in range(3):
        x = jax.nn.relu(conv(x, layer, 2, stride=2))
    return x


def decoder(x):
    for layer in range(2):
        x = jnp.tanh(transposed(x, layer, 2))
    return x


def volume(x):
    y = max_pool(jax.nn.relu(conv(x, 0, 2)))
    return transposed(y, 1, 1)


def mirrored_borders(x):
    for layer in range(2):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        x = conv(padded, layer, 2, padding="VALID")
    return x


def unpadded(x):
    return conv(max_pool(conv(x, 0, 2, padding="VALID")), 1, 2, padding="VALID")


def channels_first(x):
    y = conv(jnp.moveaxis(x, 1, -1), 0, 2, size=4)
    return jnp.moveaxis(y, -1, 1)


def window_attention(x):
    n, h, w, c = x.shape
    windows = x.reshape(n, h // 4, 4, w // 4, 4, c).transpose(0, 1, 3, 2, 4, 5)
    tokens = windows.reshape(n, h // 4, w // 4, 16, c)
    weights = jax.nn.softmax(jnp.einsum("nabic,nabjc->nabij", tokens, tokens), -1)
    mixed = jnp.einsum("nabij,nabjc->nabic", weights, tokens)
    mixed = mixed.reshape(n, h // 4, w // 4, 4, 4, c).transpose(0, 1, 3, 2, 4, 5)
    return conv(mixed.reshape(n, h, w, c), 0, 2)


FRAME, HOP = 8, 4
WINDOW = np.hanning(FRAME + 2)[1:-1]


def spectrogram(x):
    frames = lax.conv_general_dilated_patches(x[:, None], (FRAME,), (HOP,), "VALID")
    return jnp.abs(jnp.fft.rfft(frames.swapaxes(1, 2) * WINDOW.astype(x.dtype)))


def filtered_frames(x):
    halves = x.reshape(x.shape[0], -1, HOP)
    frames = jnp.concatenate([halves[:, :-1], halves[:, 1:]], -1)
    response = normal(3, FRAME // 2 + 1).astype(x.dtype)
    found = jnp.fft.irfft(jnp.fft.rfft(frames * WINDOW.astype(x.dtype)) * response, FRAME)
    late = jnp.pad(found[..., :HOP], ((0, 0), (0, 1), (0, 0)))
    return (late + jnp.pad(found[..., HOP:], ((0, 0), (1, 0), (0, 0)))).reshape(x.shape)


def layers_in_a_scan(x):
    def layer(y, weight):
        grown = jnp.tanh(conv(y, 0, 2) * weight) + y
        return grown, conv(y, 1, 2)

    y, before = lax.scan(layer, x, normal(2, 3, 2).astype(x.dtype))
    return y + before[1]


def unet(**options):
    net = UNet((2, 3), num_classes=2, **options)
    variables = generic_variables(net, jnp.zeros((1, 32, 32, 2)))
    # One precision throughout: tiles and the whole are compared to rounding.
    variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), variables)
    return functools.partial(net.apply, variables)


# Rectifiers stop what a border spreads here and there, in each image elsewhere.
IMAGES = 4
# Each with the shape of its input, and its axes.
NETWORKS = {
    "unet": (lambda: unet(), (IMAGES, 36, 32, 2), (1, 2)),
    "unet, blurred": (lambda: unet(downsample="blur"), (IMAGES, 36, 32, 2), (1, 2)),
    "unet, normalised": (
        lambda: unet(norm="batch", activation="gelu"),
        (IMAGES, 36, 32, 2),
        (1, 2),
    ),
    "unet, unpadded": (lambda: unet(padding="VALID"), (IMAGES, 52, 48, 2), (1, 2)),
    "unet, odd sizes": (lambda: unet(), (IMAGES, 37, 35, 2), (1, 2)),
    "fcn": (lambda: fcn, (IMAGES, 44, 40, 2), (1, 2)),
    "aspp": (lambda: aspp, (IMAGES, 40, 38, 2), (1, 2)),
    "dncnn": (lambda: dncnn, (IMAGES, 23, 22, 2), (1, 2)),
    "residual in residual": (lambda: residual_in_residual, (IMAGES, 23, 22, 2), (1, 2)),
    "causal": (lambda: causal, (IMAGES, 31, 2), (1,)),
    "pyramid": (lambda: pyramid, (IMAGES, 44, 40, 2), (1, 2)),
    "pixel shuffle": (lambda: pixel_shuffle, (IMAGES, 21, 20, 2), (1, 2)),
    "encoder": (lambda: encoder, (IMAGES, 64, 56, 2), (1, 2)),
    "encoder, another remainder": (lambda: encoder, (IMAGES, 61, 59, 2), (1, 2)),
    "decoder": (lambda: decoder, (IMAGES, 15, 14, 2), (1, 2)),
    "volume": (lambda: volume, (IMAGES, 12, 14, 12, 2), (1, 2, 3)),
    "one axis of a volume": (lambda: volume, (IMAGES, 6, 14, 6, 2), (2,)),
    "mirrored borders": (lambda: mirrored_borders, (IMAGES, 16, 15, 2), (1, 2)),
    "unpadded": (lambda: unpadded, (IMAGES, 26, 24, 2), (1, 2)),
    "channels first": (lambda: channels_first, (IMAGES, 2, 16, 15), (2, 3)),
    "layers in a scan": (lambda: layers_in_a_scan, (IMAGES, 24, 22, 2), (1, 2)),
    "spectrogram": (lambda: spectrogram, (IMAGES, 96), (1,)),
    "filtered frames": (lambda: filtered_frames, (IMAGES, 96), (1,)),
    "window attention": (lambda: window_attention, (IMAGES, 28, 24, 2), (1, 2)),
}
