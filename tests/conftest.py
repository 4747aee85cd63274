"""Settings that hold for every test: the processor, one thread pool a worker, no network."""

import os
from pathlib import Path

import jaxlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Each program runs a few times: to compile it takes longer than it gains from LLVM's optimisations,
# without which the suite takes about half the time. Set it to 0 to test with them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

from tests.layers import generic

COLLECTED = pytest.StashKey[set[str]]()


def pytest_configure(config):
    """How XLA compiles, and where programs keep what they would keep in the user's cache."""
    # XLA's older code for fusions compiles in half the time. Slow tests take the newer one, as
    # users' programs do. Later releases have no other, and end at a flag that they do not know.
    if config.option.markexpr == "not slow" and jaxlib.__version__.startswith("0.10."):
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
    if hasattr(config, "cache"):  # `-p no:cacheprovider` leaves it out
        os.environ.setdefault("JAXINV_CACHE", str(config.cache.mkdir("jaxinv")))


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config, items):
    """Marks as slow what tests/slow.txt lists, see tests/README.md."""
    slow = set((Path(__file__).parent / "slow.txt").read_text().splitlines())
    config.stash[COLLECTED] = {item.nodeid for item in items}
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def collected(request):
    """The names of all tests that were found, those left out by their marks too."""
    return request.config.stash[COLLECTED]


@pytest.fixture
def x64():
    """The test computes in 64 bits: `pytestmark = pytest.mark.usefixtures("x64")`."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def settings_stay():
    """Gives back the settings that a program run in this process changes."""
    names = ("jax_default_matmul_precision", "jax_enable_x64")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def signal():
    """Makes a random signal of any shape."""
    return generic.signal


@pytest.fixture
def weights():
    """Makes random variables for a module and an input."""
    return generic.generic_variables
