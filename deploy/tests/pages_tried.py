"""Which tests try which page of ``docs/deploy/``, as its first page says, and how that went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import pytest

from places import ROOT

HEADING = "## How each page is tried"
#: What a test has measured, in a sentence (``record_property``).
MEASURED = "measured"
_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)#]+)\)[^|]*\|([^|]*)\|", re.MULTILINE)
_TEST = re.compile(r"`((?:deploy/)?tests/[\w/]+\.py)`")


def pages() -> Mapping[str, tuple[str, ...]]:
    """Page, as a path below ``docs/deploy/`` -> files of its tests."""
    text = (ROOT / "docs/deploy/index.md").read_text("utf-8").partition(HEADING)[2]
    return {page: tuple(_TEST.findall(tests)) for _, page, tests in _ROW.findall(text)}


def table(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each test file of each page, with how many tests ended how and in which time; then
    what was measured."""
    found: dict[str, list[pytest.TestReport]] = {}
    for report in reports:
        found.setdefault(report.nodeid.partition("::")[0], []).append(report)
    yield f"{'page':24} {'tests':44} {'passed':>6} {'failed':>6} {'seconds':>8}"
    for page, files in pages().items():
        for file in files:
            yield f"{page:24} {file:44} {_counts(found.get(file, []))}"
    for each in (report for some in found.values() for report in some):
        if each.when == "call":
            yield from (str(told) for name, told in each.user_properties if name == MEASURED)


def _counts(reports: list[pytest.TestReport]) -> str:
    if not reports:
        return "not run"
    passed = sum(each.when == "call" and each.passed for each in reports)
    failed = sum(each.failed for each in reports)
    return f"{passed:6} {failed:6} {sum(each.duration for each in reports):8.0f}"
