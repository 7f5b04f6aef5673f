"""LDMVFI against stored outputs and checkpoints of the published program."""

from __future__ import annotations

import json
from fractions import Fraction
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import building
from tests.models.ldmvfi.pieces import INNER, OUTPUT, VARIANT, Stored, assert_close, opened, recorded
from vsvfi.engine.placement import Placement
from vsvfi.models.ldmvfi import autoencoder, sampler
from vsvfi.models.ldmvfi import network as network_module
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.ldmvfi.spec import padded_size
from vsvfi.ops.sepconv import sepconv


@pytest.mark.parametrize("case", ["pad", "wide", "tall", "steps7"])
def test_outputs_match_the_published_program(stored: Stored, case: str) -> None:
    facts = stored.cases[case]
    inputs = facts.get("inputs", case)
    model = building.model_of(stored.model, None, {"steps": facts["steps"], "eta": facts["eta"]})
    network = model._built[1] if model._built else None
    assert isinstance(network, LDMVFI)
    assert sorted(update.t for update in network.updates) == facts["timesteps"]
    images = stored.tensors[f"{inputs}/img0"], stored.tensors[f"{inputs}/img1"]
    assert list(padded_size(*images[0].shape[2:])) == facts["padded"]
    noises = {"x_T": stored.tensors[facts["x_T"]]}
    if "noise" in facts:
        noises["step_noise"] = stored.tensors[facts["noise"]]
    assert_close(case, model(*images, **noises), stored.tensors[f"{case}/out_t0.5"], OUTPUT)


def test_every_check_point_and_the_output_of_the_base_case(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {
        name.removeprefix("base/"): tensor for name, tensor in stored.tensors.items() if name.startswith("base/")
    }
    network = stored.network(steps=4, eta=0)
    calls: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: calls.setdefault(name, []).append(output)
        )
        for name, module in network.named_modules()
        if name.startswith(("model.diffusion_model.", "first_stage_model."))
    ]
    taken: list[tuple[tuple[Tensor, ...], Tensor]] = []

    def watched(image: Tensor, *maps: Tensor, origin: tuple[int, int]) -> Tensor:
        result = sepconv(image, *maps, origin=origin)
        taken.append((maps, result))
        return result

    monkeypatch.setattr(autoencoder, "sepconv", watched)
    with torch.inference_mode():
        first, second = network.encode_frame(tensors["img0"]), network.encode_frame(tensors["img1"])
        pair = network.prepare_pair(first, second)
        result = network.synthesise(pair, torch.tensor([0.5]), x_T=tensors["x_T"])
    for handle in handles:
        handle.remove()
    stage, unet = "first_stage_model", "model.diffusion_model"
    found: dict[str, Tensor] = {
        "phi_prev_0_ch4": first.pyramid[0][:, :4],
        "phi_prev_2_ch32": first.pyramid[2][:, :32],
        "phi_prev_4": first.pyramid[4],
        "phi_next_4": second.pyramid[4],
        "enc_attn_prev": calls[f"{stage}.encoder.mid.attn_1"][0],
        "enc_mid_prev": calls[f"{stage}.encoder.mid.block_2"][0],
        "latent_prev": first.latent,
        "latent_next": second.latent,
        "temb_751": calls[f"{unet}.time_embed"][0][:1],  # of all steps at once, the noisiest first
        "unet_mid": calls[f"{unet}.middle_block"][0],
        **{f"unet_in{block}": calls[f"{unet}.input_blocks.{block}"][0] for block in (0, 1, 3, 5)},
        **{f"unet_out{block}": calls[f"{unet}.output_blocks.{block}"][0] for block in (2, 5, 8)},
        "quant": calls[f"{stage}.quantize"][0],
        "dec_z": calls[f"{stage}.post_quant_conv"][0],
        "dec_mid": calls[f"{stage}.decoder.mid.block_2"][0],
        "dec_ctx4": calls[f"{stage}.decoder.up.4.cross_attn.proj_in"][0],
        "dec_cross4": calls[f"{stage}.decoder.up.4.cross_attn"][0],
        "dec_cross3": calls[f"{stage}.decoder.up.3.cross_attn"][0],
        "dec_cross2_ch32": calls[f"{stage}.decoder.up.2.cross_attn"][0][:, :32],
        "dec_cross1_ch16": calls[f"{stage}.decoder.up.1.cross_attn"][0][:, :16],
        "dec_cross0_ch4": calls[f"{stage}.decoder.up.0.cross_attn"][0][:, :4],
        "dec_h_tl": calls[f"{stage}.decoder.conv_out"][0][:, :, :32, :32],
        "residual": calls[f"{stage}.decoder.moduleResidual"][0],
        "x_T": tensors["x_T"],
        "img0": tensors["img0"],
        "img1": tensors["img1"],
        "out_t0.5": result,
    }
    x = tensors["x_T"]
    for update, noise in zip(network.updates, calls[f"{unet}.out"], strict=True):
        found[f"eps_{update.t}"] = noise
        found[f"pred_x0_{update.t}"] = (x - update.noise_share * noise) / update.signal
        found[f"x_after_{update.t}"] = x = sampler.ddim([update], lambda latent, index, noise=noise: noise, x, None)
    (maps1, found["warped1"]), (_, found["warped2"]) = taken
    for name, tensor in zip(("v1", "h1", "alpha1", "beta1", "mask1"), maps1, strict=True):
        found[f"{name}_tl"], found[f"{name}_br"] = tensor[:, :, :32, :32], tensor[:, :, -32:, -32:]
    codes = network.first_stage_model.quantize.nearest(x)
    assert torch.equal(codes, tensors["codes"].long())
    unseen = set(tensors) - set(found) - {"codes"}
    assert not unseen
    for name, tensor in found.items():
        # The last layers of the maps add up the rounding of all before them, which differs with the number of threads.
        last = name.startswith(("alpha1", "beta1"))
        assert_close(name, tensor, tensors[name], 2 * INNER if last else INNER)


def test_the_convolution_matches_at_both_corners(stored: Stored) -> None:
    """Tests borders, lattice and tap order from the stored kernels, independently of our other layers."""
    tensors = stored.tensors
    image = 2 * tensors["base/img0"] - 1
    for corner, origin in (("tl", (0, 0)), ("br", (224, 224))):
        maps = [tensors[f"base/{name}_{corner}"] for name in ("v1", "h1", "alpha1", "beta1", "mask1")]
        rows, columns = (slice(start, start + 32) for start in origin)
        assert_close(corner, sepconv(image, *maps, origin=origin), tensors["base/warped1"][:, :, rows, columns], 1e-5)


def test_recursion_matches_through_the_session(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """A midpoint is cropped and padded again before it is used; both quarters are one batch in the U-Net."""
    batches: list[int] = []
    sample = LDMVFI.sample

    def given_noise(self: LDMVFI, pair: network_module.Pair, position: Fraction) -> dict[str, Tensor]:
        return {"x_T": stored.tensors[f"recurse/x_T_t{float(position)}"]}

    def counted(self: LDMVFI, condition: Tensor, x: Tensor, noises: Tensor | None) -> Tensor:
        batches.append(len(x))
        return sample(self, condition, x, noises)

    monkeypatch.setattr(LDMVFI, "random_inputs", given_noise)
    monkeypatch.setattr(LDMVFI, "sample", counted)
    images = stored.tensors["pad/img0"], stored.tensors["pad/img1"]
    session = opened(stored.model, images, {"steps": 2, "eta": 0}, multi=4)
    try:
        times = [Fraction(3, 4), Fraction(1, 4), Fraction(1, 2)]
        for t, result in zip(times, recorded(session, images, *times), strict=True):
            assert_close(f"t={t}", result, stored.tensors[f"recurse/out_t{float(t)}"], OUTPUT)
        counts = session.statistics()
    finally:
        session.close()
    assert batches == [1, 2]
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (3, 3, 3)


def test_the_stored_count_of_weights_excludes_unused_ones(shared: Path) -> None:
    manifest = json.loads((shared / "goldens" / "ldmvfi" / "ldmvfi.weights.json").read_text())
    sizes = {key: prod(entry["shape"]) for key, entry in manifest.items()}
    used = sum(
        size
        for key, size in sizes.items()
        if key.startswith(("model_ema.diffusion", "first_stage")) and "running" not in key
    )
    counters = sum(key.startswith("first_stage") and key.endswith("num_batches_tracked") for key in sizes)
    assert used - counters == VARIANT.parameters


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_matches_too(stored: Stored) -> None:
    facts, cuda = stored.cases["base"], torch.device("cuda", 0)
    images = stored.tensors["base/img0"], stored.tensors["base/img1"]
    options = {"steps": facts["steps"], "eta": facts["eta"]}
    exact = building.model_of(stored.model, None, options, Placement(cuda, torch.float32))(
        *images, x_T=stored.tensors["base/x_T"]
    )
    assert_close("cuda", exact, stored.tensors["base/out_t0.5"], 1e-4)
    half = building.model_of(stored.model, None, options, Placement(cuda, torch.float16))(
        *images, x_T=stored.tensors["base/x_T"]
    )
    assert bool(torch.isfinite(half).all())
