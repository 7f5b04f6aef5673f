"""Properties of GIMM-VFI that hold for any weights: phases, strips, sizes, options. Uses RAFT."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

import vsvfi
from tests.building import loaded, session_of
from tests.models.gimmvfi.pieces import random_images, random_network, seeded_state, with_time_and_place
from vsvfi.errors import ArgumentError
from vsvfi.models.family import Timesteps
from vsvfi.models.flow.raft import RAFT
from vsvfi.models.gimmvfi.motion import encode_flows, flow_scale, splat_weights, used_latents
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.models.gimmvfi.strips import strips
from vsvfi.models.gimmvfi.synthesis import Branches
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import check_options
from vsvfi.ops.warp import resize_bilinear
from vsvfi.plan.timeline import Interpolate


def test_the_frames_at_both_ends_are_the_images() -> None:
    network, images = random_network(), random_images(2)
    with torch.inference_mode():
        pair = network.prepare_pair(*(network.encode_frame(image) for image in images))
        ends = network.synthesise(pair, torch.tensor([0.0, 1.0]))
    assert torch.equal(ends, torch.cat((images[0], images[1])))


def test_a_phase_holds_what_it_may_see() -> None:
    """Each phase runs once for what it depends on: encoders per frame, the estimator per pair.

    The number of timesteps makes no difference to these, and the mask head runs once for both directions.
    """
    network, images = random_network(), random_images(2)
    calls: list[str] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: calls.append(name))
        for name, module in network.named_modules()
    ]
    with torch.inference_mode():
        frame = network.encode_frame(images[0])
        assert {
            "flow_estimator.fnet",
            "flow_estimator.cnet",
            "amt_fproj",
            "amt_init_decoder.upsample.5",
            "amt_final_decoder.upsample.6",
        } <= set(calls)
        other = network.encode_frame(images[1])
        calls.clear()
        pair = network.prepare_pair(frame, other)
        assert {"cnn_encoder", "flow_estimator.update_block.gru"} <= set(calls)
        assert calls.count("flow_estimator.update_block.gru") == 20
        assert calls.count("flow_estimator.update_block.mask.2") == 1
        assert not any(name.startswith(("flow_estimator.fnet", "flow_estimator.cnet", "amt")) for name in calls)
        calls.clear()
        network.synthesise(pair, torch.tensor([0.5]))
        assert not any(name.startswith(("flow_estimator", "cnn_encoder")) or ".upsample" in name for name in calls)
    for hook in hooks:
        hook.remove()
    assert tensor_bytes(frame) > 0
    assert pair.first is frame


def test_playback_prepares_a_pair_once_for_all_times() -> None:
    images = random_images(3)
    session = session_of(loaded("gimmvfi_r", seeded_state()), (64, 64), Fraction(1))
    found: list[Tensor] = []
    try:
        for n in (1, 3, 5):
            first, t = divmod(Fraction(n, 3), 1)
            session.interpolate(
                n,
                Interpolate(first, first + 1, t),
                lambda index, into: into.copy_(images[index]),
                lambda image: found.append(image.clone()),
            )  # type: ignore[arg-type, return-value]
        counts = session.statistics()
    finally:
        session.close()
    assert (counts["frames_encoded"], counts["pairs_prepared"], counts["syntheses"]) == (3, 2, 3)
    assert all(torch.isfinite(image).all() for image in found)


@pytest.mark.parametrize(
    ("height", "halo", "rows"), [(64, 17, 100), (64, 17, 15), (128, 0, 40), (4, 9, 0), (96, 6, 33)]
)
def test_strips_cover_an_image_and_hold_their_halos(height: int, halo: int, rows: int) -> None:
    made = list(strips(height, halo=halo, row_bytes=7, budget=7 * rows))
    assert [strip.begin for strip in made[1:]] == [strip.end for strip in made[:-1]]
    assert (made[0].begin, made[-1].end) == (0, height)
    for strip in made:
        assert strip.lower <= max(0, strip.begin - halo)
        assert strip.upper >= min(height, strip.end + halo)
        assert not any(bound % 4 for bound in (strip.begin, strip.end, strip.lower, strip.upper))
        assert strip.upper - strip.lower <= max(rows, 4 + 2 * (halo + 3)) or strip.end - strip.begin == 4
    assert (len(made) == 1) == (height <= max(rows, 4))


def test_strips_make_the_image_that_the_whole_makes() -> None:
    """Every part that runs in strips; all inputs are noise, so that a halo too small by one row fails."""
    torch.manual_seed(0)
    network = random_network()
    decoder, height, width, whole = network.amt_final_decoder, 96, 8, 1 << 40
    quarter, flows, latents = (
        torch.randn(1, 128, height // 4, width // 4),
        torch.randn(2, 2, height, width),
        list(torch.randn(4, 1, 16, height, width)),
    )
    features, images = tuple(torch.randn(2, 1, 64, height, width)), tuple(torch.randn(2, 1, 3, height, width))
    flow, mask = 3 * torch.randn(2, 4, height // 4, width // 4), torch.randn(2, 1, height // 4, width // 4)
    feature = torch.randn(2, 128, height // 4, width // 4)
    with torch.inference_mode():
        for part, row_bytes in (
            (lambda budget: decoder.features(quarter, budget), 4 * width * 3 * 64 * 4),
            (lambda budget: encode_flows(network.cnn_encoder, flows, budget), 4 * 32 * width * 2 * 4),
            (lambda budget: used_latents(network.res_conv, latents[:2], latents[2:], budget), 6 * 64 * width * 4),
            (
                lambda budget: torch.cat(list(vars_of(decoder(features, images, flow, mask, feature, budget))), 1),
                2 * width * 1041 * 4,
            ),
        ):
            expected, found = part(whole), part(72 * row_bytes)
            assert found.shape == expected.shape
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def vars_of(branches: Branches) -> tuple[Tensor, ...]:
    return branches.forth, branches.back, branches.mask, branches.residual


def test_memory_is_shared_between_correlation_and_synthesis() -> None:
    with torch.device("meta"):
        network = GIMMVFI("raft", memory=100)
    assert (network.volumes, network.activations) == (25 << 20, 75 << 20)
    assert isinstance(network.flow_estimator, RAFT)
    assert network.flow_estimator.budget == network.volumes


def test_what_production_uses_is_the_quarter_of_the_flow_that_is_read() -> None:
    """The implicit network at all pixels, then resized, matches its evaluation at the used pixels."""
    torch.manual_seed(1)
    network, latents = random_network(), list(torch.randn(4, 1, 16, 32, 24))
    with torch.inference_mode():
        everywhere = network.res_conv(torch.cat(latents, 1)) + torch.cat(latents[2:], 1)
        flow = network.hyponet(with_time_and_place(everywhere, 0.3)).permute(0, 3, 1, 2)
        used = network.hyponet.at_used_pixels(
            used_latents(network.res_conv, latents[:2], latents[2:], 1 << 30), torch.tensor([0.3])
        )
    torch.testing.assert_close(used, resize_bilinear(flow, Fraction(1, 4)), rtol=1e-5, atol=1e-5)


def test_no_motion_at_all_is_no_division_by_zero() -> None:
    still = torch.zeros(1, 2, 8, 8)
    assert float(flow_scale(still, still)) > 0
    ones = torch.ones(1)
    assert torch.isfinite(splat_weights(still, still, ones, ones)).all()


def test_weights_of_splatting_fall_with_inconsistency_and_variance() -> None:
    """A constant, consistent flow has the full weight of 2, but for the lower bound of the variance."""
    flow = torch.full((1, 2, 12, 12), 1.0)
    ones = torch.ones(1)
    assert splat_weights(flow, -flow, ones, ones)[..., 4:-4, 4:-4].min() > 1.99
    assert splat_weights(flow, flow, ones, ones)[..., 4:-4, 4:-4].max() == pytest.approx(1 + 1 / 3, abs=1e-3)
    rough = flow + torch.randn(1, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    assert splat_weights(rough, -rough, ones, 0 * ones).max() <= 2
    assert splat_weights(rough, -rough, 0 * ones, ones).max() < 1.9


def test_any_scale() -> None:
    model = vsvfi.load_model("gimmvfi_r", weights=seeded_state(), device="cpu", scale=0.3)
    images = torch.rand(2, 3, 91, 130)
    result = model(images[0], images[1], 0.3)
    assert result.shape == (3, 91, 130)
    assert torch.isfinite(result).all()


def test_sizes_scales_and_times() -> None:
    assert [FAMILY.default_scale(*size) for size in ((1280, 720), (1920, 1080), (2048, 1080), (3840, 2160))] == [
        1,
        *[Fraction(1, 2)] * 2,
        Fraction(1, 4),
    ]
    for scale, divisor in (("1", 32), ("3/4", 32), ("1/2", 32), ("1/4", 32), ("4/5", 10), ("1/8", 64), ("1/3", 24)):
        build = FAMILY.build_config(1000, 1000, Fraction(scale), FAMILY.option_defaults)
        assert build.size_rule.divisors(Fraction(scale)) == (divisor, divisor)
        assert divisor * Fraction(scale) % 8 == 0
        for width in (1, 63, 65, 129, 1000):
            left, right, _, _ = build.size_rule.padding(width, width, Fraction(scale))
            assert (width + left + right) * Fraction(scale) >= 64
            assert right - left in (0, 1)
    with pytest.raises(
        ArgumentError, match=r"scale=2\.0, must be above 0 and at most 1 for GIMM-VFI; use 1, 0\.5 for 2K"
    ):
        FAMILY.build_config(64, 64, Fraction(2), FAMILY.option_defaults)
    assert all(variant.timesteps is Timesteps.ANY for variant in FAMILY.variants)


@pytest.mark.parametrize("value", [True, -1, 1.5, "much"])
def test_options_are_checked(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"options\['memory'\]=.*must be a whole number of MiB from 0 to"):
        check_options(FAMILY, {"memory": value})


def test_operators_are_ready_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[str, object]] = []
    monkeypatch.setattr(
        "vsvfi.ops.splat.warm_up", lambda device, calls, kind: warmed.append((kind, tuple(map(tuple, calls))))
    )
    monkeypatch.setattr(
        "vsvfi.models.flow.raft.network.warm_up", lambda device, dtype: warmed.append(("lookup", dtype))
    )
    vsvfi.load_model("gimmvfi_r", weights=seeded_state(), device="cpu", precision="bf16")
    assert set(warmed) == {("linear", (((16, torch.float32),),)), ("lookup", torch.bfloat16)}
