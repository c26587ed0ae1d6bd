"""Build the container image that jobs run in.

The packages are resolved here, by the pip of the service's own Python and with this machine's pip
settings; the image installs exactly those wheels and needs no package index. Debian comes from the
mirror that this machine uses itself.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from json import loads
from pathlib import Path

from pywps_hpc import __version__, package_data

LOGGER = logging.getLogger(__name__)

#: Packs several times faster than mksquashfs's default, for a few percent in size. All is root's:
#: Apptainer cannot unpack other owners when such an image is the base of another.
SQUASHFS = "-comp zstd -Xcompression-level 3 -all-root"
#: Lines of a failed command's output that an error shows.
TAIL = 30


class ImageError(Exception):
    """An image could not be built.

    Attributes:
        command: what was run, or an empty list where nothing could be.
        returncode: its exit status; None if it was not started.
        output: the end of what it printed, both streams.
    """

    def __init__(
        self,
        message: str,
        command: Sequence[str] = (),
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(f"{message}\n{output}".rstrip())
        self.command = list(command)
        self.returncode = returncode
        self.output = output


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
    python: str = sys.executable,
    apptainer: str = "apptainer",
    sandbox: bool = False,
    test: bool = True,
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
        python: the service's interpreter, whose pip and version are used.
        apptainer: the command.
        sandbox: make a folder instead of a file: the quickest base for further images. It must not
            exist yet.
        test: run the recipe's ``%test``.

    Returns:
        ``output``.

    Raises:
        ImageError: with the command that failed and the end of its output.
    """
    recipe = recipe or package_data.recipes_folder() / "pywps-hpc.def"
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pywps-hpc-image-") as scratch:
        wheels = Path(scratch, "wheels")
        # Before anything slow, so that a wrong requirement is known at once.
        for names, deps in ((requirements, True), (no_deps, False)):
            if names:
                _run(wheel_command(python, wheels, names, constraints=constraints, deps=deps))
        arguments = {"WHEELS": str(wheels), "PYTHON": _version_of(python)}
        if base is not None:
            arguments |= {"BOOTSTRAP": "localimage", "FROM": str(base.absolute())}
        else:
            suite = suite or machine_suite()
            arguments |= {"SUITE": suite, "MIRROR": mirror or machine_mirror(suite)}
        # Beside the target, since only a rename within one file system is a single step.
        fresh = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            _run(
                build_command(apptainer, fresh, recipe, arguments, sandbox=sandbox, test=test),
                own_namespace=_root_lacks_capabilities(),
            )
            fresh.replace(output)
        finally:
            if fresh.is_dir():
                shutil.rmtree(fresh, ignore_errors=True)
            fresh.unlink(missing_ok=True)
    return output


def wheel_command(
    python: str,
    wheels: Path,
    requirements: Sequence[str],
    *,
    constraints: Path | None = None,
    deps: bool = True,
) -> list[str]:
    """The pip command that collects requirements as wheels (pip-wheel(1))."""
    command = [python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(wheels)]
    if constraints is not None:
        command += ["--constraint", str(constraints)]
    if not deps:
        command.append("--no-deps")
    for requirement in requirements:
        command += ["--requirement", requirement] if requirement.endswith(".txt") else [requirement]
    return command


def build_command(
    apptainer: str,
    output: Path,
    recipe: Path,
    arguments: Mapping[str, str],
    *,
    sandbox: bool = False,
    test: bool = True,
) -> list[str]:
    """The command that builds a recipe (``apptainer help build``; build arguments since 1.2)."""
    command = [apptainer, "build", "--force", "--mksquashfs-args", SQUASHFS]
    if sandbox:
        command.append("--sandbox")
    if not test:
        command.append("--notest")
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


def machine_suite() -> str:
    """This machine's Debian suite (os-release(5)).

    Raises:
        ImageError: not a Debian.
    """
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise ImageError("this machine is no Debian: name the suite and the mirror of the image")
    return release["VERSION_CODENAME"]


def machine_mirror(suite: str) -> str:
    """The Debian mirror that this machine uses itself.

    Raises:
        ImageError: there is no apt, or it names none.
    """
    # apt reads both formats of its sources (sources.list(5)) and all their options; a parser of
    # our own would not.
    filters = ["Created-By: Packages", "Component: main"]
    found = mirror_in(_run(["apt-get", "indextargets", "--format", APT_FORMAT, *filters]), suite)
    if found is None:
        raise ImageError("apt on this machine names no Debian mirror: name one")
    return found


#: What to ask of ``apt-get indextargets``: one source a line.
APT_FORMAT = "$(LABEL)\t$(RELEASE)\t$(CODENAME)\t$(REPO_URI)"


def mirror_in(listing: str, suite: str) -> str | None:
    """The mirror in a list of sources, one a line in :data:`APT_FORMAT`.

    A source of that suite is taken first. Else any, since a mirror carries all suites, but not one
    that holds security updates or backports alone. Label and codename are empty before the first
    update.
    """
    sources = [line.split("\t") for line in listing.splitlines() if line.count("\t") == 3]
    exact = [uri for _, release, codename, uri in sources if suite in (release, codename)]
    whole = [
        uri for label, release, _, uri in sources if label in ("Debian", "") and "-" not in release
    ]
    return next((uri.rstrip("/") for uri in exact + whole), None)


def _version_of(python: str) -> str:
    return _run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()


def _root_lacks_capabilities() -> bool:
    """Whether this is a root without all capabilities, as in a container (capabilities(7)).

    Apptainer gives root's ``%post`` every capability that the kernel knows, and fails where root
    itself lacks one.
    """
    if os.geteuid() != 0:
        return False
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    status = Path("/proc/self/status").read_text()
    permitted = next(line for line in status.splitlines() if line.startswith("CapPrm:"))
    return int(permitted.split()[1], 16) != (1 << (last + 1)) - 1


#: Waits in its new user namespace until the parent has mapped the ids.
_WAIT_FOR_MAP = 'echo; read -r _ && exec "$@" </dev/null'


def _run(command: Sequence[str], *, own_namespace: bool = False) -> str:
    """Run a command and return what it printed.

    Args:
        command: the argument list.
        own_namespace: as root of a user namespace in which every id maps to itself and root has all
            capabilities (user_namespaces(7)). unshare(1) alone maps one id, or subordinate ones.
    """
    LOGGER.info("running %s", " ".join(command))
    argv = list(command)
    if own_namespace:
        argv = ["unshare", "--user", "--mount", "sh", "-c", _WAIT_FOR_MAP, "sh", *argv]
    tail: deque[str] = deque(maxlen=TAIL)
    printed = []
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if own_namespace else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ImageError(f"cannot run {argv[0]}: {error.strerror}", command) from error
    with process:
        assert process.stdout is not None
        if process.stdin is not None and process.stdout.readline() == "\n":
            for ids in ("gid_map", "uid_map"):
                Path(f"/proc/{process.pid}/{ids}").write_text("0 0 65536\n")
            process.stdin.write("\n")
            process.stdin.flush()
        for line in process.stdout:
            LOGGER.debug("%s", line.rstrip())
            printed.append(line)
            tail.append(line)
    if process.returncode != 0:
        raise ImageError(
            f"{command[0]} failed with exit status {process.returncode}",
            command,
            process.returncode,
            "".join(tail),
        )
    return "".join(printed)
