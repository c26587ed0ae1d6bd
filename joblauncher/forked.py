"""From a fork of a nursery to a job's launcher: as if this process had just been started."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import traceback
from types import ModuleType
from typing import Any, NoReturn

from joblauncher import command, preload, warm
from joblauncher.command_line import mark_environment, retitle
from joblauncher.shared import dump, exits, failpoint

#: The batch script's exit code where the job's folder is missing.
_NO_FOLDER = 72
#: Bytes of a dump's second line that are read to compare configurations.
_MOST_HEADER = 4 << 20


def become(
    order: dict[str, Any],
    mark: tuple[str, str],
    config: Any,
    reports: int,
    files: tuple[int, ...],
) -> NoReturn:
    """Become the launcher of a job.

    Standard input, output and error are the job's already; nothing else that is open is needed but
    ``reports``.

    Args:
        order: from the scheduler: ``python``, ``options`` and ``arguments`` of the launcher, its
            ``environment`` with ``home`` as default, and its ``folder``.
        mark: variable and value by which the scheduler finds all processes of the job.
        config: of the service, under which modules were imported; ``None`` if none were.
        reports: descriptor for reports on imports.
        files: descriptors of files that modules read.
    """
    try:
        if os.getpgid(0) != os.getpid():
            os.setpgid(0, 0)  # what the job sends its group must not reach its supervisor
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        environment = {"HOME": order["home"], **order["environment"], mark[0]: mark[1]}
        try:
            os.chdir(order["folder"])
        except OSError as error:
            print(f"{order['folder']}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(_NO_FOLDER)
        arguments = [*order["options"], *order["arguments"]]
        try:
            preload.reopen(files)
            is_fit = config is not None and _config(order) == config and mark_environment(*mark)
        except OSError:
            is_fit = False
        if not is_fit:
            _start_cold(order, arguments, environment, reports)
        os.environ.clear()
        os.environ.update(environment)
        retitle(order["python"], "-I", "-m", "joblauncher", arguments[-1])
        warm.report_to(reports, config)
        _renew(arguments)
        command.run(arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(exits.FAILED)


def _config(order: dict[str, Any]) -> Any:
    """The configuration in a job's dump, not verified: it is compared and not used."""
    try:
        with open(os.path.join(order["folder"], "job.dump"), "rb") as file:
            if file.readline(len(dump.MAGIC)) != dump.MAGIC:
                return None
            return json.loads(file.readline(_MOST_HEADER))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the launcher says what is wrong


def _start_cold(
    order: dict[str, Any], arguments: list[str], environment: dict[str, str], reports: int
) -> NoReturn:
    os.set_inheritable(reports, True)
    program = [order["python"], "-I", "-m", "joblauncher", "--report-imports", str(reports)]
    os.execve(order["python"], [*program, *arguments], environment)


def _renew(arguments: list[str]) -> None:
    """Make anew what every interpreter has of its own. Python's own generator of random numbers
    does so by itself."""
    spec = importlib.util.find_spec("joblauncher.__main__")
    assert spec is not None
    main = ModuleType("__main__", "The launcher.")
    main.__spec__, main.__file__ = spec, spec.origin
    sys.modules["__main__"] = main
    sys.argv = [str(spec.origin), *arguments]
    failpoint.FOLDER = failpoint.folder()
    if (tempfile := sys.modules.get("tempfile")) is not None:
        vars(tempfile)["tempdir"] = None
    if (numpy := sys.modules.get("numpy.random")) is not None:
        numpy.seed()
    if (multiprocessing := sys.modules.get("multiprocessing.process")) is not None:
        multiprocessing.current_process().authkey = os.urandom(32)
