"""Accounts of owners, from each place that a service may take them from."""

from __future__ import annotations

from pathlib import Path

#: What the site is asked for everybody else (``[hpc] owner_command``); beside it is kept for whom.
_COMMAND = """#!/bin/sh
read -r name
echo "$name" >> {folder}/asked
case "$name" in
  carol) echo "account = glaciers" ;;
  slow) sleep 60 ;;
  loud) yes "account = x" ;;
  wrong) echo "acount = x" ;;
  broken) exit 3 ;;
esac
"""


def owner_sections(folder: Path) -> dict[str, dict[str, object]]:
    """Configuration of a service that starts no job without an account.

    ``alice`` has hers from a section, ``bob@site.org`` from a file, ``carol`` by a command; nobody
    else has one, and of ``slow``, ``loud``, ``wrong`` and ``broken`` the command does not tell.

    Args:
        folder: where file and command are written.
    """
    file, command = folder / "owners", folder / "project-of"
    file.write_text("[bob@site.org]\naccount = oceans\nqueue = short\n")
    command.write_text(_COMMAND.format(folder=folder))
    command.chmod(0o755)
    return {
        "hpc": {"owners_file": file, "owner_command": command, "require_account": "yes"},
        "hpc.owner.alice": {"account": "climate", "max_cpus": 8},
    }
