"""The image builder's commands, and the command line in front of it."""

from __future__ import annotations

import inspect
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pywps_hpc import cli, package_data
from pywps_hpc.images import build as images
from pywps_hpc.images import debian

# As apt-get indextargets prints it for a machine with a security archive and backports.
LISTING = """\
Debian-Security\tbookworm-security\tbookworm-security\thttp://mirror.example/debian-security/
Debian Backports\tbookworm-backports\tbookworm-backports\thttp://mirror.example/backports/
Debian\tstable\tbookworm\thttp://mirror.example/debian/
"""


def test_the_mirror_is_the_one_that_this_machine_uses_for_the_suite() -> None:
    assert debian.mirror_in(LISTING, "bookworm") == "http://mirror.example/debian"


def test_the_mirror_of_another_suite_is_a_whole_one_not_security_or_backports() -> None:
    assert debian.mirror_in(LISTING, "trixie") == "http://mirror.example/debian"


def test_no_mirror_is_found_where_apt_names_none() -> None:
    assert debian.mirror_in("", "bookworm") is None


def test_wheels_are_made_by_the_service_s_own_python_within_its_versions() -> None:
    command = images.wheel_command(
        Path("/tmp/wheels"),
        ["xarray", "more.txt"],
        constraints=Path("/srv/constraints.txt"),
        deps=False,
    )
    assert command[:4] == [sys.executable, "-m", "pip", "wheel"]
    assert command[-6:] == [
        "--constraint",
        "/srv/constraints.txt",
        "--no-deps",
        "xarray",
        "--requirement",
        "more.txt",
    ]


def test_the_build_command_names_every_argument_of_the_recipe() -> None:
    command = images.build_command(
        Path("/x/y.sif"), Path("r.def"), {"MIRROR": "http://m", "SUITE": "trixie"}
    )
    assert command[:2] == ["apptainer", "build"]
    assert command[-6:-2] == ["--build-arg", "MIRROR=http://m", "--build-arg", "SUITE=trixie"]
    assert command[-2:] == ["/x/y.sif", "r.def"]


def test_the_recipe_comes_with_the_package_and_names_no_mirror_of_its_own() -> None:
    recipe = (package_data.recipes_folder() / "pywps-hpc.def").read_text()
    assert "MirrorURL: {{ MIRROR }}" in recipe
    assert "http" not in recipe


def test_the_command_line_builds_with_this_pywps_hpc_and_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(images, "build", lambda output, **rest: asked.update(output=output, **rest))
    target = tmp_path / "service.sif"
    line = [
        "image",
        "build",
        str(target),
        "-r",
        "finch",
        "--no-deps",
        "emu",
        "--mirror",
        "http://m",
    ]
    done = CliRunner().invoke(cli.commands, line)
    assert done.exit_code == 0, done.output
    assert done.output == f"built {target}\n"
    assert asked["output"] == target
    assert asked["requirements"] == [images.own_requirement(), "finch"]
    assert (list(asked["no_deps"]), asked["mirror"]) == (["emu"], "http://m")


def test_the_command_line_reaches_whatever_the_builder_can_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    can = set(inspect.signature(images.build).parameters)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(images, "build", lambda output, **rest: asked.update(output=output, **rest))
    base, pins = tmp_path / "base", tmp_path / "constraints.txt"
    base.mkdir()
    pins.touch()
    line = ["image", "build", str(tmp_path / "x"), "--base", str(base), "-c", str(pins)]
    done = CliRunner().invoke(cli.commands, [*line, "--sandbox"])
    assert done.exit_code == 0, done.output
    assert set(asked) == can
    assert (asked["base"], asked["constraints"], asked["sandbox"]) == (base, pins, True)


def test_a_mirror_for_an_image_that_is_laid_over_another_is_refused(tmp_path: Path) -> None:
    line = ["image", "build", str(tmp_path / "x"), "--base", str(tmp_path), "--suite", "trixie"]
    done = CliRunner().invoke(cli.commands, line)
    assert done.exit_code == 2
    assert "cannot be used with --base" in done.output


def test_an_image_that_cannot_be_built_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise images.ImageError("pip failed with exit status 1", ["pip"], 1, "no such package")

    monkeypatch.setattr(images, "build", fail)
    done = CliRunner().invoke(cli.commands, ["image", "build", "/nowhere/x.sif"])
    assert done.exit_code == 1
    assert done.output == "Error: pip failed with exit status 1\nno such package\n"


def test_modules_to_warm_up_are_imported_while_the_image_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_how: Any) -> str:
        commands.append(command)
        (tmp_path / f".x.sif.{os.getpid()}").touch()
        return ""

    monkeypatch.setattr(images, "run", run)
    images.build(tmp_path / "x.sif", requirements=["a"], base=tmp_path, warm=["finch", "a.b"])
    assert "WARM=finch a.b" in commands[-1]
    with pytest.raises(images.ImageError, match="not the name of a module"):
        images.build(tmp_path / "x.sif", requirements=["a"], base=tmp_path, warm=["a; reboot"])


def test_packages_that_conflict_are_named_with_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {"alpha-1.0": "gamma>=2", "beta-1.0": "gamma<2", "gamma-1.0": "", "gamma-2.0": ""}
    for known, need in needs.items():
        name, _, version = known.partition("-")
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        told += f"Requires-Dist: {need}\n" if need else ""
        with zipfile.ZipFile(tmp_path / f"{known}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{known}.dist-info/METADATA", told)
            tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{known}.dist-info/WHEEL", tag)
            wheel.writestr(f"{known}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(images.ImageError) as failed:
        images.build(tmp_path / "x.sif", requirements=["alpha", "beta"])
    said = str(failed.value)
    assert "alpha 1.0 depends on gamma>=2" in said
    assert "beta 1.0 depends on gamma<2" in said
