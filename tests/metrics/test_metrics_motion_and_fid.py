"""Metrics of motion, and the Frechet distance: stored values, laws, refusals."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.metrics.goldens import cases, needs_goldens, section, tensors
from vsvfi.errors import ArgumentError, DamagedWeightsError
from vsvfi.metrics import (
    Inception,
    end_point_error,
    fid,
    frechet_distance,
    motion_error,
    motion_psnr,
    motion_scale,
)


@needs_goldens
def test_golden_motion() -> None:
    stored, flows = section("motion"), tensors("motion")
    tolerances = cases()["about"]["tolerances"]
    scale = motion_scale(flows["flow01"], flows["flow10"])
    truth = flows["flow_t1"] - flows["flow_t0"]
    assert float(scale) == pytest.approx(stored["scale"], rel=0, abs=1e-8)
    # The programs computed in float32.
    found = float(motion_psnr(flows["output"], truth, scale))
    assert found == pytest.approx(stored["psnr"], rel=0, abs=tolerances["psnr"])
    assert float(motion_error(flows["output"], truth, scale)) == pytest.approx(
        stored["epe"], rel=0, abs=tolerances["epe"]
    )


@needs_goldens
def test_golden_frechet_distance() -> None:
    stored, features = section("frechet"), tensors("frechet")
    found = frechet_distance(features["pred"], features["truth"])
    assert found == pytest.approx(stored["distance"], rel=0, abs=1e-8)


def test_end_point_error_is_the_mean_length() -> None:
    truth = torch.zeros(2, 2, 3, 4)
    flow = truth.clone()
    flow[0, 0], flow[0, 1] = 3, 4
    assert end_point_error(flow, truth).tolist() == [5, 0]


def test_normalised_motion_is_measured_in_both_ways() -> None:
    truth = torch.full((1, 2, 3, 4), 2.0)
    output = torch.full((1, 2, 3, 4), 0.75 + 0.01)
    assert motion_psnr(output, truth, 4.0).tolist() == pytest.approx([40], abs=1e-4)
    assert motion_error(output, truth, 4.0).tolist() == pytest.approx([math.sqrt(2) * 0.08], abs=1e-6)
    assert motion_psnr((truth / 4 + 1) / 2, truth, 4.0).tolist() == [math.inf]
    scales = motion_scale(torch.tensor([[1.0, -5.0], [2.0, 3.0]])[..., None, None], torch.zeros(2, 2, 1, 1))
    assert scales.tolist() == [5, 3]


def test_flows_that_do_not_fit_are_refused() -> None:
    flow = torch.zeros(2, 3, 4)
    with pytest.raises(ArgumentError, match=r"flow=\(3, 3, 4\), must be \[..., 2, height, width\]"):
        end_point_error(torch.zeros(3, 3, 4), flow)
    with pytest.raises(ArgumentError, match=r"truth=\(2, 3, 5\), must have the shape \(2, 3, 4\)"):
        end_point_error(flow, torch.zeros(2, 3, 5))
    with pytest.raises(ArgumentError, match=r"scale=0\.0, must be positive; leave out pairs without any motion"):
        motion_psnr(flow, flow, motion_scale(flow, flow))


@pytest.mark.parametrize(("samples", "others"), [(50, 70), (5, 9), (3, 70)])
def test_the_frechet_distance_is_that_of_the_formula(samples: int, others: int) -> None:
    """By eigenvalues of the product of covariances, also with fewer samples than features."""
    source = np.random.default_rng(4)
    one, two = source.normal(1, 2, (samples, 12)), source.normal(0, 1, (others, 12))
    covariances = [np.cov(given, rowvar=False) for given in (one, two)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).real.sum()
    expected = ((one.mean(0) - two.mean(0)) ** 2).sum() + sum(np.trace(given) for given in covariances) - 2 * root
    assert frechet_distance(torch.tensor(one), torch.tensor(two)) == pytest.approx(expected, abs=1e-5)
    assert frechet_distance(torch.tensor(one), torch.tensor(one)) == pytest.approx(0, abs=1e-10)


def test_sets_without_a_covariance_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"features=\(1, 4\), must be \[2 or more samples, 4 features\]"):
        frechet_distance(torch.zeros(1, 4), torch.zeros(5, 4))
    with pytest.raises(ArgumentError, match=r"others=\(5, 3\), must be \[2 or more samples, 4 features\]"):
        frechet_distance(torch.zeros(5, 4), torch.zeros(5, 3))


def test_fid_without_its_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ImportError, match="torch-fidelity is not installed"):
        Inception()


@pytest.mark.slow
def test_fid_is_the_distance_of_the_librarys_features(tmp_path: Path) -> None:
    """With random weights, read from a file as the published ones are."""
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed (extra `fid`)")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *arguments, **named: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path="")
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    sets = [torch.randint(0, limit, (2, 3, 40, 50), dtype=torch.uint8) for limit in (256, 200)]
    inception = Inception(tmp_path / "inception.pth")
    expected = frechet_distance(*(network(images)[0] for images in sets))
    assert expected > 0
    assert fid(sets[0], sets[1].float() / 255, inception) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ArgumentError, match=r"features=\(1, 2048\)"):
        fid(sets[0][:1], sets[1], inception)
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")
    with pytest.raises(DamagedWeightsError):
        Inception(tmp_path / "broken.pth")
