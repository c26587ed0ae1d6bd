"""``[hpc.owner.NAME]``: whose jobs are charged to which account, and within which limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pywps_hpc.settings import ini, paths, readers, synonyms
from pywps_hpc.settings.keys import keys_of, setting

#: Of the sections of owners in the configuration.
OWNER_PREFIX = "hpc.owner."


@dataclass(frozen=True)
class Owner:
    """``[hpc.owner.<name>]``: where the jobs of one owner go, and who pays for them. The name is
    what the login gives."""

    account: str = setting(
        readers.word, None, "Account or project to charge; unset: that of the resources.", unset=""
    )
    qos: str = setting(readers.word, None, "Quality of service of these jobs.", unset="")
    queue: str = setting(
        readers.word, None, "Their queue or partition; clients cannot choose another.", unset=""
    )
    max_active: int = setting(
        readers.integer(0), "0", "Jobs that may be active at once; 0: no limit of its own."
    )
    max_cpus: int = setting(readers.integer(0), "0", "Processor cores of one job; 0: no limit.")
    max_memory: int = setting(readers.memory, None, "Memory of one job.", unset=0)
    max_walltime: int = setting(readers.walltime, None, "Time of one job.", unset=0)


def of_pairs(pairs: Mapping[str, str]) -> Owner:
    """An owner from keys and their text.

    Raises:
        ValueError: a key is not known, or its value is not of its form.
    """
    known, found = keys_of(Owner), dict[str, Any]()
    for name, text in pairs.items():
        if name not in known:
            near = synonyms.key_meant(name, known)
            told = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{name}: unknown key; {told}")
        try:
            found[name] = known[name].read(text.strip())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Owner(**found)


def of_file(path: Path) -> dict[str, Owner]:
    """The owners in a file: a section for each, named as the owner is.

    Raises:
        ValueError: it cannot be read or is not understood.
    """
    try:
        parser = ini.parsed(path, delimiters=("=",))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    found = {}
    for name in parser.sections():
        if name.startswith(OWNER_PREFIX):
            raise ValueError(
                f"{path}: [{name}]: sections have the owners' own names here; write "
                f"[{name.removeprefix(OWNER_PREFIX)}]"
            )
        try:
            found[name] = of_pairs(dict(parser.items(name)))
        except ValueError as error:
            raise ValueError(f"{path}: [{name}] {error}") from None
    return found


@readers.reads("absolute path of a file with a section `[NAME]` for each owner, with these keys")
def owners_file(value: str) -> Path:
    """A file of owners that can be read now."""
    path = paths.absolute_path(value)
    of_file(path)
    return path


@readers.reads("absolute path of a program")
def owner_command(value: str) -> Path:
    """A program that can be run here."""
    path = paths.absolute_path(value)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(f"{path} is not a program that can be run here")
    return path
