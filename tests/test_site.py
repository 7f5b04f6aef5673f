"""The documentation site builds without a warning, and holds what is written from code."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

import vsvfi
from scripts.site import arguments, commands, examples, links, manpage, messages
from scripts.site.pages import ROOT, pages
from tests.browser import chromium
from vsvfi import topics
from vsvfi.models import registry


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("mkdocs", reason="the site is built by mkdocs (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built_and_asks_no_other_host(site: Path) -> None:
    for address in pages().values():
        assert (site / address).with_suffix(".html").is_file()
    loads = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["'](?:https?:)?//([^"'/]+)""")
    for page in site.rglob("*.html"):
        assert not loads.findall(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", style.read_text(encoding="utf-8")), style


def test_links_between_built_pages_lead_somewhere(site: Path) -> None:
    """Anchors too: `mkdocs build --strict` does not see those of READMEs in other folders."""
    anchors: dict[Path, set[str]] = {}
    for page in site.rglob("*.html"):
        anchors[page.resolve()] = set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links are from the root of a server
            continue
        for link in re.findall(r'<a\b[^>]*?href="([^"]*)"', page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link) or not link:
                continue
            path, _, anchor = html.unescape(link).partition("#")
            target = (page.parent / path).resolve() if path else page.resolve()
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.relative_to(site)}: {link}"
            assert not anchor or anchor in anchors.get(target, {anchor}), f"{page.relative_to(site)}: {link}"


def test_arguments_and_options_are_all_listed() -> None:
    text = arguments.inserted((ROOT / "docs/arguments.md").read_text(encoding="utf-8"))
    for name, default in (
        ("clip", "required"),
        ("multi", "`2`"),
        ("scene_threshold", "`None`"),
        ("runtime", "`'auto'`"),
    ):
        assert f"| `{name}` | {default} | " in text
    assert "scene: 'auto' | 'props' | 'off' = 'auto'," in text, "types are spelt out"
    for family in registry.families():
        assert f"### {family.name}\n" in text
        for option in family.options:
            assert f"| `{option}` | " in text
    assert "<!--" not in text


def test_the_api_page_has_every_public_name() -> None:
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for name in set(vsvfi.__all__) - {"__version__", "errors"}:
        assert f"::: {vsvfi._HOME[name]}.{name}\n" in text
    assert "`vsvfi.errors`" in text


def test_every_command_is_listed() -> None:
    text = commands.inserted((ROOT / "docs/commands.md").read_text(encoding="utf-8"))
    for command in ("render", "join", "models fetch", "doctor"):
        assert f"# vsvfi {command}\n\n```text\nusage: vsvfi {command} " in text


def test_the_man_page_is_that_of_the_command() -> None:
    assert manpage.PAGE.read_text(encoding="utf-8") == manpage.page(), "run python -m scripts.site.manpage"


def test_every_example_is_shown() -> None:
    text = examples.inserted((ROOT / "examples/README.md").read_text(encoding="utf-8"))
    for path in (ROOT / "examples").glob("*.vpy"):
        assert f"## {path.name}\n\n```python\n{path.read_text(encoding='utf-8').rstrip()}\n```\n" in text


def test_every_error_is_explained_by_its_topic() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    for name in messages.classes():
        assert f"\n| `{name}` | " in page
    found = messages.by_topic()
    assert sum(map(len, found.values())) > 250
    assert set(found) == {*topics.BY_CLASS.values(), *topics.BY_MODULE.values(), topics.OTHER}
    assert found[topics.OTHER] == [], "a message without a topic: name its module in vsvfi/topics.py"
    for name, (title, text) in topics.topics().items():
        assert re.fullmatch("[a-z]+", name)
        assert title
        assert len(text) > 100, f"{name} has no remedy"
        assert found[name] or name == topics.OTHER, f"nothing refers to {name}"
    for topic, message in (
        ("installation", "no source filter is installed; pip install vapoursynth-lsmas vapoursynth-bestsource"),
        ("output", "no space is left in …; free some, or choose another folder"),
        ("weights", "the server sent a web page instead of the file"),
        ("arguments", "… is not a whole number from 0 on"),
    ):
        assert message in {text for _, text in found[topic]}
    text = messages.inserted(page)
    assert "- `form=…, is not a form of PSNR; use one of …` (ArgumentError)" in text
    assert "### Weights are missing, damaged, or of another model {#weights}\n" in text
    assert "<!--" not in text


def test_links_follow_files_to_their_pages() -> None:
    addresses = {"vsvfi/models/ifrnet/README.md": "models/ifrnet.md", "README.md": "index.md"}
    source = PurePosixPath("vsvfi/models/ifrnet/README.md")
    given = "[a](../../../docs/render.md#x) [b](../../../README.md) [c](spec.py) [d](#e)\n```\n[f](nowhere)\n```"
    found = links.rewritten(given, source, "models/ifrnet.md", addresses, None)
    assert found == "[a](../render.md#x) [b](../index.md) c [d](#e)\n```\n[f](nowhere)\n```"
    hosted = links.rewritten("[c](spec.py)", source, "models/ifrnet.md", addresses, "https://example.org/vsvfi")
    assert hosted == "[c](https://example.org/vsvfi/blob/main/vsvfi/models/ifrnet/spec.py)"
    with pytest.raises(ValueError, match="link to nowhere, which does not exist"):
        links.rewritten("[f](nowhere)", source, "models/ifrnet.md", addresses, None)


def test_the_citation_names_this_version_and_the_changelog_has_it() -> None:
    assert f"version: {vsvfi.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[(?:Unreleased|{re.escape(vsvfi.__version__)})\]", changes, re.MULTILINE)


def test_pages_fit_a_phone_and_load_nothing_from_elsewhere(site: Path) -> None:
    names = ["index", "models", "troubleshooting", "arguments", "benchmarks", "models/rife", "recipes"]
    with chromium() as browser:
        for index, name in enumerate(names):
            page = site / f"{name}.html"
            browser.open(page, width=390 if index % 2 else 1280, dark=index in (1, 2))
            assert all(url.startswith("file:") for url in browser.requests()), name
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
            assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), name
            scheme = browser.evaluate("document.body.getAttribute('data-md-color-scheme')")
            assert scheme == ("slate" if index in (1, 2) else "default"), name
