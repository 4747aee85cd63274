"""Compiled programs kept on disk, so that the same command compiles nothing the second time."""

import contextlib
import dataclasses
import hashlib
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxinv.data.cache import default_cache_dir

# All programs are kept, small ones too: a run compiles many.
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compilation:
    """Whether a command keeps what it compiles."""

    keep_compiled: bool = True
    """Keep compiled programs in the cache ($JAXINV_CACHE, else ~/.cache/jaxinv; it may be deleted
    at any time): the same command compiles nothing the second time."""


@contextlib.contextmanager
def kept(options: Compilation) -> Iterator[None]:
    """Compiles within the block only what no earlier run has compiled.

    A cache that the user chose by JAX's own settings (`JAX_COMPILATION_CACHE_DIR`) stays as it is.
    """
    if not options.keep_compiled or _setting("jax_compilation_cache_dir") is not None:
        yield
        return
    folder = default_cache_dir() / "compiled" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # no place to keep anything is no reason to stop
        yield
        return
    chosen = SETTINGS | {"jax_compilation_cache_dir": str(folder)}
    before = {name: _setting(name) for name in chosen}
    with warnings.catch_warnings():
        # A file that a killed run left half written is compiled again.
        warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation")
        try:
            _choose(chosen)
            yield
        finally:
            _choose(before)


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def _choose(settings: dict) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # it is opened once, with the settings of that time


def _processor() -> str:
    """A name for the kind of processor: code compiled for one need not run on another."""
    said = platform.machine() + platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        said += next(line for line in lines if line.startswith(("flags", "Features")))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
