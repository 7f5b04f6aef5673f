"""Properties of LDMVFI that hold for any weights: sizes, batches, noise, order of requests. On a small network."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vapoursynth as vs
from safetensors.torch import save_file
from torch import Tensor

from tests import building
from tests.building import EXACT
from tests.fakes import painted
from tests.models.ldmvfi.pieces import CPU, built, model_of, opened, random_images, recorded
from vsvfi.clip.graph import interpolate
from vsvfi.engine import memory
from vsvfi.engine.build import LoadedModel
from vsvfi.engine.memory import check_memory
from vsvfi.engine.placement import Placement
from vsvfi.errors import ArgumentError, ClipError
from vsvfi.models.ldmvfi import autoencoder
from vsvfi.models.ldmvfi import network as network_module
from vsvfi.models.ldmvfi.network import LDMVFI, padded
from vsvfi.models.ldmvfi.sampler import drawn
from vsvfi.models.ldmvfi.spec import padded_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 448), (256, 512)),
        ((480, 640), (512, 1024)),
        ((720, 1280), (1024, 1536)),
        ((1080, 1920), (1536, 2048)),
        ((272, 256), (512, 256)),
        ((600, 512), (1024, 512)),
        ((256, 256), (256, 256)),
        ((128, 300), (256, 512)),
        ((50, 70), (256, 256)),
        ((2160, 3840), (2560, 4096)),
    ],
)
def test_the_published_padding(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert padded_size(*size) == expected


def test_padding_mirrors_as_often_as_it_takes() -> None:
    image = torch.rand(1, 3, 50, 140)
    rows, columns = (
        torch.tensor([min(place % (2 * size - 2), -place % (2 * size - 2)) for place in range(256)])
        for size in (50, 140)
    )
    assert torch.equal(padded(image), image[:, :, rows][:, :, :, columns])
    assert torch.equal(padded(torch.full((1, 3, 1, 1), 0.3)), torch.full((1, 3, 256, 256), 0.3))
    whole = torch.rand(1, 3, 256, 256)
    assert padded(whole) is whole


def test_strips_do_not_change_the_image(small: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip of the last layers equals that part of the whole image, also at its borders."""
    images = torch.rand(2, 1, 3, 256, 256)
    whole = model_of(small)(*images)
    sizes: list[Tensor] = []
    monkeypatch.setattr(autoencoder, "STRIP", 256 * 40)
    network = built(small, steps=1)
    network.first_stage_model.decoder.conv_out.register_forward_hook(
        lambda module, inputs, output: sizes.append(output)
    )
    with torch.inference_mode():
        parted = network(*images, torch.tensor([0.5]))
    assert len(sizes) == 7
    assert max(size.shape[2] for size in sizes) < 50
    assert float((parted - whole).abs().max()) < 1e-5


def test_only_what_is_shown_is_worked_out(small: LoadedModel) -> None:
    network = built(small, steps=1)
    sizes: list[tuple[int, ...]] = []
    network.first_stage_model.decoder.conv_out.register_forward_hook(
        lambda module, inputs, output: sizes.append(tuple(output.shape[2:]))
    )
    a, b = random_images(40, 50)
    with torch.inference_mode():
        shown = network(a, b, torch.tensor([0.5]))
        full = network(padded(a), padded(b), torch.tensor([0.5]))
    assert sizes == [(45, 55), (256, 256)]
    assert float((shown - full[:, :, :40, :50]).abs().max()) < 1e-5


def test_noise_depends_on_seed_and_position_alone(small: LoadedModel) -> None:
    network, other = built(small, steps=3), built(small, steps=3, seed=1)
    with torch.inference_mode():
        a, b = (network.encode_frame(image) for image in random_images())
        pair = network.prepare_pair(a, b)
    positions = [Fraction(1, 2), Fraction(3, 2), Fraction(1, 4), Fraction(1)]
    found = [network.random_inputs(pair, position) for position in positions]
    assert [tuple(noise.shape) for noise in found[0].values()] == [(1, 3, 8, 8), (4, 1, 3, 8, 8)]
    for position, noises in reversed(list(zip(positions, found, strict=True))):
        assert all(torch.equal(noise, noises[name]) for name, noise in network.random_inputs(pair, position).items())
    drawn_once = [noises["x_T"] for noises in found] + [other.random_inputs(pair, positions[0])["x_T"]]
    assert all(not torch.equal(one, two) for index, one in enumerate(drawn_once) for two in drawn_once[:index])
    calm = built(small, steps=3, eta=0).random_inputs(pair, positions[0])
    assert list(calm) == ["x_T"]
    assert torch.equal(calm["x_T"], found[0]["x_T"])
    before = torch.random.get_rng_state()
    drawn(5, positions[0], (2,))
    assert torch.equal(torch.random.get_rng_state(), before)
    many = torch.cat([drawn(0, Fraction(n, 2), (3, 8, 16))[0].flatten() for n in range(40)])
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03


def test_frames_do_not_depend_on_the_order_of_requests(small: LoadedModel) -> None:
    images = random_images()
    at = [Fraction(k, 4) for k in (1, 2, 3)]
    results = []
    for order, arguments in ((at, {}), (at[2:], {"cache": 0})):
        session = opened(small, images, {"steps": 1}, **arguments)
        results.append(dict(zip(order, recorded(session, images, *order), strict=True)))
        session.close()
    for others in results[1:]:
        assert all(torch.equal(result, results[0][t]) for t, result in others.items())


def test_midpoints_of_a_level_go_together_whatever_is_asked_first(small: LoadedModel) -> None:
    """The batch size follows from the factor, not from the order of requests, so results are bit-identical."""
    images = random_images()
    at = [Fraction(k, 4) for k in range(1, 4)]
    results, counts = [], []
    for order in (at, at[::-1]):
        session = opened(small, images, {"steps": 1}, multi=4)
        results.append(dict(zip(order, recorded(session, images, *order), strict=True)))
        counts.append(session.statistics())
        session.close()
    assert all(torch.equal(results[1][t], result) for t, result in results[0].items())
    assert all(count["syntheses"] == 3 and count["frames_encoded"] == 3 for count in counts)
    alone = opened(small, images, {"steps": 1})
    (singly,) = recorded(alone, images, at[0])
    alone.close()
    assert float((results[0][at[0]] - singly).abs().max()) < 1e-3


def test_given_noise_is_used(small: LoadedModel) -> None:
    model, (a, b) = model_of(small, steps=2), random_images()
    x, noise = torch.randn(1, 3, 8, 8), torch.randn(2, 1, 3, 8, 8)
    result = model(a, b, x_T=x, step_noise=noise)
    assert not torch.equal(result, model(a, b, x_T=x))
    assert not torch.equal(result, model(a, b, step_noise=noise))
    batch = model(torch.cat((a, a)), torch.cat((b, b)), x_T=x, step_noise=noise)
    assert float((batch - result).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            {"t": 0.25},
            r"t=\[0\.25\], LDMVFI only supports t=0\.5; pass t=0\.5, or use interpolate\(\), which reaches",
        ),
        (
            {"x_T": torch.zeros(1, 3, 8, 9)},
            r"x_T=\(1, 3, 8, 9\), must be \(1, 3, 8, 8\) for images of this size; leave it out",
        ),
        ({"x_T": torch.zeros(3, 8, 8)}, r"x_T=\(3, 8, 8\), must be \(1, 3, 8, 8\)"),
        ({"step_noise": torch.zeros(2, 1, 3, 8, 8)}, r"step_noise=\(2, 1, 3, 8, 8\), must be \(1, 1, 3, 8, 8\)"),
        ({"noise": torch.zeros(1)}, "LDMVFI has no such input"),
    ],
)
def test_wrong_calls_are_refused(small: LoadedModel, arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(ArgumentError, match=fault):
        model_of(small)(*random_images(), **arguments)


def test_a_size_that_cannot_fit_is_refused(small: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    config = building.model_config(small)
    monkeypatch.setattr(memory, "memory", lambda device: 3 << 30)
    check_memory(config, (256, 256), EXACT)
    fault = (
        r"3840x2160 takes LDMVFI about 1\d\.\d GiB in float32, cpu has 3\.0 GiB; use smaller frames, or another model"
    )
    with pytest.raises(ClipError, match=fault):
        check_memory(config, (3840, 2160), EXACT)
    with pytest.raises(ClipError, match="9 concurrent frames of 1024x512 take LDMVFI about"):
        check_memory(config, (1024, 512), EXACT, 9)
    images = (torch.zeros(1, 3, 2160, 3840),) * 2
    with pytest.raises(ClipError, match="3840x2160"):
        model_of(small)(*images)
    with pytest.raises(ClipError, match="3840x2160"):
        opened(small, images, {})


def test_the_operator_is_ready_before_the_first_frame(small: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[torch.device, torch.dtype]] = []
    monkeypatch.setattr(network_module, "warm_up", lambda device, dtype: warmed.append((device, dtype)))
    building.model_of(small, placement=Placement(CPU, torch.bfloat16))
    assert warmed == [(CPU, torch.bfloat16)]


@pytest.mark.usefixtures("small_variant")
def test_interpolate_gives_the_same_frames_whatever_is_asked(
    small: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fourfold rate through VapourSynth, forwards and, in another graph, backwards.

    Both quarters of a pair run as one batch.
    """
    batches: list[int] = []
    sample = LDMVFI.sample

    def counted(self: LDMVFI, condition: Tensor, x: Tensor, noises: Tensor | None) -> Tensor:
        batches.append(len(x))
        return sample(self, condition, x, noises)

    monkeypatch.setattr(LDMVFI, "sample", counted)
    save_file({key: tensor.contiguous() for key, tensor in small.state.items()}, tmp_path / "small.safetensors")

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = np.roll(np.random.default_rng(plane).integers(0, 256, array.shape, np.uint8), 3 * n, 1)

    clip = painted(paint, format=vs.RGB24, width=48, height=32, length=2, fpsnum=24, fpsden=1)
    found: list[list[np.ndarray]] = []
    for order in (range(5), range(4, -1, -1)):
        result = interpolate(
            clip,
            model="ldmvfi",
            multi=4,
            weights=tmp_path / "small.safetensors",
            device="cpu",
            options={"steps": 1},
            scene="off",
        )
        shown = {}
        for n in order:
            with result.get_frame(n) as frame:
                shown[n] = np.stack([np.array(frame[plane]) for plane in range(3)])
        found.append([shown[n] for n in range(5)])
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert sorted(batches) == [1, 1, 2, 2]
    assert all(not np.array_equal(found[0][n], found[0][n + 1]) for n in range(4))
