"""Run `python -m scripts.train builtin`; the records of packaged weights spell it `python -m scripts.train.train`."""

from __future__ import annotations

import sys

from scripts.train.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(["builtin", *sys.argv[1:]]))
