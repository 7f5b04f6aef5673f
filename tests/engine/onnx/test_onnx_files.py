"""Graphs: what goes in and out, standard operators in place of ours, older opsets, and the comparison with torch."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.runtimes.test_onnx import loaded
from tests.models.small import CASES, Case
from vsvfi.cli import main
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.onnx.decompositions import nan_to_num, splat_sums
from vsvfi.engine.onnx.files import Wanted, write_phase
from vsvfi.engine.onnx.interface import interface_of
from vsvfi.engine.onnx.lowering import lower
from vsvfi.engine.onnx.verify import check_structure, compare
from vsvfi.engine.runtimes.signature import split
from vsvfi.errors import ExportError
from vsvfi.ops.splat import op, reference
from vsvfi.packages import is_installed, load

pytestmark = pytest.mark.skipif(
    not (is_installed("onnx") and is_installed("onnxruntime")), reason="onnx is not installed (extra `onnx`)"
)
onnx: Any = load("onnx")
IFRNET = next(case for case in CASES if case.family == "ifrnet")


def config_of(case: Case) -> ModelConfig:
    model = loaded(case)
    return ModelConfig(model.family, model.variant, Fraction(1), model.family.option_defaults)


@pytest.fixture(scope="session")
def whole() -> tuple[Any, Any]:
    """A small IFRNet as one graph in float16, which `write_phase` has compared with the network, and its interface."""
    content, interface, verified = write_phase(
        config_of(IFRNET), loaded(IFRNET), Wanted("all", IFRNET.size[::-1], half=True)
    )
    assert verified is not None
    assert verified.psnr is not None
    assert verified.psnr > 45
    return onnx.load_from_string(content), interface


def test_a_graph_says_what_it_is_and_nothing_of_this_machine(whole: tuple[Any, Any]) -> None:
    model, interface = whole
    assert [value.name for value in model.graph.input] == ["first", "second", "t"] == list(interface.inputs)
    assert [value.name for value in model.graph.output] == ["interpolated"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (notes["phase"], notes["size"], notes["precision"]) == ("all", "48x32", "fp16")
    assert json.loads(notes["results that are arguments"]) == {}
    assert str(Path(__file__).resolve().parents[3]).encode() not in model.SerializeToString()


def test_weights_are_half_and_sampling_is_not(whole: tuple[Any, Any]) -> None:
    model = onnx.shape_inference.infer_shapes(whole[0])
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    sampled = [node for node in model.graph.node if node.op_type == "GridSample"]
    convolved = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(sampled) == 8
    assert {types[name] for node in sampled for name in node.input} == {onnx.TensorProto.FLOAT}
    assert {types[node.input[1]] for node in convolved} == {onnx.TensorProto.FLOAT16}
    modes = {attribute.s for node in sampled for attribute in node.attribute if attribute.name == "mode"}
    assert modes == {b"bilinear"}  # its name before opset 20, which TensorRT's parser knows


@pytest.mark.parametrize("opset", [16, 17])
def test_older_opsets_compute_the_same(whole: tuple[Any, Any], opset: int) -> None:
    model, interface = copy.deepcopy(whole[0]), whole[1]
    lower(model, opset)
    check_structure(model)
    assert model.opset_import[0].version == opset
    first, second, t = *IFRNET.images[:2], torch.tensor([0.3])
    with torch.inference_mode():
        expected = [IFRNET.shared_network(first, second, t)]
    assert compare(model, interface, [first, second, t], expected, torch.float16).psnr > 45  # type: ignore[operator]
    with pytest.raises(ExportError, match="the graph does not compute what the network does"):
        compare(model, interface, [second, first, t], expected, torch.float16)


def test_an_operator_that_an_opset_lacks_is_refused(whole: tuple[Any, Any]) -> None:
    model = copy.deepcopy(whole[0])
    model.graph.node[0].op_type = "Mish"
    with pytest.raises(ExportError, match="opset 17 has no operator Mish"):
        lower(model, 17)
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ExportError, match="not valid ONNX"):
        check_structure(model)


def test_tensors_are_named_once() -> None:
    """IFRNet at scale 1 returns its image twice; as an input of the next phase it is one tensor."""
    network, image = IFRNET.shared_network, IFRNET.images[0]
    encode = interface_of(network, "encode_frame", (image,))
    assert encode.inputs == ("image",)
    assert [(result.name, result.argument) for result in encode.results] == [("image_out", 0), ("mean", None)]
    frames = IFRNET.run.frames
    prepare = interface_of(network, "prepare_pair", (frames[0], frames[1]))
    assert prepare.inputs == ("first.image", "first.mean", "second.image", "second.mean")
    assert [result.name for result in prepare.outputs][2:5] == ["mean", "first_features.0", "first_features.1"]
    synthesise = interface_of(network, "synthesise", (IFRNET.run.pairs[0], torch.tensor([0.3])))
    assert synthesise.inputs == (*(result.name for result in prepare.results), "t")
    assert not encode.convolves
    assert prepare.convolves
    with torch.inference_mode():
        tensors = split(network.encode_frame(image))[1]
    assert encode.returned(iter(tensors[1:]), [image]).reduced is image


def test_decompositions_are_the_definitions() -> None:
    for values, displacement, weight in op.sample_inputs():
        for found, wanted in zip(
            splat_sums(values, displacement, weight), reference.splat_sums(values, displacement, weight), strict=True
        ):
            assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    given = torch.tensor([torch.nan, torch.inf, -torch.inf, 3.0, -2e9])
    assert nan_to_num(given, 0.0, 1e9, -1e9).tolist() == [0, 1e9, -1e9, 3, -1e9]
    assert nan_to_num(given)[:4].equal(torch.nan_to_num(given)[:4])


def export(output: Path, *further: str, model: str = "ifrnet_s") -> int:
    return main(["export", model, "--size", "64x64", "--phase", "encode", "-o", str(output), *further])


class TestCommand:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vsvfi.engine.build.load_weights", lambda config, weights: loaded(IFRNET))

    def test_it_writes_a_checked_file_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        output = tmp_path / "encode.onnx"
        assert export(output, "--opset", "16") == 0
        model = onnx.load(output)
        assert [value.name for value in model.graph.output] == ["mean"]
        assert "onnxruntime against torch: relative error" in capsys.readouterr().err
        written = output.read_bytes()
        assert export(output) == 1
        assert "exists; choose another name or pass --overwrite" in capsys.readouterr().err
        assert output.read_bytes() == written
        assert list(tmp_path.iterdir()) == [output]

    @pytest.mark.parametrize(
        ("arguments", "model", "code", "message"),
        [
            (("--size", "100x100"), "ifrnet_s", 2, "is not one that ifrnet_s computes at; use 112x112 and pad frames"),
            (("--opset", "20"), "ifrnet_s", 2, "must be 16, 17 or 18"),
            ((), "vfimamba_s", 1, "vfimamba_s cannot be exported: its selective scan"),
            (("--arg", "multi=2"), "ifrnet_s", 2, "does not apply to a graph"),
        ],
    )
    def test_it_refuses_with_a_remedy(
        self, arguments: tuple[str, ...], model: str, code: int, message: str, tmp_path: Path, capsys: Any
    ) -> None:
        assert export(tmp_path / "file.onnx", *arguments, model=model) == code
        assert message in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_the_file_must_be_named_as_what_it_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert export(tmp_path / "file.bin") == 1
        assert "must end in .onnx" in capsys.readouterr().err

    def test_missing_packages_are_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vsvfi.engine.onnx.export.load", lambda name: "ModuleNotFoundError: none")
        assert export(tmp_path / "file.onnx") == 1
        assert "pip install 'vsvfi[onnx]'" in capsys.readouterr().err
