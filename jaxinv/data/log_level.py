"""Log levels of libraries that log what this package reports itself."""

import contextlib
from collections.abc import Iterator

from absl import logging as absl_logging


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors of libraries that log through absl (TFDS, orbax) are shown within the block."""
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)
