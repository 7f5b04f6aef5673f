"""`vsvfi explain NAME`: print the remedies of a kind of error, which messages name at their end."""

from __future__ import annotations

import argparse
import difflib
import re

from vsvfi.errors import ArgumentError
from vsvfi.topics import topics

HELP = "explain the kind of error that a message names at its end"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="as in '(help: vsvfi explain NAME)'; none lists all")


def main(arguments: argparse.Namespace) -> int:
    known = topics()
    if arguments.name is None:
        width = max(map(len, known))
        for name, (title, _) in known.items():
            print(f"{name:<{width}}  {title}")
        return 0
    name = arguments.name.lower()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ArgumentError("name", arguments.name, "is not explained", remedy)
    title, text = known[name]
    print(f"{title[:1].upper()}{title[1:]}\n\n{re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', text)}")
    return 0
