"""The documentation: it builds without a warning, each link leads somewhere, and what an
administrator looks for is found by its search."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from places import ROOT

#: Attributes by which a page makes a browser ask for something by itself.
LOADS = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("link", "href"),
    ("object", "data"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    ended = subprocess.run(
        line,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout + ended.stderr == ""
    return folder


class Page(HTMLParser):
    """What a page has: anchors, links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.anchors.update(filter(None, (known.get("id"), known.get("name"))))
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        for name, value in known.items():
            if (tag, name) in LOADS and known.get("rel") not in ("canonical", "next", "prev"):
                self.loads.append(value)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}


def test_every_link_within_the_site_leads_somewhere(pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links are absolute: it is shown at any address
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchors = pages[target].anchors if target in pages else set()
            is_there = target.is_file() and (not parts.fragment or parts.fragment in anchors)
            if not is_there and parts.fragment != "__skip":
                dead.append((path.name, link))
    assert len(pages) > 30
    assert dead == []


def test_no_page_asks_another_host_for_anything(site: Path, pages: dict[Path, Page]) -> None:
    loads = {load for page in pages.values() for load in page.loads}
    assert loads
    assert [load for load in loads if urlsplit(load).netloc] == []
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", styles) == []


def test_no_page_of_the_repository_is_left_out(pages: dict[Path, Page]) -> None:
    start = next(page for path, page in pages.items() if path.name == "commands.html")
    linked = {link.removesuffix(".html") for link in start.links}
    sources = (ROOT / "docs").rglob("*.md")
    there = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in sources}
    assert there - linked - {"commands"} == set()


def test_every_link_from_outside_to_a_page_leads_there() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / name).read_text("utf-8")):
            assert (ROOT / link).exists(), (name, link)


@dataclass(frozen=True)
class Found:
    """A section that the search finds."""

    location: str
    text: str


def search(site: Path, words: str) -> list[Found]:
    """Sections in which each of these words begins a word, those with most of them in the title
    first: as the site's own search does, but for its weights."""
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = []
    for entry in index["docs"]:
        text = re.sub(r"<[^>]+>", " ", f"{entry['title']} {entry['text']}").lower()
        if all(re.search(rf"\b{re.escape(word)}", text) for word in words.lower().split()):
            in_title = sum(word in entry["title"].lower() for word in words.lower().split())
            found.append((-in_title, len(text), Found(entry["location"], text)))
    return [one for *_, one in sorted(found, key=lambda row: row[:2])]


#: What an administrator types -> what the section that answers it has to say.
QUESTIONS = {
    "who builds the image": ("root", "subordinate"),
    "image rhel rocky sles": ("--suite", "--mirror"),
    "image service same versions": ("constraint",),
    "pip conflicting versions": ("--no-deps",),
    "pywps keys set": ("url", "outputurl", "allowedinputpaths", "file"),
    "older pywps": ("4.8", "--no-deps"),
    "jobs fetch http inputs": ("network = yes", "fetch = server"),
    "command_path slurm_conf": ("command_environment",),
    "job wait": ("pywps-hpc show",),
    "account pays": ("account",),
    "stop all jobs user": ("pywps-hpc cancel",),
    "announce maintenance": ("503",),
    "backup restore": ("job table", "spool"),
    "move spool": ("postgresql",),
    "two services cluster": ("job_prefix", "spool", "database"),
    "nginx apache tls prefix owners": ("user_header",),
    "systemd reload logs": ("journal",),
    "upgrade jobs queue": ("restart",),
    "monitor": ("pywps-hpc status", "--json"),
    "sentence status document mean": ("messages",),
}


@pytest.mark.parametrize("words", QUESTIONS)
def test_an_administrators_question_is_answered_where_the_search_leads(
    site: Path, words: str
) -> None:
    found = search(site, words)[:3]
    answers = [one for one in found if all(part in one.text for part in QUESTIONS[words])]
    assert answers, [one.location for one in found]
