"""The text of a comparison."""

from __future__ import annotations

import json

from tests.compare.results import result, tally


def test_the_verdict_names_the_best_and_its_cost() -> None:
    said = " ".join(result(images=False).verdict())
    assert said.startswith("rife is nearest to the true frames: 32.50 dB on average.")
    assert "rife takes 500 ms per new frame here, 12.0 hours for the whole video at 48 frames per second." in said
    assert "builtin is 5.0 times as fast and 0.92 dB lower." in said
    assert "cannot be told" not in said


def test_what_is_within_chance_is_said_to_be() -> None:
    found = result(images=False)
    found.tallies.append(tally("close", [31.5, 31, 34, 33.5, 31, 34]))
    found.hours["close"] = 1.0
    assert "On these few frames close cannot be told from it with confidence." in found.verdict()


def test_few_frames_tell_nothing() -> None:
    found = result(images=False)
    for each in found.tallies:
        each.scores["psnr"] = {7: each.scores["psnr"][7]}
    assert "On these few frames builtin and blend cannot be told from it with confidence." in found.verdict()


def test_a_method_without_a_network_may_be_best() -> None:
    found = result(images=False)
    found.tallies[0] = tally("blend", [50] * 6, model=False)
    assert found.verdict()[0].startswith("blend is nearest")
    assert "The best model is rife with 32.50 dB." in found.verdict()


def test_other_scores_may_name_another() -> None:
    found = result(images=False)
    found.tallies[1].scores["ssim"] = dict.fromkeys(found.tallies[1].scores["ssim"], 0.99)
    assert "By SSIM it is builtin." in found.verdict()


def test_programs_get_everything() -> None:
    found = json.loads(json.dumps(result(images=False).as_json(), allow_nan=False))
    assert found["best"] == "rife"
    assert [method["name"] for method in found["methods"]] == ["rife", "builtin", "blend"]
    assert found["methods"][0]["worst_frame"] == 7
    assert found["methods"][0]["by_frame"]["33"] == {"psnr": 34.1, "ssim": 0.9}
    assert found["left_out"] == {"ifrnet": "its weights are <not> here"}


def test_nothing_done_is_no_error() -> None:
    found = result(images=False)
    found.tallies = []
    assert found.verdict() == ["Nothing was compared."]
    assert found.as_json()["best"] is None
