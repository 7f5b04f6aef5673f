"""Every error message of the package, read from its source: for the troubleshooting page."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.site.pages import ROOT
from vsvfi import errors, topics
from vsvfi.cli import diagnosis

_MARK = "<!-- topics -->"
_GAP = "…"


@dataclass(frozen=True, order=True)
class Message:
    """One message, with `…` for what depends on the case."""

    module: str
    text: str


def classes() -> dict[str, type[errors.VsvfiError]]:
    """Return all error classes by name."""
    found = vars(errors).items()
    return {name: kind for name, kind in found if inspect.isclass(kind) and issubclass(kind, errors.VsvfiError)}


def messages() -> dict[str, list[Message]]:
    """Return the messages of each class, in the order of modules."""
    found: dict[str, set[Message]] = defaultdict(set)
    for path, tree in _sources().items():
        if path.name == "errors.py":
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for name, text in _built(function):
                    found[name].add(Message(_module(path), text))
    return {name: sorted(entries) for name, entries in found.items()}


def others() -> dict[str, set[tuple[str, str]]]:
    """Return, by topic, class and text of messages that are not built by a class of `vsvfi.errors`.

    Those of scripts that vspipe runs, reasons why ffmpeg fails, wrong values of options, and reasons inside messages
    about weights.
    """
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for tree in _sources().values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            match ast.unparse(node.func):
                case "self.error" if len(node.args) == 4 and isinstance(node.args[3], ast.Constant):  # of cli/config.py
                    rule, remedy = (_literal(argument, {}) for argument in node.args[2:])
                    found["settings"].add(("ArgumentError", f"…: …=…, {rule}; {remedy}"))
                case "script_error" if isinstance(node.args[0], ast.Constant):
                    found[str(node.args[0].value)].add(("vapoursynth.Error", _literal(node.args[1], {})))
                case "argparse.ArgumentTypeError":
                    found["arguments"].add(("wrong option", _literal(node.args[0], {})))
                case "SourceError" | "InterruptedTransferError" | "PickleError" as name:
                    found["weights"].add((f"reason, {name}", _literal(node.args[0], {})))
    for topic, _, message in diagnosis._RULES:
        found[topic].add(("VsvfiError", re.sub(r"\{\w+(?:!r)?\}", _GAP, message)))
    found["clip"] |= {("VsvfiError", message) for _, message in diagnosis._FOR_COMMAND}
    return {topic: {(kind, text) for kind, text in entries if _says(text)} for topic, entries in found.items()}


def by_topic() -> dict[str, list[tuple[str, str]]]:
    """Return class and text of every message by the topic that it refers to, in the order of topics."""
    kinds = classes()
    rest = others()
    found: dict[str, set[tuple[str, str]]] = {name: rest.get(name, set()) for name in topics.topics()}
    for kind, entries in messages().items():
        for message in entries:
            found[topics.topic(kinds[kind].__mro__, message.module)].add((kind, message.text))
    return {name: sorted(entries) for name, entries in found.items()}


def inserted(markdown: str) -> str:
    """Replace the mark `<!-- topics -->` of a page by all topics with their messages."""
    if _MARK not in markdown:
        return markdown
    explained, lines = topics.topics(), []
    for name, entries in by_topic().items():
        title, text = explained[name]
        lines += [f"### {title[:1].upper()}{title[1:]} {{#{name}}}", "", text, ""]
        lines += [f"- `{message}` ({kind})" for kind, message in entries]
        lines.append("")
    return markdown.replace(_MARK, "\n".join(lines))


@cache
def _sources() -> dict[Path, ast.Module]:
    """Return the modules of the package, parsed."""
    paths = sorted((ROOT / "vsvfi").rglob("*.py"))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _built(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield class and text of every error that a function builds."""
    known = classes()
    texts: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                texts |= _assigned(target, node.value)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in known:
                text = _text(known[name], node, texts)
                if _says(text):
                    yield name, text


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, ast.expr]:
    """Return the names that an assignment gives to texts."""
    match target, value:
        case ast.Name(id=name), ast.JoinedStr() | ast.Constant() | ast.IfExp():
            return {name: value}
        case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
            pairs = zip(names, values, strict=True)
            return {name: text for pair in pairs for name, text in _assigned(*pair).items()}
    return {}


def _says(text: str) -> bool:
    return text.strip(f"{_GAP} ;,=:'()") != ""


def _text(kind: type[errors.VsvfiError], call: ast.Call, texts: Mapping[str, ast.expr]) -> str:
    """Build the message as the class does, from the literal parts of the call's arguments."""
    if kind.__init__ is errors.VsvfiError.__init__:  # takes the message as it is
        return "; ".join(_literal(argument, texts) for argument in call.args)
    names = list(inspect.signature(kind).parameters)
    given = dict(zip(names, (_literal(argument, texts) for argument in call.args), strict=False))
    given |= {word.arg: _literal(word.value, texts) for word in call.keywords if word.arg}
    values: dict[str, object] = dict(given)
    if _GAP in given.get("value", ""):
        values["value"] = _GAP
    if "listed" in values:
        values["listed"] = given["listed"] != "False"  # a variable: as for models, which most users meet
    for name, value in {"attempts": [(_GAP, _GAP)], "known": [_GAP], "path": Path(_GAP)}.items():
        if name in values:
            values[name] = value
    text = str(kind(**values))
    return re.sub(rf"'({_GAP}|True|False|None|\d+)'", r"\1", text, count=1).replace("`", "'")


def _literal(node: ast.expr, texts: Mapping[str, ast.expr]) -> str:
    """Return a string expression's text, with a gap for what is computed."""
    match node:
        case ast.Constant(value=str() as value):
            return " ".join(value.split()) if "\n" in value else value
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else _GAP for part in parts)
        case ast.IfExp(body=body, orelse=other):
            return f"{_literal(body, texts)} / {_literal(other, texts)}"
        case ast.Name(id=name) if name in texts:
            return _literal(texts[name], {})
    return _GAP
