"""The page of arguments: of `interpolate()` from its docstring, of families from their option types."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Literal, TypeAliasType, get_args, get_origin

from scripts.site.pages import ROOT
from vsvfi.models import registry
from vsvfi.options import arguments as parsers
from vsvfi.options import ranges
from vsvfi.options.validators import table

GRAPH = "vsvfi/clip/graph.py"

_MARK = re.compile(r"<!-- arguments: (interpolate|families) -->")


def inserted(markdown: str) -> str:
    """Replace the marks `<!-- arguments: ... -->` of a page."""
    written = {"interpolate": _of_interpolate, "families": _of_families}
    return _MARK.sub(lambda match: written[match[1]](), markdown)


def _of_interpolate() -> str:
    """Signature, summary and table, from the docstring.

    Raises:
        ValueError: the docstring and the signature list other arguments.
    """
    function = _interpolate()
    text = inspect.cleandoc(ast.get_docstring(function, clean=False) or "")
    summary, _, rest = text.partition("\n\nArgs:\n")
    arguments, _, rest = rest.partition("\n\nReturns:\n")
    returns, _, _ = rest.partition("\n\nRaises:")
    meanings, defaults = _sections(arguments), _defaults(function)
    if set(meanings) != set(defaults):
        raise ValueError(f"{GRAPH}: the docstring of interpolate() lists other arguments than its signature")
    signature = re.sub(r", (?=\w+: |\*, )", ",\n    ", ast.unparse(_spelled_out(function.args))).replace("=", " = ")
    rows = [
        f"| `{name}` | {f'`{default}`' if default else 'required'} | {meanings[name].replace('|', chr(92) + '|')} |"
        for name, default in defaults.items()
    ]
    lines = ["```python", f"vsvfi.interpolate(\n    {signature}\n)", "```", "", summary, ""]
    lines += ["| argument | default | meaning |", "|---|---|---|", *rows, "", f"Returns: {' '.join(returns.split())}"]
    return "\n".join(lines)


class _Aliases(ast.NodeTransformer):
    """Replace the named types of `vsvfi.options` by what they stand for."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        alias = getattr(parsers, node.id, None) or getattr(ranges, node.id, None)
        if not isinstance(alias, TypeAliasType):
            return node
        written = re.sub(r"\b[a-z_]+\.(?:abc\.)?", "", str(alias.__value__))
        values = get_args(alias.__value__) if get_origin(alias.__value__) is Literal else ()
        return ast.Name(" | ".join(map(repr, values)) or written)


def _spelled_out(arguments: ast.arguments) -> ast.arguments:
    found: ast.arguments = _Aliases().visit(arguments)
    return found


def _interpolate() -> ast.FunctionDef:
    tree = ast.parse((ROOT / GRAPH).read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "interpolate")


def _defaults(function: ast.FunctionDef) -> dict[str, str]:
    """Return each argument's default as written, "" without one."""
    given = function.args
    positional = [argument.arg for argument in given.args]
    defaults = [""] * (len(positional) - len(given.defaults)) + [ast.unparse(value) for value in given.defaults]
    found = dict(zip(positional, defaults, strict=True))
    for argument, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found[argument.arg] = ast.unparse(value) if value is not None else ""
    return found


def _sections(text: str) -> dict[str, str]:
    """Split the lines of an Args section into names and meanings."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        begins = re.match(r" {4}(\w+): (.*)", line)
        if begins:
            name, found[begins[1]] = begins[1], begins[2]
        else:
            found[name] += " " + line.strip()
    return found


def _of_families() -> str:
    """A section for each family."""
    lines: list[str] = []
    for family in registry.families():
        names = ", ".join(f"`{variant.name}`" for variant in family.variants)
        lines += [f"### {family.name}", "", f"[{family.title}](../vsvfi/models/{family.name}/README.md): {names}.", ""]
        lines += [f"{family.paper}.", ""]
        lines += [table(family.options) if family.options else "No options.", ""]
    return "\n".join(lines)
