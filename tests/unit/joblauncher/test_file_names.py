"""Names of the files that are made of inputs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblauncher.inputs.file_names import LONGEST, unused_name


def item(folder: Path) -> Any:
    return SimpleNamespace(workdir=str(folder), extension=".nc")


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("http://host/a/data.csv?x=y.txt#z", "data.csv"),
        ("http://host/data", "data.nc"),
        ("http://host/", "input.nc"),
        ("http://host/%20", "%20.nc"),
        ("http://[", "input.nc"),
        ("", "input.nc"),
        ("http://host/" + "x" * LONGEST + ".csv", "input.csv"),
        ("http://host/" + "\u00e9" * LONGEST, "input.nc"),
        ("http://host/x." + "y" * LONGEST, "input." + "y" * 19),
    ],
)
def test_a_file_is_named_after_its_url(tmp_path: Path, href: str, name: str) -> None:
    assert unused_name(item(tmp_path), href) == str(tmp_path / name)


def test_a_name_that_is_taken_gets_something_random(tmp_path: Path) -> None:
    """A link that leads nowhere has its name, too."""
    (tmp_path / "data.csv").symlink_to("nowhere")
    made = [Path(unused_name(item(tmp_path), "http://host/data.csv")) for _ in range(2)]
    assert len({*made, tmp_path / "data.csv"}) == 3
    for path in made:
        assert path.parent == tmp_path
        assert (path.name.startswith("data_"), path.suffix) == (True, ".csv")


@pytest.mark.parametrize("segment", ["..", ".", "...", "a/..", "%2e%2e"])
def test_no_url_leads_out_of_the_folder(tmp_path: Path, segment: str) -> None:
    for extension in (".nc", ""):
        given = SimpleNamespace(workdir=str(tmp_path), extension=extension)
        made = unused_name(given, f"http://host/{segment}")
        assert Path(made).resolve().parent == tmp_path.resolve()
