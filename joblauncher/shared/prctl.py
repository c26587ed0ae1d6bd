"""Ties of a process to those above and below it (prctl(2))."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36


def end_with_parent(number: signal.Signals) -> None:
    """Have this process sent a signal when its parent dies; a parent that is gone sends none."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever descendant loses its own."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def shut_out() -> None:
    """Let no process of the same account trace this one, or take what it has open, until it starts
    another program."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
