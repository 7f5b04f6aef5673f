"""The architectures that the packaged model can be trained as, by name."""

from __future__ import annotations

from scripts.train.choice import CHOICE
from scripts.train.fine import FINE
from scripts.train.ifrnet import IFRNET
from scripts.train.rife import RIFE
from scripts.train.uprnet import UPRNET

ARCHITECTURES = {"choice": CHOICE, "fine": FINE, "ifrnet": IFRNET, "rife": RIFE, "uprnet": UPRNET}
