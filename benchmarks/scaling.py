"""How time and memory of evaluate.py grow with images, shifts, classes, devices and processes.

`python -m benchmarks.scaling` evaluates a small network on generated images, one thing varied at a
time, each in processes of its own (Linux). Figures are in `runs/scaling.json` after each row; the
same command goes on with the rows that are missing, `--only 'shifts *' 'images 1000'` takes some,
and `--write-docs` puts those that are there into docs/benchmarks.md.
"""

import argparse
import dataclasses
import fnmatch
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import formats, machine, page
from benchmarks.streaming import EVALUATE

ROOT = Path(__file__).resolve().parent.parent


def network(images: jax.Array, classes: int) -> jax.Array:
    """Two convolutions with circular padding and a dense head: shifts share the convolutions."""
    x = images
    for width in (8, 16):
        kernel = jax.random.normal(jax.random.key(width), (3, 3, x.shape[-1], width)) / 9
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=numbers)
        x = jax.nn.relu(x)
    flat = x.reshape(len(x), -1)
    head = jax.random.normal(jax.random.key(0), (flat.shape[1], classes)) / flat.shape[1]
    return flat @ head


def net10(images: jax.Array) -> jax.Array:
    return network(images, 10)


def net100(images: jax.Array) -> jax.Array:
    return network(images, 100)


def net1000(images: jax.Array) -> jax.Array:
    return network(images, 1000)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One evaluation."""

    images: int = 1000
    shifts: int = 81
    classes: int = 10
    devices: int = 1
    processes: int = 1

    @property
    def options(self) -> list[str]:
        """Of evaluate.py; images are 64x64, so that all circular shifts are 4,096."""
        reach = (int(self.shifts**0.5) - 1) // 2
        moved = [] if self.shifts == 64 * 64 else ["--max-shift", str(reach)]
        return ["--apply", f"benchmarks.scaling:net{self.classes}", *moved]


VARIED: dict[str, tuple[int, ...]] = {
    "images": (1000, 4000, 10_000, 40_000),
    "shifts": (81, 289, 1089, 4096),
    "classes": (10, 100, 1000),
    "devices": (1, 2, 4, 8),
    "processes": (1, 2),
}


def measure(setting: Setting) -> dict[str, Any]:
    """Seconds of the whole command and of the processor, and the peak memory of each process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (setting.images, 64, 64), np.uint8)
        labels = generator.integers(0, setting.classes, setting.images)
        np.savez(path, x_test=images, y_test=labels)
        given = [*setting.options, "--dataset", str(path), "--out", f"{folder}/out"]
        given += ["--no-certify", "--no-layers"]
        flag = f"--xla_force_host_platform_device_count={setting.devices}"
        environment = os.environ | {"JAXINV_CACHE": f"{folder}/cache", "XLA_FLAGS": flag}
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        running = [
            subprocess.Popen(
                [sys.executable, "-c", EVALUATE, *given, *world],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for world in worlds(setting.processes)
        ]
        said = [process.communicate()[1] for process in running]
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = [re.search(r"VmHWM:\s+(\d+) kB", text) for text in said]
    if any(process.returncode for process in running) or not all(peaks):
        sys.exit("\n".join(said))
    return {
        **dataclasses.asdict(setting),
        "seconds": round(seconds, 2),
        "processor": round(sum(after[:2]) - sum(before[:2]), 2),
        "mebibytes": [round(int(peak[1]) / 1024, 1) for peak in peaks if peak],
        "load": machine.load(),
    }


def worlds(count: int) -> list[list[str]]:
    """The options by which processes find one another; none of a single one."""
    if count == 1:
        return [[]]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    world = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count), "--process"]
    return [[*world, str(index)] for index in range(count)]


def settings(only: list[str]) -> dict[str, Setting]:
    """The rows by name, what is varied first."""
    named = {
        f"{name} {value}": Setting(**{name: value})
        for name, values in VARIED.items()
        for value in values
    }
    return {
        name: setting
        for name, setting in named.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in only)
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/scaling.json"))
    parser.add_argument("--only", nargs="+", default=["*"], help="rows, such as 'images *'")
    parser.add_argument("--write-docs", action="store_true", help="put them into the page")
    parser.add_argument("--docs", type=Path, default=page.DOCS)
    given = parser.parse_args(argv)
    described = machine.describe()
    found: dict[str, Any] = {"machine": described, "rows": {}}
    if given.output.is_file():
        found = json.loads(given.output.read_text())
        if found["machine"] != described:
            sys.exit(f"{given.output} is of another machine or version; give another --output")
    for name, setting in settings(given.only).items():
        if name not in found["rows"]:
            asked = dataclasses.asdict(setting).items()
            same = (row for row in found["rows"].values() if asked <= row.items())
            found["rows"][name] = next(same, None) or measure(setting)
            given.output.parent.mkdir(parents=True, exist_ok=True)
            formats.write(given.output, found)
        row = found["rows"][name]
        print(f"{name:>16}: {row['seconds']:8.1f} s, {row['mebibytes']} MiB", flush=True)
    if given.write_docs:
        formats.write(given.docs / "scaling.json", found)
        page.write_page(given.docs)


if __name__ == "__main__":
    main()
