"""Train a network: `python train.py --help`."""

import sys

from jaxinv.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
