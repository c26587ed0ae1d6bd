"""Every command is described, and each that tells something tells it to programs, too."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from places import ROOT
from pywps_hpc.cli import commands, reference

#: They run until they are stopped, build or read an image, or print a file.
WITHOUT_DATA = {"serve", "web", "dispatcher", "log", "image", "man", "migrate"}


def test_the_page_of_commands_is_what_they_say_of_themselves() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == reference.markdown(), "run: make docs"


@pytest.mark.parametrize("name", sorted(set(commands.commands) - WITHOUT_DATA))
def test_every_command_that_tells_something_tells_it_as_data_too(name: str) -> None:
    options = {option for one in commands.commands[name].params for option in one.opts}
    assert "--json" in options


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = commands.commands[name]
    assert command.help
    for one in command.params:
        if isinstance(one, click.Option):
            assert one.help, one.name


def test_the_shell_completes_names_of_commands_and_options() -> None:
    def completed(line: str, word: int) -> list[str]:
        asked = {"_PYWPS_HPC_COMPLETE": "bash_complete", "COMP_WORDS": line}
        environment = os.environ | asked | {"COMP_CWORD": str(word)}
        code = "from pywps_hpc.cli import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        return ended.stdout.split()

    assert completed("pywps-hpc und", 1) == ["plain,undrain"]
    assert "plain,--follow" in completed("pywps-hpc log --f", 2)
