"""Every call that creates a tensor names its dtype and device.

Other code in the process may change torch's defaults.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsvfi

PACKAGE = Path(vsvfi.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

FACTORIES = frozenset(
    """
    arange as_tensor asarray bartlett_window blackman_window empty empty_permuted empty_strided eye full hamming_window
    hann_window kaiser_window linspace logspace nested_tensor normal ones rand randint randn randperm range
    scalar_tensor sparse_coo_tensor tensor tril_indices triu_indices zeros
    """.split()  # noqa: SIM905
)
UNNAMED = frozenset(
    {"get_default_dtype", "get_default_device", "DoubleTensor", "FloatTensor", "HalfTensor", "LongTensor"}
)
"""Calls that cannot name them, or that request a default."""
CHANGING = frozenset({"set_default_dtype", "set_default_device", "set_default_tensor_type"})
"""Calls that change the defaults of other code in the process."""


def faults(source: str) -> Iterator[str]:
    """What breaks the rule in a file, by line."""
    tree = ast.parse(source)
    modules = {"torch"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname for alias in node.names if alias.name == "torch" and alias.asname}
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            for alias in node.names:
                if alias.name in FACTORIES | CHANGING | UNNAMED:
                    yield f"line {node.lineno}: import torch and call torch.{alias.name}, which this rule can see"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Tensor":
            yield f"line {node.lineno}: Tensor() has torch's default type and device"
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id not in modules:
            continue
        if node.attr in CHANGING | UNNAMED:
            yield f"line {node.lineno}: torch.{node.attr} depends on torch's defaults, or changes them"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        function = node.func
        if not isinstance(function.value, ast.Name) or function.value.id not in modules:
            continue
        if function.attr == "Tensor":
            yield f"line {node.lineno}: torch.Tensor() has torch's default type and device"
        if function.attr in FACTORIES:
            named = {keyword.arg for keyword in node.keywords}
            missing = sorted({"dtype", "device"} - named)
            if missing:
                yield f"line {node.lineno}: torch.{function.attr} without {' and '.join(missing)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_tensors_are_made_with_their_dtype_and_device(path: Path) -> None:
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("torch.empty(3)", 1),
        ("torch.empty(3, dtype=torch.float32)", 1),
        ("torch.empty(3, device=x.device)", 1),
        ("torch.empty(3, dtype=torch.float32, device=x.device)", 0),
        ("torch.zeros(3, **given)", 1),
        ("import torch as t\nt.arange(3)", 1),
        ("from torch import zeros\nzeros(3)", 1),
        ("from torch import Tensor\nTensor(3)", 1),
        ("torch.Tensor(3)", 1),
        ("def f(x: torch.Tensor) -> torch.Tensor: ...", 0),
        ("isinstance(x, torch.Tensor)", 0),
        ("torch.FloatTensor(3)", 1),
        ("torch.set_default_dtype(torch.float64)", 1),
        ("torch.get_default_dtype()", 1),
        ("torch.empty_like(x)", 0),
        ("x.new_zeros(3)", 0),
        ("np.zeros(3)", 0),
        ("torch.from_numpy(x)", 0),
    ],
)
def test_the_rule_sees_what_it_should(source: str, count: int) -> None:
    assert len(list(faults(source))) == count
