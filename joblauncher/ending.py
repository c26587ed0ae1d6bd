"""How the process of a job ended, and what its interpreter told the launcher through a pipe."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace

from joblauncher.shared import exits
from joblauncher.shared.checksum import sha256

#: Before the digest of a document in the pipe from child to launcher.
_ANNOUNCED = b"\0success\0"
#: Bytes of a digest.
_SIZE = 32


@dataclass(frozen=True)
class Ending:
    """How the child ended.

    Attributes:
        code: its exit code; ``None`` if a signal ended it.
        signal: that ended it; ``None`` if it exited.
        stopped_by: signal with which the batch system asked for the end; ``None`` if it did not.
        reason: message for the user where the child left one.
        announced: SHA-256 of the document of success that it was about to leave; empty: of none.
        usage: as in :attr:`~joblauncher.shared.outcome.Report.usage`.
    """

    code: int | None
    signal: int | None
    stopped_by: int | None = None
    reason: str = ""
    announced: bytes = b""
    usage: dict[str, float] = field(default_factory=dict)

    def without_sums(self) -> Ending:
        """The same without what was measured on this node alone, of a job that has others."""
        elapsed = {name: used for name, used in self.usage.items() if name == "elapsed_seconds"}
        return replace(self, usage=elapsed)

    def message(self) -> str:
        """Why a job without a result failed, for the user."""
        if self.stopped_by is not None:
            return exits.stopped_by(signal.Signals(self.stopped_by).name)
        if self.reason:
            return self.reason
        if self.signal is not None:
            return f"the process was killed by {exits.describe_signal(self.signal)}"
        return f"the process ended with exit code {self.code} without reporting a result"

    def cause(self) -> str:
        """Who ended it, as in :attr:`~joblauncher.shared.outcome.Report.cause`."""
        if self.stopped_by is not None:
            return "stopped"
        if self.reason == exits.OUT_OF_MEMORY:
            return "memory"
        if self.signal in (signal.SIGKILL, signal.SIGTERM):
            return "killed"
        return "launcher" if self.code == exits.REFUSED else "crashed"

    def exit_code(self) -> int:
        """The launcher's exit code if the process did not succeed."""
        # By this, accounting tells an end that the batch system asked for (Grid Engine: SIGUSR2).
        last = self.stopped_by or self.signal
        return exits.of_process(self.code) if last is None else exits.by_signal(last)


def digest(document: bytes) -> bytes:
    """As in :attr:`Ending.announced`."""
    return sha256(document).digest()


def announcement(document: bytes) -> bytes:
    """Tells the launcher which document of success is the process's own: a process that only writes
    one into its folder, and is killed or ends itself, has not come to its end."""
    return _ANNOUNCED + digest(document)


def understand(told: bytes) -> tuple[bytes, str]:
    """What came through the pipe: the last digest that was announced, and the reason."""
    announced = b""
    while told.startswith(_ANNOUNCED):
        end = len(_ANNOUNCED) + _SIZE
        announced, told = told[len(_ANNOUNCED) : end], told[end:]
    return announced, told.decode(errors="replace")
