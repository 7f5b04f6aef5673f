"""vsvfi: video frame interpolation for VapourSynth.

    import vsvfi
    clip = vsvfi.interpolate(clip)                     # twice the frame rate, packaged model, no download
    clip = vsvfi.interpolate(clip, model="ifrnet", fps="60000/1001")

`interpolate` needs VapourSynth; `load_model` and `list_models` do not. Nothing heavy is imported before it is needed:
neither torch nor VapourSynth here.
"""

# Read by every Python from 3.0 on: one that is too old must get as far as the sentence below. Hence no __future__
# import and no f-string.
import sys

if sys.version_info < (3, 12):  # noqa: UP036 - a copied folder is imported without pip's check
    raise ImportError("vsvfi needs Python 3.12 or newer; this is Python " + sys.version.split()[0])

from typing import TYPE_CHECKING

from vsvfi import errors

if TYPE_CHECKING:
    from vsvfi.clip.graph import interpolate
    from vsvfi.clip.overlays import keep_overlays
    from vsvfi.clip.show import show
    from vsvfi.engine.catalogue import list_models
    from vsvfi.engine.model import load_model

__version__ = "0.1.0"
__all__ = ["__version__", "errors", "interpolate", "keep_overlays", "list_models", "load_model", "show"]

_HOME = {
    "interpolate": "vsvfi.clip.graph",
    "keep_overlays": "vsvfi.clip.overlays",
    "load_model": "vsvfi.engine.model",
    "list_models": "vsvfi.engine.catalogue",
    "show": "vsvfi.clip.show",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError("module 'vsvfi' has no attribute " + repr(name))
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> "list[str]":
    return sorted(set(globals()) | set(__all__))
