"""The page of a comparison in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, chromium
from tests.compare.results import NAME, result
from vsvfi.compare.images import GAIN
from vsvfi.compare.page import page

pytest.importorskip("av", reason="images for the page are encoded by PyAV")

SHOWN = "[...document.querySelectorAll('.place')[0].querySelectorAll('figure')].filter(f => getComputedStyle(f).visibility !== 'hidden').map(f => f.dataset.name)"  # noqa: E501


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(result()), encoding="utf-8")
    return path


def names_of(tree: list[dict[str, Any]], role: str) -> list[str]:
    """What a screen reader calls the things of a role."""
    return [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == role and not node["ignored"]]


def test_it_loads_without_network_or_errors(browser: Browser, written: Path) -> None:
    browser.open(written)
    assert browser.requests() == [written.resolve().as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.evaluate("document.querySelector('h1').textContent").startswith(NAME)
    assert browser.evaluate("document.querySelectorAll('h1 b').length") == 0
    assert browser.evaluate("document.querySelector('tbody th').textContent") == "rife"
    assert browser.evaluate("document.querySelector('td.best').textContent") == "32.50"


def test_images_take_each_others_place_by_keys(browser: Browser, written: Path) -> None:
    browser.open(written)
    assert browser.evaluate(SHOWN) == ["truth", "rife"]
    browser.evaluate("document.querySelector('.stage').focus()")
    browser.press("b", "KeyB", "b")
    assert browser.evaluate(SHOWN) == ["rife"]
    assert "Shown: rife, 31.00 dB" in browser.evaluate("document.querySelector('[role=status]').textContent")
    browser.press(" ", "Space", " ")
    covered = "getComputedStyle(document.querySelector('.right')).clipPath"
    assert browser.evaluate(covered) == "inset(0px 0px 0px 100%)"
    browser.press("e", "KeyE", "e")
    assert browser.evaluate(SHOWN) == ["error rife"], "errors stay behind the true frame"
    browser.press("e", "KeyE", "e")
    browser.press("b", "KeyB", "b")
    assert browser.evaluate(covered) == "inset(0px 0px 0px 100%)"
    browser.press("2", "Digit2", "2")
    assert browser.evaluate(SHOWN) == ["builtin"]
    browser.press("n", "KeyN", "n")
    assert browser.evaluate(SHOWN) == ["blend"]
    browser.press("p", "KeyP", "p")
    browser.press("e", "KeyE", "e")
    assert browser.evaluate(SHOWN) == ["error builtin"]
    widths = [browser.evaluate("document.querySelector('.stack').clientWidth")]
    for key, code in (("+", "Equal"), ("0", "Digit0")):
        browser.press(key, code, key)
        widths.append(browser.evaluate("document.querySelector('.stack').clientWidth"))
    assert widths[1] == 2 * widths[0]
    assert widths[2] == widths[0]
    assert browser.complaints() == []


def test_the_slider_divides_the_image(browser: Browser, written: Path) -> None:
    browser.open(written)
    browser.evaluate("document.querySelector('input[type=range]').focus()")
    for _ in range(5):
        browser.press("ArrowLeft")
    assert browser.evaluate("getComputedStyle(document.querySelector('.right')).clipPath") == "inset(0px 0px 0px 45%)"
    said = browser.evaluate("document.querySelector('[role=status]').textContent")
    assert said == "true frame on the left, rife, 31.00 dB on the right"
    box = browser.evaluate(
        "(s => { s.scrollIntoView({block: 'center'}); const r = s.getBoundingClientRect();"
        " return [r.x, r.y, r.width, r.height]; })(document.querySelector('.stack'))"
    )
    at = {"x": box[0] + box[2] / 4, "y": box[1] + box[3] / 2, "button": "left", "clickCount": 1}
    browser.send("Input.dispatchMouseEvent", type="mousePressed", **at)
    browser.send("Input.dispatchMouseEvent", type="mouseReleased", **at)
    assert browser.evaluate("Number(document.querySelector('input[type=range]').value)") == pytest.approx(25, abs=1)


def test_a_screen_reader_finds_names_for_everything(browser: Browser, written: Path) -> None:
    browser.open(written)
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    assert f"{NAME}: which model interpolates it best" in names_of(tree, "heading")
    assert {"Left", "Right"} <= set(names_of(tree, "combobox"))
    assert names_of(tree, "slider")[0] == "Where the image is divided, in percent from the left, place 1"
    assert {"Blink", "1x", "2x", "4x"} <= set(names_of(tree, "button"))
    assert f"Errors, {GAIN}x" in names_of(tree, "checkbox")
    assert {"true frame, at 0:00:00.29", "rife, 31.00 dB, at 0:00:00.29"} <= set(names_of(tree, "image"))
    assert {"rife", "builtin", "blend"} <= set(names_of(tree, "rowheader"))
    for role in ("button", "combobox", "slider", "checkbox", "image", "region"):
        assert all(names_of(tree, role)), role
    reached = set()
    for _ in range(12):
        browser.press("Tab")
        reached.add(browser.evaluate("document.activeElement.className || document.activeElement.type || ''"))
    assert {"stage", "select-one", "range", "checkbox", "blink"} <= reached


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_phones_and_both_schemes(browser: Browser, written: Path, width: int, dark: bool) -> None:
    browser.open(written, width=width, height=800, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelector('.stage').clientHeight") <= 800
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = browser.evaluate("getComputedStyle(document.body).color")
    lights = [sum(int(part) for part in colour[4:-1].split(",")) for colour in (ground, ink)]
    assert (lights[0] < lights[1]) == dark
    assert abs(lights[0] - lights[1]) > 450


def test_without_its_script_it_is_a_document(browser: Browser, written: Path) -> None:
    browser.open(written, script=False)
    found = browser.send("Page.getLayoutMetrics")["cssContentSize"]
    browser.open(written)
    layered = browser.send("Page.getLayoutMetrics")["cssContentSize"]
    assert found["height"] > 2 * layered["height"]  # every image stands below the last one
