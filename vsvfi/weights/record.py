"""Read the record of trained weights: who made them, from what, and under which licence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vsvfi.errors import DamagedWeightsError
from vsvfi.weights.integrity import Container, container, open_regular

RECORD = "vsvfi"
"""Key of the record in the metadata of a safetensors file."""

_LARGEST = 1 << 26


def read_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the record in a safetensors file's metadata, or in a JSON file of the same name beside the weights.

    Returns None if there is neither.

    Raises:
        DamagedWeightsError: the record is not JSON.
    """
    file = Path(path)
    text = _embedded(file)
    beside = file.with_suffix(".json")
    if text is None and beside.is_file() and beside.stat().st_size < _LARGEST:
        text = beside.read_text(encoding="utf-8")
    if text is None:
        return None
    try:
        record = json.loads(text)
    except ValueError as error:
        raise DamagedWeightsError(file, f"its record is not JSON ({error})") from error
    return record if isinstance(record, dict) else None


def _embedded(path: Path) -> str | None:
    """Return the record inside a safetensors file."""
    if container(path) is not Container.SAFETENSORS:
        return None
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LARGEST:
            return None
        header = json.loads(file.read(length))
    text = header.get("__metadata__", {}).get(RECORD)
    return text if isinstance(text, str) else None
