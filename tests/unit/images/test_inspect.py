"""What an image says of itself, read through spython."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pywps_hpc import cli
from pywps_hpc.images.commands import ImageError
from pywps_hpc.images.inspect import labels

# As Apptainer 1.4 answers "inspect --json".
ANSWER = """\
{"data": {"attributes": {"labels": {
  "org.opencontainers.image.title": "pywps-hpc",
  "org.label-schema.build-date": "Saturday_28_November_2026_18:14:52_UTC"
}}}, "type": "container"}"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = tmp_path / "service.sif"
    image.touch()
    return image


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A stand-in for the runtime, and no other one."""
    command = folder / "bin" / "singularity"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_the_labels_of_an_image_are_shown_one_a_line(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, f"cat <<'END'\n{ANSWER}\nEND")
    assert labels(image)["org.opencontainers.image.title"] == "pywps-hpc"
    done = CliRunner().invoke(cli.commands, ["image", "inspect", str(image)])
    assert done.exit_code == 0, done.output
    assert done.output == (
        "org.label-schema.build-date: Saturday_28_November_2026_18:14:52_UTC\n"
        "org.opencontainers.image.title: pywps-hpc\n"
    )


def test_an_image_without_labels_has_none(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, """echo '{"data": {"attributes": {}}}'""")
    assert labels(image) == {}


def test_a_file_that_is_no_image_is_refused_with_the_runtimes_own_message(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "echo 'FATAL: image format not recognized' >&2; exit 255")
    done = CliRunner().invoke(cli.commands, ["image", "inspect", str(image)])
    assert done.exit_code == 1
    assert f"{image} cannot be read\nFATAL: image format not recognized" in done.output


def test_a_host_without_spython_is_told_the_extra(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spython.main", None)
    with pytest.raises(ImageError, match=r"pip install 'pywps-hpc\[image\]'"):
        labels(image)


def test_a_host_without_a_runtime_is_told_what_to_install(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="install Apptainer"):
        labels(image)
