"""vsvfi: video frame interpolation for VapourSynth.

    import vsvfi
    clip = vsvfi.interpolate(clip)                     # twice the frame rate, packaged model, no download
    clip = vsvfi.interpolate(clip, model="ifrnet", fps="60000/1001")

`interpolate` needs VapourSynth; `load_model` and `list_models` do not. Nothing heavy is imported before it is needed: neither torch nor VapourSynth here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsvfi import errors

if TYPE_CHECKING:
    from vsvfi.clip.graph import interpolate
    from vsvfi.engine.build import load_model
    from vsvfi.engine.catalogue import list_models

__version__ = "0.1.0"
__all__ = ["__version__", "errors", "interpolate", "list_models", "load_model"]

_HOME = {"interpolate": "vsvfi.clip.graph", "load_model": "vsvfi.engine.build", "list_models": "vsvfi.engine.catalogue"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'vsvfi' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
