"""`vsvfi doctor`: report what is installed, what it can use, and whether a model runs.

Exit code 1 if the model does not run.

Everything it finds out is in one plain dict, `examine()`, which is the --json output.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import platform
import sys
import time
from typing import Any

from vsvfi.cli import inventory
from vsvfi.cli.console import paint
from vsvfi.cli.defaults import report_settings
from vsvfi.errors import VsvfiError
from vsvfi.packages import one_line

HELP = "show versions, devices, operator backends and colour conversion, and test a model"
_IMPORTED = ("torch", "numpy", "vapoursynth")  # a broken installation of these shows only when they are imported
_LISTED = (
    "huggingface_hub",
    "safetensors",
    "filelock",
    "llvmlite",
    "av",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "cupy",
    "mamba-ssm",
    "causal-conv1d",
    "triton",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--model", default="builtin", metavar="NAME", help="the model to test (builtin)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="the device to test it on (auto)")


def main(arguments: argparse.Namespace) -> int:
    # Output of packages that print when imported must not get into the report
    with contextlib.redirect_stdout(sys.stderr):
        report = examine(arguments.model, arguments.device)
    print(json.dumps(report, indent=2) if arguments.json else _text(report))
    return 0 if report["self_test"]["passed"] else 1


def examine(model: str = "builtin", device: str = "auto") -> dict[str, Any]:
    """Return everything known about this installation, as JSON values.

    Raises:
        ArgumentError: VSVFI_OPS names no operator backend.
    """
    from vsvfi.ops.dispatch import backends

    report = {
        "versions": _versions(),
        "devices": _devices(),
        "operators": [
            {"name": backend.name, "available": backend.available, "reason": backend.reason} for backend in backends()
        ],
        "runtimes": _runtimes(device),
        "colour": _colour(device),
        **inventory.examine_programs(),
        "cache": _cache(),
        "settings": report_settings(),
        "self_test": self_test(model, device),
    }
    return {**report, "missing": missing(report)}


def missing(report: dict[str, Any]) -> list[str]:
    """Return what scripts, `vsvfi render` and `vsvfi compare` lack, each with its remedy."""
    found = [f"{name} {version}; install it again" for name, version in report["versions"].items()
             if name in _IMPORTED and ", broken: " in (version or "")]  # fmt: skip
    found += [f"{name}; pip install {name}" for name in _IMPORTED if report["versions"][name] is None]
    if report["versions"].get("av", "") is None:
        found.append('av (PyAV), which reads and checks video files; pip install "vsvfi[video]"')
    for key in ("programs", "source_filters"):
        found += [entry["missing"] for entry in report[key] if entry["missing"]]
    if not any(entry["path"] for entry in report["encoders"]):
        found.append('a video encoder; pip install "vsvfi[video]"')
    test = report["self_test"]
    return found if test["passed"] else [*found, f"a working model: {test['fault']}"]


def _versions() -> dict[str, str | None]:
    """Version by package; None where it is not installed, the error where it is broken."""
    from vsvfi import __version__

    found: dict[str, str | None] = {
        "vsvfi": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for package in (*_IMPORTED, *_LISTED):
        found[package] = None
        try:
            found[package] = importlib.metadata.version(package)
            if package in _IMPORTED:
                importlib.import_module(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        except Exception as error:  # the user needs any error of a broken package
            found[package] = f"{found[package] or 'unknown version'}, broken: {one_line(error)}"
    return found


def _cache() -> str:
    """The folder of downloads, or why there is none."""
    from vsvfi.user_cache import cache_directory

    try:
        return str(cache_directory())
    except VsvfiError as error:
        return f"none: {error}"


def _colour(device: str) -> dict[str, str | None]:
    """Where frames are converted to RGB and back on this device: "device" or "zimg" (None if unknown), and why."""
    try:
        from vsvfi.engine.colour_path import choose_colour
        from vsvfi.engine.device import resolve_device

        found = choose_colour({resolve_device(device).type})
    except VsvfiError as error:
        return {"path": None, "reason": str(error)}
    except Exception as error:  # a broken torch fails with whatever its libraries fail with
        return {"path": None, "reason": one_line(error)}
    return {"path": "device" if found.on_device else "zimg", "reason": found.reason}


def _runtimes(device: str) -> list[dict[str, Any]]:
    """List the runtimes on this device: name, whether each is available, and why; empty if the device is unknown."""
    try:
        from vsvfi.engine.device import resolve_device
        from vsvfi.engine.runtimes.registry import availability

        found = availability(resolve_device(device).type)
    except Exception:  # no such device, or a broken torch; both are reported elsewhere
        return []
    return [{"name": one.name, "available": one.available, "reason": one.reason} for one in found]


def _devices() -> list[dict[str, Any]]:
    """List the devices that torch can use, with total and free memory in bytes (None if unknown).

    Empty if torch cannot be imported; the report of versions names that error.
    """
    try:
        import torch
    except Exception:  # a broken torch fails with whatever its libraries fail with
        return []
    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            facts = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:  # held by another process, or broken
            found.append(
                {"device": f"cuda:{index}", "name": f"does not work: {one_line(error)}", "memory": None, "free": None}
            )
            continue
        found.append(
            {
                "device": f"cuda:{index}",
                "name": facts.name,
                "memory": total,
                "free": free,
                "capability": f"{facts.major}.{facts.minor}",
            }
        )
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU", "memory": torch.mps.recommended_max_memory(), "free": None})
    return [
        *found,
        {
            "device": "cpu",
            "name": platform.processor() or platform.machine(),
            "memory": None,
            "free": None,
            "threads": torch.get_num_threads(),
        },
    ]


def self_test(model: str, device: str) -> dict[str, Any]:
    """Interpolate a moving wave of 96x64 pixels, whose middle frame is known, and check the result.

    "passed" needs finite values in [0, 1]; "seconds" is the second call's; "error" is the mean difference from the true
    middle frame, for information.
    """
    result: dict[str, Any] = {
        "model": model,
        "device": device,
        "passed": False,
        "fault": None,
        "seconds": None,
        "error": None,
    }
    try:
        result.update(_run(model, device))
    except VsvfiError as error:
        result["fault"] = str(error)
    except Exception as error:  # any failure is reported
        result["fault"] = f"{type(error).__name__}: {error}"
    result["passed"] = result["fault"] is None
    return result


def _run(model: str, device: str) -> dict[str, Any]:
    """Run the self-test; returns its entries of the result."""
    import torch

    import vsvfi

    first, middle, second = (_wave(shift) for shift in (0.0, 1.0, 2.0))
    network = vsvfi.load_model(model, device=device)
    network(first, second, 0.5)  # the first call also compiles and allocates
    started = time.perf_counter()
    frame = network(first, second, 0.5)
    found = {"device": str(network.device), "seconds": round(time.perf_counter() - started, 4)}
    if frame.shape != first.shape:
        return {**found, "fault": f"the result has the shape {list(frame.shape)}, must be {list(first.shape)}"}
    if not bool(torch.isfinite(frame).all()):
        return {**found, "fault": "the result holds NaN or infinity"}
    if float(frame.min()) < 0 or float(frame.max()) > 1:
        return {
            **found,
            "fault": f"the result reaches from {float(frame.min()):.4f} to {float(frame.max()):.4f}, "
            "must stay in [0, 1]",
        }
    return {**found, "error": round(float((frame - middle).abs().mean()), 4)}


def _wave(shift: float) -> Any:
    """[1, 3, 64, 96] in [0, 1]: crossed waves, moved `shift` pixels to the right."""
    import torch

    across = torch.arange(96, dtype=torch.float32, device="cpu") - shift
    down = torch.arange(64, dtype=torch.float32, device="cpu")[:, None]
    colours = [
        0.5 + 0.25 * torch.sin(across / period) + 0.25 * torch.sin(down / (period + 2)) for period in (4.0, 6.0, 9.0)
    ]
    return torch.stack(colours)[None]


def _text(report: dict[str, Any]) -> str:
    """Format the report as text."""
    lines = ["Versions"]
    lines += [f"  {name:<16} {version or 'not installed'}" for name, version in report["versions"].items()]
    lines += ["Devices"]
    for device in report["devices"]:
        memory = "" if device["memory"] is None else f", {device['memory'] / 2**30:.1f} GiB"
        free = "" if device["free"] is None else f" ({device['free'] / 2**30:.1f} GiB free)"
        threads = f", {device['threads']} threads" if "threads" in device else ""
        lines.append(f"  {device['device']:<16} {device['name']}{memory}{free}{threads}")
    lines += [] if report["devices"] else ["  none: torch does not work here"]
    lines += ["Operators"]
    lines += [
        f"  {backend['name']:<16} {'yes' if backend['available'] else 'no'}: {backend['reason']}"
        for backend in report["operators"]
    ]
    lines += ["Runtimes"]
    lines += [
        f"  {runtime['name']:<16} {'yes' if runtime['available'] else 'no'}: {runtime['reason']}"
        for runtime in report["runtimes"]
    ]
    colour = report["colour"]
    lines += ["Colour conversion", f"  {colour['path'] or 'none':<16} {colour['reason']}"]
    lines += inventory.lines(report)
    lines += ["Cache", f"  {report['cache']}", *_settings(report["settings"]), "Self-test"]
    test = report["self_test"]
    outcome = (
        f"passed in {test['seconds']:.3f} s, mean error {test['error']:.4f}"
        if test["passed"]
        else f"{paint('FAILED', 'error', sys.stdout)}: {test['fault']}"
    )
    lines += [f"  {test['model']:<16} {outcome} (device {test['device']})", "Missing"]
    lacking = paint("MISSING", "error", sys.stdout)
    lines += [f"  {lacking}: {entry}" for entry in report["missing"]]
    return "\n".join(lines if report["missing"] else [*lines, "  nothing: scripts and 'vsvfi render' can run"])


def _settings(entries: list[dict[str, Any]]) -> list[str]:
    lines = ["Settings (command line, then beside the video, then the user's, then built in)"]
    for entry in entries:
        state = "" if entry["found"] else " (not there)"
        lines.append(f"  {entry['path'] or 'no file'}{state}")
        if entry["fault"]:
            lines.append(f"    {paint('WRONG', 'error', sys.stdout)}: {entry['fault']}")
        for command, values in entry["values"].items():
            lines.append(f"    {command}: {', '.join(f'{name}={value}' for name, value in values.items())}")
    return lines
