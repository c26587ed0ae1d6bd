"""Log lines that nobody can forge: what a client or a process sent begins no line of its own.

It is done where records are made, whoever writes them and in whatever form: PyWPS has loggers and
files of its own, and a WSGI server, too.
"""

from __future__ import annotations

import logging
from typing import Any

#: Before each further line of a record.
MARGIN = "\n  | "


def install(*, folded: bool = False) -> None:
    """Make all records of this interpreter safe.

    Args:
        folded: whether a message may have several lines, each further one behind a margin, as a
            process writes them into its job's log; otherwise a line break is told as ``\\n``.
    """
    logging.setLogRecordFactory(_FoldedRecord if folded else _Record)


def printable(text: str) -> str:
    """A text on one line: whatever is no character to look at is told as in a Python string. So are
    signs that turn the direction of writing, and code of a terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def fold(text: str) -> str:
    """A text of several lines, of which all but the first have a margin."""
    return MARGIN.join(printable(line) for line in text.rstrip("\n").split("\n"))


class _Record(logging.LogRecord):
    """A record whose texts are safe; formatters take ``exc_text`` where there is one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_info and self.exc_info[1] is None:
            self.exc_info = None  # PyWPS tells of an exception that is over: "NoneType: None"
        if self.exc_info:
            trace = logging.Formatter().formatException(self.exc_info)
            self.exc_text = f"  | {fold(trace)}"
        if self.stack_info:
            self.stack_info = fold(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802  (its name)
        """The message with its arguments."""
        return printable(super().getMessage())


class _FoldedRecord(_Record):
    def getMessage(self) -> str:  # noqa: N802  (its name)
        """The message with its arguments, on as many lines as it has."""
        return fold(logging.LogRecord.getMessage(self))
