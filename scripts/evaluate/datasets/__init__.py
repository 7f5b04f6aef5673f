"""The published test sets in their published layouts: `SETS` lists them, `check` validates one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.evaluate.datasets import davis, gopro, middlebury, motion, snu_film, ucf101, vimeo, xiph, xtest
from scripts.evaluate.datasets.check import Findings, check
from scripts.evaluate.datasets.item import Item, Request, Split, Target, View

__all__ = ["SETS", "DataSet", "Findings", "Item", "Request", "Split", "Target", "View", "check"]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One test set.

    Attributes:
        title: its usual name.
        load: returns its splits for the user's folder; reads lists and folders, opens no image.
        splits: names of its parts.
        motion: its items are flows, not images.
    """

    title: str
    load: Callable[[Request], list[Split]]
    splits: tuple[str, ...] = ("all",)
    motion: bool = False


SETS: Mapping[str, DataSet] = {
    "vimeo90k": DataSet("Vimeo90K triplets", vimeo.triplets),
    "vimeo90k_septuplet": DataSet("Vimeo90K septuplets", vimeo.septuplets),
    "ucf101": DataSet("UCF101", ucf101.ucf101, ("dvf", "qvi")),
    "snu_film": DataSet("SNU-FILM", snu_film.snu_film, snu_film.LEVELS),
    "snu_film_arb": DataSet("SNU-FILM-arb", snu_film.snu_film_arb, tuple(snu_film.ARBITRARY)),
    "xtest": DataSet("X-TEST, 8x", xtest.xtest, tuple(xtest.VIEWS)),
    "xtest_l": DataSet("X-TEST-L", xtest.xtest_l, tuple(xtest.VIEWS)),
    "xiph": DataSet("Xiph", xiph.xiph, tuple(xiph.VIEWS)),
    "middlebury": DataSet("Middlebury Other", middlebury.middlebury),
    "gopro": DataSet("GoPro, 8x", gopro.gopro),
    "adobe240": DataSet("Adobe240, 8x", gopro.adobe240),
    "davis": DataSet("DAVIS", davis.davis),
    "vfitex": DataSet("VFITex", davis.vfitex),
    "vtf": DataSet("Vimeo triplet flows", motion.vtf, motion=True),
    "vsf": DataSet("Vimeo septuplet flows", motion.vsf, motion=True),
}
