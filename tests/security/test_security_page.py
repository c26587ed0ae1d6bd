"""``docs/security.md`` names a test for each promise: they exist, and each promise has one."""

from __future__ import annotations

import ast
import re

from places import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions(path: str) -> set[str]:
    """Names of a module's test functions, without importing it."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 30
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []
    assert len(PAGE.split("`tests/")) - 1 == len(named)  # each is named in full


def test_every_promise_names_its_test() -> None:
    promised = PAGE.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| threat")]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row.split(" | ")[-1])] == []
