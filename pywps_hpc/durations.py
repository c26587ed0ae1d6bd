"""Durations as text."""

from __future__ import annotations


def clock(seconds: int, *, width: int = 2) -> str:
    """``HH:MM:SS``, with as many hours as it takes.

    Args:
        width: digits of the hours at least.
    """
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:0{width}d}:{minute:02d}:{second:02d}"


def clock_with_days(seconds: int) -> str:
    """``HH:MM:SS``, with days before it where there are any: ``1-02:00:00``."""
    days, rest = divmod(seconds, 86400)
    return (f"{days}-" if days else "") + clock(rest)
