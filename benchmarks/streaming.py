"""What data that are not held in memory cost: memory of evaluate.py, images a second of training.

`python -m benchmarks.streaming memory` evaluates a small network on generated images, 10,000 and
40,000 of 64x64 pixels, and prints the peak memory of each process (Linux).

`python -m benchmarks.streaming speed` trains on pictures in a folder and prints images a second: of
reading alone, of the network alone on images in memory, and of training from the stream.
"""

import argparse
import dataclasses
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import data
from jaxinv.training import TrainConfig
from jaxinv.training.program import Program

ROOT = Path(__file__).resolve().parent.parent
EVALUATE = """
import sys
from jaxinv.report.cli import main
status = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(status)
"""


def columns(images: jax.Array) -> jax.Array:
    """A network of three classes that takes no time."""
    return jnp.stack([images[:, :, i::3].sum((1, 2, 3)) for i in range(3)], -1)


def memory(counts: list[int], size: int, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"{count}.npz"
            generator = np.random.default_rng(0)
            images = generator.integers(0, 256, (count, size, size), np.uint8)
            np.savez(path, x_test=images, y_test=generator.integers(0, 3, count))
            given = ["--apply", "benchmarks.streaming:columns", "--dataset", str(path)]
            given += ["--out", f"{folder}/{count}", "--max-shift", "4", "--no-certify", *options]
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", EVALUATE, *given],
                cwd=ROOT,
                env=os.environ | {"JAXINV_CACHE": f"{folder}/cache"},
                capture_output=True,
                text=True,
                check=False,
            )
            peak = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
            if done.returncode or not peak:
                sys.exit(done.stderr)
            seconds = time.monotonic() - began
            print(f"{count:>7,} images: {int(peak[1]) / 1024:7.1f} MiB, {seconds:.0f} s")


def write_pictures(folder: Path, count: int, size: int) -> None:
    """JPEG pictures of two classes: smooth noise, which compresses about as photographs do."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(count):
        small = generator.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
        picture = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
        path = folder / "train" / "ab"[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)


def speed(config: TrainConfig, steps: int) -> None:
    rates = {"reading": reading(config, steps)}
    for name, size in (("network", "1TiB"), ("both", "0")):
        rates[name] = training(dataclasses.replace(config, memory=size), steps)
    for name, rate in rates.items():
        print(f"{name:>8}: {rate:8.1f} images/s")
    share = rates["network"] / rates["reading"]
    print(f"reading takes {100 * share:.1f}% of the time of a step, if none of it is hidden")


def reading(config: TrainConfig, steps: int) -> float:
    source = data.open(config.dataset, split=config.train_split, memory=0)
    # Many more than are read ahead, and from the first on.
    count = config.batch_size * max(200, steps)
    order = np.resize(np.random.default_rng(0).permutation(len(source)), count)
    began = time.monotonic()
    for _ in source.batches(order.reshape(-1, config.batch_size)):
        pass
    return count / (time.monotonic() - began)


def training(config: TrainConfig, steps: int) -> float:
    program = Program(config)
    state = program.first_state()

    def stepped() -> Iterator[jax.Array]:
        nonlocal state
        for epoch in itertools.count():
            advance = program.epoch(state.key, epoch, position=0)
            for _ in range(program.steps_per_epoch):
                state = advance(state, 1)
                yield jax.block_until_ready(state.step)

    taken = stepped()
    next(taken)  # compiles
    began = time.monotonic()
    for _ in itertools.islice(taken, steps):
        pass
    return steps * config.batch_size / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    peak = commands.add_parser("memory")
    peak.add_argument("--images", type=int, nargs="+", default=[10_000, 40_000])
    peak.add_argument("--size", type=int, default=64)
    peak.add_argument(
        "--options", nargs="*", default=[], help="of evaluate.py, such as memory=1GiB"
    )
    fast = commands.add_parser("speed")
    fast.add_argument("--dataset", help="a folder of pictures; by default generated")
    fast.add_argument("--model", default="resnet20")
    fast.add_argument("--size", type=int, default=224)
    fast.add_argument("--batch-size", type=int, default=32)
    fast.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    if given.command == "memory":
        options = [f"--{option}" for option in given.options]
        return memory(given.images, given.size, options)
    with tempfile.TemporaryDirectory() as folder:
        if given.dataset is None:
            write_pictures(Path(folder), 4 * given.batch_size, given.size)
        config = TrainConfig(
            dataset=given.dataset or folder,
            test_split=f"train[:{given.batch_size}]",
            model=given.model,
            batch_size=given.batch_size,
            augment="flip",
        )
        speed(config, given.steps)


if __name__ == "__main__":
    main()
