"""Every family still gives the outputs stored when it matched the reference data; needs this repository only."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from tests.models.regression import FOLDER, outputs
from vsvfi.models.registry import families


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_outputs_are_what_they_were(family) -> None:  # type: ignore[no-untyped-def]
    stored = load_file(FOLDER / f"{family.name}.safetensors")
    found = outputs(family)
    assert stored.keys() <= found.keys()
    for name, reference in stored.items():
        assert float((found[name] - reference).norm() / reference.norm()) < 1e-5, name
        assert float(reference.std()) > 0.01, name


def test_the_files_are_small() -> None:
    assert all(path.stat().st_size < 1_000_000 for path in FOLDER.iterdir())
