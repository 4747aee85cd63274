"""The machine in general terms, and the arithmetic that its matrix products use."""

import os
import platform
from pathlib import Path

import jax

DTYPES = ("float32", "tf32", "bfloat16", "float64")


def describe() -> dict[str, str]:
    """The processor or GPU, its cores, and versions; no names of hosts or users."""
    return {
        "device": _device(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "system": platform.system(),
    }


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


def use(dtype: str) -> str:
    """Sets up JAX, and torch if it is there, for this arithmetic.

    Args:
      dtype: one of `DTYPES`.

    Returns:
      The dtype of the arrays.

    Raises:
      ValueError: if it is unknown, or TF32 is asked for where there is none.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}")
    # Left to itself JAX takes three quarters of a GPU, and PyTorch would not fit beside it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.6")
    if dtype == "tf32" and jax.default_backend() != "gpu":
        raise ValueError("tf32 is a format of NVIDIA's matrix units; allowed here are the others")
    jax.config.update("jax_enable_x64", dtype == "float64")
    # On GPUs float32 means float32: the platform's own default would be TF32.
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if dtype == "tf32" else "highest"
    )
    if has_torch():
        import torch

        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    return "float32" if dtype == "tf32" else dtype


def has_torch() -> bool:
    """Whether torch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True
