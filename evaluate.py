"""Are ConvNets translation invariant? `python evaluate.py`; all options: `--help`."""

import sys

from jaxinv.report.cli import main

if __name__ == "__main__":
    sys.exit(main())
