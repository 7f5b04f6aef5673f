"""Bias and activation in one kernel, run on the CPU, against torch's operators; and the sequences that use it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.fake_cuda import fake_cuda
from tests.models.small import CASES, Case
from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.models.blocks import activated
from vsvfi.models.blocks.activated import Activated
from vsvfi.models.blocks.prelu import PReLU
from vsvfi.ops.activation import activate, cuda, op

SAMPLES = list(op.sample_inputs())
NAMES = ["planes", "channels last", "one slope"]


def expected(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    return functional.prelu(values + bias[:, None, None], slopes)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_one_launch_has_the_bits_of_separate_operators(
    emulated: EmulatedLauncher, sample: tuple[Tensor, Tensor, Tensor], dtype: torch.dtype, backwards: bool
) -> None:
    emulated.backwards = backwards
    values, bias, slopes = (tensor.to(dtype) for tensor in sample)
    found = cuda.run(emulated, values, bias, slopes)
    assert torch.equal(found, expected(values, bias, slopes))
    assert (found.dtype, found.stride()) == (dtype, values.stride())
    assert [launch.name for launch in emulated.launches] == ["activation"]


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_the_operator_is_its_definition(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    assert torch.equal(activate(*sample), expected(*sample))
    torch.library.opcheck(op.activation, sample, test_utils=("test_schema", "test_faketensor"))


def test_what_the_kernel_cannot_compute_is_declined() -> None:
    values, bias, slopes = SAMPLES[0]
    assert cuda.declines(values, bias, slopes) is None
    assert "densely" in str(cuda.declines(values[:, :, ::2], bias, slopes))
    assert "float16" in str(cuda.declines(values, bias.half(), slopes))
    with pytest.raises(ValueError, match=r"slopes=\(2,\) must be"):
        activate(values, bias, slopes[:2])


def layers() -> Activated:
    torch.manual_seed(0)
    made = Activated(
        nn.Conv2d(3, 8, 3, 2, 1), PReLU(8), nn.Conv2d(8, 8, 1, bias=False), nn.LeakyReLU(0.1, inplace=True),
        nn.ConvTranspose2d(8, 4, 4, 2, 1), PReLU(4), nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    return made.requires_grad_(False)


def test_a_sequence_computes_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = layers(), torch.rand(1, 3, 8, 10)
    plain = nn.Sequential(*network)
    with torch.inference_mode():
        assert torch.equal(network(image), plain(image))
        calls: list[Tensor] = []

        def noted(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
            calls.append(values)
            return activate(values, bias, slopes)

        monkeypatch.setattr(activated, "activate", noted)
        monkeypatch.setattr(activated, "_fuses", lambda input: True)
        assert torch.allclose(network(image), plain(image), atol=1e-6)
    assert len(calls) == 3


def test_a_sequence_launches_less_on_cuda() -> None:
    network = layers().to("meta")
    with fake_cuda() as watch:
        for module in network.modules():
            for name, tensor in list(module._parameters.items()):
                if tensor is not None:
                    made = torch.empty(tensor.shape, device="cuda")
                    module._parameters[name] = nn.Parameter(made, requires_grad=False)
        image = torch.empty(1, 3, 8, 10, device="cuda")
        network(image)
        with watch:
            network(image)
    assert dict(watch.launches) == {"convolution": 5, "activation": 3, "leaky_relu_": 1, "bias": 1}


FUSING = [
    case
    for case in CASES
    if str(case) in ("ifrnet", "uprnet", "vfimamba", "gimmvfi raft", "rife 4.25 and 4.26", "rife 4.0 and 4.1")
]
"""A case of every family whose convolutions are followed by PReLU or LeakyReLU, and RIFE of either kind."""


@pytest.mark.parametrize("case", FUSING, ids=str)
def test_families_leave_bias_and_activation_to_the_kernel(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def noted(values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
        calls.append(values.shape[1])
        return activate(values, bias, slopes)

    expected = case.run.alone[1]
    monkeypatch.setattr(activated, "activate", noted)
    monkeypatch.setattr(activated, "_fuses", lambda input: True)
    with torch.inference_mode():
        found = case.shared_network(*case.images[:2], torch.tensor(case.times[1:2]))
    assert case.is_near(found, expected)
    assert len(calls) > 20


def test_every_family_with_such_activations_is_tested() -> None:
    """LDMVFI has none: its normalisations stand between convolutions and SiLU."""
    assert {case.family for case in FUSING} == {case.family for case in CASES} - {"ldmvfi"}
