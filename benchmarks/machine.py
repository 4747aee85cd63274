"""The machine in general terms, and the arithmetic that its matrix products use."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import jax

DTYPES = ("float32", "default", "tf32", "bfloat16", "float64")


def describe() -> dict[str, str]:
    """The processor or GPU, its cores, and versions; no names of hosts or users."""
    return {
        "device": _device(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "system": platform.system(),
    }


def load() -> float | None:
    """How many programs wanted a core in the last minute, these measurements included."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_accelerator() -> dict[str, str]:
    """The same, with the driver and the versions of what computes."""
    leave_room()
    versions = {}
    for name in ("jaxlib", "flax", "optax", "numpy", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    platform_version = jax.devices()[0].client.platform_version
    return describe() | {
        "driver": _driver(),
        "platform": ", ".join(line.strip() for line in platform_version.splitlines()),
        **versions,
    }


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return f"NVIDIA {said.stdout.split()[0]}"
    return "unknown"


def _device() -> str:
    if jax.default_backend() != "cpu":
        devices = jax.devices()
        return f"{len(devices)} x {devices[0].device_kind}"
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count()
    return f"{cores} cores of {_processor()}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        found = dict(
            (part.strip() for part in line.split(":", 1))
            for line in path.read_text().splitlines()
            if ":" in line
        )
        if "model name" in found:
            return found["model name"] + _vectors(found.get("flags", "").split())
    return platform.processor() or platform.machine()


def _vectors(flags: list[str]) -> str:
    """The widest vectors: they decide how soon convolutions outrun memory, whatever the name."""
    widest = {"avx512f": "AVX-512", "avx2": "AVX2"}
    return next((f" with {name}" for flag, name in widest.items() if flag in flags), "")


def leave_room() -> None:
    """Leaves a part of a GPU's memory to PyTorch, if JAX has not looked for devices yet.

    Left to itself JAX takes three quarters, and PyTorch would not fit beside it.
    """
    if "XLA_CLIENT_MEM_FRACTION" not in os.environ:  # its newer name; both at once are refused
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.6")


def use(dtype: str) -> str:
    """Sets up JAX, and torch if it is there, for this arithmetic.

    Args:
      dtype: one of `DTYPES`; "default" is float32 in products as the platform makes them: TF32 on
        GPUs, bfloat16 on TPUs.

    Returns:
      The dtype of the arrays.

    Raises:
      ValueError: if it is unknown, or TF32 is asked for where there is none.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}")
    leave_room()
    if dtype == "tf32" and jax.default_backend() != "gpu":
        raise ValueError("tf32 is a format of NVIDIA's matrix units; allowed here are the others")
    jax.config.update("jax_enable_x64", dtype == "float64")
    # On GPUs float32 means float32: the platform's own default would be TF32.
    precision = {"tf32": "tensorfloat32", "default": None}.get(dtype, "highest")
    jax.config.update("jax_default_matmul_precision", precision)
    if has_torch():
        import torch

        torch.backends.cuda.matmul.allow_tf32 = dtype in ("tf32", "default")
        torch.backends.cudnn.allow_tf32 = dtype in ("tf32", "default")
    return "float32" if dtype in ("tf32", "default") else dtype


def arithmetic(dtype: str) -> str:
    """How this platform multiplies in one of `DTYPES`."""
    if dtype == "default":
        return {"gpu": "TF32", "tpu": "bfloat16 products"}.get(jax.default_backend(), "float32")
    return "TF32" if dtype == "tf32" else dtype


def has_torch() -> bool:
    """Whether torch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True
