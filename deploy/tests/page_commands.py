"""Commands and files that a page of the documentation shows, with what an administrator changes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: A heading, or a fenced block: its language, its title if any, its text.
_PARTS = re.compile(
    r"^(?P<heading>#+ [^\n]*)$"
    r"|^```(?P<language>\w+)(?: title=\"(?P<title>[^\n]*)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the heading that it stands under."""

    heading: str
    language: str
    title: str
    text: str


class Page:
    """A page as a script.

    Args:
        file: the page.
        changes: what is written there -> what it is on this site. What one mapping puts there is
            changed by the next one, and by no other key of its own.
    """

    def __init__(self, file: Path, *changes: Mapping[str, str]) -> None:
        self.file, self.changes = file, changes
        self.blocks: list[Block] = []
        heading = ""
        for part in _PARTS.finditer(file.read_text(encoding="utf-8")):
            if part["heading"]:
                heading = part["heading"].lstrip("# ")
            else:
                found = (part["language"], part["title"] or "", part["text"])
                self.blocks.append(Block(heading, *found))

    def text(self, heading: str, *, has: str = "", title: str = "") -> str:
        """The one block under a heading that has these words and this title.

        Raises:
            AssertionError: the page has none, or several.
        """
        found = [
            each.text
            for each in self.blocks
            if each.heading == heading and has in each.text and each.title == title
        ]
        assert len(found) == 1, (self.file, heading, has, title, len(found))
        return self.changed(found[0])

    def changed(self, text: str) -> str:
        """A text of the page as it is on this site."""
        for real in filter(None, self.changes):
            written = re.compile("|".join(map(re.escape, real)))
            text = written.sub(lambda found, real=real: real[found[0]], text)  # type: ignore[misc]
        return text

    def unused(self, names: Sequence[str]) -> list[str]:
        """What of these the page does not have at all."""
        text = "\n".join(each.text for each in self.blocks)
        return [name for name in names if name not in text]


def run(commands: str, *, limit: float = 900, fine: Collection[int] = (0,)) -> str:
    """What commands print, run by a shell that stops at the first that fails.

    Args:
        limit: seconds.
        fine: exit codes of the shell.

    Raises:
        AssertionError: it ended with another one.
    """
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=limit)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # whatever the commands have started, too
        process.wait()
        raise
    assert process.returncode in fine, f"{commands}\n{told}"
    return told


class Running:
    """Commands of which the last goes on until it is stopped."""

    def __init__(self, commands: str, log: Path) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["bash", "-euc", commands],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        """As Ctrl-C does it."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(120)
