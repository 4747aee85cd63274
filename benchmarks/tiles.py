"""Tiles beside the whole: memory, time and gradients of a U-Net, and a large memory map.

`python -m benchmarks.tiles [--small]` prints one line a figure. Memory is what XLA's compiler
counts for a program (temporary arrays and outputs), that of the map the process's own peak.
"""

import argparse
import functools
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxinv
from jaxinv.models.unet import UNet

MIB = 2**20


def seconds(fun: Callable, *args) -> float:
    """The shorter of two runs, after one to compile."""
    jax.block_until_ready(fun(*args))
    times = []
    for _ in range(2):
        start = time.perf_counter()
        jax.block_until_ready(fun(*args))
        times.append(time.perf_counter() - start)
    return min(times)


def mebibytes(fun: Callable, *args) -> float:
    """Memory of a compiled program, without its arguments."""
    counted = jax.jit(fun).lower(*args).compile().memory_analysis()
    return (counted.temp_size_in_bytes + counted.output_size_in_bytes) / MIB


def image(size: int) -> jax.Array:
    """A random image."""
    return jax.random.normal(jax.random.key(1), (1, size, size, 3))


def of_unet(large: int, fits: int, trained: int) -> None:
    """Forward and gradient of a U-Net."""
    net = UNet((16, 32, 64), num_classes=2)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    fun = functools.partial(net.apply, variables)
    print("halo", jaxinv.tiling(fun, jax.ShapeDtypeStruct((1, 256, 256, 3), "float32")).halo)
    by_tile = jaxinv.tiled(fun, tile=min(512, large // 4))
    shape = jax.ShapeDtypeStruct((1, large, large, 3), "float32")
    whole, tiles = mebibytes(fun, shape), mebibytes(by_tile, shape)
    print(f"forward, {large} squared: {whole:.0f} MiB, by tiles {tiles:.0f} MiB")
    one = seconds(jax.jit(fun), image(fits)) / fits**2
    many = seconds(jax.jit(by_tile), image(large)) / large**2
    print(f"time a position: {1e9 * one:.0f} ns at {fits}, by tiles {1e9 * many:.0f} ns at {large}")
    x = image(fits)
    apart = jnp.abs(jaxinv.tiled(fun, tile=fits // 4)(x) - jax.jit(fun)(x)).max()
    print(f"largest difference at {fits}: {float(apart):.1e}")

    def loss(fun):
        return jax.jit(jax.grad(lambda variables, x: jnp.mean(fun(variables, x) ** 2)))

    x = image(trained)
    whole_loss = loss(net.apply)
    tiles_loss = loss(jaxinv.tiled(net.apply, argnums=1, tile=trained // 4))
    counts = [mebibytes(fun, variables, x) for fun in (whole_loss, tiles_loss)]
    pairs = [jax.tree.leaves(fun(variables, x)) for fun in (whole_loss, tiles_loss)]
    scale = max(float(jnp.abs(leaf).max()) for leaf in pairs[0])
    apart = max(float(jnp.abs(a - b).max()) for a, b in zip(*pairs, strict=True)) / scale
    print(
        f"gradient, {trained} squared: {counts[0]:.0f} MiB, by tiles {counts[1]:.0f} MiB, "
        f"apart by {apart:.1e} of its scale"
    )


def of_memory_map(size: int) -> None:
    """A small network on a memory map."""
    kernels = [
        np.random.default_rng(i).normal(size=(3, 3, a, b))
        for i, (a, b) in enumerate([(1, 4), (4, 1)])
    ]

    def small(x):
        y = x.astype(jnp.float32) / 255
        for kernel in kernels:
            names = ("NHWC", "HWIO", "NHWC")
            kernel = jnp.asarray(kernel, jnp.float32)
            y = jnp.tanh(
                lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=names)
            )
        return (255 * jax.nn.sigmoid(y)).astype(jnp.uint8)

    with tempfile.TemporaryDirectory() as folder:
        shape = (1, size, size, 1)
        source = np.lib.format.open_memmap(Path(folder) / "x.npy", "w+", np.uint8, shape)
        rows = np.random.default_rng(0).integers(0, 256, (1, 500, size, 1), np.uint8)
        for start in range(0, size, 500):
            source[:, start : start + 500] = rows[:, : size - start]
        target = np.lib.format.open_memmap(Path(folder) / "y.npy", "w+", np.uint8, shape)
        start = time.perf_counter()
        jaxinv.tiled(small, tile=1024, out=target, progress=True)(source)
        passed = time.perf_counter() - start
        part = np.asarray(source[:, 400:1400, 300:1300])
        inside = np.asarray(jax.jit(small)(part))[:, 2:-2, 2:-2]
        wrong = int((inside != target[:, 402:1398, 302:1298]).sum())
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform == "darwin" else 1
    )
    print(
        f"memory map of {size} squared ({size**2 / MIB:.0f} MiB in and out): {passed:.0f} s; "
        f"{wrong} numbers wrong of a million; peak of the process {kib / 1024:.0f} MiB"
    )


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="sizes that take seconds")
    small = parser.parse_args().small
    of_memory_map(3000 if small else 20_000)
    of_unet(*((512, 256, 256) if small else (4096, 1024, 1024)))


if __name__ == "__main__":
    main()
