"""The documentation site in a real browser: it asks no other host, its console is silent, and its
own search leads to the answers."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from browser import Browser, browser
from places import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]  # which brings the browser
RESULT = ".md-search-result__item"
#: What a reader types -> a heading among the first results: the twenty questions of
#: administrators, and sentences that clients are told.
QUESTIONS = {
    "who builds the image": "Who builds the image",
    "build image on Rocky Linux": "RHEL, Rocky or SLES",
    "image service same versions": "The same versions in service and image",
    "pip conflicting versions": "Conflicting versions",
    "which pywps keys must be set": "Which PyWPS keys must be set",
    "service pins older pywps": "pins an older PyWPS",
    "http inputs": "Inputs over HTTP",
    "SLURM_CONF": "where do PATH and SLURM_CONF go",
    "why does my job wait": "Why does a job wait",
    "which account pays": "Which account pays",
    "cancel all jobs of a user": "stop all jobs of one user",
    "announce a maintenance": "announce a maintenance",
    "backup restore": "Backup and restore",
    "move the spool": "Move the spool",
    "two services on one cluster": "Two services on one cluster",
    "put it behind nginx": "behind nginx or Apache",
    "systemd reload logs": "Under systemd, how do I reload",
    "upgrade with jobs in the queue": "Upgrade with jobs in the queue",
    "what to monitor": "What should I monitor",
    "meaning of a sentence in a status document": "A user shows me a sentence",
    "killed: used more than": "killed: used more than the 2 GB asked for",
    "dispatcher is not running": "Jobs cannot be run now: the dispatcher is not running",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built site."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    subprocess.run(line, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.screen(1280)
        yield opened


def found(tab: Browser, site: str, words: str) -> str:
    """What the search shows first."""
    tab.open(f"{site}/index.html?q={quote(words)}")
    tab.until(lambda: tab.count(RESULT), f"the search finds {words}")
    return str(
        tab.run(
            f"[...document.querySelectorAll('{RESULT}')].slice(0, 3)"
            ".map(one => one.textContent).join(' ')"
        )
    )


@pytest.mark.parametrize("words", QUESTIONS)
def test_the_search_leads_to_the_answer(tab: Browser, site: str, words: str) -> None:
    assert QUESTIONS[words] in " ".join(found(tab, site, words).split())


@pytest.mark.parametrize("page", ["concepts", "messages"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_whole_on_a_screen_and_asks_no_other_host(
    tab: Browser, site: str, page: str, width: int
) -> None:
    tab.asked.clear()
    tab.screen(width)
    tab.open(f"{site}/{page}.html")
    tab.until(lambda: tab.count("article h1"), "the page is there")
    assert int(tab.run("document.documentElement.scrollWidth")) <= width
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert tab.run(broken) == []
    asked = [url for url in tab.asked if not url.startswith((site, "data:"))]
    assert (asked, tab.problems) == ([], [])
