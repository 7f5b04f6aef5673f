"""The loaders on miniatures in the published layouts: which files and times they take, and what they report."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from PIL import Image
from safetensors.torch import load_file

from scripts.evaluate.datasets import SETS, Item, Request, Split, View, check
from scripts.evaluate.datasets.snu_film import ARBITRARY
from scripts.evaluate.images import image_size, read_image, viewed, write_image
from tests.evaluate import layouts
from vsvfi.errors import ArgumentError


def loaded(name: str, root: Path, *splits: str, **settings: object) -> list[Split]:
    return SETS[name].load(Request(root, splits, settings))


def numbers(item: Item) -> list[int]:
    """First input, second input and targets by the numbers in their file names."""
    paths = [*item.inputs, *(target.truth[0] for target in item.targets)]
    return [int(path.stem.rpartition("-")[2]) for path in paths]


@pytest.fixture(scope="module")
def indices(shared: Path) -> dict[str, Any]:
    """Which frames the published programs take."""
    path = shared / "goldens" / "metrics" / "cases.json"
    if not path.is_file():
        pytest.skip("the reference data of the metrics is not beside this clone")
    found: dict[str, Any] = json.loads(path.read_text())["indices"]
    return found


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_complete_in_its_layout(name: str, tmp_path: Path) -> None:
    layouts.DRAWN[name](tmp_path)
    crop = {"crop": 16} if name in ("gopro", "adobe240") else {}
    for split in loaded(name, tmp_path, **crop):
        findings = check(split)
        if name == "xiph":
            assert len(findings.complete) >= 49
            assert findings.faults
            continue
        assert findings.faults == ()
        assert findings.complete == split.items
        assert len(findings.complete) > 0
        stored = [target.name for item in split.items for target in item.targets]
        assert len(set(stored)) == len(stored)
        if split.expected is not None and split.name != "qvi" and name != "middlebury":
            assert any(f"the published set has {split.expected}" in text for text in findings.warnings)


def test_vimeo_lists_may_hold_blank_lines(tmp_path: Path) -> None:
    layouts.triplets(tmp_path / "vimeo_triplet")
    (split,) = loaded("vimeo90k", tmp_path)
    assert [item.name for item in split.items] == ["00001/0389", "00001/0402"]
    item = split.items[0]
    assert [path.name for path in item.files] == ["im1.png", "im3.png", "im2.png"]
    assert item.targets[0].time == Fraction(1, 2)


def test_septuplets_have_five_times(tmp_path: Path) -> None:
    layouts.septuplets(tmp_path)
    (split,) = loaded("vimeo90k_septuplet", tmp_path)
    assert [target.time for target in split.items[0].targets] == [Fraction(k, 6) for k in range(1, 6)]
    assert split.items[0].targets[4].truth[0].name == "im6.png"


def test_both_kinds_of_ucf101_are_told_apart(tmp_path: Path) -> None:
    layouts.ucf101_dvf(tmp_path)
    assert [split.name for split in loaded("ucf101", tmp_path)] == ["dvf"]
    layouts.ucf101_qvi(tmp_path)
    dvf, qvi = loaded("ucf101", tmp_path)
    assert [item.name for item in dvf.items] == ["1", "10", "101"]
    assert (dvf.items[0].inputs[1].name, dvf.items[0].targets[0].truth[0].name) == ("frame_02.png", "frame_01_gt.png")
    assert (qvi.items[0].inputs[1].name, qvi.items[0].targets[0].truth[0].name) == ("frame2.png", "framet.png")
    (only,) = loaded("ucf101", tmp_path / "ucf101")
    assert only.name == "qvi"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match=r"holds no folders with frame_00.png, .* or frame1.png"):
        loaded("ucf101", tmp_path / "empty")


@pytest.mark.parametrize("lists", ["", "eval_modes"])
@pytest.mark.parametrize("prefix", ["data/SNU-FILM/test/", "test/", "./test/", "/disk/author/SNU-FILM/test/"])
def test_snu_film_paths_are_found_under_any_prefix(lists: str, prefix: str, tmp_path: Path) -> None:
    layouts.snu_film(tmp_path, lists=lists, prefix=prefix)
    splits = loaded("snu_film", tmp_path)
    assert [split.name for split in splits] == ["easy", "medium", "hard", "extreme"]
    assert [numbers(split.items[0]) for split in splits] == [[1, 3, 2], [1, 5, 3], [1, 9, 5], [1, 17, 9]]
    assert all(path.is_file() for split in splits for path in split.items[0].files)


def test_snu_film_paths_may_be_relative_to_the_folder_above(tmp_path: Path) -> None:
    layouts.snu_film(tmp_path / "data" / "SNU-FILM")
    assert all(path.is_file() for split in loaded("snu_film", tmp_path) for path in split.items[0].files)


def test_snu_film_arb_takes_every_frame_between(tmp_path: Path, indices: dict[str, Any]) -> None:
    layouts.snu_film(tmp_path)
    for split in loaded("snu_film_arb", tmp_path):
        (item,) = split.items
        found = [[target.truth[0].name, float(target.time)] for target in item.targets]
        assert found == indices["snufilm_arb_targets"][split.name]
        assert split.expected == {"medium": 930, "hard": 2170, "extreme": 4650}[split.name]
        assert item.targets[0].name == "GOPR0384_11_00_000002"
        assert item.inputs[1].stem == f"{1 + ARBITRARY[split.name]:06d}"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("test/a/000001.png test/a/000002.png", "must hold three paths in every line"),
        ("test/a/000001.png test/a/000002.png test/a/000004.png", "must be the frame 4 after 000001.png"),
        ("test/a/x1.png test/a/x2.png test/a/x5.png", "must be the frame 4 after x1.png"),
    ],
)
def test_snu_film_arb_refuses_lists_of_other_kinds(text: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "test-medium.txt").write_text(text)
    with pytest.raises(ArgumentError, match=rule):
        loaded("snu_film_arb", tmp_path, "medium")


@pytest.mark.parametrize(("name", "key"), [("xtest", "xtest_8x"), ("xtest_l", "xtest_2x")])
def test_xtest_takes_the_published_frames(name: str, key: str, tmp_path: Path, indices: dict[str, Any]) -> None:
    for scene in ("Type1/TEST01_a", "Type1/TEST02_b", "Type2/TEST06_c"):
        for number in range(33):
            path = tmp_path / scene / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    layouts.save(tmp_path / "Type2" / "TEST07_short" / "0000.png")
    small, large = loaded(name, tmp_path)
    found = [
        [str(path.relative_to(tmp_path)) for path in (*item.inputs, *target.truth)] + [float(target.time)]
        for item in small.items
        for target in item.targets
    ]
    assert found == indices[key]
    assert small.notes == ("Type2/TEST07_short has 1 frames and is left out: 33 are needed",)
    assert (small.items[0].view, large.items[0].view) == (View(reduce="float"), View())
    assert small.expected == len(large.items[0].targets) * 15


def test_xiph_takes_every_second_frame(tmp_path: Path, indices: dict[str, Any]) -> None:
    layouts.xiph_clips(tmp_path)
    small, large = loaded("xiph", tmp_path)
    assert [numbers(item) for item in small.items[:49]] == indices["xiph"]
    assert len(small.items) == small.expected == 392
    assert (small.items[0].view, large.items[0].view) == (View(reduce="bytes"), View(crop="half"))


def test_both_layouts_of_middlebury(tmp_path: Path) -> None:
    layouts.middlebury_ifrnet(tmp_path / "a")
    layouts.middlebury_ldmvfi(tmp_path / "b")
    for root in (tmp_path / "a", tmp_path / "b", tmp_path / "b" / "middlebury_others"):
        (split,) = loaded("middlebury", root)
        assert [item.name for item in split.items][:2] == ["Beanbags", "Dimetrodon"]
        assert check(split).faults == ()


@pytest.mark.parametrize("count", [25, 50, 80])
def test_groups_of_nine_as_published(count: int, tmp_path: Path, indices: dict[str, Any]) -> None:
    for number in range(count):
        (tmp_path / "video").mkdir(exist_ok=True)
        (tmp_path / "video" / f"{number:04d}.png").touch()
    (split,) = loaded("adobe240", tmp_path, keep_last=True)
    found = [numbers(item) for item in split.items]
    assert [[first, *targets, second] for first, second, *targets in found] == indices["gopro"][str(count)]
    assert [target.time for target in split.items[0].targets] == [Fraction(k, 8) for k in range(1, 8)]
    (dropped,) = loaded("adobe240", tmp_path)
    assert len(dropped.items) == len(split.items) // 2 * 2


def test_gopro_takes_the_test_videos_alone(tmp_path: Path) -> None:
    layouts.gopro_videos(tmp_path)
    layouts.adobe_videos(tmp_path)
    (split,) = loaded("gopro", tmp_path)
    assert {item.group for item in split.items} == {"GOPR0384_11_00"}
    assert len(split.items) == 2
    assert split.items[0].view == View(crop=512)
    assert split.notes[0].startswith("10 of the 11 test videos are missing: GOPR0384_11_05")
    assert split.notes[1] == "the last pair, GOPR0384_11_00/000016, is dropped as published (--keep-last keeps it)"
    (whole,) = loaded("gopro", tmp_path, crop=0)
    assert whole.items[0].view == View()


@pytest.mark.parametrize(("name", "suffix"), [("davis", "jpg"), ("vfitex", "png")])
@pytest.mark.parametrize("count", [25, 50, 80])
def test_sequences_leave_room_for_four_inputs(
    name: str, suffix: str, count: int, tmp_path: Path, indices: dict[str, Any]
) -> None:
    origin, digits = (0, 5) if name == "davis" else (1, 3)
    for number in range(origin, origin + count):
        (tmp_path / "clip").mkdir(exist_ok=True)
        (tmp_path / "clip" / f"{number:0{digits}d}.{suffix}").touch()
    (split,) = loaded(name, tmp_path)
    assert [numbers(item) for item in split.items] == indices["davis90" if name == "davis" else name][str(count)]
    assert all(path.is_file() for item in split.items for path in item.files)


def test_flow_sets_leave_the_last_line_unread(tmp_path: Path) -> None:
    layouts.flows(tmp_path, 7)
    (split,) = loaded("vsf", tmp_path)
    (item,) = split.items
    assert [path.name for path in item.inputs] == ["im1_im7.flo", "im7_im1.flo"]
    assert [path.name for path in item.targets[4].truth] == ["im6_im7.flo", "im6_im1.flo"]
    assert [target.time for target in item.targets] == [Fraction(k, 6) for k in range(1, 6)]
    assert split.notes == ("00009/9999 is left out as published: the last line (--keep-last keeps it)",)
    (every,) = loaded("vsf", tmp_path, keep_last=True)
    assert len(every.items) == 2
    (tmp_path / "sep_testlist.txt").write_text("00001/0389\n\n")
    assert len(loaded("vsf", tmp_path)[0].items) == 1


def test_missing_lists_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"has no list file tri_testlist.txt"):
        loaded("vimeo90k", tmp_path)
    with pytest.raises(ArgumentError, match=r"has no list file test-easy.txt, eval_modes/test-easy.txt"):
        loaded("snu_film", tmp_path)
    with pytest.raises(ArgumentError, match=r"must be the folder of the data set"):
        loaded("vimeo90k", tmp_path / "nowhere")


def test_the_check_reports_what_is_missing_damaged_or_of_another_size(tmp_path: Path) -> None:
    layouts.ucf101_dvf(tmp_path)
    root = tmp_path / "ucf101_interp_ours"
    (root / "1" / "frame_02.png").unlink()
    (root / "10" / "frame_01_gt.png").write_bytes(b"no image")
    layouts.save(root / "101" / "frame_00.png", 32, 16)
    Image.fromarray(np.zeros((16, 24), np.uint16)).save(root / "10" / "frame_00.png")
    (split,) = loaded("ucf101", tmp_path)
    findings = check(split)
    assert findings.complete == ()
    assert len(findings.faults) == 2
    assert findings.faults[0].startswith("dvf: 1 files are missing: ")
    assert findings.faults[0].endswith("frame_02.png")
    assert "2 entries cannot be used" in findings.faults[1]
    assert "must be 8 bits" in findings.faults[1]
    assert "frame_00.png 32x16 and frame_02.png 24x16" in findings.faults[1]


def test_the_check_reports_empty_sets_repeated_entries_and_crops_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "tri_testlist.txt").write_text("\n")
    assert check(loaded("vimeo90k", tmp_path)[0]).faults == ("all: the folder holds nothing of this set",)
    layouts.triplets(tmp_path)
    (tmp_path / "tri_testlist.txt").write_text("00001/0389\n00001/0389\n")
    assert check(loaded("vimeo90k", tmp_path)[0]).faults == ("all: 1 entries occur more than once: 00001/0389",)
    layouts.gopro_videos(tmp_path / "gopro")
    (fault,) = check(loaded("gopro", tmp_path / "gopro")[0]).faults
    assert "40x32 is smaller than the crop of 512: use --crop" in fault
    odd = Split("2k", (Item("odd", (tmp_path / "a.png",) * 2, (), View(reduce="float")),))
    layouts.save(tmp_path / "a.png", 25, 16)
    assert "25x16 has no half size" in check(odd).faults[0]


def test_a_size_that_nobody_published_is_a_warning(tmp_path: Path) -> None:
    layouts.triplets(tmp_path)
    warnings = check(loaded("vimeo90k", tmp_path)[0]).warnings
    assert warnings == (
        "all: 2 images to predict, the published set has 3782",
        "all: images of 24x16 are here, those of the published set have 448x256",
    )


def test_halving_is_that_of_the_published_programs(shared: Path) -> None:
    path = shared / "goldens" / "metrics" / "metrics.safetensors"
    if not path.is_file():
        pytest.skip("the reference data of the metrics is not beside this clone")
    golden = load_file(path)
    halved = viewed(golden["area/input"], View(reduce="bytes"))[0] * 255
    assert (halved - golden["area/of_uint8"]).abs().max() < 1e-4
    assert (viewed(golden["area/input"], View(reduce="float"))[0] - golden["area/of_float"]).abs().max() < 2e-7


def test_halving_rounds_halves_up_and_crops_are_centred(tmp_path: Path) -> None:
    drawn = layouts.image("x", 32, 24).astype(np.int64)
    layouts.save(tmp_path / "x.png", 32, 24)
    Image.fromarray(drawn.astype(np.uint8)).save(tmp_path / "x.png")
    given = read_image(tmp_path / "x.png")
    sums = drawn[::2, ::2] + drawn[1::2, ::2] + drawn[::2, 1::2] + drawn[1::2, 1::2]
    bytes_ = viewed(given, View(reduce="bytes"))[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(bytes_, (sums + 2) // 4, atol=1e-4)
    floats = viewed(given, View(reduce="float"))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(floats, sums / 1020, atol=1e-6)
    half = viewed(given, View(crop="half"))[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(half, drawn[6:18, 8:24], atol=1e-4)
    square = viewed(given, View(crop=10))[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(square, drawn[7:17, 11:21], atol=1e-4)


def test_images_are_written_as_they_are_read(tmp_path: Path) -> None:
    given = viewed(read_image_of(tmp_path), View())
    write_image(tmp_path / "again.png", given)
    assert (layouts.load(tmp_path / "again.png") == layouts.load(tmp_path / "x.png")).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "x.png"]


def read_image_of(folder: Path) -> Any:
    layouts.save(folder / "x.png")
    return read_image(folder / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_damaged_images_are_refused(tmp_path: Path, name: str) -> None:
    layouts.save(tmp_path / name, 200, 200)
    assert image_size(tmp_path / name) == (200, 200)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    for read in (read_image, image_size):
        with pytest.raises(ArgumentError, match="cannot be decoded"):
            read(tmp_path / name)


def test_the_check_finds_what_a_stopped_download_left(tmp_path: Path) -> None:
    layouts.triplets(tmp_path)
    file = tmp_path / "sequences" / "00001" / "0402" / "im2.png"
    file.write_bytes(file.read_bytes()[:-30])
    findings = check(loaded("vimeo90k", tmp_path)[0])
    assert [item.name for item in findings.complete] == ["00001/0389"]
    (fault,) = findings.faults
    assert "1 entries cannot be used: 00001/0402" in fault
    assert "its end is missing" in fault
