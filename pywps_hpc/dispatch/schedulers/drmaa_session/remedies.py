"""What to do about a DRMAA library that does not open its session."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.base import Remedies
from pywps_hpc.dispatch.schedulers.dialect import Drmaa
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS

#: Whatever the batch system.
REMEDIES: Remedies = (
    ("no module named 'drmaa'", "install the Python binding: pip install 'pywps-hpc[drmaa]'"),
    # A site's own GLIBC_TUNABLES may have replaced ours.
    (
        "static tls block",
        "[hpc] command_environment: GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384",
    ),
    ("cannot open shared object", "[hpc] drmaa_library must name a libdrmaa.so of this host"),
    ("undefined symbol", "[hpc] drmaa_library must name a library of DRMAA version 1"),
    ("invalid elf header", "[hpc] drmaa_library must name a libdrmaa.so of this host"),
)
LIBRARIES: dict[str, Drmaa] = {
    system: dialect.drmaa for system, dialect in DIALECTS.items() if dialect.drmaa is not None
}


def with_remedy(problem: str, system: str = "") -> str:
    """A library's message, with what to do about it.

    Args:
        problem: the message.
        system: which batch system the library should be for, where that is known.
    """
    if "shared object" not in problem and (other := other_system(problem, system)):
        return mismatch(problem, other, system)
    libraries = [LIBRARIES[system]] if system in LIBRARIES else list(LIBRARIES.values())
    for remedies in (REMEDIES, *(library.remedies for library in libraries)):
        for sign, remedy in remedies:
            if sign in problem.lower():
                return f"{problem} — {remedy}"
    return problem


def other_system(text: str, system: str) -> str:
    """The batch system that a library's message is about, if it is not the one that was meant."""
    named = [
        name
        for name, library in LIBRARIES.items()
        if any(sign in text.lower() for sign in library.signs)
    ]
    return named[0] if system and named and system not in named else ""


def mismatch(message: str, other: str, system: str) -> str:
    """The message of another batch system's library, with the keys that contradict each other."""
    return (
        f"{message} — [hpc] drmaa_library seems to be {other}'s, but [hpc] system is {system}: "
        "one of them is wrong"
    )
