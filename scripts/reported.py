"""Report an error of vsvfi on one line, which names the options of the script that failed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from vsvfi.errors import VsvfiError, for_command


def reported[**Arguments](
    script: str, *, weights: str = "", model: str = "--model"
) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """Decorate the main function of a script, which then returns 1 where vsvfi raised an error.

    Args:
        script: name of the script, which begins the line.
        weights: its option that takes a file of weights; "" if there is none.
        model: its option that names the model; "" if there is none.
    """

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @functools.wraps(main)
        def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except VsvfiError as error:
                print(f"{script}: {for_command(str(error), weights=weights, model=model)}", file=sys.stderr)
                return 1

        return run

    return decorate
