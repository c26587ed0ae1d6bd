"""What a launcher that a nursery forked, or started, has from it (:mod:`joblauncher.nursery`).

Two things: a socket on which it reports what loading its process imported, so that the nursery can
import that for the jobs that follow; and the descriptor through which modules that were imported in
the nursery find the job's own folder where they noted their home folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

from joblauncher.shared.by_name.modules import importable
from joblauncher.shared.warm_home import HOME_DESCRIPTOR

#: Bytes of a report; a longer one is left out (unix(7): one datagram).
_MOST = 180_000

_reports: socket.socket | None = None
_known: frozenset[str] = frozenset()
_config: object = None
_has_home = False


def report_to(descriptor: int, config: object = None) -> None:
    """Report imports on this datagram socket; what is imported by now is known.

    Args:
        config: of the service, if the nursery has imported that under it.
    """
    global _reports, _known, _config
    _reports, _known = socket.socket(fileno=descriptor), frozenset(sys.modules)
    _config = config
    _reports.setblocking(False)
    os.set_inheritable(descriptor, False)


def report(config: dict[str, dict[str, str]]) -> None:
    """Report what has been imported since, if that is news to the nursery; to be called before any
    code of a handler runs, which finds the socket closed.

    Args:
        config: the service's effective configuration, under which it was imported.
    """
    global _reports
    if _reports is None:
        return
    found = [name for name in list(sys.modules) if name not in _known and importable(name)]
    with contextlib.suppress(OSError), _reports:  # nobody waits for it
        if found or config != _config:
            text = json.dumps({"config": config, "names": found}).encode()
            if len(text) <= _MOST:
                _reports.send(text)
    _reports = None


def close_reports() -> None:
    """Let the launcher's own end of the socket go: a handler may take what its parent has open
    (pidfd_getfd(2)), and no nursery shall hear of it."""
    global _reports
    if _reports is not None:
        _reports.close()
        _reports = None


def point_home(folder: Path) -> None:
    """Let :data:`~joblauncher.shared.warm_home.HOME` lead into this folder, here and in all forks.

    Raises:
        OSError: it cannot be opened.
    """
    global _has_home
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.dup2(opened, HOME_DESCRIPTOR, inheritable=False)
    os.close(opened)
    _has_home = True


def own_home(folder: Path) -> None:
    """The same in a fork of a nursery; elsewhere nothing."""
    if _has_home:
        point_home(folder)
