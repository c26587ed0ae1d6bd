"""Build the container image that jobs run in.

The packages are resolved here, by the pip of the service's own Python and with this machine's pip
settings; the image installs exactly those wheels and needs no package index. Debian comes from the
mirror that this machine uses itself.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from json import loads
from pathlib import Path

from pywps_hpc import __version__, package_data
from pywps_hpc.images.commands import ImageError, root_lacks_capabilities, run
from pywps_hpc.images.debian import machine_mirror, machine_suite

__all__ = ["ImageError", "build", "build_command", "own_requirement", "wheel_command"]

#: Each job reads interpreter and modules anew, on most hosts through a process in user space:
#: with lz4, a job that does nothing took 15 % less processor time than with zstd, and the image a
#: third more room. All is root's: Apptainer cannot unpack other owners when such an image is the
#: base of another.
SQUASHFS = "-comp lz4 -all-root"


def build(
    output: Path,
    *,
    requirements: Sequence[str],
    no_deps: Sequence[str] = (),
    constraints: Path | None = None,
    recipe: Path | None = None,
    base: Path | None = None,
    mirror: str | None = None,
    suite: str | None = None,
    sandbox: bool = False,
    warm: Sequence[str] = (),
) -> Path:
    """Build an image and put it in place in one step, so that running jobs keep the old one.

    Works for root and for a plain user with subordinate ids (subuid(5)).

    Args:
        output: the SIF file to write, or replace.
        requirements: what the image shall have, as pip takes it; the name of a ``.txt`` file stands
            for the list in it. Include :func:`own_requirement`.
        no_deps: the same, without what these depend on themselves.
        constraints: pip's constraints file, to agree in versions with another environment.
        recipe: the definition file; default: the one that comes with pywps-hpc.
        base: an image or sandbox to lay the packages over, instead of a new Debian.
        mirror: Debian mirror; default: this machine's own.
        suite: Debian suite; default: this machine's own, whose Python the service has.
        sandbox: make a folder instead of a file: the quickest base for further images. It must not
            exist yet, and the recipe's ``%test`` is left to the images that are made of it.
        warm: modules to import once while the image is built: what libraries compile for them
            (numba), each job reads from the image.

    Returns:
        ``output``.

    Raises:
        ImageError: with the command that failed and the end of its output.
    """
    for module in warm:
        if not all(part.isidentifier() for part in module.split(".")):
            raise ImageError(f"{module!r} is not the name of a module")
    recipe = recipe or package_data.recipes_folder() / "pywps-hpc.def"
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pywps-hpc-image-") as scratch:
        wheels = Path(scratch, "wheels")
        # Before anything slow, so that a wrong requirement is known at once.
        for names, deps in ((requirements, True), (no_deps, False)):
            if names:
                run(wheel_command(wheels, names, constraints=constraints, deps=deps))
        arguments = {"WHEELS": str(wheels), "PYTHON": "{}.{}".format(*sys.version_info)}
        if warm:
            arguments["WARM"] = " ".join(warm)
        if base is not None:
            arguments |= {"BOOTSTRAP": "localimage", "FROM": str(base.absolute())}
        else:
            suite = suite or machine_suite()
            arguments |= {"SUITE": suite, "MIRROR": mirror or machine_mirror(suite)}
        # Beside the target, since only a rename within one file system is a single step.
        fresh = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            run(
                build_command(fresh, recipe, arguments, sandbox=sandbox),
                own_namespace=root_lacks_capabilities(),
            )
            fresh.replace(output)
        finally:
            if fresh.is_dir():
                shutil.rmtree(fresh, ignore_errors=True)
            fresh.unlink(missing_ok=True)
    return output


def wheel_command(
    wheels: Path,
    requirements: Sequence[str],
    *,
    constraints: Path | None = None,
    deps: bool = True,
) -> list[str]:
    """The pip command that collects requirements as wheels (pip-wheel(1))."""
    command = [sys.executable, "-m", "pip", "wheel", "--progress-bar=off"]
    # Not --quiet: pip tells what a conflict is caused by among its ordinary lines.
    command += ["--disable-pip-version-check", "--wheel-dir", str(wheels)]
    if constraints is not None:
        command += ["--constraint", str(constraints)]
    if not deps:
        command.append("--no-deps")
    for requirement in requirements:
        command += ["--requirement", requirement] if requirement.endswith(".txt") else [requirement]
    return command


def build_command(
    output: Path,
    recipe: Path,
    arguments: Mapping[str, str],
    *,
    sandbox: bool = False,
) -> list[str]:
    """The command that builds a recipe (``apptainer help build``; build arguments since 1.2)."""
    command = ["apptainer", "build", "--force", "--mksquashfs-args", SQUASHFS]
    if sandbox:
        command += ["--sandbox", "--notest"]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    return [*command, str(output), str(recipe)]


def own_requirement() -> str:
    """This pywps-hpc as pip takes it: where it was installed from, or its version in the index."""
    try:
        origin = distribution("pywps-hpc").read_text("direct_url.json")  # PEP 610
    except PackageNotFoundError:
        origin = None
    if origin is not None:
        url = str(loads(origin)["url"])
        return url.removeprefix("file://")
    checkout = Path(__file__).resolve().parent.parent.parent
    if (checkout / "pyproject.toml").exists():
        return str(checkout)
    return f"pywps-hpc=={__version__}"
