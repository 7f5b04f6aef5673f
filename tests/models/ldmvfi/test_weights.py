"""Published files of LDMVFI, weights that stay float32, and weights shared between networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests import building
from tests.building import build_config, loaded
from tests.models.ldmvfi.pieces import CPU, built, random_images
from vsvfi.engine.build import LoadedModel
from vsvfi.engine.placement import Placement
from vsvfi.errors import ForeignWeightsError
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.ldmvfi.unet import UNet


def published(network: LDMVFI, *, averaged: bool) -> dict[str, object]:
    """Return a checkpoint as training saves it: averages under names without dots, and unused state."""
    state: dict[str, object] = {"betas": torch.zeros(1000), "posterior_mean_coef1": torch.zeros(1000)}
    for key, tensor in network.state_dict().items():
        if key.startswith("model."):
            state[key] = torch.full_like(tensor, torch.nan) if averaged else tensor
            if averaged:
                state["model_ema." + key.removeprefix("model.").replace(".", "")] = tensor
        else:
            state[key] = tensor
            state[key.replace("first_stage_model", "cond_stage_model")] = tensor
    state["model_ema.decay"] = torch.tensor(0.9999)
    state["first_stage_model.decoder.up.3.cross_attn.proj_in.1.num_batches_tracked"] = torch.tensor(7)
    state["first_stage_model.decoder.up.3.cross_attn.out_conv.1.bias"] = torch.zeros(4)
    return {"epoch": 40, "state_dict": state}


@pytest.mark.usefixtures("small_variant")
@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("container", ["ckpt", "safetensors"])
def test_a_published_file_loads_strictly(small: LoadedModel, tmp_path: Path, averaged: bool, container: str) -> None:
    content: Any = published(built(small), averaged=averaged)
    path = tmp_path / f"ldmvfi.{container}"
    if container == "ckpt":
        torch.save(content, path)
    else:
        save_file({key: tensor.clone().contiguous() for key, tensor in content["state_dict"].items()}, path)
    model = loaded("ldmvfi", path)
    assert model.state.keys() == small.state.keys()
    path.write_bytes(bytes(path.stat().st_size))  # overwrite the file: nothing may be read from it any more
    assert all(torch.equal(tensor, small.state[key]) for key, tensor in model.state.items())
    content["state_dict"].pop("first_stage_model.quant_conv.weight")
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ missing: 'first_stage_model.quant_conv.weight'"):
        loaded("ldmvfi", content["state_dict"])
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ unexpected: 'first_stage_model.strange'"):
        loaded(
            "ldmvfi",
            {**published(built(small), averaged=averaged)["state_dict"], "first_stage_model.strange": torch.zeros(1)},
        )  # type: ignore[dict-item]


@pytest.mark.usefixtures("small_variant")
def test_an_incomplete_average_is_not_mixed_with_raw_weights(small: LoadedModel) -> None:
    state: Any = published(built(small), averaged=True)["state_dict"]
    state.pop("model_ema.diffusion_modelout2bias")
    with pytest.raises(ForeignWeightsError, match=r"1 of \d+ missing: 'model\.diffusion_model\.out\.2\.bias'"):
        loaded("ldmvfi", state)


def test_half_precision_keeps_the_codebook_and_stays_near(small: LoadedModel) -> None:
    a, _ = random_images()
    half = building.model_of(small, None, {"steps": 1}, Placement(CPU, torch.bfloat16))
    network = half._network(build_config(small, 50, 40, None, {"steps": 1}))
    kept = {key for key, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    assert kept == {"first_stage_model.quantize.embedding.weight"}
    unet = network.model["diffusion_model"]
    assert isinstance(unet, UNet)
    exact = built(small, steps=1)
    condition, x = torch.randn(1, 6, 8, 8), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        near, true = (one.sample(condition, x, torch.zeros(1, 1, 3, 8, 8)) for one in (network, exact))
        assert near.dtype == torch.float32
        assert float((near - true).norm() / true.norm()) < 2e-2
        frame, exactly = network.encode_frame(a), exact.encode_frame(a)
        assert float((frame.latent - exactly.latent).norm() / exactly.latent.norm()) < 5e-2


def test_networks_share_the_weights_of_their_blueprint(small: LoadedModel) -> None:
    """On the CPU in float32, the 1.7 GB of weights exist once for any number of networks."""
    one, two = built(small, steps=1).state_dict(), built(small, steps=2).state_dict()
    assert one.keys() == two.keys() == small.state.keys()
    assert all(one[key].data_ptr() == two[key].data_ptr() == tensor.data_ptr() for key, tensor in small.state.items())
