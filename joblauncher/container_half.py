"""From outside: the half of a nursery in a container, and the socket between the two.

Whoever supervises jobs starts the container, whose half (:mod:`joblauncher.nursery_inside`) has the
modules, and hands each job's folder in as a mount (:mod:`joblauncher.enclosure`). The two talk over
one socket, which is standard input in there.

::

    FOLDER/trial/     stands for a job's folder, to see whether the kernel allows it
    FOLDER/refused    why it does not
    FOLDER/failed     the last container has ended before it was ready
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from joblauncher import enclosure
from joblauncher.command_line import retitle
from joblauncher.descriptors import close_all_but, listen
from joblauncher.halves import END, GO, KEEP, READY, SPENT
from joblauncher.shared import prctl

LOGGER = logging.getLogger(__name__)

#: Seconds for the half inside to have a job's launcher ready, which takes milliseconds.
PATIENCE = 5.0
_MOST = 4096
#: Exit code of a helper: nobody takes what it sends.
_NOBODY = 2


class ContainerHalf:
    """The half inside, as the half outside sees it.

    Args:
        folder: where it is told why there is none.
        requests: address of the connections to it (SOCK_SEQPACKET).
        command: starts the container.
        environment: of the command.

    Attributes:
        is_ready: whether launchers can be had now.
        connection: tells each half that the other one lives.
    """

    connection: socket.socket

    def __init__(
        self, folder: Path, requests: Path, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._folder, self._requests, self._failed = folder, requests, folder / "failed"
        self._command, self._environment = list(command), dict(environment)
        self.is_ready = False

    def start(self) -> bool:
        """Start the container; whether it is worth waiting for it."""
        (self._folder / "refused").unlink(missing_ok=True)
        self._make_trial()
        with listen(self._requests, socket.SOCK_SEQPACKET) as listener:
            self._container = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=listener.fileno(),
                cwd="/",
                start_new_session=True,
            )
        if self._keep_in_touch():
            return True
        self._container.terminate()
        return False

    def close(self) -> None:
        """Leave no address behind; the half inside ends with this process."""
        self._requests.unlink(missing_ok=True)

    def receive(self) -> bool:
        """Read what the half inside says; whether it lives, or comes back."""
        try:
            told = self.connection.recv(_MOST)
        except OSError:
            told = b""
        if told == READY:
            self._failed.unlink(missing_ok=True)
            self.is_ready = True
        elif told:
            return self._refuse(told.decode("utf-8", "replace"))
        else:
            return self._reconnect()
        return True

    def _make_trial(self) -> None:
        trial = self._folder / "trial"
        (trial / "inputs").mkdir(parents=True, exist_ok=True)
        for name in ("job.dump", "job.log"):
            (trial / name).touch()

    def _keep_in_touch(self) -> bool:
        """Open the connection that tells the half inside that this one lives."""
        try:
            self.connection = _connect(self._requests)
            self._hand_over(self.connection, KEEP, str(self._folder / "trial"))
        except ConnectionError:
            return self._fail()
        except OSError as error:
            return self._refuse(str(error.strerror or error))
        return True

    def _refuse(self, reason: str) -> bool:
        LOGGER.warning("no warm starts: %s", reason)
        (self._folder / "refused").write_text(reason)
        return False

    def _reconnect(self) -> bool:
        """The half inside starts anew, or has ended, which is no reason not to try again."""
        was_ready, self.is_ready = self.is_ready, False
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._container.wait(0.5)
            return False if was_ready else self._fail()
        return self._keep_in_touch()

    def _fail(self) -> bool:
        """The container has ended before it was ready: a module may have ended it, which the next
        one leaves out; a second time is one too many."""
        if self._failed.exists():
            return self._refuse(f"the container cannot be started: see {self._folder}/log")
        self._failed.touch()
        return False

    def launch(self, order: dict[str, Any], mark: tuple[str, str], log: int) -> tuple[int, int]:
        """Have a job's launcher started (:meth:`joblauncher.orders.Orders.launch`)."""
        connection, launcher, _ = self.begin(order, mark, log)
        child = os.fork()
        if child == 0:
            _mirror(connection)
        connection.close()
        return child, launcher

    def begin(
        self, order: dict[str, Any], mark: tuple[str, str], log: int
    ) -> tuple[socket.socket, int, float]:
        """Have a job's launcher started; the connection on which its end is told
        (:func:`wait_for_end`), its process id, and the processor seconds that this took inside.

        Raises:
            OSError: it has not been started.
        """
        connection = _connect(self._requests)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        connection.settimeout(PATIENCE)
        text = json.dumps({"order": order, "mark": mark}).encode()
        self._hand_over(connection, text, order["folder"], log)
        size = struct.calcsize("3i")
        told, extra, _, _ = connection.recvmsg(_MOST, socket.CMSG_SPACE(size))
        if not told.startswith(READY) or len(told) != len(READY) + SPENT.size:
            raise OSError(f"the nursery: {told.decode('utf-8', 'replace') or 'no answer'}")
        # The kernel says who has sent it, by its process id here (unix(7), SCM_CREDENTIALS).
        (launcher,) = (
            struct.unpack("3i", data[:size])[0]
            for _, kind, data in extra
            if kind == socket.SCM_CREDENTIALS
        )
        connection.send(GO)
        return connection, launcher, *SPENT.unpack(told[len(READY) :])

    def _hand_over(
        self, connection: socket.socket, text: bytes, folder: str, *descriptors: int
    ) -> None:
        """Send a message with a folder as a mount.

        Raises:
            OSError: it cannot be made, or sent.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                mount = enclosure.offer(Path(folder))
                socket.send_fds(connection, [text], [mount, *descriptors])
                os._exit(0)
            except ConnectionError:
                os._exit(_NOBODY)
            except OSError as error:
                os.write(writer, f"{error.strerror or error}".encode())
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            reason = pipe.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == _NOBODY:
            raise ConnectionResetError("the container has ended")
        if status:
            raise OSError(reason or "a mount of a job's folder cannot be made")


def wait_for_end(connection: socket.socket) -> tuple[int, float | None]:
    """How a launcher ended, waited for: its exit code, or minus the signal that killed it, and the
    processor seconds of its job; ``None``: not told."""
    try:
        told = connection.recv(_MOST)
    except OSError:
        told = b""
    if len(told) != END.size:
        reason = told.decode("utf-8", "replace") or "its container has ended"
        print(f"the launcher is lost: {reason}", file=sys.stderr, flush=True)
        return -signal.SIGKILL, None
    status, used = END.unpack(told)
    return os.waitstatus_to_exitcode(status), used


def _connect(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    folder = os.open(address.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{address.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def _mirror(connection: socket.socket) -> NoReturn:
    """In a child of the supervisor: end when the launcher does, and as it does."""
    with contextlib.suppress(BaseException):
        prctl.end_with_parent(signal.SIGKILL)
        retitle(sys.executable, "-I", "-m", "joblauncher.container_half", "beside a job")
        close_all_but(connection.fileno())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        connection.settimeout(None)
        code, _ = wait_for_end(connection)
        if code >= 0:
            os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), -code)
    os._exit(1)
