"""The Debian that a new image is made of: this machine's own suite, from its own mirror."""

from __future__ import annotations

import platform

from pywps_hpc.images.commands import ImageError, run


def machine_suite() -> str:
    """This machine's Debian suite (os-release(5)).

    Raises:
        ImageError: not a Debian.
    """
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise ImageError(
            "this machine does not run Debian: give --suite and --mirror for the image"
        )
    return release["VERSION_CODENAME"]


def machine_mirror(suite: str) -> str:
    """The Debian mirror that this machine uses itself.

    Raises:
        ImageError: there is no apt, or it names none.
    """
    # apt reads both formats of its sources (sources.list(5)) and all their options; a parser of
    # our own would not.
    filters = ["Created-By: Packages", "Component: main"]
    found = mirror_in(run(["apt-get", "indextargets", "--format", APT_FORMAT, *filters]), suite)
    if found is None:
        raise ImageError("apt on this machine has no Debian mirror: give one with --mirror")
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
