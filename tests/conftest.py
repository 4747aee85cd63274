"""Settings that hold for every test: the processor, one thread pool a worker, no network."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Each program runs a few times: to compile it takes longer than it gains from LLVM's optimisations,
# without which the suite takes about half the time. Set it to 0 to test with them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
