"""The topic of an error: a stable name of the remedies in `topics.md`, which messages refer to.

It follows from the class where that says enough, else from the module that raised. Where the package's metadata name a
documentation site, the reference is its address, otherwise `vsvfi explain NAME`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import re
from collections.abc import Mapping
from functools import cache

BY_CLASS: Mapping[str, str] = {
    "DeviceMemoryError": "memory",
    "FrameError": "frames",
    "WeightsError": "weights",
    "UnknownModelError": "models",
    "ModelSpecError": "models",
    "DeviceError": "device",
    "ExportError": "onnx",
    "UnsupportedVersionError": "installation",
    "MemoryError": "memory",
    "ImportError": "installation",
    "OSError": "output",
}
"""Topics of classes, also of those derived from them."""

BY_MODULE: Mapping[str, str] = {
    "vsvfi.cli": "arguments",
    "vsvfi.cli.chain": "programs",
    "vsvfi.cli.chunk": "jobs",
    "vsvfi.cli.compare": "source",
    "vsvfi.cli.completion": "installation",
    "vsvfi.cli.config": "settings",
    "vsvfi.cli.console": "settings",
    "vsvfi.cli.encoder_setup": "encoder",
    "vsvfi.cli.export": "output",
    "vsvfi.cli.frame_files": "output",
    "vsvfi.cli.frames": "source",
    "vsvfi.cli.images": "source",
    "vsvfi.cli.job": "jobs",
    "vsvfi.cli.job_options": "jobs",
    "vsvfi.cli.job_plan": "jobs",
    "vsvfi.cli.join": "jobs",
    "vsvfi.cli.marker": "output",
    "vsvfi.cli.models": "weights",
    "vsvfi.cli.output": "output",
    "vsvfi.cli.process": "programs",
    "vsvfi.cli.programs": "encoder",
    "vsvfi.cli.render": "source",
    "vsvfi.cli.source": "source",
    "vsvfi.clip": "clip",
    "vsvfi.compare": "measuring",
    "vsvfi.engine": "device",
    "vsvfi.engine.arguments": "arguments",
    "vsvfi.engine.memory": "memory",
    "vsvfi.engine.model": "models",
    "vsvfi.engine.onnx": "onnx",
    "vsvfi.jobs": "jobs",
    "vsvfi.media": "source",
    "vsvfi.media.encoder_args": "encoder",
    "vsvfi.media.encoding": "output",
    "vsvfi.media.program_output": "programs",
    "vsvfi.media.pyav": "installation",
    "vsvfi.media.verify": "output",
    "vsvfi.metrics": "measuring",
    "vsvfi.models": "models",
    "vsvfi.ops": "device",
    "vsvfi.options": "arguments",
    "vsvfi.plan": "arguments",
    "vsvfi.synthetic": "arguments",
    "vsvfi.user_cache": "settings",
    "vsvfi.weights": "weights",
}
"""Topics of modules, and of all below them that are not listed."""

OTHER = "internal"


def topic_of(error: BaseException) -> str:
    """Return the topic of a caught error."""
    if type(error).__module__ == "vapoursynth":
        return "clip"
    return topic(type(error).__mro__, _raised_in(error))


def topic(classes: tuple[type, ...], module: str) -> str:
    """Return the topic of an error.

    Args:
        classes: of the error, its own first.
        module: where it was raised, "" if unknown.
    """
    names = [kind.__name__ for kind in classes]
    for name in names:
        if name in BY_CLASS:
            return BY_CLASS[name]
    if "VsvfiError" not in names:
        return OTHER
    while module:
        if module in BY_MODULE:
            return BY_MODULE[module]
        module = module.rpartition(".")[0]
    return OTHER


def with_help(text: str, error: BaseException) -> str:
    """Return a message with a reference to its topic at the end, unless it has one."""
    return text if REFERENCE.search(text) else f"{text} ({reference(topic_of(error))})"


REFERENCE = re.compile(r" \((?:help: vsvfi explain \w+|https?://\S+#\w+)\)")
"""What `with_help` adds."""


def reference(name: str) -> str:
    """Return the address of a topic, or the command that prints it."""
    site = documentation()
    return f"{site}/troubleshooting.html#{name}" if site else f"help: vsvfi explain {name}"


@cache
def documentation() -> str | None:
    """Return the address of the documentation site that the package's metadata name, None if there is none."""
    try:
        entries = importlib.metadata.metadata("vsvfi").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for entry in entries:
        label, _, address = entry.partition(",")
        if label.strip().lower() == "documentation":
            return str(address.strip().rstrip("/"))
    return None


def topics() -> dict[str, tuple[str, str]]:
    """Return title and text (Markdown) of every topic by name."""
    text = importlib.resources.files("vsvfi").joinpath("topics.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        name, _, title = heading.partition(": ")
        found[name] = title, body.strip()
    return found


def _raised_in(error: BaseException) -> str:
    """Return the innermost module of vsvfi in an error's traceback, "" if there is none."""
    module, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if isinstance(name, str) and name.startswith("vsvfi."):
            module = name
        trace = trace.tb_next
    return module
