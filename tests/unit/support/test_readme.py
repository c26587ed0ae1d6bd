"""A newcomer finds each folder and marker of the tests explained, and each file that is named."""

from __future__ import annotations

import re

import pytest

from places import ROOT, TESTS

PAGE = (TESTS / "README.md").read_text(encoding="utf-8")
FOLDERS = sorted(
    folder.name
    for folder in TESTS.iterdir()
    if folder.is_dir() and not folder.name.startswith(("_", "."))
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_explained(folder: str) -> None:
    assert re.search(rf"^\| `{folder}/[`<]", PAGE, re.MULTILINE), f"{folder} is not in README.md"


def test_each_marker_is_explained() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [ours] = re.findall(r"^markers = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    names = set(re.findall(r'^    "(\w+)', ours, re.MULTILINE))
    assert names >= {"cluster", "batch_system", "sums_up"}
    explained = set(re.findall(r"^\| `(\w+)(?:\(\w+\))?` \|", PAGE, re.MULTILINE))
    assert explained == names | {"timeout"}


def test_each_file_that_is_named_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", PAGE)
    assert named
    for name in named:
        assert [*TESTS.rglob(name)], name
