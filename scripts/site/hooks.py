"""Hooks of mkdocs: pages from READMEs and from code, links, lists of messages. See `mkdocs.yml`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:  # mkdocs loads this file by its path
    sys.path.insert(0, str(_ROOT))

from scripts.site import arguments, commands, examples, links, messages  # noqa: E402
from scripts.site.pages import pages, source_of  # noqa: E402


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not lie in docs/, and their images."""
    from mkdocs.structure.files import File

    for source, address in pages().items():
        markdown = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, address, content=markdown))
        for image in links.images(markdown, source_of(address)):
            files.append(File.generated(config, image, abs_src_path=str(_ROOT / image)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what is written from code, and rewrite links."""
    address = page.file.src_uri
    for part in (arguments, commands, examples, messages):
        markdown = part.inserted(markdown)
    return links.rewritten(markdown, source_of(address), address, pages(), config.repo_url or None)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Mark short pieces of code in sentences, such as `--fps`, which a browser would break at their hyphens."""
    return re.sub(r"(?<!<pre>)<code>(?=[^<]{1,20}</code>)", '<code class="short">', html)
