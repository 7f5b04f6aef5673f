"""Training data: augmentation, published sets in miniature, a teacher's flows, and the user's own video."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from PIL import Image

from scripts.evaluate.estimators import load_estimator
from scripts.evaluate.flow_files import read_flow, write_flow
from scripts.train import __main__ as program
from scripts.train import teacher
from scripts.train.augment import TRANSFORMS, Clip, enlarge, reduce, rotate
from scripts.train.sources import video
from scripts.train.sources.published import Curriculum, Flows, GoPro, Quintuplets, Septuplets, Vimeo, XTrain, stage
from vsvfi.models.flow.raft import RAFT
from vsvfi.ops.warp import backward_warp


@pytest.mark.parametrize("change", [*TRANSFORMS.values(), lambda clip: rotate(clip, 1), lambda clip: rotate(clip, 3)])
def test_flow_still_leads_to_the_same_colour_after_a_transform(change: Callable[[Clip], Clip]) -> None:
    """A smooth image that moves by a constant flow; every transform must keep warped frame and target equal."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")

    def shown(x: float, y: float) -> Tensor:
        return torch.stack([torch.sin((columns - x) / (7 + c)) + torch.cos((rows - y) / 9) for c in range(3)])

    flow = torch.tensor([-2.0, 1.0, 2.0, -1.0]).view(4, 1, 1).expand(4, 32, 40)
    clip = Clip(torch.stack((shown(-2, 1), shown(0, 0), shown(2, -1))), (0.5,), flow, 2 * flow[[2, 3, 0, 1]])
    made = change(clip)
    assert made.flow is not None
    assert made.motion is not None
    for frame, part in ((made.frames[:1], made.flow[:2]), (made.frames[2:], made.flow[2:])):
        edge = 8 if made.flow.shape[1] > 16 else 4
        apart = (backward_warp(frame, part[None])[0] - made.frames[1])[:, edge:-edge, edge:-edge]
        assert float(apart.abs().max()) < 0.03
    assert torch.allclose(made.motion, 2 * made.flow[[2, 3, 0, 1]])
    assert reduce(enlarge(clip)).frames.shape == clip.frames.shape


def _image(path: Path, value: int, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def _values(clip: Clip) -> list[int]:
    return [round(float(frame[:, 0, 0].mean()) * 255) for frame in clip.frames]


def test_published_sets_are_read_from_their_layouts(tmp_path: Path) -> None:
    triplets, septuplets = tmp_path / "vimeo_triplet", tmp_path / "vimeo_septuplet"
    for root, prefix, count in ((triplets, "tri", 3), (septuplets, "sep", 7)):
        for k in range(1, count + 1):
            _image(root / "sequences" / "0001" / "0001" / f"im{k}.png", 20 * k)
        for part in ("train", "test"):
            (root / f"{prefix}_{part}list.txt").write_text("0001/0001\n\n")
    random = np.random.default_rng(0)
    assert not Vimeo(triplets).taught
    fields = {"flow": ("flow_t0", "flow_t1"), "flow_sequences": Flows.NAMES}
    for folder, names in fields.items():
        (triplets / folder / "0001" / "0001").mkdir(parents=True)
        for index, name in enumerate(names):
            write_flow(triplets / folder / "0001" / "0001" / f"{name}.flo", torch.full((1, 2, 48, 64), float(index)))
    taught = Vimeo(tmp_path).draw(0, 0, random)
    assert _values(taught) == [20, 40, 60]
    assert taught.flow is not None
    assert taught.flow[:, 0, 0].tolist() == [0, 0, 1, 1]
    stored = Flows(triplets).draw(0, 0, random)
    assert stored.motion is not None
    assert stored.motion[:, 0, 0].tolist() == [2, 2, 3, 3]
    drawn = Septuplets(septuplets).draw(0, 0, random)
    first, middle, last = _values(drawn)
    assert drawn.t == ((middle - first) / (last - first),)
    assert _values(Septuplets(septuplets, middle=True).draw(0, 0, random)) == [60, 80, 100]
    for folder in ("GOPR0372_07_00", "GOPR0384_11_00"):
        for k in range(17):
            _image(tmp_path / "gopro" / folder / f"{k:06d}.png", k)
    gopro = GoPro(tmp_path / "gopro")
    assert (len(gopro), gopro.targets) == (2, 7)
    assert _values(gopro.draw(1, 0, random)) == list(range(8, 17))
    for k in range(65):
        _image(tmp_path / "xtrain" / "001" / "occ001" / f"{k:04d}.png", k)
    first, middle, last = _values(XTrain(tmp_path / "xtrain").draw(0, 0, random))
    assert middle - first == last - middle > 0
    curriculum = Curriculum(triplets, tmp_path / "xtrain")
    assert [stage(epoch) for epoch in (0, 49, 50, 299)] == [0, 0, 1, 5]
    assert {curriculum.draw(0, 0, random).frames.shape[-1] for _ in range(8)} == {64}
    assert {curriculum.draw(0, 60, random).frames.shape[-1] for _ in range(16)} == {64, 256}
    assert curriculum.xtrain.distance is not None
    assert [curriculum.xtrain.distance(epoch) for epoch in (0, 50, 100, 250)] == [2, 2, 4, 32]
    pickle.loads(pickle.dumps(curriculum))  # reader processes get it, and are not always forked
    strip = np.concatenate([np.full((8, 8, 3), value, np.uint8) for value in (1, 3, 5, 7, 4)], 1)
    (tmp_path / "bvidvc" / "quintuplets" / "00000").mkdir(parents=True)
    Image.fromarray(strip).save(tmp_path / "bvidvc" / "quintuplets" / "00000" / "quintuplet.png")
    quintuplets = Quintuplets(tmp_path)
    assert len(quintuplets) == 2
    assert _values(quintuplets.draw(0, 0, random)) == [3, 4, 5]
    for source, count in (
        (Vimeo(tmp_path), 1),
        (Septuplets(septuplets), 1),
        (gopro, 2),
        (curriculum, 1),
        (quintuplets, 1),
    ):
        kept_apart = source.validation(8)
        assert len(kept_apart) == count
        assert all(batch.first.shape == batch.truth.shape == (1, 3, 48, 64) for batch in kept_apart)
        assert isinstance(source.identity()["clips"], int)


# --- a teacher's flows


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RAFT with random weights in the published form: under `module.`, with a norm twice and counters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state = {f"module.{key}": tensor for key, tensor in RAFT().state_dict().items()}
    state["module.cnet.layer2.0.norm3.weight"] = torch.zeros(96)
    state["module.cnet.norm1.num_batches_tracked"] = torch.tensor(7)
    path = tmp_path_factory.mktemp("raft") / "raft-things.pth"
    torch.save(state, path)
    return path


def _triplets(root: Path) -> Path:
    """Two triplets, one for each list, of 70x64 pixels with content."""
    random = np.random.default_rng(3)
    for entry, part in (("00001/0001", "train"), ("00001/0002", "test")):
        (root / f"tri_{part}list.txt").parent.mkdir(parents=True, exist_ok=True)
        (root / f"tri_{part}list.txt").write_text(f"{entry}\n")
        for k in (1, 2, 3):
            path = root / "sequences" / entry / f"im{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (64, 70, 3), dtype=np.uint8)).save(path)
    return root


def _teach(recipe: str, root: Path, weights: Path, *more: str) -> int:
    words = [recipe, "--data", str(root), "--weights", str(weights), "--device", "cpu", "--iterations", "1", *more]
    return teacher.main(words)


def test_a_teacher_makes_the_flows_that_both_recipes_read(
    raft: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _triplets(tmp_path / "vimeo_triplet")
    for recipe in ("ifrnet", "gimm"):
        assert _teach(recipe, tmp_path, raft) == 0
    random = np.random.default_rng(0)
    taught, stored = Vimeo(tmp_path), Flows(tmp_path)
    clip, fields = taught.draw(0, 0, random), stored.draw(0, 0, random)
    assert clip.flow is not None
    assert fields.flow is not None
    assert fields.motion is not None
    network, _ = load_estimator("raft", raft)
    network.iterations = 1
    images = [functional.pad(2 * frame[None] - 1, (0, 2, 0, 0), mode="replicate") for frame in clip.frames]
    with torch.inference_mode():
        first, middle, last = (network.encode(image) for image in images)
        expected = [network.estimate(*pair)[0][0, :, :, :70] for pair in ((middle, first), (middle, last))]
        expected += [field[0, :, :, :70] for field in network.estimate(first, last)]
    found = (clip.flow[:2], clip.flow[2:], fields.motion[:2], fields.motion[2:])
    for made, wanted in zip(found, expected, strict=True):
        assert float((made - wanted).abs().max()) < 1e-3 * float(wanted.abs().max())
    assert torch.equal(clip.flow, fields.flow)
    assert isinstance(made_by := taught.identity()["teacher"], dict)
    assert (made_by["estimator"], made_by["iterations"]) == ("raft", 1)
    assert len(stored.validation(4)) == 1

    kept = root / "flow" / "00001" / "0001" / "flow_t0.flo"
    write_flow(kept, torch.full((1, 2, 64, 70), 7.0))
    (root / "flow" / "00001" / "0001" / "flow_t1.flo").unlink()
    lost = root / "flow_sequences" / "00001" / "0002" / "im1_im3.flo"
    moved = lost.rename(lost.with_suffix(".lost"))
    with pytest.raises(ValueError, match=r"1 flows are missing: .*im1_im3\.flo \.\.\.; make them with .*teacher gimm"):
        Flows(tmp_path)
    moved.rename(lost)
    with pytest.raises(ValueError, match=r"1 teacher flows are missing: .*flow_t1\.flo \.\.\.; make them"):
        Vimeo(tmp_path)
    assert _teach("ifrnet", tmp_path, raft) == 0
    assert float(read_flow(kept).mean()) == 7.0  # what exists is kept
    assert torch.equal(Vimeo(tmp_path).draw(0, 0, random).flow[2:], clip.flow[2:])  # type: ignore[index]
    capsys.readouterr()
    assert _teach("gimm", tmp_path, Path("nowhere.pth")) == 0
    assert capsys.readouterr().err == "teacher: every flow exists\n"


def test_flows_of_two_estimators_are_not_mixed_and_missing_images_are_named(
    raft: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _triplets(tmp_path / "vimeo_triplet")
    (root / "flow").mkdir()
    (root / "flow" / "teacher.json").write_text(json.dumps({"estimator": "flowformer"}))
    whole = {f"flow_estimator.{key.removeprefix('module.')}": value for key, value in torch.load(raft).items()}
    torch.save({"state_dict": {**whole, "alpha_v": torch.ones(1)}}, tmp_path / "gimmvfi_r.pt")  # contains one too
    assert _teach("ifrnet", tmp_path, tmp_path / "gimmvfi_r.pt") == 1
    assert "holds flows of another estimator; use the same one, or remove the folder" in capsys.readouterr().err
    (root / "sequences" / "00001" / "0002" / "im3.png").unlink()
    assert _teach("ifrnet", tmp_path, raft) == 1
    assert "im3.png is missing; unpack the whole set" in capsys.readouterr().err


# --- the user's own video


def _decoded(**facts: Any) -> video.Decoded:
    known = {"file": "", "count": 40, "height": 64, "width": 64, "rate": 24.0, "parts": [0], "cuts": [19]}
    return video.Decoded(**{**known, "means": [0.5] * 40, "steps": [0.05] * 40, **facts})


def test_windows_leave_out_still_parts_flashes_and_cuts() -> None:
    assert video.scenes_of(_decoded()) == [(0, 20), (20, 40)]
    whole = list(video.windows_of(_decoded(), 0, (0, 20), (1,)))
    assert [window.start for window in whole] == list(range(18))
    held = _decoded(steps=[0.05, 0.0] * 20)
    assert not list(video.windows_of(held, 0, (0, 20), (1,)))
    flash = _decoded(means=[0.5] * 10 + [0.9] + [0.5] * 29)
    assert [w.start for w in whole if w not in list(video.windows_of(flash, 0, (0, 20), (1,)))] == [9]
    fast = list(video.windows_of(_decoded(rate=60.0), 0, (0, 20), (1,)))
    assert {window.spacing for window in fast} == {1, 2}


def test_own_video_is_split_into_scenes_and_fine_tunes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show = pytest.importorskip("scripts.train.show")
    pytest.importorskip("av")
    clip = tmp_path / "show.mp4"
    show.render(clip, 3, (128, 96))
    source = video.Video([clip], tmp_path / "frames", 64, middle_only=False, limit=1 << 28)
    assert [end - begin for _, (begin, end) in (*source.scenes, *source.held)] == [24, 24, 24]
    assert len(source.held) == 1
    (shown,) = source.videos
    assert shown.count == 72
    limited = video.decode(clip, tmp_path / "less", 64 * 128 * 96 * 3)
    assert limited.count <= 64
    words = ["--data", "video", str(clip), "--general", "none", "--out", str(tmp_path / "out")]
    assert (
        program.main(
            [
                "builtin_uprnet",
                *words,
                "--weights",
                "published",
                "--steps",
                "2",
                "--total-batch",
                "2",
                "--crop",
                "64",
                "--every",
                "2",
                "--held",
                "4",
            ]
        )
        == 0
    )
    assert "over the start" in capsys.readouterr().err
    assert (tmp_path / "out" / "weights.safetensors").is_file()
