"""Weights of the metrics' networks: downloaded once, after their licence was shown.

A given file never needs the network.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from tests.fake_hub import FakeHub
from vsvfi.errors import ArgumentError, ForeignWeightsError, MissingWeightsError
from vsvfi.metrics.weights import ALEXNET, LPIPS_HEADS, PWCNET
from vsvfi.weights.source import Url, WheelMember

PUBLISHED = {"moduleTwo.moduleMain.0.weight": torch.ones(2, 3, dtype=torch.float64)}
OURS = {"netTwo.netMain.0.weight": (2, 3)}


def test_the_licence_is_shown_before_the_download(hub: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    content = save(PUBLISHED)
    url = hub.add("/network-default.pytorch", content)
    source = dataclasses.replace(PWCNET, sources=(Url(url=url, sha256=hashlib.sha256(content).hexdigest()[:8]),))
    (tensor,) = source.state(None, OURS).values()
    assert tensor.dtype is torch.float32
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"vsvfi: downloading the weights of 'PWC-Net (FloLPIPS)' from {url}; licence: GPL-3.0")
    assert "non-commercial" in line
    source.state(None, OURS)
    assert len(hub.asked()) == 1


def test_a_given_file_needs_no_network(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    path = tmp_path / "weights.safetensors"
    save_file(PUBLISHED, path)
    assert PWCNET.state(path, OURS).keys() == OURS.keys()
    with pytest.raises(ForeignWeightsError, match=r"weights\.safetensors.*PWC-Net"):
        PWCNET.state(path, {"netTwo.netMain.0.weight": (2, 4)})
    with pytest.raises(ArgumentError, match="does not exist"):
        PWCNET.state(tmp_path / "other", OURS)
    with pytest.raises(MissingWeightsError, match=r"PWC-Net .*VSVFI_OFFLINE=1"):
        PWCNET.state(None, OURS)


def test_layers_that_lpips_does_not_have_are_left_out() -> None:
    state = {"features.0.weight": torch.ones(1), "classifier.1.weight": torch.ones(2)}
    assert ALEXNET.state(state, {"features.0.weight": (1,)}).keys() == {"features.0.weight"}


def test_every_source_states_what_can_be_known_of_its_file() -> None:
    (alexnet,) = ALEXNET.sources
    assert isinstance(alexnet, Url)
    assert f"-{alexnet.sha256}.pth" in alexnet.url
    (heads,) = LPIPS_HEADS.sources
    assert isinstance(heads, WheelMember)
    assert (len(heads.sha256), len(heads.wheel_sha256)) == (64, 64)
    assert str(PWCNET.sources[0]).startswith("https://")
