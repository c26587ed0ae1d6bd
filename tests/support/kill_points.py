"""Places at which a process can be killed, or held up while others go on.

Each call to job table, spool and batch system is such a place, before and after its effect; so is
each write of a file, before it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock


class Killed(BaseException):
    """The process is gone: no handler of its own runs any more."""


class Hooks:
    """Counts the places that are passed and does something at one of them.

    Attributes:
        passed: how many were passed in all.
        on_document: called with each status document that took its name: job id and content.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.on_document: Callable[[str, bytes], None] = lambda job, document: None
        self._left = 0
        self._action: Callable[[], None] | None = None

    def kill(self) -> None:
        """To be done at a place: the end of whoever passes it."""
        raise Killed

    @contextlib.contextmanager
    def armed(self, count: int, action: Callable[[], None]) -> Iterator[None]:
        """Do something at the ``count``-th place from here on, once."""
        before, self._left, self._action = (self._left, self._action), count, action
        try:
            yield
        finally:
            self._left, self._action = before

    def place(self, writing: Path | None = None) -> None:
        """A place is passed.

        Args:
            writing: the temporary file that is just being written.
        """
        self.passed += 1
        if self._action is None:
            return
        self._left -= 1
        # Whoever is held up in the middle of a write has decided already: see docs/reliability.md.
        if self._left > 0 or (writing is not None and self._action != self.kill):
            return
        action, self._action = self._action, None
        try:
            action()
        except Killed:
            if writing is not None:  # a process that is killed tidies nothing up
                shutil.copyfile(writing, f"{writing}-killed")
            raise

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function with a place before and after it."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.place()
            result = function(*args, **kwargs)
            self.place()
            return result

        return call

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Writing files is a place; nothing waits for the disk."""
        replace = os.replace

        def fsync(descriptor: int) -> None:
            self.place(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

        def rename(source: Any, target: Any) -> None:
            replace(source, target)
            if Path(target).name == "status.xml":
                self.on_document(Path(target).parent.name, Path(target).read_bytes())

        with mock.patch("os.fsync", fsync), mock.patch("os.replace", rename):
            yield


class Fragile:
    """Any object, with a place before and after each call.

    Args:
        inner: the object.
        hooks: whose places these are.
        sturdy: names of methods that have no effect worth a place.
    """

    def __init__(self, inner: Any, hooks: Hooks, sturdy: tuple[str, ...] = ()) -> None:
        self._inner, self._hooks, self._sturdy = inner, hooks, sturdy

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in self._sturdy:
            return value
        if name == "led_by":  # the same table, in other hands
            return lambda *args: Fragile(value(*args), self._hooks, self._sturdy)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._hooks.place()
            result = value(*args, **kwargs)
            self._hooks.place()
            return result

        self.__dict__[name] = call
        return call
