"""Hooks of the documentation site: links to files of the repository lead to copies in the site,
a page that the navigation does not name has a place in it all the same, and the search prefers
pages for readers to pages for developers.

On a code host a page's ``[the sample](../pywps.cfg)`` leads to the file. A site has no such file,
so each one that a page links to is put into it, as text, and the link is changed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

#: The target of a link that leads upwards.
_UP = re.compile(r"(?<=\]\()(\.\./[^)#\s]*)")

#: How much a page counts in the search (1 without an entry): pages for developers have the words of
#: all others.
WEIGHTS = {
    "messages.md": 2,
    "scientists.md": 3,
    "questions.md": 2,
    "architecture.md": 0.2,
    "contributing.md": 0.2,
    "reliability.md": 0.5,
    "schedulers.md": 0.5,
}


def _outside(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Links of a page that leave ``docs``: as written, and from the repository's root."""
    for link in _UP.findall(text):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
        if path.split("/")[0] != "docs":
            yield link, path


def _copy(path: str) -> str:
    """Where the copy of a file is in the site."""
    return f"files/{path}.txt"


def _named(nav: Any) -> Iterator[str]:
    """The pages in a navigation (mkdocs.yml, nav)."""
    for entry in nav.values() if isinstance(nav, dict) else nav:
        if isinstance(entry, str):
            yield entry
        else:
            yield from _named(entry)


def on_config(config: Any) -> Any:
    """Put pages that the navigation does not name at the end of the administrators' ones."""
    known, folder = set(_named(config.nav)), Path(config.docs_dir)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
    (section,) = (part for part in config.nav if "Administrators" in part)
    section["Administrators"] += [page for page in found if page not in known]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the files that pages link to."""
    root = Path(config.config_file_path).parent
    for page in files.documentation_pages():
        for _, path in _outside(page.src_uri, page.content_string):
            if (root / path).is_file() and _copy(path) not in files.src_uris:
                files.append(
                    File.generated(config, _copy(path), content=(root / path).read_text("utf-8"))
                )
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to the copies, and weigh the page for the search."""
    source = page.file.src_uri
    if source in WEIGHTS:
        page.meta["search"] = {"boost": WEIGHTS[source]}
    for link, path in set(_outside(source, markdown)):
        here = posixpath.relpath(_copy(path), posixpath.dirname(source) or ".")
        markdown = markdown.replace(f"]({link})", f"]({here})")
    return markdown
