"""GIMM's motion model alone against published checkpoints, flow files, and the command that computes them."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import make_flows, motion_model
from scripts.evaluate.datasets import Item, Request
from scripts.evaluate.datasets.motion import vsf
from scripts.evaluate.flow_files import read_flow, write_flow
from tests.evaluate import layouts
from tests.models.goldens import golden, of_case
from vsvfi.errors import ArgumentError, ForeignWeightsError, MissingWeightsError
from vsvfi.models.flow.flowformer import FlowFormer


@pytest.fixture(scope="module")
def weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The motion model's part of the seeded weights, as a file like `gimm.pt`."""
    _, _, state = golden(shared, "gimmvfi", "gimmvfi_r")
    keys = ("cnn_encoder.", "res_conv.", "hyponet.", "alpha_", "g_filter")
    path = tmp_path_factory.mktemp("gimm") / "gimm.pt"
    torch.save({"state_dict": {key: tensor for key, tensor in state.items() if key.startswith(keys)}}, path)
    return path


def test_flow_at_every_pixel_is_that_of_the_published_program(shared: Path, weights: Path) -> None:
    tensors, _, _ = golden(shared, "gimmvfi", "gimmvfi_r")
    case = of_case(tensors, "base")
    model = motion_model.motion_predictor(weights, "cpu", 0).model
    with torch.inference_mode():
        (found,) = model(case["flow01"], case["flow10"], [(0.5, 0.5)])
    assert found.shape == case["norm_flow_t"].shape
    assert float((found - case["norm_flow_t"]).abs().max()) < 1e-5
    flow = (2 * found - 1) * case["flow_scale"]
    assert float((flow - case["flow_t"]).abs().max()) < 1e-4 * float(case["flow_t"].abs().max())


def test_vsf_reproduces_the_published_slip_and_offers_the_right_time(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.flows(tmp_path, 7)
    ((item,),) = (split.items for split in vsf(Request(tmp_path)))
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr(motion_model.MotionModel, "forward", lambda self, forth, back, times: asked.extend(times) or [])
    flows = [read_flow(path) for path in item.inputs]
    for late in (1, 0):
        motion_model.motion_predictor(weights, "cpu", late)(item, flows[0], flows[1], 0)
    sixths = [k / 6 for k in range(1, 7)]
    assert asked == [*pairwise(sixths), *zip(sixths[:5], sixths[:5], strict=True)]


def test_a_complete_gimmvfi_checkpoint_serves_too_and_others_are_refused(
    shared: Path, weights: Path, tmp_path: Path
) -> None:
    _, _, state = golden(shared, "gimmvfi", "gimmvfi_r")
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "whole.safetensors")
    whole = motion_model.motion_predictor(tmp_path / "whole.safetensors", "cpu", 0).model.state_dict()
    alone = motion_model.motion_predictor(weights, "cpu", 0).model.state_dict()
    assert all(torch.equal(whole[key], alone[key]) for key in alone)
    save_file({"cnn_encoder.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ForeignWeightsError, match="'gimm'"):
        motion_model.motion_predictor(tmp_path / "other.safetensors", "cpu", 0)


def test_weights_are_not_fetched_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match=r"^gimm: its weights"):
        motion_model.motion_predictor(None, "cpu", 0)
    with pytest.raises(MissingWeightsError, match=r"^flowformer: its weights"):
        make_flows.load_flowformer(None, torch.device("cpu"))


def test_flow_files_have_the_published_layout(tmp_path: Path) -> None:
    flow = torch.arange(12, dtype=torch.float32).reshape(1, 2, 2, 3) - 5.5
    write_flow(tmp_path / "a.flo", flow)
    content = (tmp_path / "a.flo").read_bytes()
    assert content[:12] == struct.pack("<fii", 202021.25, 3, 2)
    values = np.frombuffer(content[12:], "<f4").reshape(2, 3, 2)
    assert (values[1, 2] == flow[0, :, 1, 2].numpy()).all()
    assert torch.equal(read_flow(tmp_path / "a.flo"), flow)
    assert [path.name for path in tmp_path.iterdir()] == ["a.flo"]
    (tmp_path / "a.flo").write_bytes(content[:-4])
    with pytest.raises(ArgumentError, match="has 56 bytes for 3x2"):
        read_flow(tmp_path / "a.flo")
    (tmp_path / "a.flo").write_bytes(b"PIEH")
    with pytest.raises(ArgumentError, match=r"is not a \.flo file"):
        read_flow(tmp_path / "a.flo")


@pytest.fixture(scope="module")
def flowformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FlowFormer with random weights in the published form: under `module.`, with unused parts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = {f"module.{key}": tensor for key, tensor in FlowFormer().state_dict().items()}
    state["module.context_encoder.svt.norm.weight"] = torch.zeros(1024)
    path = tmp_path_factory.mktemp("flowformer") / "flowformer_sintel.pth"
    torch.save(state, path)
    return path


def test_flows_are_made_where_they_are_missing(flowformer: Path, tmp_path: Path) -> None:
    (tmp_path / "tri_testlist.txt").write_text("00001/0389\n\n")
    for k in (1, 2, 3):
        layouts.save(tmp_path / "sequences" / "00001" / "0389" / f"im{k}.png", 64, 64)
    made = tmp_path / "flow_sequences" / "00001" / "0389"
    made.mkdir(parents=True)
    write_flow(made / "im2_im3.flo", torch.full((1, 2, 64, 64), 7.0))
    command = ["vtf", "--data", str(tmp_path), "--weights", str(flowformer), "--device", "cpu", "--iterations", "1"]
    assert make_flows.main(command) == 0
    assert sorted(path.name for path in made.iterdir()) == ["im1_im3.flo", "im2_im1.flo", "im2_im3.flo", "im3_im1.flo"]
    assert float(read_flow(made / "im2_im3.flo").mean()) == 7.0  # what is there is kept

    network = make_flows.load_flowformer(flowformer, torch.device("cpu"))
    network.iterations = 1
    images = [
        torch.from_numpy(layouts.image(f"im{k}0389", 64, 64).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        for k in (1, 2)
    ]
    with torch.inference_mode():
        expected = network.estimate(*(network.encode(image.contiguous()) for image in images))[1]
    found = read_flow(made / "im2_im1.flo")
    assert math.isfinite(float(found.sum()))
    assert float((found - expected).abs().max()) < 1e-3 * float(expected.abs().max())


def test_missing_images_are_named_before_weights_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tri_testlist.txt").write_text("00001/0389\n")
    assert make_flows.main(["vtf", "--data", str(tmp_path), "--weights", "nowhere.pth"]) == 1
    assert "3 images are missing" in capsys.readouterr().err
    layouts.flows(tmp_path, 3)
    (tmp_path / "tri_testlist.txt").write_text("00001/0389\n")
    assert make_flows.main(["vtf", "--data", str(tmp_path)]) == 0
    assert "every flow is there" in capsys.readouterr().err


def test_both_directions_of_a_pair_are_made_together(tmp_path: Path) -> None:
    (tmp_path / "sep_testlist.txt").write_text("00001/0389\n")
    missing = make_flows.missing_flows("vsf", tmp_path)
    ends = {tuple(path.stem for path in entry.images): (entry.forth, entry.back) for entry in missing}
    assert len(ends) == 11
    forth, back = ends["im1", "im7"]
    assert forth is not None
    assert back is not None
    assert (forth.name, back.name) == ("im1_im7.flo", "im7_im1.flo")
    assert ends["im1", "im2"][0] is None
    assert ends["im2", "im7"][1] is None


def test_items_of_motion_name_their_files(tmp_path: Path) -> None:
    layouts.flows(tmp_path, 3)
    (split,) = make_flows.SETS["vtf"].load(Request(tmp_path))
    item: Item = split.items[0]
    assert [path.name for path in item.files] == ["im1_im3.flo", "im3_im1.flo", "im2_im3.flo", "im2_im1.flo"]
