"""Commands on the cluster's login host, over SSH.

Only commands are sent: a script goes in on standard input, answers come back, and all data stays on
the file system that both hosts share. The identity of the login host is never taken on trust: its
key must stand in one known_hosts file, and nothing switches that off. One private key is offered;
no agent, no keys from elsewhere, no password.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pywps_hpc.dispatch.channels.local import (
    Channel,
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    CommandMissing,
    Completed,
)
from pywps_hpc.settings import Ssh

if TYPE_CHECKING:
    import paramiko

log = logging.getLogger(__name__)
# The library logs tracebacks of what is reported here in one sentence.
_library_log = logging.getLogger(f"{__name__}.paramiko")
_library_log.setLevel(logging.CRITICAL)

#: Most bytes of one command's output: the queue of a very large site fits many times over.
LIMIT = 32 * 1024 * 1024
#: Seconds of silence before a heartbeat, lest a firewall forget the connection.
KEEPALIVE = 30
#: env(1), timeout(1), sh(1): the command cannot be run (or is refused: forced_command.py).
_NOT_STARTED = {126: ChannelUnavailable, 127: CommandMissing}


class SshChannel(Channel):
    """Runs commands on a login host, one at a time, over one connection that is kept.

    Nothing of the account's environment there reaches the command but HOME, USER and LOGNAME; see
    :class:`~pywps_hpc.dispatch.channels.local.LocalChannel` for why.

    Args:
        own: where to and by which keys; host, user, key and known_hosts must be set.
        environment: what the commands need there (``PATH``, ``SLURM_CONF``, ``SGE_ROOT``).

    Raises:
        ImportError: paramiko is missing; the message says what to install.
    """

    def __init__(self, own: Ssh, environment: Mapping[str, str] | None = None) -> None:
        try:
            import paramiko
        except ImportError as error:
            raise ImportError(
                "channel = ssh needs paramiko: pip install 'pywps-hpc[ssh]'"
            ) from error
        self._paramiko = paramiko
        self._broken = (paramiko.SSHException, OSError, EOFError)
        self._own = own
        self._where = f"{own.user}@{own.host}:{own.port}"
        self._environment = {"LANG": "C"} | dict(environment or {})
        self._lock = threading.Lock()
        self._transport: paramiko.Transport | None = None

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        """As :meth:`Channel.run`; the connection may take up to four times ``own.timeout`` before.

        Raises:
            ChannelTimeout: the connection was closed; the login host itself ends the command.
            ChannelUnavailable: no connection, or no such command there.
            ChannelError: the connection broke after the command was sent.
        """
        line = command_line(argv, self._environment, timeout)
        with self._lock:
            transport, session = self._session(argv)
            try:
                answer = self._converse(transport, session, line, argv, stdin, timeout)
            except BaseException:
                self._drop()
                raise
        if problem := _NOT_STARTED.get(answer.returncode):
            raise problem(
                f"{self._where} does not run {argv[0]}: {answer.stderr.strip()} (is its folder in "
                "command_path? does the key's forced command allow it?)",
                argv,
            )
        return answer

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _session(self, argv: Sequence[str]) -> tuple[paramiko.Transport, paramiko.Channel]:
        """A session on the kept connection or, if that broke unnoticed, on a new one."""
        if self._transport is not None and self._transport.is_active():
            try:
                return self._transport, self._transport.open_session(timeout=self._own.timeout)
            except self._broken as error:
                log.info("%s: the connection broke: %s", self._where, error)
        self._drop()
        self._transport = self._connect(argv)
        log.info("connected to %s", self._where)
        try:
            return self._transport, self._transport.open_session(timeout=self._own.timeout)
        except self._broken as error:
            self._drop()
            raise ChannelUnavailable(
                f"{self._where} does not open a session: {error}", argv
            ) from error

    def _converse(
        self,
        transport: paramiko.Transport,
        session: paramiko.Channel,
        line: str,
        argv: Sequence[str],
        stdin: str,
        timeout: float,
    ) -> Completed:
        """Send the command and collect its whole answer."""
        out = _Reader(session, session.recv)
        err = _Reader(session, session.recv_stderr)
        status, cause = -1, ""
        with _Deadline(transport, timeout) as deadline:
            try:
                session.exec_command(line)
                # Both at once, beside the writing: they share a window, and the one that is not
                # read would stop the others.
                out.start()
                err.start()
                with contextlib.suppress(OSError, EOFError):  # it may end without reading it all
                    session.sendall(stdin.encode())
                    session.shutdown_write()
                out.join()
                err.join()
                status = session.recv_exit_status()
            except self._broken as error:
                cause = f" ({error})"
        what = shlex.join(argv)
        if out.overflowed or err.overflowed:
            raise ChannelError(f"{what} answered more than {LIMIT} bytes", argv)
        if status >= 0:
            session.close()
            return Completed(status, out.text(), err.text())
        if deadline.passed:
            raise ChannelTimeout(
                f"{what} did not answer within {timeout:g} s on {self._where}", argv
            )
        raise ChannelError(
            f"{what} gave no complete answer: the connection to {self._where} broke, or a signal "
            f"killed the command{cause}",
            argv,
        )

    def _connect(self, argv: Sequence[str]) -> paramiko.Transport:
        """A connection to the host that is known, logged in.

        The key files are read each time, so that they can be changed without a restart.
        """
        from pywps_hpc.dispatch.channels import ssh_keys

        own, started = self._own, time.monotonic()
        transport = None
        try:
            key, known = ssh_keys.private_key(own), ssh_keys.known_keys(own)
            transport = self._paramiko.Transport(
                socket.create_connection((own.host, own.port), own.timeout)
            )
            transport.set_log_channel(_library_log.name)
            transport.banner_timeout = transport.handshake_timeout = own.timeout
            transport.auth_timeout = own.timeout
            options = transport.get_security_options()
            options.key_types = ssh_keys.prefer(options.key_types, known)
            with _Deadline(transport, own.timeout):
                transport.start_client(timeout=own.timeout)
                ssh_keys.verify(own, transport.get_remote_server_key(), known)
                if transport.auth_publickey(own.user, key):
                    raise self._paramiko.AuthenticationException("it alone is not enough")
            transport.set_keepalive(KEEPALIVE)
            return transport
        except (ValueError, *self._broken) as error:
            problem = str(error) or type(error).__name__
            # The library has several ways to say so, and one is to go on.
            if time.monotonic() - started >= own.timeout and not isinstance(error, ValueError):
                problem = f"it does not respond within {own.timeout:g} s"
            elif isinstance(error, self._paramiko.AuthenticationException):
                problem = f"it does not accept the key {own.key}: {problem}"
            if transport is not None:
                transport.close()
            raise ChannelUnavailable(f"cannot connect to {self._where}: {problem}", argv) from error


def command_line(argv: Sequence[str], environment: Mapping[str, str], timeout: float) -> str:
    """The line for the login shell of an account: the command, its environment, its time limit.

    The shell fills in who it runs as; all else is quoted. A command that nobody listens to any more
    could hang for ever, so the login host itself ends it a little after we give up (timeout(1)).

    Raises:
        ChannelUnavailable: a NUL character, which no argument can hold.
    """
    declared = [f"{name}={value}" for name, value in environment.items()]
    if any("\0" in word for word in (*argv, *declared)):
        raise ChannelUnavailable("cannot run a command with a NUL character in it", argv)
    limit = ["timeout", "-s", "KILL", str(math.ceil(timeout) + 2)]
    who = 'HOME="$HOME" USER="$USER" LOGNAME="$LOGNAME"'
    return f"exec env -i {who} {shlex.join([*declared, *limit, *argv])}"


class _Deadline:
    """Closes a connection when its time is up, which ends every wait on it: the library has some
    without a limit of their own (for the answer to a request, for the exit status)."""

    def __init__(self, transport: paramiko.Transport, seconds: float) -> None:
        self.passed = False
        self._transport = transport
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        self._transport.close()


class _Reader(threading.Thread):
    """Reads one output of a command to its end, or to the limit."""

    def __init__(self, session: paramiko.Channel, receive: Callable[[int], bytes]) -> None:
        super().__init__(daemon=True)
        self._session, self._receive = session, receive
        self._data = bytearray()
        self.overflowed = False

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := self._receive(1 << 16):
                self._data += data
                if len(self._data) > LIMIT:
                    self.overflowed = True
                    self._session.close()
                    return

    def text(self) -> str:
        """What was read."""
        return self._data.decode("utf-8", errors="replace")
