"""What a nursery has imported, and when it has to start anew."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from joblauncher import (
    caches,
    command,
    configured,
    forked,
    lean,
    learned,
    preload,
    runner,
    warm,
)
from joblauncher.descriptors import close_all_but
from joblauncher.shared import IN_JOB, dump
from joblauncher.shared.files import remove_tree
from joblauncher.shared.warm_home import HOME, HOME_DESCRIPTOR

LOGGER = logging.getLogger(__name__)

#: Seconds that all imports together may take (alarm(2)).
IMPORT_LIMIT = 600


class Imports:
    """The modules that jobs need.

    Args:
        folder: holds ``learned.json``, what to import, and ``compile-caches``, which outlive the
            nursery, and ``home``, its home and temporary folder, read-only once everything is
            imported.
        paths: folders with modules of the service.
        start_anew: told why; does not return.
        changeable: folders in which modules may change; ``None``: anywhere. To look at each file of
            an image takes longer than the rest of a start.
        pause: nothing is forked while what it returns is entered: then a job that has imported more
            is no reason to start anew, and that is imported beside the rest. ``None``: it is one.
    """

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        start_anew: Callable[[str], NoReturn],
        changeable: Sequence[str] | None = None,
        pause: Callable[[], contextlib.AbstractContextManager[None]] | None = None,
    ) -> None:
        self._changeable, self._pause = changeable, pause
        self._begun = time.time_ns()
        self._paths, self._start_anew = paths, start_anew
        self._learned = learned.read(folder / "learned.json")
        self._files: dict[str, tuple[int, int]] = {}
        self.home, self._kept = folder / "home", folder / caches.KEPT
        self.reports, self._reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def prepare(self) -> None:
        """Import what jobs need."""
        if self._learned.importing is not None:
            self._learned.leave_out(self._learned.importing, "its import did not end")
        with contextlib.suppress(FileNotFoundError):
            remove_tree(self.home)
        self.home.mkdir(mode=0o700)
        warm.point_home(self.home)
        os.chdir(self.home)
        command.prepare(self._paths)
        if self._learned.config is not None:
            self._prepare_pywps(self._learned.config)
            self._import([*preload.BASE, *self._learned.names])
        self._settle()

    def _settle(self) -> None:
        """What there is to do when all has been imported."""
        for folder, _, _ in os.walk(self.home, topdown=False):
            os.chmod(folder, 0o500)
        # Of a module that was imported before, the file counts as it was then.
        self._files = preload.files(self._changeable) | self._files
        self._open = preload.only_read()
        if any(self._begun < changed < time.time_ns() for changed, _ in self._files.values()):
            self._start_anew("a module was changed while it was imported")
        gc.collect()
        gc.freeze()  # a collection in a job copies no pages of what is here

    def announce(self) -> None:
        """Note in the log that orders are taken."""
        LOGGER.info("takes orders, %d modules, %d MiB", len(sys.modules), preload.resident() >> 20)

    def _prepare_pywps(self, config: dict[str, dict[str, str]]) -> None:
        signal.alarm(IMPORT_LIMIT)
        os.environ.pop("PYWPS_CFG", None)
        os.environ[IN_JOB] = "nursery"
        for cache in (caches.kept_of_interpreter(), self._kept):
            caches.use(self.home, cache, seen_as=Path(HOME))
        lean.load()
        # What each launcher would find out anew. Before modules of the service are imported, which
        # may change PyWPS.
        runner.mismatches()
        dump.versions()
        command.make_ready()
        configured.install(config, self.home, self.home)

    def _import(self, names: Sequence[str]) -> None:
        """Import modules; starts anew without one that is unfit."""
        signal.alarm(IMPORT_LIMIT)
        try:
            preload.load(names, self._learned.unfit, self._learned.begin)
            caches.keep(self.home, self._kept)
        except preload.Unfit as unfit:
            caches.keep(self.home, self._kept)
            self._learned.leave_out(unfit.name, unfit.reason)
            reason = f"{unfit.name} leaves {unfit.reason}: it is imported in each job instead"
            self._start_anew(reason)
        signal.alarm(0)

    def learn(self) -> None:
        """Take a report of a launcher (:func:`joblauncher.warm.report`)."""
        report = json.loads(self.reports.recv(1 << 20))
        fresh = [name for name in report["names"] if name not in sys.modules]
        reason = self._learned.add(report["config"], fresh)
        if reason == learned.MORE and self._pause is not None:
            with self._pause():
                self._import_more()
        elif reason:
            self._start_anew(reason)

    def _import_more(self) -> None:
        """Import what has been learned since; starts anew if what is here is outdated."""
        if reason := self.is_stale():
            self._start_anew(reason)
        self._begun = time.time_ns()
        for folder, _, _ in os.walk(self.home):
            os.chmod(folder, 0o700)
        os.chdir(self.home)
        self._import(self._learned.names)
        self._settle()
        self.announce()

    def is_stale(self) -> str:
        """Why no job may be forked from here; empty if one may."""
        if path := preload.changed(self._files):
            self._learned.forgive()
            return f"{path} has changed"
        return ""

    def descriptors(self) -> tuple[int, ...]:
        """What has to stay open in a fork."""
        return (*self._open, self._reporter.fileno(), HOME_DESCRIPTOR)

    def become(self, order: dict[str, Any], mark: tuple[str, str]) -> NoReturn:
        """In a fork: become the launcher of a job (:func:`joblauncher.forked.become`)."""
        reports = self._reporter.detach()
        forked.become(order, mark, self._learned.config, reports, self._open)


def start_anew(
    reason: str, program: Sequence[str], environment: Mapping[str, str], keep: Collection[int]
) -> NoReturn:
    """Start this process anew (execve(2)); its children end.

    Args:
        reason: for the log.
        program: the command line.
        environment: of the new start.
        keep: descriptors that stay open.
    """
    LOGGER.info("starts anew: %s", reason)
    signal.alarm(0)
    for child in preload.traces().children:
        with contextlib.suppress(OSError):
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)
    close_all_but(*keep)
    os.chdir("/")
    for number in keep:
        os.set_inheritable(number, True)
    os.execve(program[0], list(program), dict(environment))
