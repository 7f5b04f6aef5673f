"""`python -m vsvfi`: the command line, which `vsvfi.cli` is."""

from __future__ import annotations

import sys

from vsvfi.cli import main

if __name__ == "__main__":
    sys.exit(main())
