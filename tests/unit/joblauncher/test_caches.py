"""What libraries compile at import is read by jobs, and no job writes what another one reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from joblauncher import caches

INDEX = Path("numba/code_0123/f.nbi")
FONTS = Path("matplotlib/fontlist.json")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(caches.VARIABLE, "")  # what is set meanwhile goes with it
    monkeypatch.delenv(caches.VARIABLE)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache as a nursery, or the build of an image, leaves it."""
    made = tmp_path / "made"
    for name, text in ((INDEX, "compiled"), (FONTS, "fonts")):
        file = made / caches.CACHE / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    caches.keep(made, tmp_path / "kept")
    return tmp_path / "kept"


def own(tmp_path: Path, name: str) -> Path:
    home = tmp_path / name
    home.mkdir()
    return home


def test_a_job_finds_what_is_kept_where_libraries_look(tmp_path: Path, kept: Path) -> None:
    home = own(tmp_path, "job")
    caches.use(home, kept)
    assert Path(os.environ[caches.VARIABLE]) == home / caches.CACHE / "numba"
    assert (home / caches.CACHE / INDEX).read_text() == "compiled"
    assert (home / caches.CACHE / FONTS).read_text() == "fonts"


def test_what_a_job_writes_no_other_job_reads(tmp_path: Path, kept: Path) -> None:
    one, other = own(tmp_path, "one"), own(tmp_path, "other")
    caches.use(one, kept)
    # As numba saves, into a folder that it can write to; and as matplotlib does.
    fresh = one / caches.CACHE / INDEX.with_suffix(".tmp")
    fresh.write_text("forged")
    fresh.replace(one / caches.CACHE / INDEX)
    (one / caches.CACHE / FONTS).open("r+").write("forged")
    os.environ.pop(caches.VARIABLE)
    caches.use(other, kept)
    assert (other / caches.CACHE / INDEX).read_text() == "compiled"
    assert (other / caches.CACHE / FONTS).read_text() == "fonts"
    assert {file.stat().st_mode & 0o222 for file in kept.rglob("*") if file.is_file()} == {0}


def test_without_a_kept_cache_a_job_has_an_empty_one_of_its_own(tmp_path: Path) -> None:
    home = own(tmp_path, "job")
    caches.use(home, tmp_path / "none")
    assert Path(os.environ[caches.VARIABLE]).is_relative_to(home)
    assert list(home.iterdir()) == []


def test_a_cache_that_the_administrator_chose_is_used(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(caches.VARIABLE, "/elsewhere")
    home = own(tmp_path, "job")
    caches.use(home, kept)
    assert os.environ[caches.VARIABLE] == "/elsewhere"
    assert not (home / caches.CACHE / "numba").exists()


def test_links_to_a_kept_cache_are_not_kept_again(tmp_path: Path, kept: Path) -> None:
    home = own(tmp_path, "nursery")
    caches.use(home, kept)
    (home / caches.CACHE / INDEX.with_name("g.nbi")).write_text("more")
    caches.keep(home, tmp_path / "again")
    names = {file.name for file in (tmp_path / "again/numba").rglob("*") if file.is_file()}
    assert names == {"g.nbi"}
