"""`python -m jaxinv`, which is the command `jaxinv`."""

import sys

from jaxinv.commands import main

if __name__ == "__main__":
    sys.exit(main())
